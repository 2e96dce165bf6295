/* SPDX-License-Identifier: Apache-2.0 */
/* See ring_packed.h. */
#include "vswitch/dp/ring_packed.h"

#include <errno.h>

#include "vswitch/dp/ring_walk.h"

/* --- where to start -------------------------------------------------------------------------- */

/* Whose an entry is, seen from the lap of a wrap counter. */
enum entry { UNTOUCHED, AVAILABLE, USED, ODD };

static enum entry entry_of(const struct ring *r, uint16_t i, bool wrap)
{
	uint16_t flags = __atomic_load_n(&r->pdesc[i].flags, __ATOMIC_ACQUIRE);
	bool avail = flags & RING_PACKED_AVAIL, used = flags & RING_PACKED_USED;

	if (avail != used)
		return avail == wrap ? AVAILABLE : ODD;
	return used == wrap ? USED : UNTOUCHED;
}

/* The device can stand at `at`: the entry there is not used yet, and the one before it is (or has
 * been made available again since: then it looks odd, seen from the lap before). */
static bool place_is_plausible(const struct ring *r, uint16_t at, bool wrap)
{
	uint16_t before = at ? at - 1 : r->size - 1;
	enum entry b = entry_of(r, before, at ? wrap : !wrap), e = entry_of(r, at, wrap);

	return (b == USED || b == ODD) && (e == AVAILABLE || e == UNTOUCHED);
}

/*
 * From `at` on, once round the ring: available entries, then untouched ones. After a death in the
 * middle of a batch: one available, then some used, which no driver has seen (*unseen).
 * *steps is what may still be looked at: a hostile ring must not take our time.
 */
static bool place_explains(
	const struct ring *r, uint16_t at, bool wrap, uint32_t *unseen, uint32_t *steps)
{
	enum entry last = AVAILABLE;

	*unseen = 0;
	for (uint32_t i = 0; i < r->size; i++) {
		enum entry e = entry_of(r, at, wrap);

		if (*steps == 0)
			return false;
		--*steps;
		if (e == USED && last == AVAILABLE && i == *unseen + 1)
			++*unseen;
		else if (e == ODD || e == USED || (e == AVAILABLE && last == UNTOUCHED))
			return false;
		else
			last = e;
		ring_packed_advance(&at, &wrap, r->size, 1);
	}
	return true;
}

/* Finds the one place that explains all entries. False: there is none, or more than one. */
static bool place_find_once(const struct ring *r, uint16_t *at, bool *wrap)
{
	uint32_t steps = 8u * r->size, unseen, found = 0;

	for (uint32_t i = 0; i < 2u * r->size && steps; i++) {
		uint16_t p = (uint16_t)(i / 2);
		bool w = i % 2;

		if (place_is_plausible(r, p, w) && place_explains(r, p, w, &unseen, &steps)) {
			*at = p;
			*wrap = w;
			found++;
		}
	}
	return found == 1 && steps;
}

/* The driver may add entries just now, which can look wrong once, or a few times. */
static bool place_find(const struct ring *r, uint16_t *at, bool *wrap)
{
	for (int i = 0; i < 4; i++)
		if (place_find_once(r, at, wrap))
			return true;
	return false;
}

/* A device died after it had filled used entries and before it made the first one of them visible:
 * that is done now, but without lengths: drivers drop such frames. */
static void unseen_publish(struct ring *r)
{
	uint32_t steps = r->size, unseen;
	uint16_t at = r->used_next;
	bool wrap = r->used_wrap;
	uint64_t half;

	/* The other ones may be parts of the first one's frame: they have no length either. */
	if (!place_explains(r, r->used_next, r->used_wrap, &unseen, &steps) || unseen == 0)
		return;
	for (uint32_t i = 0; i < unseen; i++) {
		ring_packed_advance(&at, &wrap, r->size, 1);
		half = ring_packed_load(&r->pdesc[at]);
		ring_packed_store(&r->pdesc[at],
			ring_packed_used(0, ring_packed_id(half), 0, wrap));
	}
	half = ring_packed_load(&r->pdesc[r->used_next]);
	if (ring_packed_flags(half) & VRING_DESC_F_NEXT) {
		/* Of a chain, the entry behind has the id: its device wrote it there. */
		at = r->used_next;
		ring_packed_advance(&at, &wrap, r->size, 1);
		half = ring_packed_load(&r->pdesc[at]);
	}
	ring_packed_store(&r->pdesc[r->used_next],
		ring_packed_used(0, ring_packed_id(half), 0, r->used_wrap));
	ring_packed_advance(&r->used_next, &r->used_wrap, r->size, (uint16_t)(unseen + 1));
}

enum ring_fault ring_packed_init(struct ring *r, uint16_t base)
{
	uint16_t at = base & 0x7fff;
	bool wrap = base >> 15;

	if ((uintptr_t)r->pdesc % 16 || (uintptr_t)r->driver_event % 4 ||
		(uintptr_t)r->device_event % 4)
		return ring_fail(r, RING_FAULT_MISALIGNED);
	if (at >= r->size)
		return ring_fail(r, RING_FAULT_RING_BASE);
	r->used_next = at;
	r->used_wrap = wrap;
	if (!place_is_plausible(r, at, wrap))
		r->recovered = place_find(r, &r->used_next, &r->used_wrap);
	unseen_publish(r);
	r->avail_next = r->used_next;
	r->avail_wrap = r->used_wrap;
	r->moved = r->size; /* the guest is told once */
	return RING_OK;
}

/* --- chains ---------------------------------------------------------------------------------- */

bool ring_packed_has_avail(const struct ring *r)
{
	return ring_packed_is_avail(ring_packed_load(&r->pdesc[r->avail_next]), r->avail_wrap);
}

/* An indirect table is a list: its entries have an order, an address, a length and a direction, and
 * nothing else (section 2.8.8). DPDK's driver marks what we are to read as to be written (22.11,
 * vring_desc_init_indirect_packed), and its device takes it; so do we, who then read. */
static enum ring_fault walk_table(struct ring_walk *w, uint64_t addr, uint32_t len)
{
	uint32_t n = len / sizeof(struct vring_packed_desc);
	const uint8_t *table;

	if (n == 0 || len % sizeof(struct vring_packed_desc) || n > 32768)
		return RING_FAULT_INDIRECT_SIZE;
	if (addr + len < addr)
		return RING_FAULT_ADDRESS_WRAP;
	/* In one region: a table torn between two would need a copy of it. */
	table = dp_mem_host(w->r->mem, &w->r->mem_hint, addr, len);
	if (!table)
		return RING_FAULT_BAD_ADDRESS;
	for (uint32_t i = 0; i < n; i++) {
		struct vring_packed_desc d;
		enum ring_fault f;

		if (i == RING_LINKS_MAX) {
			w->too_many = true;
			break;
		}
		/* At any address: no aligned access here. */
		memcpy(&d, table + (size_t)i * sizeof(d), sizeof(d));
		__asm__ volatile("" : "+m"(d)); /* the copy is the only read */
		if (w->writable && !(d.flags & VRING_DESC_F_WRITE))
			return RING_FAULT_DIRECTION;
		f = ring_walk_buffer(w, d.addr, d.len);
		if (f)
			return f;
	}
	return RING_OK;
}

static enum ring_fault walk_one(struct ring_walk *w, uint64_t addr, uint64_t half)
{
	uint16_t flags = ring_packed_flags(half);

	if (!(flags & VRING_DESC_F_INDIRECT)) {
		if (!!(flags & VRING_DESC_F_WRITE) != w->writable)
			return RING_FAULT_DIRECTION;
		return ring_walk_buffer(w, addr, ring_packed_len(half));
	}
	if (!w->r->indirect)
		return RING_FAULT_INDIRECT_OFF;
	if (flags & VRING_DESC_F_NEXT)
		return RING_FAULT_INDIRECT_NEXT;
	return walk_table(w, addr, ring_packed_len(half));
}

int ring_packed_chain_at(struct ring *r, uint16_t ahead, bool writable, struct ring_seg *seg,
	uint32_t *len, struct ring_chain *c)
{
	struct ring_walk w = { .r = r, .seg = seg, .writable = writable };
	enum ring_fault f = RING_OK;
	uint16_t at = r->avail_next;
	bool wrap = r->avail_wrap;
	uint64_t half;

	if (ahead >= r->size)
		return -EAGAIN; /* all entries are taken already */
	ring_packed_advance(&at, &wrap, r->size, ahead);
	c->n = 0;
	do {
		half = ring_packed_load(&r->pdesc[at]);
		if (c->n == 0 && !ring_packed_is_avail(half, wrap))
			return -EAGAIN;
		if ((uint32_t)ahead + c->n == r->size) {
			f = RING_FAULT_LOOP;
			break;
		}
		f = walk_one(&w, __atomic_load_n(&r->pdesc[at].addr, __ATOMIC_RELAXED), half);
		c->n++;
		ring_packed_advance(&at, &wrap, r->size, 1);
	} while (f == RING_OK && ring_packed_flags(half) & VRING_DESC_F_NEXT);
	if (f) {
		ring_fail(r, f);
		return -EINVAL;
	}
	c->id = ring_packed_id(half); /* the last one's */
	if (w.too_many)
		return -E2BIG;
	*len = (uint32_t)w.total;
	return w.n_segs;
}

void ring_packed_chain_use(struct ring *r, const struct ring_chain *c, uint32_t len)
{
	uint16_t flags = len ? VRING_DESC_F_WRITE : 0;

	ring_packed_fill(r, ring_packed_used(len, c->id, flags, r->used_wrap));
	for (uint16_t i = 1; i < c->n; i++)
		ring_packed_fill(r, ring_packed_used(0, c->id, 0, r->used_wrap));
}

/* --- notifications (section 2.8.10) ---------------------------------------------------------- */

bool ring_packed_wants_notify(struct ring *r)
{
	uint16_t flags = __atomic_load_n(&r->driver_event->flags, __ATOMIC_RELAXED);
	uint16_t off_wrap = __atomic_load_n(&r->driver_event->off_wrap, __ATOMIC_RELAXED);
	int32_t moved = r->moved < r->size ? (int32_t)r->moved : r->size, at = off_wrap & 0x7fff;

	r->moved = 0;
	if (!r->event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	/* Is it one of the `moved` entries that end at used_next? Of the lap before: below 0. */
	if (off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR != r->used_wrap)
		at -= r->size;
	return at < r->used_next && at >= r->used_next - moved;
}

void ring_packed_arm(struct ring *r)
{
	uint16_t flags = VRING_PACKED_EVENT_FLAG_ENABLE;

	if (r->event_idx) {
		flags = VRING_PACKED_EVENT_FLAG_DESC;
		__atomic_store_n(&r->device_event->off_wrap,
			(uint16_t)(r->avail_next |
				(unsigned)r->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
			__ATOMIC_RELAXED);
	}
	__atomic_store_n(&r->device_event->flags, flags, __ATOMIC_RELEASE);
	/* Before the look for new entries that follows. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void ring_packed_disarm(struct ring *r)
{
	__atomic_store_n(
		&r->device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE, __ATOMIC_RELAXED);
}
