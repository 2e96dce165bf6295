/* SPDX-License-Identifier: Apache-2.0 */
/* dp_deliver's short path into a packed ring: see deliver.h. First all buffers are found, so that
 * their lines are on their way, then the frames are copied and the used entries written. */
#include "vswitch/dp/deliver.h"
#include "vswitch/dp/ring_packed.h"

/* How far ahead descriptors' lines are asked for. */
#define AHEAD 16

/* The buffer of the entry at `at`, if it is available, writable and holds need bytes; else NULL:
 * the general case. */
static inline uint8_t *buffer_simple(struct ring *r, const struct dp_region *reg, uint16_t at,
	bool wrap, uint32_t need, uint16_t *id)
{
	const uint16_t mask = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;
	uint64_t half = ring_packed_load(&r->pdesc[at]), gpa;
	uint32_t len = ring_packed_len(half);
	uint8_t *host;

	if (unlikely(!ring_packed_is_avail(half, wrap) ||
		    (ring_packed_flags(half) & mask) != VRING_DESC_F_WRITE || len < need))
		return NULL;
	gpa = __atomic_load_n(&r->pdesc[at].addr, __ATOMIC_RELAXED);
	*id = ring_packed_id(half);
	host = dp_region_host(reg, gpa, len);
	return likely(host) ? host : dp_mem_host(r->mem, &r->mem_hint, gpa, len);
}

uint32_t deliver_packed(struct ring *r, uint16_t at, const struct dp_egress *eg,
	const struct dp_frame *frame, const uint8_t *idx, uint32_t n, uint64_t *bytes)
{
	const struct dp_region reg = r->mem->region[r->mem_hint];
	uint16_t next = r->avail_next, size = r->size, id[DP_BURST];
	uint32_t i, room = (uint32_t)size - at;
	uint8_t hdr_len = r->hdr_len;
	bool wrap = r->avail_wrap;
	uint8_t *dst[DP_BURST];
	uint64_t sum = 0;

	if (n > room)
		n = room; /* no entry twice */
	ring_packed_advance(&next, &wrap, size, at);
	for (i = 0; i < n; i++) {
		const struct dp_frame *f = &frame[idx[i]];

		if (next % 4 == 0 && i + AHEAD < n && next + AHEAD < size)
			prefetch_write(&r->pdesc[next + AHEAD]);
		if (unlikely(!is_plain(r, f, eg)))
			break;
		dst[i] = buffer_simple(r, &reg, next, wrap, f->len + hdr_len, &id[i]);
		if (unlikely(!dst[i]))
			break;
		__builtin_prefetch(dst[i]);
		prefetch_write(dst[i] + hdr_len);
		ring_packed_advance(&next, &wrap, size, 1);
	}
	n = i;
	for (i = 0; i < n; i++) {
		const struct dp_frame *f = &frame[idx[i]];

		deliver_put(dst[i], hdr_len, f);
		ring_packed_fill(r,
			ring_packed_used(
				f->len + hdr_len, id[i], VRING_DESC_F_WRITE, r->used_wrap));
		sum += f->len;
	}
	*bytes += sum;
	return n;
}
