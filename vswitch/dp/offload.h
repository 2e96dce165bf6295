/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offload requests: a guest hands over a frame whose checksum is not complete, or a TCP frame too
 * big for any wire, and says so in its virtio-net header (virtio 1.2, 5.1.6.2). What it says is
 * checked against the frame once, here, when the frame comes in; what is passed on to receivers or
 * acted upon in software (dp/emit.h) is our checked copy.
 */
#ifndef LANYARD_VSWITCH_DP_OFFLOAD_H
#define LANYARD_VSWITCH_DP_OFFLOAD_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "vswitch/dp/frame.h"

/* What a sender may ask for (ring.may), what a receiver takes (ring.accept). */
#define DP_OFF_CSUM 1u
#define DP_OFF_TSO4 2u
#define DP_OFF_TSO6 4u
#define DP_OFF_ECN  8u
#define DP_OFF_ALL  15u

/* The smallest segment that a big frame is cut to. Linux sends none smaller (tcp_min_snd_mss); a
 * guest that asks for less makes us work, not its peer. */
#define DP_GSO_SIZE_MIN 48

/* No protocol's headers are longer than this: where a checksum may begin. */
#define DP_CSUM_START_MAX 1024

/* The request that the frame's virtio-net header *h makes, may of DP_OFF_* being negotiated: sets
 * f->off and DP_META_OFFLOAD if there is one. False: it can't be, the frame is to be dropped. */
bool dp_offload_check(
	struct dp_burst *b, struct dp_frame *f, const struct virtio_net_hdr *h, uint32_t may);

/* Does a receiver that takes `accept` take the frame with its request as it is? */
static inline bool dp_offload_accepted(const struct virtio_net_hdr *off, uint32_t accept)
{
	uint32_t need = DP_OFF_CSUM;

	if (off->gso_type) {
		uint8_t type = off->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

		need |= type == VIRTIO_NET_HDR_GSO_TCPV6 ? DP_OFF_TSO6 : DP_OFF_TSO4;
		need |= type != off->gso_type ? DP_OFF_ECN : 0;
	}
	return (accept & need) == need;
}

#endif
