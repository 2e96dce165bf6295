/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split ring (virtio 1.2, 2.7) whose requests are passed on to a second ring and whose
 * completions come back from there, so that it is known at any time which requests are not
 * completed.
 *
 *	guest's available ring --forward--> back end's available ring     in flight from here
 *	guest's used ring <--complete-- back end's used ring              until here
 *
 * The descriptors stay where they are: both rings speak of the same table. A back end that
 * completes out of order and went away without a word leaves nothing in the guest's rings that says
 * what it has not done; here it is known, and relay_ring_restart gives the next one exactly those
 * requests, in the order in which the guest made them. None is lost, none is completed twice; one
 * that was carried out but not yet completed is carried out again.
 *
 * Pure: works on memory. Both sides are read once and not believed: the guest is at fault (-EINVAL)
 * if it makes a request available that is under way or no descriptor, the back end (-EPROTO) if it
 * completes what it was not given. Neither EVENT_IDX nor packed rings.
 */
#ifndef LANYARD_VMM_RELAY_RING_H
#define LANYARD_VMM_RELAY_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The back end's two rings, in memory of ours. */
#define RELAY_AVAIL_BYTES 4096 /* room for virtio_driver_bytes of any size */
#define RELAY_USED_BYTES  12288
#define RELAY_SIZE_MAX    1024 /* descriptors */
#define RELAY_RING_BYTES  (RELAY_AVAIL_BYTES + RELAY_USED_BYTES)

struct relay_ring {
	uint16_t size;        /* 0: not in use */
	void *avail, *used;   /* the guest's */
	uint8_t *b;           /* the back end's: available, then used; NULL: there is none */
	bool stuck;           /* the guest did wrong: nothing more is passed on */
	uint16_t avail_next;  /* the guest's first entry that was not passed on */
	uint16_t used_idx;    /* the guest's: as we wrote it */
	uint16_t b_avail_idx; /* the back end's: as we wrote it */
	uint16_t b_used_next; /* the back end's first entry that was not taken */
	uint16_t n_in_flight;
	uint64_t order;                     /* of the request last passed on: counts from 1 */
	uint64_t in_flight[RELAY_SIZE_MAX]; /* by head: its order, or 0 */
};

/* A ring that the driver has just set up: nothing was taken from it. */
void relay_ring_init(struct relay_ring *r, uint16_t size, void *avail, void *used);

/* A new back end, which begins at 0 in RELAY_RING_BYTES at `to`: finds there what is in flight.
 * Returns how many. */
unsigned relay_ring_restart(struct relay_ring *r, uint8_t *to);

/* Passes on what the guest has added. Returns how many; *kick: the back end wants to know. */
int relay_ring_forward(struct relay_ring *r, bool *kick, struct err *e);

/* Takes what the back end has completed. Returns how many; *interrupt: the guest wants to know. */
int relay_ring_complete(struct relay_ring *r, bool *interrupt, struct err *e);

#endif
