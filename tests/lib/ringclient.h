/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front end for tests: it plays both the VMM (the vhost-user socket, a memfd as guest memory)
 * and the guest's driver, and lays out its rings in any way, legal or not.
 *
 * The memory, by guest address (GUEST_BASE + ...), the same in each queue pair's own part:
 *
 *	rings of pair 0..N-1	desc, avail, used of the receive ring, then of the transmit ring
 *	receive buffers		one slot of SLOT bytes for each descriptor
 *	transmit slots		frames on their way, with their indirect tables
 */
#ifndef LANYARD_TESTS_RINGCLIENT_H
#define LANYARD_TESTS_RINGCLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/ether.h"
#include "vhost-user/frontend.h"

#define RC_SIZE       256 /* descriptors of a ring */
#define RC_SLOT       12288u
#define RC_TX_SLOTS   16 /* frames in flight, each with RC_TX_DESCS descriptors of its own */
#define RC_TX_DESCS   (RC_SIZE / RC_TX_SLOTS)
#define RC_PAIRS_MAX  4
#define RC_PAIR_BYTES (8u << 20)
#define RC_GPA        0x100000000ull  /* guest address of the memory's first byte */
#define RC_USER       0x7000000000ull /* and its "user address" in vhost-user messages */

/* How receive buffers are posted, and how frames to send are laid out. */
enum rc_layout {
	RC_ONE,      /* header and frame in one descriptor */
	RC_TWO,      /* header, frame */
	RC_CHAIN,    /* header torn in two, frame in pieces of 40 bytes at first */
	RC_INDIRECT, /* as RC_CHAIN, in an indirect table */
	RC_MIXED,    /* a direct descriptor, then an indirect table */
	RC_SMALL,    /* receive only: buffers of 128 bytes, to be merged */
	RC_LAYOUTS
};

extern const char *const rc_layout_names[RC_LAYOUTS];

struct rc_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint64_t gpa;        /* of desc; avail and used follow */
	uint16_t avail_next; /* ours */
	uint16_t used_seen;
	int kick_fd, call_fd;
};

struct rc_pair {
	struct rc_ring rx, tx;
	bool tx_busy[RC_TX_SLOTS];
};

struct rc {
	struct vu_frontend *fe;
	char path[108];
	uint64_t features; /* to ask for */
	uint32_t n_pairs;
	enum rc_layout rx_layout;
	bool two_regions; /* the memory is given as two regions that adjoin */
	int mem_fd;
	uint8_t *mem;
	size_t mem_size;
	struct rc_pair pair[RC_PAIRS_MAX];
	/* of what was received */
	uint64_t got, bad, bytes;
	char why[160]; /* of the first bad frame */
};

struct rc_frame {
	struct ether_mac dst, src;
	uint32_t len; /* with the Ethernet header, without FCS */
	uint32_t seq;
	uint16_t type; /* ethertype, 0: our own */
};

int rc_open(struct rc *c, struct err *e); /* the memory; path, features, ... are set */
void rc_close(struct rc *c);
/* Connects and starts all rings: new ones with all buffers posted, or (kept) those of a connection
 * that broke, from where the device's used index says. */
int rc_connect(struct rc *c, bool kept, struct err *e);
int rc_restart(struct rc *c, struct err *e); /* as a driver's reset: stops the rings, starts anew */
int rc_restart_kept(struct rc *c, struct err *e); /* stops and starts the rings as they are */
int rc_mem_table(struct rc *c, struct err *e);    /* sends the table again */
int rc_call_fds(struct rc *c, struct err *e);     /* new call fds for all rings */

/* Puts a frame into the transmit ring. -EAGAIN: no slot is free (yet). */
int rc_send(struct rc *c, uint32_t pair, enum rc_layout layout, const struct rc_frame *f);
/* Takes what was received on all pairs, checks it and posts the buffers again. Returns frames. */
uint32_t rc_receive(struct rc *c);
void rc_reclaim(struct rc *c); /* finished transmit slots */
uint32_t rc_tx_busy(const struct rc *c);
void rc_kick(struct rc *c, struct rc_ring *r, uint16_t added);

/* Breaks pair 0's rules in the way of that name; false: no such way. */
bool rc_attack(struct rc *c, const char *name);

#endif
