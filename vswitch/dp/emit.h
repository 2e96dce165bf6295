/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame in the form that one receiver gets it: with the VLAN tag added, taken away or rewritten,
 * and with what it asks for (dp/offload.h) passed on where the receiver takes that, else done here:
 * the checksum computed while copying, the big TCP frame cut to segments. Never is a partial
 * checksum given to a receiver that doesn't take it.
 *
 *	emit_begin, then until emit_next says NULL: room for packet->len bytes, emit_copy
 *
 * The receiver may be a ring's buffers, an mbuf, a capture: pieces of memory. All headers come from
 * our own copy; payload is read from the sender's memory once. The checksum is summed up over what
 * was written, so it is that of the bytes delivered: a receiver that changes its buffer meanwhile
 * deceives itself only.
 */
#ifndef LANYARD_VSWITCH_DP_EMIT_H
#define LANYARD_VSWITCH_DP_EMIT_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "vswitch/dp/frame.h"

/* Where bytes are put: pieces, and how far they are full. */
struct scatter {
	const struct ring_seg *seg;
	uint32_t off; /* in *seg */
};

/* The pieces must have room for len bytes. */
void scatter_put(struct scatter *s, const uint8_t *src, uint32_t len);

struct emit_packet {
	struct virtio_net_hdr hdr; /* what the receiver is told; num_buffers is the caller's */
	uint32_t len;
	/* The packet's bytes, as they lie, for a receiver that takes them without emit_copy: it
	 * must accept all offloads, so that sum_at is 0. */
	uint32_t n_src;
	struct ring_seg src[RING_SEGS_MAX + 3];
	/* private to emit: */
	uint32_t sum_from, sum_at; /* the checksum of [sum_from, len) goes to sum_at; 0: none */
	uint64_t sum;              /* what it begins with */
};

struct emit {
	bool cut, summed; /* done in software: segmented; checksum computed (not both) */
	/* private: */
	const struct dp_frame *f;
	uint32_t accept;
	uint32_t head_len; /* of head: our own copy of the beginning, tag edited */
	int32_t shift;     /* by how many bytes headers moved */
	uint32_t left;     /* bytes behind head that were not yet emitted */
	struct ring_seg piece[RING_SEGS_MAX + 2];
	uint32_t at, off;  /* where they begin: piece and byte */
	uint32_t n_done;   /* packets */
	uint8_t tcp_flags; /* of the big frame, for its segments */
	struct emit_packet packet;
	uint8_t head[DP_DEEP_MAX + 4];
};

/* accept: DP_OFF_* that the receiver takes. */
void emit_begin(struct emit *e, const struct dp_frame *f, const struct dp_egress *eg,
	uint32_t accept);

/* The next packet, good until the next call, or NULL: that was all. */
const struct emit_packet *emit_next(struct emit *e);

/* Copies the packet into s, which has room for packet->len bytes. */
void emit_copy(const struct emit_packet *p, struct scatter *s);

/* Must anything be done to the frame before it leaves so? */
static inline bool emit_is_plain(const struct dp_frame *f, const struct dp_egress *eg)
{
	uint32_t vid = f->meta & DP_META_VID;

	if (f->meta & DP_META_OFFLOAD)
		return false;
	if (eg->raw || f->meta == eg->native)
		return true;
	/* On its way from trunk to trunk its tag stays; so does a priority tag outside VLANs. */
	if (!(f->meta & DP_META_TAGGED) || (vid == eg->native && vid))
		return false;
	return vid == ((uint32_t)(f->hdr[14] & 0x0f) << 8 | f->hdr[15]);
}

#endif
