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

/* Pieces of all frames of a burst that have more than one; a burst ends early rather than go
 * beyond. */
#define DP_BURST_SEGS (4 * DP_BURST)

/* What is special about a frame: dp_frame.meta. Bits 0 to 11: the VLAN that the frame is in, 0 for
 * none (decide: w). A frame whose meta is just the VLAN that a port sends untagged leaves by that
 * port as it is: one comparison. */
#define DP_META_VID     0x0fffu
#define DP_META_TAGGED  0x10000u /* an 802.1Q tag stands at hdr + 12 */
#define DP_META_OFFLOAD 0x20000u /* off asks the receiver for something */

struct dp_frame {
	uint8_t hdr[DP_HDR_COPY];  /* the first hdr_len bytes of the frame */
	uint32_t len;              /* bytes, without virtio-net header and FCS */
	uint16_t hdr_len;          /* min(len, DP_HDR_COPY) */
	uint16_t n_segs;           /* of what follows the header copy */
	uint8_t *rest;             /* if n_segs == 1: the rest of the frame */
	struct ring_seg *segs;     /* if n_segs > 1 or DP_META_OFFLOAD: pieces of the rest */
	uint32_t meta;             /* DP_META_*; peek: w, decide: adds the VLAN */
	struct virtio_net_hdr off; /* with DP_META_OFFLOAD: the request, our copy, plausible */
	void *mbuf;                /* of an edge's frame, which holds it; else undefined */
} __attribute__((aligned(64)));

/* How frames leave by a port. */
struct dp_egress {
	uint32_t native; /* VLAN that leaves untagged; 0: frames of no VLAN do */
	bool raw;        /* everything leaves as it came (a mirror's target) */
};

struct dp_burst {
	uint32_t n; /* chains taken from the ring, dropped ones included */
	uint64_t bytes;
	struct dp_frame frame[DP_BURST];
	uint16_t head[DP_BURST];
	uint32_t n_segs;
	struct ring_seg segs[DP_BURST_SEGS];
	uint32_t drops[DP_DROP_MAX]; /* of the burst; zero between bursts */
};

/* Peeks at the next frames of a sender's ring: fills b->frame, b->head and b->n (chains to be given
 * back, among them those that were dropped here, with their reasons counted in b->drops). Nothing
 * is consumed. A fault ends the burst before the offending chain. Returns b->n. */
uint32_t dp_peek(struct ring *r, struct dp_burst *b);

/* Gives the burst's descriptors back to the sender: one publication. */
void dp_release(struct ring *r, const struct dp_burst *b);

/*
 * Copies frames frame[idx[0..n)] into the receiver's posted buffers, in that order, and publishes
 * them once. Returns how many were delivered, their bytes, and in idx[] which; the others are
 * counted in drops.
 */
uint32_t dp_deliver(struct ring *r, const struct dp_egress *eg, const struct dp_frame *frame,
	uint8_t *idx, uint32_t n, uint64_t *bytes, uint64_t *drops);

#endif
