/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NIC's link thread: the life with its back end.
 *
 *	away -> connected -> rings handed over -> away -> ...
 *
 * Away: link down; one quick attempt, then one every 100 ms, for ever. Connected: negotiated, and
 * the back end has what the driver agreed on (else: a sentence, hang up, stay away). Once the
 * driver is up, the rings are handed over: from 0 after a device reset, else from where the last
 * back end left off (nic_ring.h: frames it may have sent are not sent again), with a kick and a
 * call each so that neither side waits for the other. A device reset takes the rings back
 * (GET_VRING_BASE) before the driver sees it done.
 *
 * The thread takes the device lock to look and to tell, never while it waits for the back end.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vhost-user/frontend.h"
#include "vmm/nic.h"
#include "vmm/nic_ring.h"

#define REPLY_TIMEOUT_MS 5000 /* librte_vhost may take 1 s to notice a new client */
#define RETRY_QUICK_MS   5
#define RETRY_MS         100
#define RETRY_REFUSED_MS 1000 /* a back end that lacks something will lack it in 0.1 s too */
#define FLAP_NS          NS_PER_S
#define FLAPS_LOGGED     8

#define WANT_PROTOCOL \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG | 1ull << VU_PF_NET_MTU)

/* Features that concern the driver and us; passed on where the back end knows them too. */
#define FEATURES_OURS                                                        \
	(VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |    \
		VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MQ) | \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ))

/* What the thread knows and no one else. */
struct link {
	struct nic *n;
	struct vu_frontend *f;
	bool started;                       /* rings are handed over */
	unsigned n_rings;                   /* that the driver may use: queues 0 .. */
	bool ring_given[VIRTIO_QUEUES_MAX]; /* handed over */
	bool ring_on[VIRTIO_QUEUES_MAX];    /* and enabled */
	uint64_t try_at_ns;                 /* when to connect next */
	int last_error;                     /* logged once each time it changes */
	bool was_connected;                 /* since the last loss */
	bool ever_connected;
	uint64_t since_ns; /* when it was connected */
	unsigned flaps;    /* connections in a row that were lost soon */
};

/* A start, copied under the lock. */
struct link_plan {
	uint64_t acked;
	uint16_t pairs;
	bool resumed;
	struct virtio_queue q[VIRTIO_QUEUES_MAX];
};

/* A back end that takes us on and hangs up again and again is tried less eagerly, and logged
 * less. */
static void link_count_flap(struct link *l)
{
	if (!l->was_connected)
		return;
	l->flaps = clock_now_ns() - l->since_ns < FLAP_NS ? l->flaps + 1 : 0;
	if (l->flaps == FLAPS_LOGGED)
		log_warn("%s: the back end at %s hangs up each time soon after it was connected; "
			 "trying on without a word",
			l->n->name, l->n->setup.socket);
}

static void link_lost(struct link *l, const struct err *e)
{
	struct nic *n = l->n;
	uint64_t retry_ms;

	link_count_flap(l);
	if (e->code != l->last_error && e->code != -ECANCELED && l->flaps < FLAPS_LOGGED) {
		log_warn("%s: %s", n->name, e->text);
		l->last_error = e->code;
	}
	if (e->code == -ECANCELED)
		fd_event_take(n->cancel_fd);
	vu_close(l->f);
	l->f = NULL;
	l->started = false;
	memset(l->ring_given, 0, sizeof(l->ring_given));
	retry_ms = RETRY_MS;
	if (e->code == -EOPNOTSUPP)
		retry_ms = RETRY_REFUSED_MS;
	else if (l->was_connected && l->flaps <= 1)
		retry_ms = RETRY_QUICK_MS;
	l->try_at_ns = clock_now_ns() + retry_ms * NS_PER_MS;
	l->was_connected = false;
	pthread_mutex_lock(n->lock);
	n->connected = false;
	n->rings_out = false;
	n->tried = true;
	n->quiet = l->flaps >= FLAPS_LOGGED;
	nic_set_link(n, false);
	virtio_pci_reset_done(&n->v);
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(n->lock);
}

/* Whether the back end has what the driver relies on. With the lock held. */
static bool link_suits(struct link *l, uint64_t features, struct err *e)
{
	struct nic *n = l->n;
	bool agreed = n->v.status & VIRTIO_S_FEATURES_OK;
	uint64_t needed =
		(agreed ? n->v.acked & ~FEATURES_OURS : 0) | VIRTIO_BIT(VIRTIO_F_VERSION_1);
	uint64_t missing = needed & ~features;

	for (unsigned i = 0; i < 64; i++) {
		if (!(missing & 1ull << i))
			continue;
		err_set(e, -EOPNOTSUPP,
			"the back end at %s lacks %s, which the guest relies on: the link stays "
			"down until it has it, or the guest's driver starts anew",
			n->setup.socket,
			vu_net_feature_name(i) ? vu_net_feature_name(i) : "a feature");
		return false;
	}
	if (agreed && (n->v.acked & VIRTIO_BIT(VIRTIO_NET_F_MQ)) &&
		vu_queue_num(l->f) < n->setup.pairs) {
		err_set(e, -EOPNOTSUPP,
			"the back end at %s has %u queue pairs, the guest was promised %u: the link "
			"stays down",
			n->setup.socket, vu_queue_num(l->f), n->setup.pairs);
		return false;
	}
	return true;
}

static int link_open(struct link *l, struct err *e)
{
	struct nic *n = l->n;
	bool suits;
	int err = vu_connect(n->setup.socket, REPLY_TIMEOUT_MS, n->cancel_fd, &l->f, e);

	if (err)
		return err;
	err = vu_negotiate(l->f, WANT_PROTOCOL, e);
	if (err)
		return err;
	pthread_mutex_lock(n->lock);
	suits = link_suits(l, vu_features(l->f), e);
	if (suits) {
		n->backend_features = vu_features(l->f);
		n->backend_mq = vu_queue_num(l->f) >= n->setup.pairs;
		n->backend_seen = true;
		n->connected = true;
		n->reconnects += l->ever_connected;
		n->tried = true;
		if (!n->v.status) /* no driver has looked at them yet */
			n->v.offered = n->v.ops->features(n);
		if (!virtio_pci_is_started(&n->v))
			nic_set_link(n, true);
		pthread_cond_broadcast(&n->changed);
	}
	pthread_mutex_unlock(n->lock);
	if (!suits)
		return e->code;
	if (n->setup.mtu && vu_set_mtu(l->f, (uint16_t)n->setup.mtu, e) == -EREMOTEIO)
		log_warn("%s: %s", n->name, e->text);
	l->was_connected = l->ever_connected = true;
	l->since_ns = clock_now_ns();
	l->last_error = 0;
	if (l->flaps < FLAPS_LOGGED)
		log_info("%s: connected to %s", n->name, n->setup.socket);
	return 0;
}

static void link_connect(struct link *l)
{
	struct err e = { 0 };

	if (link_open(l, &e))
		link_lost(l, &e);
}

static uint64_t user_address(const struct nic *n, uint64_t gpa, uint64_t len)
{
	return (uintptr_t)gmem_at(n->mem, (gpa_t){ gpa }, len);
}

static int link_send_memory(struct link *l, struct err *e)
{
	const struct gmem *g = l->n->mem;
	struct vu_region r[2];

	for (unsigned i = 0; i < g->n; i++)
		r[i] = (struct vu_region){ .gpa = g->r[i].gpa,
			.size = g->r[i].size,
			.user_addr = (uintptr_t)g->r[i].host,
			.mmap_offset = g->r[i].offset,
			.fd = g->fd };
	return vu_set_mem_table(l->f, r, g->n, e);
}

/* The next entry to be served: 0 in a new ring, else where the last back end left off. Even queues
 * receive (virtio 1.2, 5.1.2). */
static uint16_t ring_base(
	const struct nic *n, const struct virtio_queue *q, unsigned i, bool resumed)
{
	void *avail = gmem_at(n->mem, (gpa_t){ q->driver }, virtio_driver_bytes(q->size));
	void *used = gmem_at(n->mem, (gpa_t){ q->device }, virtio_device_bytes(q->size));

	if (!resumed)
		return 0;
	return i % 2 ? nic_ring_resume_transmit(avail, used, q->size)
		     : nic_ring_resume_receive(used);
}

static int link_send_ring(struct link *l, const struct link_plan *p, unsigned i, struct err *e)
{
	struct nic *n = l->n;
	const struct virtio_queue *q = &p->q[i];
	struct vu_ring r = { .index = i,
		.size = q->size,
		.desc = user_address(n, q->desc, virtio_desc_bytes(q->size)),
		.avail = user_address(n, q->driver, virtio_driver_bytes(q->size)),
		.used = user_address(n, q->device, virtio_device_bytes(q->size)),
		.base = ring_base(n, q, i, p->resumed),
		.kick_fd = n->kick_fd[i],
		.call_fd = n->irq[i].fd,
		.err_fd = -1 };
	int err;

	l->ring_given[i] = true;
	err = vu_start_ring(l->f, &r, e);
	if (err)
		return err;
	l->ring_on[i] = i < 2u * p->pairs;
	err = vu_enable_ring(l->f, i, l->ring_on[i], e);
	if (err)
		return err;
	fd_event_signal(r.kick_fd);
	if (p->resumed)
		fd_event_signal(r.call_fd);
	return 0;
}

static int link_start(struct link *l, const struct link_plan *p, struct err *e)
{
	struct nic *n = l->n;
	uint64_t features = p->acked & (vu_features(l->f) | ~FEATURES_OURS);
	int err;

	if ((err = vu_set_features(l->f, features, e)) || (err = link_send_memory(l, e)))
		return err;
	l->n_rings = 2 * (p->acked & VIRTIO_BIT(VIRTIO_NET_F_MQ) ? n->setup.pairs : 1);
	for (unsigned i = 0; i < l->n_rings; i++) {
		l->ring_on[i] = false;
		if (p->q[i].enabled && (err = link_send_ring(l, p, i, e)))
			return err;
	}
	l->started = true;
	return 0;
}

/* Takes every ring back. */
static int link_stop(struct link *l, struct err *e)
{
	int err;

	l->started = false;
	for (unsigned i = 0; i < l->n_rings; i++)
		if (l->ring_given[i] && (err = vu_stop_ring(l->f, i, NULL, e)))
			return err;
	memset(l->ring_given, 0, sizeof(l->ring_given));
	return 0;
}

/* Pairs beyond those that the driver uses stay disabled. */
static int link_set_pairs(struct link *l, const struct link_plan *p, struct err *e)
{
	for (unsigned i = 0; i < l->n_rings; i++) {
		bool on = i < 2u * p->pairs && l->ring_given[i];
		int err;

		if (on == l->ring_on[i])
			continue;
		if ((err = vu_enable_ring(l->f, i, on, e)))
			return err;
		l->ring_on[i] = on;
		if (on)
			fd_event_signal(l->n->kick_fd[i]);
	}
	return 0;
}

/* The driver asked for a reset: it sees it done when the back end has let go of the rings. */
static int link_apply_reset(struct link *l, struct err *e)
{
	struct nic *n = l->n;
	bool resetting;
	int err;

	pthread_mutex_lock(n->lock);
	resetting = n->v.resetting;
	pthread_mutex_unlock(n->lock);
	if (!resetting)
		return 0;
	if (l->started && (err = link_stop(l, e)))
		return err;
	pthread_mutex_lock(n->lock);
	n->rings_out = false;
	virtio_pci_reset_done(&n->v);
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(n->lock);
	return 0;
}

/* Brings the back end, if there is one, to where the device is. */
static int link_apply(struct link *l, struct err *e)
{
	struct nic *n = l->n;
	struct link_plan p;
	bool start;
	int err = link_apply_reset(l, e);

	if (err)
		return err;
	pthread_mutex_lock(n->lock);
	nic_ctrl_serve(n);
	start = l->f && virtio_pci_is_started(&n->v);
	if (start && !l->started && !link_suits(l, vu_features(l->f), e)) {
		pthread_mutex_unlock(n->lock);
		return e->code;
	}
	p = (struct link_plan){
		.acked = n->v.acked, .pairs = n->pairs_wanted, .resumed = n->resumed
	};
	memcpy(p.q, n->v.queue, sizeof(p.q));
	if (start) /* the rings may be written to from here on, even if the hand-over fails */
		n->rings_out = n->resumed = true;
	pthread_mutex_unlock(n->lock);
	if (!start)
		return 0;
	err = l->started ? link_set_pairs(l, &p, e) : link_start(l, &p, e);
	if (err)
		return err;
	pthread_mutex_lock(n->lock);
	nic_set_link(n, true);
	pthread_mutex_unlock(n->lock);
	return 0;
}

/* Sleeps until something is to be done. False: the back end hung up. */
static bool link_wait(struct link *l)
{
	struct nic *n = l->n;
	int ctrl;

	pthread_mutex_lock(n->lock);
	ctrl = nic_ctrl_index(n);
	pthread_mutex_unlock(n->lock);
	uint64_t now = clock_now_ns();
	int wait_ms = l->f           ? -1
		: now < l->try_at_ns ? (int)((l->try_at_ns - now) / NS_PER_MS) + 1
				     : 0;
	struct pollfd p[3] = { { .fd = n->wake_fd, .events = POLLIN },
		{ .fd = l->f ? vu_fd(l->f) : -1, .events = POLLIN | POLLRDHUP },
		{ .fd = ctrl >= 0 ? n->kick_fd[ctrl] : -1, .events = POLLIN } };

	if (poll(p, 3, wait_ms) < 0)
		return true;
	if (p[0].revents)
		fd_event_take(n->wake_fd);
	if (p[2].revents)
		fd_event_take(n->kick_fd[ctrl]);
	/* Between calls a back end has nothing to say: it hung up, or talks out of turn. */
	return !p[1].revents;
}

static bool link_quits(struct nic *n)
{
	pthread_mutex_lock(n->lock);
	bool quit = n->quit;

	pthread_mutex_unlock(n->lock);
	return quit;
}

void *nic_link_main(void *arg)
{
	struct link l = { .n = arg };
	struct err e = { 0 };

	while (!link_quits(l.n)) {
		if (!l.f && clock_now_ns() >= l.try_at_ns)
			link_connect(&l);
		if (link_apply(&l, &e))
			link_lost(&l, &e);
		if (!link_wait(&l)) {
			err_set(&e, -EPIPE,
				"the back end at %s went away; trying again until it is "
				"back",
				l.n->setup.socket);
			link_lost(&l, &e);
		}
	}
	vu_close(l.f);
	return NULL;
}
