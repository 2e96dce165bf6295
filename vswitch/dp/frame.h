/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame on its way through: borrowed from its sender, whose descriptors we hold until it has
 * been delivered. Its first bytes are our own copy: decisions are made on it and it is what
 * receivers get, so that a sender which rewrites its buffer meanwhile changes nothing checked.
 */
#ifndef LANYARD_VSWITCH_DP_FRAME_H
#define LANYARD_VSWITCH_DP_FRAME_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "vswitch/dp/ring.h"
#include "vswitch/dp/stats.h"

#define DP_HDR_COPY 64

/* The most that our own copy can be made to reach (dp_frame_deepen): Ethernet, a tag, IPv6 with a
 * few extension headers, TCP with all its options. */
#define DP_DEEP_MAX 192

/* Pieces of all frames of a burst that have more than one; a burst ends early rather than go
 * beyond. Behind them, two for each frame that lies in one piece, for dp_frame_deepen. */
#define DP_BURST_SEGS (4 * DP_BURST)

/* What is special about a frame: dp_frame.meta. Bits 0 to 11: the VLAN that the frame is in, 0 for
 * none (decide: w). A frame whose meta is just the VLAN that a port sends untagged leaves by that
 * port as it is: one comparison. */
#define DP_META_VID     0x0fffu
#define DP_META_TAGGED  0x10000u /* an 802.1Q tag stands at hdr + 12 (decide: w) */
#define DP_META_OFFLOAD 0x20000u /* off asks the receiver for something (peek: w) */

struct dp_frame {
	uint8_t hdr[DP_HDR_COPY];  /* the first hdr_len bytes of the frame */
	uint32_t len;              /* bytes, without virtio-net header and FCS */
	uint16_t hdr_len;          /* min(len, DP_HDR_COPY) */
	uint16_t n_segs;           /* pieces of what follows the header copy */
	uint8_t *rest;             /* if n_segs == 1: the rest of the frame */
	struct ring_seg *segs;     /* if n_segs > 1: pieces of the rest */
	uint32_t meta;             /* DP_META_* */
	uint16_t deep;             /* bytes that our copy reaches, if more than hdr_len; else 0 */
	struct virtio_net_hdr off; /* with DP_META_OFFLOAD: the request, checked (dp/offload.h) */
	void *mbuf;                /* that holds it, if dp_burst.mbufs; else undefined */
} __attribute__((aligned(64)));

/* The longest frame that a wire will see of it: a big one is cut to segments of gso_size. */
static inline uint32_t dp_frame_wire_len(const struct dp_frame *f)
{
	if (likely(!(f->meta & DP_META_OFFLOAD)) || !f->off.gso_type)
		return f->len;
	return (uint32_t)f->off.hdr_len + f->off.gso_size;
}

/* How frames leave by a port. */
struct dp_egress {
	uint32_t native; /* VLAN that leaves untagged; 0: frames of no VLAN do */
	bool raw;        /* everything leaves as it came (a mirror's target) */
};

struct dp_burst {
	uint32_t n; /* chains taken from the ring, dropped ones included */
	uint64_t bytes;
	struct dp_frame frame[DP_BURST];
	uint16_t head[DP_BURST];  /* split: the chain's first descriptor; packed: the buffer's id */
	uint16_t links[DP_BURST]; /* packed: entries of the chain */
	uint32_t n_segs;
	struct ring_seg segs[DP_BURST_SEGS + 2 * DP_BURST];
	uint32_t drops[DP_DROP_MAX]; /* of the burst; zero between bursts */
	bool mbufs;                  /* the frames are mbufs: an Ethernet device's (dp/eth.h) */
	uint8_t deep[DP_BURST][DP_DEEP_MAX];
};

/*
 * Our own copy of the frame's first bytes in one piece, *len of them: all that it has, up to
 * DP_DEEP_MAX. What it copies beyond hdr_len takes the place of the sender's memory in the frame's
 * pieces, so it is what receivers get. Lives as long as the burst.
 */
const uint8_t *dp_frame_deepen(struct dp_burst *b, struct dp_frame *f, uint32_t *len);

/* Peeks at the next frames of a sender's ring: fills b->frame, b->head and b->n (chains to be given
 * back, among them those that were dropped here, with their reasons counted in b->drops). Nothing
 * is consumed. A fault ends the burst before the offending chain. Returns b->n. */
uint32_t dp_peek(struct ring *r, struct dp_burst *b);

/* Gives the burst's descriptors back to the sender: one publication. */
void dp_release(struct ring *r, const struct dp_burst *b);

/*
 * Copies frames frame[idx[0..n)] into the receiver's posted buffers, in that order, and publishes
 * them once. Returns how many were delivered, their bytes, and in idx[] which; the others are
 * counted in st, and so is what was completed in software. Tags are edited as eg says.
 */
uint32_t dp_deliver(struct ring *r, const struct dp_egress *eg, const struct dp_frame *frame,
	uint8_t *idx, uint32_t n, uint64_t *bytes, struct dp_queue_stats *st);

#endif
