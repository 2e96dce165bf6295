/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path of a kernel-facing port: a queue of a tap interface, that is, a file of
 * /dev/net/tun made with IFF_VNET_HDR. A frame is one read or one write, behind the same header
 * that guests use; so big frames and partial checksums pass between guests and the kernel as they
 * are, and a frame is copied once each way, by the kernel.
 *
 * A look at an empty tap is a system call. A worker that serves guests too doesn't make it each
 * round: after an empty look it waits for TUN_PACE_US. Asleep it is woken by the file.
 */
#ifndef LANYARD_VSWITCH_DP_TUN_H
#define LANYARD_VSWITCH_DP_TUN_H

#include <stdint.h>

#include "vswitch/dp/view.h"

#define DP_TUN_PACE_US 10
#define DP_TUN_BURST   32

/* A frame as it comes: the header, the frame with a tag, TCP's largest. A step apart, so that the
 * beginnings of frames don't share cache sets. */
#define DP_TUN_ROOM (65536 + 256)
#define DP_TUN_STEP (DP_TUN_ROOM + 2 * 4096 + 128)

/* One queue pair: dp_inq.edge_queue and dp_outq.edge_queue both point to it. */
struct dp_tun {
	int fd;               /* non-blocking; constant */
	uint64_t pace_cycles; /* constant: between looks that find nothing */
	uint8_t *buf;         /* DP_TUN_BURST x DP_TUN_STEP bytes; receiving worker's */
	uint64_t idle_tsc;    /* of the last look that found nothing; 0: there was something */
};

extern const struct dp_edge_ops dp_tun_ops;

#endif
