/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed layout: virtio 1.2, section 2.8. One ring of descriptors, which the driver makes
 * available and the device overwrites in place as used; two flag bits and a wrap counter of each
 * side tell whose an entry is. Called by ring.c and by the short paths (peek_packed.c,
 * deliver_packed.c).
 *
 *	bits of an entry in the lap of wrap counter w	AVAIL	USED
 *	available					w	!w
 *	used						w	w
 *	not touched yet in this lap			!w	!w
 *
 * We use buffers in the order in which they were made available, and when a chain is used, all its
 * entries are marked, not only the first one as a driver needs it: so the ring itself always says
 * where we stand. A used entry is one store of eight bytes (length, id, flags).
 */
#ifndef LANYARD_VSWITCH_DP_RING_PACKED_H
#define LANYARD_VSWITCH_DP_RING_PACKED_H

#include <assert.h>

#include "vswitch/dp/ring.h"

#define RING_PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define RING_PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)

static_assert(sizeof(struct vring_packed_desc) == 16, "a packed descriptor");

/* The second half of a descriptor: all but the address. */
static inline uint64_t ring_packed_load(const struct vring_packed_desc *d)
{
	return __atomic_load_n((const uint64_t *)(const void *)&d->len, __ATOMIC_ACQUIRE);
}

static inline uint32_t ring_packed_len(uint64_t half)
{
	return (uint32_t)half;
}

static inline uint16_t ring_packed_id(uint64_t half)
{
	return (uint16_t)(half >> 32);
}

static inline uint16_t ring_packed_flags(uint64_t half)
{
	return (uint16_t)(half >> 48);
}

static inline bool ring_packed_flags_avail(uint16_t flags, bool wrap)
{
	flags &= RING_PACKED_AVAIL | RING_PACKED_USED;
	return flags == (wrap ? RING_PACKED_AVAIL : RING_PACKED_USED);
}

static inline bool ring_packed_is_avail(uint64_t half, bool wrap)
{
	return ring_packed_flags_avail(ring_packed_flags(half), wrap);
}

/* What a used entry says: flags 0 or VRING_DESC_F_WRITE. */
static inline uint64_t ring_packed_used(uint32_t len, uint16_t id, uint16_t flags, bool wrap)
{
	if (wrap)
		flags |= RING_PACKED_AVAIL | RING_PACKED_USED;
	return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

static inline void ring_packed_store(struct vring_packed_desc *d, uint64_t half)
{
	__atomic_store_n((uint64_t *)(void *)&d->len, half, __ATOMIC_RELEASE);
}

/* Moves a place on by n entries; n is at most the ring's size. */
static inline void ring_packed_advance(uint16_t *at, bool *wrap, uint16_t size, uint16_t n)
{
	uint32_t next = (uint32_t)*at + n;

	if (next >= size) {
		next -= size;
		*wrap = !*wrap;
	}
	*at = (uint16_t)next;
}

/* Writes a used entry at the place to fill and moves on. The first one since the last publication
 * is kept back: it makes all of them visible. */
static inline void ring_packed_fill(struct ring *r, uint64_t half)
{
	if (r->pending) {
		ring_packed_store(&r->pdesc[r->used_next], half);
	} else {
		r->pending = true;
		r->first = r->used_next;
		r->first_used = half;
	}
	ring_packed_advance(&r->used_next, &r->used_wrap, r->size, 1);
	r->moved++;
}

static inline void ring_packed_publish(struct ring *r)
{
	if (r->pending) {
		r->pending = false;
		ring_packed_store(&r->pdesc[r->first], r->first_used);
	}
}

/*
 * The layout's part of ring_init. The start is taken from `base` (wrap counter in bit 15). If the
 * ring's entries contradict it and have just one explanation, then that: a front end whose back end
 * died can't know better than the ring (QEMU starts such a ring at 0). Used entries that were
 * written but not published when a device died are published now, with a length of 0.
 */
enum ring_fault ring_packed_init(struct ring *r, uint16_t base);

bool ring_packed_has_avail(const struct ring *r);
int ring_packed_chain_at(struct ring *r, uint16_t ahead, bool writable, struct ring_seg *seg,
	uint32_t *len, struct ring_chain *c);
void ring_packed_chain_use(struct ring *r, const struct ring_chain *c, uint32_t len);
bool ring_packed_wants_notify(struct ring *r);
void ring_packed_arm(struct ring *r);
void ring_packed_disarm(struct ring *r);

#endif
