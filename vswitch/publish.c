/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the model to what workers see: views, and the rings in them. All functions hold sw->lock.
 *
 * A ring is in the view while its device is started, its memory is mapped, the front end has
 * enabled it and nothing is wrong with it. librte_vhost keeps addresses, indexes and fds; we take
 * copies (fds are dup'ed, so that librte_vhost may close its own at any time) and give the indexes
 * back when the ring leaves the view.
 */
#include "vswitch/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rte_vhost.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "vswitch/dp/offload.h"
#include "vswitch/edge.h"

/* librte_vhost's mark of a ring that was never given a kick fd: it is not started. */
#define KICK_NOT_GIVEN -2

static void *take(uint8_t **at, size_t size)
{
	void *p = *at;

	*at += (size + 63) & ~(size_t)63;
	return p;
}

static bool admin_down(const struct sw_port *p)
{
	return p->policy.dp && p->policy.dp->admin_down;
}

static bool port_has_outs(const struct sw_port *p)
{
	for (uint32_t i = 0; i < p->queues; i++)
		if (p->out[i])
			return true;
	return false;
}

static void view_inq(struct dp_view *v, struct dp_inq *q)
{
	struct dp_view_worker *w = &v->workers[q->owner];

	w->inqs[w->n_inqs++] = q;
	if (q->to != q->owner) { /* on its way */
		w = &v->workers[q->to];
		w->inqs[w->n_inqs++] = q;
	}
}

static void view_ports(const struct sw *sw, struct dp_view *v)
{
	for (uint32_t id = 0; id < sw->n_ports; id++) {
		const struct sw_port *p = sw->ports[id];
		struct dp_view_port *vp = &v->ports[id];

		if (!p)
			continue;
		vp->port = p->dp;
		vp->net = p->net;
		vp->policy = p->policy.dp;
		vp->isolated = vp->policy && vp->policy->isolated;
		vp->reflects = sw_edge_reflects(p);
		vp->egress.native = vp->policy ? vp->policy->untagged : 0;
		vp->out_slot = (uint16_t)v->n_outs;
		for (uint32_t i = 0; i < p->queues; i++) {
			if (p->out[i])
				v->outs[v->n_outs++] = p->out[i];
			if (p->in[i])
				view_inq(v, p->in[i]);
		}
		if (!admin_down(p))
			vp->n_outs = (uint16_t)(v->n_outs - vp->out_slot);
	}
}

static uint32_t taps_max(const struct sw *sw)
{
	uint32_t n = sw_captures_taps_max(sw);

	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id] && sw->ports[id]->policy.mirror_to[0])
			n += TAP_DIRS;
	return n;
}

/* Where copies of each port's frames go; room for all of them at taps. */
static void view_taps(struct sw *sw, struct dp_view *v, struct dp_tap *taps)
{
	for (uint16_t id = 0; id < sw->n_ports; id++) {
		const struct sw_port *p = sw->ports[id];
		const struct sw_port *to =
			p && p->policy.mirror_to[0] ? sw_port_find(sw, p->policy.mirror_to) : NULL;

		if (to)
			v->ports[to->dp->id].mirror_target = true;
		for (int dir = 0; p && dir < TAP_DIRS; dir++) {
			uint32_t n = sw_captures_taps(sw, id, (enum tap_dir)dir, taps);

			if (to && p->policy.mirror[dir])
				taps[n++] = (struct dp_tap){ .mirror_to = to->dp->id };
			v->ports[id].taps[dir] = (struct dp_view_taps){ .tap = taps, .n = n };
			taps += n;
		}
	}
}

static void view_nets(const struct sw *sw, struct dp_view *v, uint16_t *members)
{
	for (uint32_t i = 0; i < sw->n_nets; i++) {
		struct dp_view_net *n = &v->nets[i];

		if (!sw->nets[i].name[0])
			continue;
		n->id = (uint16_t)(i + 1);
		n->max_len = sw->nets[i].mtu + 14;
		n->stats = sw->nets[i].stats;
		n->members = members;
		for (uint32_t id = 0; id < sw->n_ports; id++)
			if (sw->ports[id] && sw->ports[id]->net == i &&
				port_has_outs(sw->ports[id]) && !admin_down(sw->ports[id]) &&
				!v->ports[id].mirror_target)
				n->members[n->n_members++] = (uint16_t)id;
		members += n->n_members;
	}
}

/* One allocation: the view and its arrays, each on cache lines of its own. */
static struct dp_view *view_build(struct sw *sw)
{
	uint32_t n_in = 0, n_out = 0;
	struct dp_view *v;
	uint8_t *at, *members;
	uint32_t n_taps = taps_max(sw);
	size_t size;

	for (uint32_t id = 0; id < sw->n_ports; id++) {
		for (uint32_t i = 0; sw->ports[id] && i < sw->ports[id]->queues; i++) {
			n_in += sw->ports[id]->in[i] != NULL;
			n_out += sw->ports[id]->out[i] != NULL;
		}
	}
	size = sizeof(*v) + sw->n_ports * (sizeof(*v->ports) + sizeof(uint16_t)) +
		sw->n_nets * sizeof(*v->nets) + n_out * sizeof(*v->outs) +
		sw->n_workers * (sizeof(*v->workers) + n_in * sizeof(struct dp_inq *) + 64) +
		n_taps * sizeof(struct dp_tap) + 64 * 9;
	size = (size + 63) & ~(size_t)63;
	at = aligned_alloc(64, size);
	if (!at)
		return NULL;
	memset(at, 0, size);
	v = take(&at, sizeof(*v));
	v->generation = ++sw->generation;
	v->fdb = &sw->fdb;
	v->n_ports = sw->n_ports;
	v->n_nets = sw->n_nets;
	v->n_workers = sw->n_workers;
	v->ports = take(&at, sw->n_ports * sizeof(*v->ports));
	v->nets = take(&at, sw->n_nets * sizeof(*v->nets));
	v->outs = take(&at, n_out * sizeof(*v->outs));
	v->workers = take(&at, sw->n_workers * sizeof(*v->workers));
	members = take(&at, sw->n_ports * sizeof(uint16_t));
	for (uint32_t w = 0; w < sw->n_workers; w++)
		v->workers[w].inqs = take(&at, n_in * sizeof(struct dp_inq *));
	view_ports(sw, v);
	view_taps(sw, v, take(&at, n_taps * sizeof(struct dp_tap)));
	view_nets(sw, v, (uint16_t *)(void *)members);
	return v;
}

void sw_publish(struct sw *sw)
{
	struct dp_view *v = view_build(sw);
	const struct dp_view *old;

	if (!v) {
		/* Without memory for a view there is no safe way on. */
		log_error("no memory for a view of %u ports; ending", sw->n_ports);
		abort();
	}
	old = __atomic_exchange_n(&sw->shared.view, v, __ATOMIC_ACQ_REL);
	for (uint32_t w = 0; w < sw->n_workers; w++)
		dp_worker_wake(&sw->workers[w]);
	dp_grace_period(&sw->shared);
	free((void *)(uintptr_t)old);
}

/* A copy of an eventfd that never blocks us; -1 if there is none. */
static int fd_borrow(int fd)
{
	int copy;

	if (fd < 0)
		return -1;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy >= 0)
		fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_NONBLOCK);
	return copy;
}

static struct ring *port_ring(const struct sw_port *p, uint32_t i)
{
	if (i % 2)
		return p->in[i / 2] ? &p->in[i / 2]->ring : NULL;
	return p->out[i / 2] ? &p->out[i / 2]->ring : NULL;
}

static bool ring_wanted(const struct sw_port *p, uint32_t i, struct rte_vhost_vring *vr)
{
	bool on = p->enabled[i] || !(p->features & 1ull << VHOST_USER_F_PROTOCOL_FEATURES);

	if (p->vid < 0 || !p->running || !p->mem_ok || !on || p->dp->fault)
		return false;
	memset(vr, 0, sizeof(*vr));
	vr->callfd = vr->kickfd = -1;
	return rte_vhost_get_vhost_vring(p->vid, (uint16_t)i, vr) == 0 && vr->desc && vr->avail &&
		vr->used && vr->size && vr->kickfd != KICK_NOT_GIVEN;
}

/* librte_vhost's memory table as ours; NULL without memory. */
static struct dp_mem *mem_of(const struct sw_port *p)
{
	struct rte_vhost_memory *table = NULL;
	struct dp_mem *m;

	if (rte_vhost_get_mem_table(p->vid, &table) || !table)
		return NULL;
	m = calloc(1, sizeof(*m));
	for (uint32_t i = 0; m && i < table->nregions && i < DP_REGIONS_MAX; i++) {
		m->region[i].gpa = table->regions[i].guest_phys_addr;
		m->region[i].size = table->regions[i].size;
		m->region[i].host = (uint8_t *)(uintptr_t)table->regions[i].host_user_addr;
		m->n_regions++;
	}
	free(table);
	return m;
}

/* The virtio-net features that stand for DP_OFF_*: of what a guest sends, of what it receives. */
static uint8_t offloads_of(uint64_t features, bool receives)
{
	static const struct {
		uint8_t send, receive, off;
	} map[] = {
		{ VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, DP_OFF_CSUM },
		{ VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4, DP_OFF_TSO4 },
		{ VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6, DP_OFF_TSO6 },
		{ VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN, DP_OFF_ECN },
	};
	uint8_t off = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (features >> (receives ? map[i].receive : map[i].send) & 1)
			off |= map[i].off;
	return off & DP_OFF_CSUM ? off : 0; /* none goes without the checksum */
}

/*
 * A ring that another switch served before us, which may have died between delivering a burst and
 * giving it back: what it may have delivered is not sent again.
 */
static void ring_resume(struct sw_port *p, uint32_t i, struct ring *r)
{
	struct dp_queue_stats *st = &p->dp->in[i / 2];
	uint32_t n;

	if (r->recovered)
		log_info("port %s: ring %u goes on where its entries say, at %u, not where the "
			 "front end said",
			p->name, i, r->avail_next);
	if (p->served[i] || !ring_has_history(r)) {
		p->served[i] = true;
		return;
	}
	p->served[i] = true;
	if (i % 2 == 0)
		return;
	n = ring_skip(r, DP_BURST);
	/* No worker has the queue yet: its counters are ours. */
	dp_count(&st->traffic.frames, n);
	dp_count(&st->drops[DP_DROP_rx_uncertain], n);
	if (n)
		log_info("port %s: ring %u: the first %u frames may have been delivered by the "
			 "switch before us: dropped",
			p->name, i, n);
}

void sw_port_fault_tell(struct sw_port *p)
{
	uint32_t fault = __atomic_load_n(&p->dp->fault, __ATOMIC_RELAXED);

	if (fault && !p->fault_told)
		log_warn("port %s disabled until its driver starts anew: %s", p->name,
			ring_fault_text(fault));
	p->fault_told = fault;
}

/* Makes ring i of a port ready to be published. On a fault the port is disabled. */
static void ring_make(
	struct sw *sw, struct sw_port *p, uint32_t i, const struct rte_vhost_vring *vr)
{
	bool v1 = p->features & 1ull << VIRTIO_F_VERSION_1;
	bool merge = p->features & 1ull << VIRTIO_NET_F_MRG_RXBUF;
	bool packed = p->features & 1ull << VIRTIO_F_RING_PACKED;
	struct ring_config c = { .desc = vr->desc,
		.avail = vr->avail,
		.used = vr->used,
		.size = vr->size,
		.hdr_len = v1 || merge || packed ? 12 : 10,
		.packed = packed,
		.mergeable = merge,
		.may = i % 2 ? offloads_of(p->features, false) : 0,
		.accept = i % 2 ? 0 : offloads_of(p->features, true),
		.event_idx = p->features & 1ull << VIRTIO_RING_F_EVENT_IDX,
		.indirect = p->features & 1ull << VIRTIO_RING_F_INDIRECT_DESC };
	size_t size = i % 2 ? sizeof(struct dp_inq) : sizeof(struct dp_outq);
	uint16_t used;
	void *q;
	struct ring *r;

	if (!p->mem)
		p->mem = mem_of(p);
	q = aligned_alloc(64, size);
	if (!q || !p->mem || rte_vhost_get_vring_base(p->vid, (uint16_t)i, &c.avail_base, &used)) {
		log_error("port %s: no memory for ring %u", p->name, i);
		free(q);
		return;
	}
	memset(q, 0, size);
	r = i % 2 ? &((struct dp_inq *)q)->ring : &((struct dp_outq *)q)->ring;
	c.mem = p->mem;
	if (ring_init(r, &c)) {
		p->dp->fault = r->fault;
		p->fault_told = true;
		log_warn("port %s disabled: ring %u: %s", p->name, i, ring_fault_text(r->fault));
		free(q);
		return;
	}
	ring_resume(p, i, r);
	r->call_fd = fd_borrow(vr->callfd);
	r->kick_fd = fd_borrow(vr->kickfd);
	if (i % 2) {
		struct dp_inq *in = q;

		in->port = p->dp;
		in->stats = &p->dp->in[i / 2];
		in->net = p->net;
		in->owner = in->to = in->claim = sw_worker_pick(sw, p, i / 2);
		p->in[i / 2] = in;
		if (r->kick_fd >= 0 && dp_worker_watch(&sw->workers[in->owner], r->kick_fd, in))
			fd_close(&r->kick_fd); /* no eventfd: then it is looked at by time */
		ring_disarm(r);                /* whoever goes to sleep over it asks for kicks */
	} else {
		struct dp_outq *out = q;

		out->port = p->dp;
		out->stats = &p->dp->out[i / 2];
		p->out[i / 2] = out;
		ring_disarm(r); /* new buffers are found when they are needed */
	}
}

static uint64_t kicks_read(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	/* Polled first: a front end could have made it blocking again. */
	if (fd < 0 || poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLIN))
		return 0;
	return fd_event_take(fd);
}

void sw_port_kicks(struct sw *sw, struct sw_port *p)
{
	if (p->kind != SW_PORT_VHOST)
		return; /* nobody kicks, and what lies in the file are frames */
	for (uint32_t i = 0; i < SW_RINGS_MAX; i++) {
		struct ring *r = port_ring(p, i);
		uint64_t n = r ? kicks_read(r->kick_fd) : 0;

		p->kicks += n;
		/* epoll looks at the eventfd again before it reports it: a kick that we took just
		 * before would be lost on a worker that is going to sleep. */
		if (n && i % 2)
			dp_worker_wake(&sw->workers[p->in[i / 2]->owner]);
	}
}

/* Ends a ring that no worker uses any more, and gives its indexes back. */
static void ring_end(struct sw *sw, struct sw_port *p, uint32_t i, void *q)
{
	struct ring *r = i % 2 ? &((struct dp_inq *)q)->ring : &((struct dp_outq *)q)->ring;
	uint16_t avail, used;

	ring_position(r, &avail, &used);
	if (p->vid >= 0)
		rte_vhost_set_vring_base(p->vid, (uint16_t)i, avail, used);
	p->kicks += kicks_read(r->kick_fd);
	if (i % 2 && r->kick_fd >= 0)
		dp_worker_unwatch(&sw->workers[((struct dp_inq *)q)->owner], r->kick_fd);
	fd_close(&r->kick_fd);
	fd_close(&r->call_fd);
	free(q);
}

void sw_port_sync(struct sw *sw, struct sw_port *p, bool hold)
{
	void *gone[SW_RINGS_MAX] = { NULL };
	bool changed = false, any = false;

	if (p->kind != SW_PORT_VHOST) {
		sw_edge_sync(sw, p, hold);
		return;
	}
	for (uint32_t i = 0; i < 2u * p->queues; i++) {
		struct rte_vhost_vring vr;
		bool want = !hold && ring_wanted(p, i, &vr), have = port_ring(p, i) != NULL;

		if (want && !have) {
			ring_make(sw, p, i, &vr);
			changed |= port_ring(p, i) != NULL;
		} else if (have && !want) {
			gone[i] = i % 2 ? (void *)p->in[i / 2] : (void *)p->out[i / 2];
			changed = true;
			if (i % 2)
				p->in[i / 2] = NULL;
			else
				p->out[i / 2] = NULL;
		}
	}
	if (!changed)
		return;
	sw_publish(sw);
	for (uint32_t i = 0; i < SW_RINGS_MAX; i++) {
		struct ring *r = port_ring(p, i);

		if (gone[i])
			ring_end(sw, p, i, gone[i]);
		any |= r != NULL;
		/* What happened before the guest's call fd was known must not be lost on it. */
		if (r && r->call_fd >= 0)
			fd_event_signal(r->call_fd);
	}
	if (!any) {
		free(p->mem);
		p->mem = NULL;
	}
	if (!hold && p->dp->fault && any)
		sw_port_sync(sw, p, true); /* one ring was bad: none is used */
}

void sw_ring_recall(struct sw *sw, struct sw_port *p, uint32_t i)
{
	struct ring *r = port_ring(p, i);
	struct rte_vhost_vring vr = { .callfd = -1 };
	int old;

	if (!r || rte_vhost_get_vhost_vring(p->vid, (uint16_t)i, &vr))
		return;
	old = __atomic_exchange_n(&r->call_fd, fd_borrow(vr.callfd), __ATOMIC_ACQ_REL);
	dp_grace_period(&sw->shared);
	fd_close(&old);
	if (r->call_fd >= 0)
		fd_event_signal(r->call_fd);
}
