/* SPDX-License-Identifier: Apache-2.0 */
/* What the short ways of dp_deliver (frame.h) have in common: a frame into one buffer. */
#ifndef LANYARD_VSWITCH_DP_DELIVER_H
#define LANYARD_VSWITCH_DP_DELIVER_H

#include <linux/virtio_net.h>

#include "vswitch/dp/copy.h"
#include "vswitch/dp/emit.h"
#include "vswitch/dp/frame.h"
#include "vswitch/dp/offload.h"

/* The header that a receiver gets: no request, one buffer (virtio 1.2, 5.1.6.4). Written only
 * where it differs, since the line then stays in the guest's cache. */
static inline void net_hdr_write(uint8_t *at, uint8_t hdr_len)
{
	uint64_t lo;
	uint32_t hi;

	memcpy(&lo, at, 8);
	if (hdr_len == sizeof(struct virtio_net_hdr_mrg_rxbuf)) {
		memcpy(&hi, at + 8, 4);
		if (lo || hi != 1u << 16) {
			lo = 0;
			hi = 1u << 16; /* num_buffers = 1 */
			memcpy(at, &lo, 8);
			memcpy(at + 8, &hi, 4);
		}
	} else {
		memset(at, 0, hdr_len);
	}
}

/* The same with the frame's own request, which the receiver takes. */
static inline void net_hdr_pass(uint8_t *at, uint8_t hdr_len, const struct dp_frame *f)
{
	struct virtio_net_hdr_mrg_rxbuf h = { .hdr = f->off, .num_buffers = 1 };

	memcpy(at, &h, hdr_len);
}

/* Nothing is to be done to the frame, so that the short path may have it. */
static inline bool is_plain(
	const struct ring *r, const struct dp_frame *f, const struct dp_egress *eg)
{
	if (likely(f->meta == eg->native))
		return true;
	if (f->meta == (eg->native | DP_META_OFFLOAD))
		return dp_offload_accepted(&f->off, r->accept);
	return emit_is_plain(f, eg);
}

/* The rest of a frame behind its header copy. */
static inline void rest_copy(uint8_t *dst, const struct dp_frame *f)
{
	if (likely(f->n_segs == 1)) {
		copy_bytes(dst, f->rest, f->len - f->hdr_len);
		return;
	}
	for (uint32_t i = 0; i < f->n_segs; i++) {
		copy_bytes(dst, f->segs[i].base, f->segs[i].len);
		dst += f->segs[i].len;
	}
}

/* A frame that is_plain into a buffer that holds it. */
static inline void deliver_put(uint8_t *to, uint8_t hdr_len, const struct dp_frame *f)
{
	if (unlikely(f->meta & DP_META_OFFLOAD))
		net_hdr_pass(to, hdr_len, f);
	else
		net_hdr_write(to, hdr_len);
	to += hdr_len;
	copy_upto_64(to, f->hdr, f->hdr_len);
	if (f->n_segs)
		rest_copy(to + DP_HDR_COPY, f);
}

/* deliver_packed.c: delivers frames into a packed ring for as long as each is plain and fits a
 * buffer of one entry; `at` entries are taken already. Returns how many. */
uint32_t deliver_packed(struct ring *r, uint16_t at, const struct dp_egress *eg,
	const struct dp_frame *frame, const uint8_t *idx, uint32_t n, uint64_t *bytes);

#endif
