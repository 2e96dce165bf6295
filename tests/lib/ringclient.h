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
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/ether.h"
#include "tests/lib/packed_driver.h"
#include "vhost-user/frontend.h"

#define RC_SIZE_MAX   4096 /* descriptors of a ring */
#define RC_RX_SLOTS   256  /* receive buffers, at most */
#define RC_SLOT       12288u
#define RC_TX_SLOTS   16 /* frames in flight, each with RC_TX_DESCS descriptors of its own */
#define RC_TX_DESCS   16
#define RC_PAIRS_MAX  16
#define RC_PAIR_BYTES (8u << 20)
#define RC_HDR        12u
#define RC_SEQS       (1u << 24)      /* frames that "unique" can tell apart */
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
	/* Split. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_next; /* ours */
	uint16_t used_seen;
	/* Packed: in the same places. */
	bool packed;
	struct packed_driver pd;

	/* Buffers come back in the order in which they were made available. */
	uint16_t order[RC_SIZE_MAX];
	uint32_t put, taken, out_of_order;

	uint16_t size;
	uint64_t gpa; /* of desc; avail and used follow */
	int kick_fd, call_fd;
};

struct rc_pair {
	struct rc_ring rx, tx;
	bool tx_busy[RC_TX_SLOTS];
};

#define RC_KEPT_MAX 512
#define RC_KEPT_LEN 1600

struct rc_kept {
	uint32_t n, lost; /* those that there was no room for, or too long */
	struct {
		uint32_t len;
		uint8_t bytes[RC_KEPT_LEN];
	} frame[RC_KEPT_MAX];
};

struct rc {
	struct vu_frontend *fe;
	char path[108];
	uint64_t features; /* to ask for */
	uint32_t n_pairs;
	uint16_t size; /* of the rings */
	enum rc_layout rx_layout;
	bool private;     /* the memory is shared with nobody, whoever maps it too */
	bool two_regions; /* the memory is given as two regions that adjoin */
	bool stale;       /* a connection that broke: packed rings are started at 0, as QEMU does */
	int mem_fd;
	uint8_t *mem;
	size_t mem_size;
	struct rc_pair pair[RC_PAIRS_MAX];
	/* of what was received */
	uint64_t got, bad, bytes;
	char why[160]; /* of the first bad frame */
	/* What was received, if it is to be kept (not NULL): lengths and bytes, not checked */
	struct rc_kept *kept;
	uint8_t *seen; /* a bit for each frame that was received; NULL: nobody asked */
};

struct rc_frame {
	struct ether_mac dst, src;
	uint32_t len; /* with the Ethernet header, without FCS */
	uint32_t seq;
	uint16_t type;      /* ethertype, 0: our own */
	const uint8_t *raw; /* all of its bytes instead; NULL: made of the above */
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

/* From here on no frame (by its seq) may come twice. */
void rc_unique(struct rc *c);

/* --- between the files --- */

uint64_t rc_pair_gpa(uint32_t pair, uint32_t off);
uint8_t *rc_at(struct rc *c, uint64_t gpa);
#define RC_RING_BYTES 0x20000u
#define RC_AVAIL      0x10000u /* within a ring's part: desc before it */
#define RC_USED       0x14000u
#define RC_RX_RING    0u
#define RC_TX_RING    RC_RING_BYTES
#define RC_RX_DATA    (2 * RC_RING_BYTES)
#define RC_TX_DATA    (RC_RX_DATA + RC_RX_SLOTS * RC_SLOT)

/* A piece of a buffer; or an indirect table of n pieces. */
struct rc_piece {
	uint64_t gpa;
	uint32_t len;
};

/* Makes a buffer available, of either format: pieces[0..n), then, if any, table[0..n_table) as
 * an indirect table at table_gpa. Split: descriptors id, id + 1... Packed: the buffer's id. */
void rc_put(struct rc *c, struct rc_ring *r, uint16_t id, bool write, const struct rc_piece *piece,
	uint16_t n, uint64_t table_gpa, const struct rc_piece *table, uint16_t n_table);
/* The next used buffer; false: none. */
bool rc_take(struct rc_ring *r, uint16_t *id, uint32_t *len);
/* A ring as a driver makes it at its start. */
void rc_ring_clear(struct rc *c, struct rc_ring *r);
void rc_make_avail(struct rc_ring *r, uint16_t head);
/* Posts receive buffer i; all that the ring holds, in the beginning. */
void rc_rx_post(struct rc *c, uint32_t pair, uint16_t i);
void rc_rx_post_all(struct rc *c, uint32_t pair);

#endif
