/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a ring that are not on the shortest path: see ring.h. Of both layouts, and of the
 * split one. */
#include "vswitch/dp/ring.h"

#include <errno.h>
#include <string.h>

#include "vswitch/dp/ring_packed.h"
#include "vswitch/dp/ring_walk.h"

const char *ring_fault_text(enum ring_fault f)
{
	static const char *const text[] = { [RING_OK] = "no fault",
#define X(name, t) [RING_FAULT_##name] = t,
		RING_FAULTS(X)
#undef X
	};

	return (unsigned)f < RING_FAULT_MAX ? text[f] : "unknown fault";
}

enum ring_fault ring_fail(struct ring *r, enum ring_fault f)
{
	if (r->fault == RING_OK)
		__atomic_store_n(&r->fault, f, __ATOMIC_RELAXED);
	return f;
}

/* Section 2.7: 16, 2 and 4; and the queue's size is a power of 2, at most 32768. */
static enum ring_fault split_init(struct ring *r, const struct ring_config *c)
{
	uint16_t used, ahead;

	if (c->size & (c->size - 1))
		return ring_fail(r, RING_FAULT_SIZE);
	if ((uintptr_t)c->desc % 16 || (uintptr_t)c->avail % 2 || (uintptr_t)c->used % 4)
		return ring_fail(r, RING_FAULT_MISALIGNED);
	r->avail_next = r->avail_seen = c->avail_base;
	used = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	r->used_next = r->used_done = r->signalled = used;
	ahead = (uint16_t)(c->avail_base - used);
	if (ahead > c->size)
		return ring_fail(r, RING_FAULT_RING_BASE);
	ahead = (uint16_t)(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE) - c->avail_base);
	if (ahead > c->size)
		return ring_fail(r, RING_FAULT_RING_BASE);
	return RING_OK;
}

enum ring_fault ring_init(struct ring *r, const struct ring_config *c)
{
	memset(r, 0, sizeof(*r));
	r->desc = c->desc;
	r->avail = c->avail;
	r->used = c->used;
	r->mem = c->mem;
	r->size = (uint16_t)c->size;
	r->mask = (uint16_t)(c->size - 1);
	r->hdr_len = c->hdr_len;
	r->event_idx = c->event_idx;
	r->indirect = c->indirect;
	r->mergeable = c->mergeable;
	r->packed = c->packed;
	r->may = c->may;
	r->accept = c->accept;
	r->call_fd = r->kick_fd = -1;
	r->armed = true; /* the first round asks for silence */
	if (c->size == 0 || c->size > 32768)
		return ring_fail(r, RING_FAULT_SIZE);
	return c->packed ? ring_packed_init(r, c->avail_base) : split_init(r, c);
}

void ring_position(const struct ring *r, uint16_t *avail, uint16_t *used)
{
	*avail = r->avail_next;
	*used = r->used_next;
	if (r->packed) {
		*avail = (uint16_t)(*avail | r->avail_wrap << 15);
		*used = (uint16_t)(*used | r->used_wrap << 15);
	}
}

bool ring_has_history(const struct ring *r)
{
	if (r->packed)
		return r->used_next != 0 || !r->used_wrap;
	return r->used_next != 0;
}

bool ring_has_avail(struct ring *r)
{
	return r->packed ? ring_packed_has_avail(r) : ring_split_avail(r, 1) != 0;
}

bool ring_watch(const struct ring *r, struct ring_watch *w)
{
	if (r->packed) {
		w->at = &r->pdesc[r->avail_next].flags;
		w->seen = __atomic_load_n(w->at, __ATOMIC_RELAXED);
		return !ring_packed_flags_avail(w->seen, r->avail_wrap);
	}
	w->at = &r->avail->idx;
	w->seen = r->avail_next;
	return __atomic_load_n(w->at, __ATOMIC_RELAXED) == w->seen;
}

void ring_advance(struct ring *r, uint16_t n)
{
	if (r->packed)
		ring_packed_advance(&r->avail_next, &r->avail_wrap, r->size, n);
	else
		r->avail_next = (uint16_t)(r->avail_next + n);
}

void ring_chain_use(struct ring *r, const struct ring_chain *c, uint32_t len)
{
	if (r->packed)
		ring_packed_chain_use(r, c, len);
	else
		ring_use(r, c->id, len);
}

void ring_publish(struct ring *r)
{
	if (r->packed)
		ring_packed_publish(r);
	else
		ring_split_publish(r);
}

uint32_t ring_skip(struct ring *r, uint32_t n)
{
	struct ring_seg seg[RING_SEGS_MAX];
	struct ring_chain c;
	uint32_t i, len;

	for (i = 0; i < n; i++) {
		int got = ring_chain_at(r, 0, false, seg, &len, &c);

		if (got < 0 && got != -E2BIG)
			break;
		ring_chain_use(r, &c, 0);
		ring_advance(r, c.n);
	}
	ring_publish(r);
	return i;
}

bool ring_wants_notify(struct ring *r)
{
	uint16_t old, event;

	/* The guest arms its wish, then looks at used->idx; we publish used->idx, then look at its
	 * wish: with both stores ahead of both loads, one of us sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->packed)
		return ring_packed_wants_notify(r);
	if (!r->event_idx)
		return !(__atomic_load_n(&r->avail->flags, __ATOMIC_RELAXED) &
			VRING_AVAIL_F_NO_INTERRUPT);
	event = __atomic_load_n(ring_used_event(r), __ATOMIC_RELAXED);
	old = r->signalled;
	r->signalled = r->used_done;
	return vring_need_event(event, r->used_done, old);
}

void ring_arm(struct ring *r)
{
	r->armed = true;
	if (r->packed) {
		ring_packed_arm(r);
		return;
	}
	if (r->event_idx)
		__atomic_store_n(ring_avail_event(r), r->avail_next, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&r->used->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* Make the next ring_avail read the index. */
	r->avail_seen = r->avail_next;
}

void ring_disarm(struct ring *r)
{
	r->armed = false;
	if (r->packed) {
		ring_packed_disarm(r);
		return;
	}
	/* With EVENT_IDX the old event index falls behind by itself: one kick in 65,536 entries.
	 * The flags are ignored then (section 2.7.10). */
	if (!r->event_idx)
		__atomic_store_n(&r->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

enum ring_fault ring_walk_buffer(struct ring_walk *w, uint64_t gpa, uint32_t left)
{
	if (gpa + left < gpa)
		return RING_FAULT_ADDRESS_WRAP;
	w->total += left;
	if (w->total > UINT32_MAX)
		return RING_FAULT_LENGTH;
	while (left) {
		uint32_t run = left;
		uint8_t *host = dp_mem_host_run(w->r->mem, gpa, &run);

		if (!host)
			return RING_FAULT_BAD_ADDRESS;
		if (w->n_segs == RING_SEGS_MAX) {
			w->too_many = true; /* still checked to its end */
		} else {
			w->seg[w->n_segs].base = host;
			w->seg[w->n_segs++].len = run;
		}
		gpa += run;
		left -= run;
	}
	return RING_OK;
}

/* Walks the links of one table from entry i: the ring's own, or an indirect one. */
static enum ring_fault walk_table(struct ring_walk *w, const uint8_t *table, uint32_t n, uint32_t i,
	struct vring_desc *indirect)
{
	for (uint32_t links = 0; links < n; links++) {
		struct vring_desc d;
		enum ring_fault f;

		if (links == RING_LINKS_MAX) {
			w->too_many = true;
			return RING_OK;
		}
		if (i >= n)
			return RING_FAULT_BAD_NEXT;
		/* An indirect table may lie at any address: no aligned access here. */
		memcpy(&d, table + (size_t)i * sizeof(d), sizeof(d));
		__asm__ volatile("" : "+m"(d)); /* the copy is the only read */
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!indirect)
				return RING_FAULT_INDIRECT_NESTED;
			if (!w->r->indirect)
				return RING_FAULT_INDIRECT_OFF;
			if (d.flags & VRING_DESC_F_NEXT)
				return RING_FAULT_INDIRECT_NEXT;
			*indirect = d;
			return RING_OK;
		}
		if (!!(d.flags & VRING_DESC_F_WRITE) != w->writable)
			return RING_FAULT_DIRECTION;
		f = ring_walk_buffer(w, d.addr, d.len);
		if (f)
			return f;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return RING_OK;
		i = d.next;
	}
	return RING_FAULT_LOOP;
}

/* The table must lie in one region: a table torn between two would need a copy of it. */
static enum ring_fault walk_indirect(struct ring_walk *w, const struct vring_desc *d)
{
	uint32_t n = d->len / sizeof(struct vring_desc);
	const uint8_t *table;

	if (n == 0 || d->len % sizeof(struct vring_desc) || n > 32768)
		return RING_FAULT_INDIRECT_SIZE;
	if (d->addr + d->len < d->addr)
		return RING_FAULT_ADDRESS_WRAP;
	table = dp_mem_host(w->r->mem, &w->r->mem_hint, d->addr, d->len);
	if (!table)
		return RING_FAULT_BAD_ADDRESS;
	return walk_table(w, table, n, 0, NULL);
}

int ring_walk(struct ring *r, uint16_t head, bool writable, struct ring_seg *seg, uint32_t *len)
{
	struct ring_walk w = { .r = r, .seg = seg, .writable = writable };
	struct vring_desc indirect = { 0 };
	enum ring_fault f;

	if (head >= r->size)
		f = RING_FAULT_BAD_HEAD;
	else
		f = walk_table(&w, (const uint8_t *)r->desc, r->size, head, &indirect);
	if (f == RING_OK && indirect.flags & VRING_DESC_F_INDIRECT)
		f = walk_indirect(&w, &indirect);
	if (f) {
		ring_fail(r, f);
		return -EINVAL;
	}
	if (w.too_many)
		return -E2BIG;
	*len = (uint32_t)w.total;
	return w.n_segs;
}

int ring_chain_at(struct ring *r, uint16_t ahead, bool writable, struct ring_seg *seg,
	uint32_t *len, struct ring_chain *c)
{
	if (r->packed)
		return ring_packed_chain_at(r, ahead, writable, seg, len, c);
	if (ring_split_avail(r, (uint16_t)(ahead + 1)) <= ahead)
		return r->fault ? -EINVAL : -EAGAIN;
	c->id = ring_head(r, ahead);
	c->n = 1;
	return ring_walk(r, c->id, writable, seg, len);
}
