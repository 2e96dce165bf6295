/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine port (traffic/port.h) on a Linux interface: a packet socket with rings that are shared
 * with the kernel (TPACKET_V3), so that a burst costs one system call to send and none to receive.
 * One thread polls it; opening and closing are the same thread's, before and after.
 *
 * Sending: the ring's frames are the engine's slots and keep their contents. A frame is the
 * kernel's from the commit until the network has let go of it (no copy is made), then free again.
 *
 * Receiving: the kernel fills blocks and hands one over when it is full or PACKET_BLOCK_MS after
 * its first frame: so a frame's arrival is seen up to so much later at low rates, and latencies are
 * longer by that. What finds no room in the ring the kernel drops and counts
 * (packet_port_dropped).
 */
#ifndef LANYARD_TRAFFIC_PACKET_PORT_H
#define LANYARD_TRAFFIC_PACKET_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "traffic/port.h"

#define PACKET_BLOCK_MS 1 /* the least that the kernel offers */

struct tpacket3_hdr;

struct packet_port {
	struct traffic_port port; /* first: ops are given its address */
	int fd;                   /* -1: not open */
	uint8_t *map;
	size_t map_len;
	/* receive: rx_left frames of block rx_block are still to be given out, from rx_next on */
	uint32_t rx_block, rx_left;
	struct tpacket3_hdr *rx_next;
	bool rx_done; /* rx_release gives the block back */
	/* send */
	uint8_t *tx_ring;
	uint32_t tx_frame;          /* bytes of one of its frames, the kernel's header included */
	struct traffic_slot *slots; /* as the ring's frames */
	uint32_t tx_at;             /* the next one */
	uint32_t tx_pending;        /* committed, but the kernel had no room yet */
	uint64_t dropped;           /* by the kernel, for want of room in the ring */
};

/* Longest frame without FCS that a slot takes. */
#define PACKET_LEN_MAX 9216

/* *p zeroed memory, but for fd. The interface must be up and of Ethernet. On failure
 * packet_port_close is still due. */
int packet_port_open(struct packet_port *p, const char *interface, struct err *e);
void packet_port_close(struct packet_port *p);

/* Frames that the kernel dropped for want of room in our ring, since the port was opened. */
uint64_t packet_port_dropped(struct packet_port *p);

/* Asks the kernel once more to send what it had no room for; how many frames still wait. */
uint32_t packet_port_flush(struct packet_port *p);

#endif
