/* SPDX-License-Identifier: Apache-2.0 */
/* Rings handed over to a back end and taken back: see vhost_link_rings.h. */
#include "vmm/vhost_link_rings.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

/* Place 0 of the first lap, of the available and of the used side (virtio 1.2, 2.8.1). */
#define RING_START_PACKED 0x80008000u

static uint64_t user_address(const struct vhost_link *h, uint64_t gpa, uint64_t len)
{
	return (uintptr_t)gmem_at(h->d->mem, (gpa_t){ gpa }, len);
}

static int link_send_memory(
	struct vhost_link_own *l, const struct vhost_link_plan *p, struct err *e)
{
	struct vhost_link *h = l->h;
	const struct gmem *g = h->d->mem;
	struct vu_region r[3];
	size_t n = g->n;
	int err;

	for (unsigned i = 0; i < g->n; i++)
		r[i] = (struct vu_region){ .gpa = g->r[i].gpa,
			.size = g->r[i].size,
			.user_addr = (uintptr_t)g->r[i].host,
			.mmap_offset = g->r[i].offset,
			.fd = g->fd };
	if (h->relay && (err = relay_lend(h->relay, p->q, p->n_rings, &r[n++], e)))
		return err;
	return h->back->ops->set_memory(h->back, r, n, e);
}

static int link_send_ring(
	struct vhost_link_own *l, const struct vhost_link_plan *p, unsigned i, struct err *e)
{
	struct vhost_link *h = l->h;
	const struct virtio_queue *q = &p->q[i];
	struct vu_ring r = { .index = i,
		.size = q->size,
		.desc = user_address(h, q->desc, virtio_desc_bytes(q->size)),
		.avail = user_address(h, q->driver, virtio_queue_driver_bytes(q)),
		.used = user_address(h, q->device, virtio_queue_device_bytes(q)),
		.base = q->packed ? RING_START_PACKED : 0,
		.kick_fd = h->d->kick_fd[i],
		.call_fd = h->d->irq[i].fd,
		.err_fd = -1 };
	int err = 0;

	if (l->stopped)
		r.base = l->base[i];
	else if (p->resumed && !h->relay)
		err = h->ops->resume(h->arg, q, i, &r.base, e);
	if (err)
		return err;
	if (h->relay)
		relay_lend_ring(h->relay, i, &r);
	l->ring_given[i] = true;
	err = h->back->ops->start_ring(h->back, &r, e);
	if (err)
		return err;
	l->ring_on[i] = i < p->n_on;
	err = h->back->ops->enable_ring(h->back, i, l->ring_on[i], e);
	if (err)
		return err;
	fd_event_signal(r.kick_fd);
	if (p->resumed)
		fd_event_signal(r.call_fd);
	return 0;
}

int vhost_link_rings_start(struct vhost_link_own *l, const struct vhost_link_plan *p, struct err *e)
{
	struct vhost_link *h = l->h;
	int err;

	l->features = p->features;
	if ((err = h->back->ops->set_features(h->back, l->features, e)) ||
		(err = link_send_memory(l, p, e)))
		return err;
	l->n_rings = p->n_rings;
	for (unsigned i = 0; i < l->n_rings; i++) {
		l->ring_on[i] = false;
		if (p->q[i].enabled && (err = link_send_ring(l, p, i, e)))
			return err;
	}
	l->started = true;
	l->stopped = false;
	if (h->relay)
		relay_run(h->relay);
	return 0;
}

/* Takes every ring back. A back end that says of a packed ring only where it stands on the
 * available side (DPDK's) has used all that it took. */
int vhost_link_rings_stop(struct vhost_link_own *l, struct err *e)
{
	struct vhost_link *h = l->h;
	int err;

	l->started = false;
	if (h->relay &&
		(err = relay_recall(h->relay, h->back->ops->watch(h->back).fd, h->cancel_fd,
			 VHOST_LINK_REPLY_MS, e)))
		return err;
	for (unsigned i = 0; i < l->n_rings; i++) {
		if (!l->ring_given[i])
			continue;
		err = h->back->ops->stop_ring(h->back, i, &l->base[i], e);
		if (err)
			return err;
		if ((l->features & VIRTIO_BIT(VIRTIO_F_RING_PACKED)) && !(l->base[i] >> 16))
			l->base[i] |= l->base[i] << 16;
	}
	memset(l->ring_given, 0, sizeof(l->ring_given));
	if (h->relay)
		relay_end(h->relay);
	return 0;
}

int vhost_link_rings_set_on(
	struct vhost_link_own *l, const struct vhost_link_plan *p, struct err *e)
{
	struct vhost_back *back = l->h->back;

	for (unsigned i = 0; i < l->n_rings; i++) {
		bool on = i < p->n_on && l->ring_given[i];
		int err;

		if (on == l->ring_on[i])
			continue;
		if ((err = back->ops->enable_ring(back, i, on, e)))
			return err;
		l->ring_on[i] = on;
		if (on)
			fd_event_signal(l->h->d->kick_fd[i]);
	}
	return 0;
}
