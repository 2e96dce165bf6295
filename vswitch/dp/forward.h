/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's way of moving a burst: peek, decide, deliver, release, count. Pure but for the
 * notifications (eventfd writes): tests drive it on plain memory.
 */
#ifndef LANYARD_VSWITCH_DP_FORWARD_H
#define LANYARD_VSWITCH_DP_FORWARD_H

#include "vswitch/dp/frame.h"
#include "vswitch/dp/view.h"

/* Frames of the burst that leave by one output queue, in order. */
struct dp_stage {
	uint32_t n;
	uint8_t idx[DP_BURST];
};

/* A worker's own scratch memory; sized for the view by whoever makes it. */
struct dp_forwarder {
	struct dp_burst burst;
	bool shared;     /* outputs are shared with other workers: lock them */
	uint32_t worker; /* whose it is: its ring of each capture. 0 unless set */
	uint32_t n_touched;
	uint16_t *touched;      /* output slots that have frames staged */
	struct dp_stage *stage; /* by output slot; all empty between bursts */
	uint32_t n_slots;
	uint32_t flooded, learned, moved, unlearned; /* of the burst */
	uint64_t (*cycles)(void);                    /* the clock of rates; NULL: the TSC */

	/* Addresses of the burst's frames before `ahead`, whose FDB entries are on their way. */
	uint32_t ahead;
	struct fdb_addr src[DP_BURST], dst[DP_BURST];
};

int dp_forwarder_init(struct dp_forwarder *f, uint32_t n_slots, bool shared); /* -ENOMEM */
void dp_forwarder_fini(struct dp_forwarder *f);

/*
 * Moves one burst from q. now_s: the control side's second, for ages. Returns the number of chains
 * taken. If the sender's or a receiver's ring proves malformed, its port's fault is set; *faults
 * counts that, so that the control side can be told.
 */
uint32_t dp_forward(struct dp_forwarder *f, const struct dp_view *v, struct dp_inq *q,
	uint32_t now_s, uint32_t *faults);

#endif
