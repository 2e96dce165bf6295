/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: where copies of a port's frames go. Two kinds: another port (a mirror), and a capture,
 * whose frames wait in rings until a thread of the control side writes them to somebody.
 *
 * A tap never takes time from the frames themselves: a worker copies into a capture's ring if
 * there is room, else it counts the frame as not kept. A capture has a ring for each worker, so
 * each ring has one writer (that worker) and one reader (the capture's thread). A ring holds
 * records that never wrap; where one does not fit before the end, a mark sends the reader back to
 * the beginning.
 *
 * Received frames are copied as they came from the guest, before anything was decided about them;
 * sent ones in the form that the guest got them (its VLAN tag), and only those that it got. What a
 * virtio-net header asked for is not carried out in a copy: a big frame is one record, a partial
 * checksum stays partial.
 */
#ifndef LANYARD_VSWITCH_DP_TAP_H
#define LANYARD_VSWITCH_DP_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/dp/frame.h"

/* The most bytes that are kept of a frame: what readers of captures take (tcpdump, Wireshark). */
#define TAP_SNAPLEN_MAX 262144u

/* A ring's least size: several records of the longest kind. */
#define TAP_RING_MIN (1u << 20)

/* Directions, as in `stats`: from a guest into the switch, and to the guest. */
enum tap_dir { TAP_RX, TAP_TX, TAP_DIRS };

struct tap_rec {
	uint32_t size;    /* of the record with its data; a multiple of 8 */
	uint32_t cap_len; /* bytes of the frame that follow; TAP_MARK: go back to the beginning */
	uint64_t tsc;     /* when its burst was tapped */
	uint32_t len;     /* of the frame */
	uint32_t dir;     /* enum tap_dir */
	uint8_t data[];
};

#define TAP_MARK UINT32_MAX

struct tap_ring {
	/* Constant. */
	uint8_t *mem;
	uint64_t size; /* a power of two */
	uint32_t snaplen;

	/* Worker: w, reader: r. Positions run freely. */
	uint64_t head __attribute__((aligned(64)));
	uint64_t tail_seen; /* the worker's own */
	uint64_t kept, kept_bytes, lost;

	/* Reader: w, worker: r. */
	uint64_t tail __attribute__((aligned(64)));
	uint64_t read; /* the reader's own: up to here, but not given back yet */
} __attribute__((aligned(64)));

/* One tap of one direction of a port, as views have it. */
struct dp_tap {
	struct tap_ring *rings; /* a capture's, by worker; NULL: a mirror */
	uint16_t mirror_to;     /* a mirror's target: a port's id */
};

/* mem: size bytes, a power of two, at least TAP_RING_MIN, aligned to 8; the caller's. snaplen: 0
 * for all of a frame. */
void tap_ring_init(struct tap_ring *r, void *mem, uint64_t size, uint32_t snaplen);

/* Worker: keeps frames frame[idx[0..n)] if there is room, and counts those that it could not keep.
 * eg: how they left; NULL for received ones. */
void tap_keep(struct tap_ring *r, const struct dp_frame *frame, const uint8_t *idx, uint32_t n,
	const struct dp_egress *eg);

/* Reader: how far the worker has come; the oldest record before that, or NULL; takes it; gives the
 * room of all taken ones back. A record stays until its room is given back. */
uint64_t tap_ring_head(const struct tap_ring *r);
const struct tap_rec *tap_ring_front(struct tap_ring *r, uint64_t head);
static inline void tap_ring_take(struct tap_ring *r, const struct tap_rec *rec)
{
	r->read += rec->size;
}
static inline void tap_ring_give_back(struct tap_ring *r)
{
	__atomic_store_n(&r->tail, r->read, __ATOMIC_RELEASE);
}

#endif
