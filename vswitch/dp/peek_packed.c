/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dp_peek and dp_release of a packed ring. Four descriptors share a cache line, which the guest
 * wrote last: lines are asked for in order to write them, since they go back to it as used.
 */
#include "vswitch/dp/copy.h"
#include "vswitch/dp/peek.h"
#include "vswitch/dp/ring_packed.h"

/* How far ahead lines are asked for, where that many entries are waiting. If the guest is just
 * writing them, asking early takes the line from it, and costs both more than it saves. */
#define AHEAD 16

/* The entry at `at` is available, in *half. Is it a frame in one piece? */
static inline bool peek_simple(
	struct ring *r, const struct dp_region *reg, struct dp_frame *f, uint16_t at, uint64_t half)
{
	const uint16_t odd = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;
	uint32_t len = ring_packed_len(half);
	uint64_t gpa;
	uint8_t *host;

	if (unlikely(ring_packed_flags(half) & odd || len <= r->hdr_len))
		return false;
	gpa = __atomic_load_n(&r->pdesc[at].addr, __ATOMIC_RELAXED);
	host = dp_region_host(reg, gpa, len);
	if (unlikely(!host)) {
		host = dp_mem_host(r->mem, &r->mem_hint, gpa, len);
		if (!host) /* torn between regions, or a fault */
			return false;
	}
	dp_peek_found(r, f, host, len);
	return true;
}

uint32_t dp_peek_packed(struct ring *r, struct dp_burst *b)
{
	const struct dp_region reg = r->mem->region[r->mem_hint];
	uint16_t at = r->avail_next, size = r->size, ahead = 0;
	bool wrap = r->avail_wrap, deep = r->deep;
	uint32_t i;

	b->n_segs = 0;
	for (i = 0; i < DP_BURST && ahead < size; i++) {
		uint64_t half = ring_packed_load(&r->pdesc[at]);

		if (!ring_packed_is_avail(half, wrap))
			break;
		if (deep && at % 4 == 0 && at + AHEAD < size)
			prefetch_write(&r->pdesc[at + AHEAD]);
		b->head[i] = ring_packed_id(half);
		b->links[i] = 1;
		if (unlikely(!peek_simple(r, &reg, &b->frame[i], at, half))) {
			/* Read anew, all of it: what was read of it here is forgotten. */
			if (b->n_segs + RING_SEGS_MAX + 1 > DP_BURST_SEGS ||
				dp_peek_chain(r, b, i, ahead))
				break;
		}
		ahead = (uint16_t)(ahead + b->links[i]);
		ring_packed_advance(&at, &wrap, size, b->links[i]);
	}
	b->n = i;
	r->deep = i == DP_BURST;
	dp_peek_headers(r, b);
	return i;
}

void dp_release_packed(struct ring *r, const struct dp_burst *b)
{
	uint16_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct ring_chain c = { b->head[i], b->links[i] };

		ring_packed_chain_use(r, &c, 0);
		n = (uint16_t)(n + c.n);
	}
	ring_packed_advance(&r->avail_next, &r->avail_wrap, r->size, n);
	ring_packed_publish(r);
}
