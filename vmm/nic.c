/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net as the guest sees it: see nic.h. Section numbers are those of virtio 1.2. */
#include "vmm/nic.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vhost-user/proto.h"
#include "vmm/thread.h"

/* The back end must have these, or the guest is not offered them. */
#define FEATURES_BACKEND                                                       \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | \
		VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX))

static uint64_t nic_features(void *arg)
{
	struct nic *n = arg;
	uint64_t f = FEATURES_BACKEND;

	if (n->backend_seen)
		f &= n->backend_features;
	f |= VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS);
	if (n->setup.mtu)
		f |= VIRTIO_BIT(VIRTIO_NET_F_MTU);
	if (n->setup.pairs > 1 && (n->backend_mq || !n->backend_seen))
		f |= VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
	return f;
}

/* 5.1.3.1: MQ needs the control queue. */
static bool nic_features_ok(void *arg, uint64_t acked)
{
	return !(acked & VIRTIO_BIT(VIRTIO_NET_F_MQ)) || (acked & VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ));
}

int nic_ctrl_index(const struct nic *n)
{
	if (!(n->v.acked & VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ)))
		return -1;
	return n->v.acked & VIRTIO_BIT(VIRTIO_NET_F_MQ) ? 2 * (int)n->setup.pairs : 2;
}

static void nic_started(void *arg)
{
	struct nic *n = arg;

	n->resumed = false;
	fd_event_signal(n->wake_fd);
}

static bool nic_device_reset(void *arg)
{
	struct nic *n = arg;

	n->pairs_wanted = 1;
	n->ctrl_next = 0;
	n->resumed = false;
	if (!n->rings_out)
		return true;
	fd_event_signal(n->wake_fd);
	return false;
}

static void nic_notify(void *arg, unsigned queue)
{
	struct nic *n = arg;

	fd_event_signal(n->kick_fd[queue]);
}

static void nic_irq_attach(struct nic *n, struct nic_irq *irq, bool attach)
{
	int err;

	if (irq->attached == attach)
		return;
	err = kvm_irqfd(n->kvm, irq->fd, n->route[irq->vector].gsi, attach);
	if (err)
		log_warn("%s: irqfd of vector %u: %s", n->name, irq->vector, err_str(err));
	else
		irq->attached = attach;
}

/* The vector's route and the irqfds of all that use it follow the MSI-X table. Dead vectors have no
 * irqfd: their eventfds keep what is pending, and KVM looks at it when they are attached again. */
static void nic_msix_changed(void *arg, unsigned vector)
{
	struct nic *n = arg;
	const struct msix_vector *m = &n->v.msix.v[vector];
	uint64_t addr = (uint64_t)m->addr_hi << 32 | m->addr_lo;
	struct nic_route *r = &n->route[vector];
	bool live = msix_is_live(&n->v.msix, vector);

	if (live && !r->gsi && kvm_gsi_new(n->kvm, &r->gsi)) {
		r->gsi = 0;
		live = false;
		log_warn("%s: no interrupt route is left for vector %u", n->name, vector);
	}
	if (live && (r->addr != addr || r->data != m->data)) {
		int err = kvm_gsi_route(n->kvm, r->gsi, addr, m->data);

		if (err)
			log_warn("%s: route of vector %u: %s", n->name, vector, err_str(err));
		r->addr = err ? 0 : addr;
		r->data = m->data;
		live = !err;
	}
	for (unsigned i = 0; i <= n->v.n_queues; i++)
		if (n->irq[i].vector == vector)
			nic_irq_attach(n, &n->irq[i], live);
}

static bool nic_msix_pending(void *arg, unsigned vector)
{
	struct nic *n = arg;

	for (unsigned i = 0; i <= n->v.n_queues; i++) {
		struct pollfd p = { .fd = n->irq[i].fd, .events = POLLIN };

		if (n->irq[i].vector == vector && !n->irq[i].attached && poll(&p, 1, 0) == 1)
			return true;
	}
	return false;
}

static void nic_vector_set(void *arg, int queue, uint16_t vector)
{
	struct nic *n = arg;
	struct nic_irq *irq = &n->irq[queue < 0 ? n->v.n_queues : queue];

	if (irq->vector == vector)
		return;
	if (irq->vector != VIRTIO_NO_VECTOR)
		nic_irq_attach(n, irq, false);
	irq->vector = vector;
	fd_event_take(irq->fd); /* what came before is nobody's */
	if (vector != VIRTIO_NO_VECTOR)
		nic_msix_changed(n, vector);
}

static void nic_config_interrupt(void *arg)
{
	struct nic *n = arg;

	fd_event_signal(n->irq[n->v.n_queues].fd);
}

/* The ioeventfds lie where the BAR is decoded. One that cannot be had costs an exit a kick. */
static void nic_mapping_changed(void *arg)
{
	struct nic *n = arg;
	uint64_t bar, to;

	to = pci_bar_address(&n->v.fn, VIRTIO_BAR, &bar) ? bar + VIRTIO_BAR_NOTIFY : 0;
	if (to == n->mapped)
		return;
	for (unsigned i = 0; n->mapped && i < n->v.n_queues; i++)
		kvm_ioeventfd(n->kvm, n->kick_fd[i], n->mapped + i * VIRTIO_NOTIFY_STEP, false);
	n->mapped = to;
	for (unsigned i = 0; to && i < n->v.n_queues; i++) {
		int err = kvm_ioeventfd(n->kvm, n->kick_fd[i], to + i * VIRTIO_NOTIFY_STEP, true);

		if (err)
			log_debug("%s: ioeventfd of queue %u: %s", n->name, i, err_str(err));
	}
}

static const struct virtio_pci_ops nic_ops = {
	.features = nic_features,
	.features_ok = nic_features_ok,
	.started = nic_started,
	.reset = nic_device_reset,
	.notify = nic_notify,
	.vector_set = nic_vector_set,
	.msix_changed = nic_msix_changed,
	.msix_pending = nic_msix_pending,
	.mapping_changed = nic_mapping_changed,
	.config_interrupt = nic_config_interrupt,
};

void nic_set_link(struct nic *n, bool up)
{
	if (n->link_up == up)
		return;
	n->link_up = up;
	pci_put16(n->config + 6, up ? VIRTIO_NET_S_LINK_UP : 0);
	virtio_pci_config_changed(&n->v);
	if (!n->quiet)
		log_info("%s: link %s", n->name, up ? "up" : "down");
}

static int nic_open_fds(struct nic *n, unsigned n_queues, struct err *e)
{
	int *fds[2 * VIRTIO_QUEUES_MAX + 3];
	unsigned k = 0;

	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		n->kick_fd[i] = n->irq[i].fd = -1;
	n->irq[VIRTIO_QUEUES_MAX].fd = n->wake_fd = n->cancel_fd = -1;
	for (unsigned i = 0; i < n_queues; i++)
		fds[k++] = &n->kick_fd[i];
	for (unsigned i = 0; i <= n_queues; i++) {
		n->irq[i].vector = VIRTIO_NO_VECTOR;
		fds[k++] = &n->irq[i].fd;
	}
	fds[k++] = &n->wake_fd;
	fds[k++] = &n->cancel_fd;
	for (unsigned i = 0; i < k; i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return err_set(e, -errno, "%s: eventfd: %s", n->name, err_str(errno));
	}
	return 0;
}

int nic_new(unsigned index, const struct nic_setup *setup, uint64_t bar, struct kvm *k,
	const struct gmem *mem, pthread_mutex_t *lock, struct nic **out, struct err *e)
{
	struct nic *n = calloc(1, sizeof(*n));
	struct virtio_pci_setup vs = { .device_type = 1,
		.class_code = 0x020000,
		.n_queues = (uint16_t)(2 * setup->pairs + (setup->pairs > 1)),
		.bar_addr = bar,
		.config_len = sizeof(n->config) };
	pthread_condattr_t attr;
	int err;

	*out = n;
	if (!n)
		return err_set(e, -ENOMEM, "out of memory");
	n->index = index;
	n->setup = *setup;
	n->kvm = k;
	n->mem = mem;
	n->lock = lock;
	n->pairs_wanted = 1;
	snprintf(n->name, sizeof(n->name), "nic %u", index);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->changed, &attr);
	pthread_condattr_destroy(&attr);
	err = nic_open_fds(n, vs.n_queues, e);
	if (err)
		return err;
	memcpy(n->config, setup->mac.b, 6);
	pci_put16(n->config + 8, (uint16_t)setup->pairs);
	pci_put16(n->config + 10, (uint16_t)setup->mtu);
	vs.name = n->name;
	vs.config = n->config;
	virtio_pci_init(&n->v, &vs, mem, &nic_ops, n);
	return 0;
}

void nic_free(struct nic *n)
{
	if (!n)
		return;
	if (n->has_thread) {
		pthread_mutex_lock(n->lock);
		n->quit = true;
		pthread_mutex_unlock(n->lock);
		fd_event_signal(n->cancel_fd);
		fd_event_signal(n->wake_fd);
		pthread_join(n->thread, NULL);
	}
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		fd_close(&n->kick_fd[i]);
		fd_close(&n->irq[i].fd);
	}
	fd_close(&n->irq[VIRTIO_QUEUES_MAX].fd);
	fd_close(&n->wake_fd);
	fd_close(&n->cancel_fd);
	pthread_cond_destroy(&n->changed);
	free(n);
}

int nic_start(struct nic *n, struct err *e)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "nic%u", n->index);
	err = thread_start(&n->thread, name, -1, nic_link_main, n, e);
	n->has_thread = !err;
	return err;
}

static void nic_deadline(struct timespec *ts, int timeout_ms)
{
	uint64_t at = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

	ts->tv_sec = (time_t)(at / NS_PER_S);
	ts->tv_nsec = (long)(at % NS_PER_S);
}

void nic_wait_first(struct nic *n, int timeout_ms)
{
	struct timespec ts;

	nic_deadline(&ts, timeout_ms);
	pthread_mutex_lock(n->lock);
	while (!n->tried && pthread_cond_timedwait(&n->changed, n->lock, &ts) == 0)
		;
	pthread_mutex_unlock(n->lock);
}

void nic_reset(struct nic *n, int timeout_ms)
{
	struct timespec ts;

	pthread_mutex_lock(n->lock);
	n->v.resetting = true;
	if (!nic_device_reset(n)) {
		nic_deadline(&ts, timeout_ms);
		while (n->rings_out && pthread_cond_timedwait(&n->changed, n->lock, &ts) == 0)
			;
		if (n->rings_out) { /* every wait of the link thread ends, and it hangs up */
			fd_event_signal(n->cancel_fd);
			while (n->rings_out)
				pthread_cond_wait(&n->changed, n->lock);
		}
	}
	virtio_pci_machine_reset(&n->v);
	pthread_mutex_unlock(n->lock);
}

static json_t *feature_names(uint64_t features)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < 64; i++)
		if ((features & 1ull << i) && vu_net_feature_name(i))
			json_array_append_new(a, json_string(vu_net_feature_name(i)));
	return a;
}

json_t *nic_info(struct nic *n)
{
	char mac[ETHER_MAC_STR];
	json_t *o = json_object();

	pthread_mutex_lock(n->lock);
	json_object_set_new(o, "mac", json_string(ether_mac_str(n->setup.mac, mac)));
	json_object_set_new(o, "socket", json_string(n->setup.socket));
	json_object_set_new(o, "mtu", json_integer(n->setup.mtu ? n->setup.mtu : 1500));
	json_object_set_new(o, "link", json_string(n->link_up ? "up" : "down"));
	json_object_set_new(o, "connected", json_boolean(n->connected));
	json_object_set_new(o, "reconnects", json_integer((json_int_t)n->reconnects));
	json_object_set_new(o, "features", feature_names(n->v.acked));
	json_object_set_new(
		o, "queues", json_integer(virtio_pci_is_started(&n->v) ? n->pairs_wanted : 0));
	json_object_set_new(o, "needs_reset", json_boolean(n->v.status & VIRTIO_S_NEEDS_RESET));
	if (n->v.reason[0])
		json_object_set_new(o, "reason", json_string(n->v.reason));
	pthread_mutex_unlock(n->lock);
	return o;
}
