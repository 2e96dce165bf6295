/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue seen from its driver, split or packed (virtio 1.2, 2.7 and 2.8), for tests: chains
 * are added, direct or through an indirect table, and taken when used, in whatever order. Plain
 * rather than fast. Guest memory begins at `mem` with address 0.
 */
#ifndef LANYARD_TESTS_VQ_DRIVER_H
#define LANYARD_TESTS_VQ_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "tests/lib/packed_driver.h"

#define VQ_SIZE_MAX  1024
#define VQ_SEGS_MAX  160
#define VQ_RING_GPA  0x8000u /* distance of a ring's three parts */
#define VQ_TABLE_GPA (3 * VQ_RING_GPA)
#define VQ_BYTES     (VQ_TABLE_GPA + VQ_SIZE_MAX * VQ_SEGS_MAX * 16) /* of a queue, all in all */

struct vq_seg {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct vq_driver {
	uint8_t *mem;
	uint64_t gpa; /* the ring's; aligned */
	uint16_t size;
	bool packed, event_idx;
	struct packed_driver p;

	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t taken;               /* used entries */
	uint16_t n_free;              /* descriptors (split) */
	bool busy[VQ_SIZE_MAX];       /* descriptors (split), buffer ids (packed) */
	uint16_t length[VQ_SIZE_MAX]; /* of the chain whose head or id it is */
	uint16_t links[VQ_SIZE_MAX];  /* the driver's own memory of `next` */
	uint16_t added;               /* entries since the last look for kicks */
};

static inline void vq_driver_init(
	struct vq_driver *d, uint8_t *mem, uint64_t gpa, uint16_t size, bool packed, bool event_idx)
{
	memset(d, 0, sizeof(*d));
	memset(mem + gpa, 0, VQ_TABLE_GPA);
	d->mem = mem;
	d->gpa = gpa;
	d->size = d->n_free = size;
	d->packed = packed;
	d->event_idx = event_idx;
	d->desc = (void *)(mem + gpa);
	d->avail = (void *)(mem + gpa + VQ_RING_GPA);
	d->used = (void *)(mem + gpa + 2 * VQ_RING_GPA);
	if (packed) {
		pd_init(&d->p, d->desc, d->avail, d->used, size, 0x8000);
		d->p.driver->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
}

static inline uint16_t vq_free_one(const struct vq_driver *d)
{
	uint16_t at = (uint16_t)(rand() % d->size);

	while (d->busy[at])
		at = (uint16_t)((at + 1) % d->size);
	return at;
}

static inline bool vq_add_packed(
	struct vq_driver *d, const struct vq_seg *seg, uint16_t n, uint64_t table, uint16_t id)
{
	struct vring_packed_desc p[VQ_SEGS_MAX];

	for (uint16_t i = 0; i < n; i++)
		p[i] = (struct vring_packed_desc){ .addr = seg[i].gpa,
			.len = seg[i].len,
			.flags = seg[i].write ? VRING_DESC_F_WRITE : 0 };
	if (table) {
		memcpy(d->mem + table, p, n * sizeof(p[0]));
		p[0] = (struct vring_packed_desc){ .addr = table,
			.len = (uint32_t)(n * sizeof(p[0])),
			.flags = VRING_DESC_F_INDIRECT };
		n = 1;
	}
	if (!pd_add(&d->p, p, n, id))
		return false;
	d->added = (uint16_t)(d->added + n);
	d->busy[id] = true;
	d->length[id] = n;
	return true;
}

static inline bool vq_add_split(
	struct vq_driver *d, const struct vq_seg *seg, uint16_t n, uint64_t table, uint16_t head)
{
	uint16_t at = head;

	if (table) {
		struct vring_desc *t = (void *)(d->mem + table);

		for (uint16_t i = 0; i < n; i++)
			t[i] = (struct vring_desc){ seg[i].gpa, seg[i].len,
				(uint16_t)((seg[i].write ? VRING_DESC_F_WRITE : 0) |
					(i + 1 < n ? VRING_DESC_F_NEXT : 0)),
				(uint16_t)(i + 1) };
		d->desc[head] = (struct vring_desc){ table, (uint32_t)(n * sizeof(*t)),
			VRING_DESC_F_INDIRECT, 0 };
		n = 1;
		d->busy[head] = true;
	}
	for (uint16_t i = 0; !table && i < n; i++) {
		uint16_t flags = seg[i].write ? VRING_DESC_F_WRITE : 0, next = 0;

		d->busy[at] = true;
		if (i + 1 < n) {
			flags |= VRING_DESC_F_NEXT;
			next = vq_free_one(d);
		}
		d->desc[at] = (struct vring_desc){ seg[i].gpa, seg[i].len, flags, next };
		d->links[at] = next;
		at = next;
	}
	d->n_free = (uint16_t)(d->n_free - n);
	d->length[head] = n;
	d->avail->ring[d->avail->idx % d->size] = head;
	__atomic_store_n(&d->avail->idx, (uint16_t)(d->avail->idx + 1), __ATOMIC_RELEASE);
	d->added++;
	return true;
}

/* A chain of n parts; *id is what it will be taken by. False: no room. */
static inline bool vq_add(
	struct vq_driver *d, const struct vq_seg *seg, uint16_t n, bool indirect, uint16_t *id)
{
	uint16_t room = d->packed ? d->p.n_free : d->n_free, need = indirect ? 1 : n;

	if (need > room)
		return false;
	*id = vq_free_one(d);

	uint64_t table = indirect ? d->gpa + VQ_TABLE_GPA + *id * (VQ_SEGS_MAX * 16u) : 0;

	return d->packed ? vq_add_packed(d, seg, n, table, *id)
			 : vq_add_split(d, seg, n, table, *id);
}

/* Takes the next used chain. False: none. An id that is not out is left to the caller to find. */
static inline bool vq_take(struct vq_driver *d, uint16_t *id, uint32_t *len)
{
	if (d->packed) {
		if (!pd_take(&d->p, id, len))
			return false;
		if (*id < d->size)
			d->busy[*id] = false;
		return true;
	}
	if (__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) == d->taken)
		return false;

	const volatile struct vring_used_elem *u = &d->used->ring[d->taken++ % d->size];
	uint16_t at = *id = (uint16_t)u->id;

	*len = u->len;
	if (at >= d->size || !d->busy[at])
		return true;
	for (uint16_t i = d->length[at]; i; i--) {
		d->busy[at] = false;
		d->n_free++;
		at = d->links[at];
	}
	return true;
}

/* Whether the device wants to be told of what was added since the last call. */
static inline bool vq_wants_kick(struct vq_driver *d)
{
	uint16_t added = d->added, event;

	d->added = 0;
	if (d->packed)
		return pd_wants_kick(&d->p, d->event_idx, added);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!d->event_idx)
		return !(__atomic_load_n(&d->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n((uint16_t *)(void *)&d->used->ring[d->size], __ATOMIC_RELAXED);
	return vring_need_event(event, d->avail->idx, (uint16_t)(d->avail->idx - added));
}

static inline bool vq_has_used(const struct vq_driver *d)
{
	uint16_t flags;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!d->packed)
		return __atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) != d->taken;
	flags = __atomic_load_n(&d->p.desc[d->p.used].flags, __ATOMIC_ACQUIRE);
	return !!(flags & PD_AVAIL) == d->p.used_wrap && !!(flags & PD_USED) == d->p.used_wrap;
}

/* Interrupts off, or on: at the `more`-th used buffer from now (0: the next; of packed rings in
 * entries). With on: true if something is used already. */
static inline bool vq_interrupts(struct vq_driver *d, bool on, uint16_t more)
{
	if (d->packed) {
		uint16_t at = d->p.used;
		bool wrap = d->p.used_wrap;

		pd_move(&at, &wrap, d->size, more);
		d->p.driver->off_wrap = (uint16_t)(at | wrap << 15);
		__atomic_store_n(&d->p.driver->flags,
			!on                    ? VRING_PACKED_EVENT_FLAG_DISABLE
				: d->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
					       : VRING_PACKED_EVENT_FLAG_ENABLE,
			__ATOMIC_RELEASE);
	} else if (d->event_idx) {
		__atomic_store_n(&d->avail->ring[d->size],
			(uint16_t)(d->taken + (on ? more : 0x8000)), __ATOMIC_RELEASE);
	} else {
		d->avail->flags = on ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
	}
	return on && vq_has_used(d);
}

#endif
