/* SPDX-License-Identifier: Apache-2.0 */
/* A packed ring seen from its driver (virtio 1.2, section 2.8), for tests. Buffer ids are the
 * caller's; it must not use one twice at a time. */
#ifndef LANYARD_TESTS_PACKED_DRIVER_H
#define LANYARD_TESTS_PACKED_DRIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_ring.h>

#define PD_AVAIL   (1u << VRING_PACKED_DESC_F_AVAIL)
#define PD_USED    (1u << VRING_PACKED_DESC_F_USED)
#define PD_IDS_MAX 4096

struct packed_driver {
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver, *device;
	uint16_t size, n_free;
	uint16_t next, used; /* the next entry to make available; the next to be used */
	bool next_wrap, used_wrap;
	uint16_t links[PD_IDS_MAX]; /* entries of a chain, by buffer id */
};

static inline void pd_move(uint16_t *at, bool *wrap, uint16_t size, uint16_t n)
{
	uint32_t to = (uint32_t)*at + n;

	if (to >= size) {
		to -= size;
		*wrap = !*wrap;
	}
	*at = (uint16_t)to;
}

/* A ring in which all entries before `base` (wrap counter in bit 15) have been used. */
static inline void pd_init(struct packed_driver *p, void *desc, void *driver, void *device,
	uint16_t size, uint16_t base)
{
	bool wrap = base >> 15;

	p->desc = desc;
	p->driver = driver;
	p->device = device;
	p->size = p->n_free = size;
	p->next = p->used = base & 0x7fff;
	p->next_wrap = p->used_wrap = wrap;
	for (uint16_t i = 0; i < size; i++)
		p->desc[i].flags = (i < p->next) == wrap ? PD_AVAIL | PD_USED : 0;
	p->driver->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
}

static inline uint16_t pd_base(const struct packed_driver *p)
{
	return (uint16_t)(p->used | p->used_wrap << 15);
}

/* Makes a chain of n entries available: addresses, lengths, and flags WRITE or INDIRECT are given.
 * The first one's flags come last. False: not enough room. */
static inline bool pd_add(
	struct packed_driver *p, const struct vring_packed_desc *d, uint16_t n, uint16_t id)
{
	uint16_t at = p->next, head_flags = 0, head = p->next;
	bool wrap = p->next_wrap;

	if (n > p->n_free)
		return false;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)(d[i].flags | (wrap ? PD_AVAIL : PD_USED));

		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		p->desc[at].addr = d[i].addr;
		p->desc[at].len = d[i].len;
		p->desc[at].id = id;
		if (i)
			p->desc[at].flags = flags;
		else
			head_flags = flags;
		pd_move(&at, &wrap, p->size, 1);
	}
	p->next = at;
	p->next_wrap = wrap;
	p->n_free = (uint16_t)(p->n_free - n);
	p->links[id] = n;
	__atomic_store_n(&p->desc[head].flags, head_flags, __ATOMIC_RELEASE);
	return true;
}

/* Takes the next used buffer; false: none yet. */
static inline bool pd_take(struct packed_driver *p, uint16_t *id, uint32_t *len)
{
	const struct vring_packed_desc *d = &p->desc[p->used];
	uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
	bool avail = flags & PD_AVAIL, used = flags & PD_USED;

	if (avail != used || used != p->used_wrap)
		return false;
	*id = d->id;
	*len = d->len;
	if (*id >= PD_IDS_MAX)
		return true; /* the caller finds that wrong */
	pd_move(&p->used, &p->used_wrap, p->size, p->links[*id]);
	p->n_free = (uint16_t)(p->n_free + p->links[*id]);
	return true;
}

/* After `added` entries were made available: does the device want to be told? */
static inline bool pd_wants_kick(const struct packed_driver *p, bool event_idx, uint16_t added)
{
	uint16_t flags, off_wrap;
	int at;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	flags = __atomic_load_n(&p->device->flags, __ATOMIC_ACQUIRE);
	if (!event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	off_wrap = __atomic_load_n(&p->device->off_wrap, __ATOMIC_RELAXED);
	at = off_wrap & 0x7fff;
	if (off_wrap >> 15 != p->next_wrap)
		at -= p->size;
	return at < p->next && at >= p->next - added;
}

#endif
