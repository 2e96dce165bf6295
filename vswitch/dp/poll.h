/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of its queues a worker looks at in a round.
 *
 *	coming --(its old worker lets go)--> active <--(news)--- idle
 *	                                     active --(nothing for DP_POLL_QUIET rounds)--> idle
 *	                                     active, idle --(its new worker asks)--> gone
 *
 * Active queues are looked at in each round. Idle ones by turns, a few a round, each by one load of
 * a line that nobody writes: an array of "where news shows" and "what stands
 * there now" (ring_watch). So ports that are there but silent cost the busy ones next to nothing.
 *
 * A queue has one owner at a time (dp_inq.owner). To move one, the control side publishes a view
 * that lists it at both workers. The new one says that it is there (dp_inq.claim); the old one,
 * between two bursts, lets go (a release store of owner); the new one, when it sees that (acquire),
 * goes on where the other stopped. No frame is lost, and none overtakes another: the old one was
 * done with all that it took. Then a view follows that lists the queue at its new worker only.
 *
 * Memory: the worker's own, made at its start. No DPDK, no locks, no allocation later.
 */
#ifndef LANYARD_VSWITCH_DP_POLL_H
#define LANYARD_VSWITCH_DP_POLL_H

#include "vswitch/dp/view.h"

/* Rounds without a frame after which a queue is idle. */
#define DP_POLL_QUIET 64

/* Cycles of moving frames for each idle queue that is looked at: a look costs some 25 (its line is
 * in no near cache, nor its page), so that is what 3 % buy. 256 silent ones are seen in 0.1 ms. */
#define DP_POLL_CYCLES 1024

struct dp_poll {
	uint64_t generation; /* of the view that the lists were made for; 0: none */
	uint16_t me;
	uint32_t n_active, n_idle, n_coming, n_leaving;
	uint32_t next_idle; /* whose turn it is */
	struct dp_inq **active, **coming, **leaving;
	struct ring_watch *watch; /* of idle[], by the same index */
	struct dp_inq **idle;
};

int dp_poll_init(struct dp_poll *p, uint16_t me, uint32_t n_queues); /* -ENOMEM */
void dp_poll_fini(struct dp_poll *p);

/* Takes the lists of a view that is new to this worker. */
void dp_poll_adopt(struct dp_poll *p, const struct dp_view *v);

/* While p->n_coming or p->n_leaving: lets go of queues whose new worker is there, and takes over
 * those that were let go. Between two bursts. */
void dp_poll_move(struct dp_poll *p);

/* Looks at n idle queues and makes those with news active. */
void dp_poll_look(struct dp_poll *p, uint32_t n);

/* q, if it is idle, is active from now on. It may be gone by now: it is only compared. */
void dp_poll_hint(struct dp_poll *p, const void *q);

/* active[i] had nothing for DP_POLL_QUIET rounds. True: it is idle now, and another queue, or
 * none, stands at active[i]. */
bool dp_poll_demote(struct dp_poll *p, uint32_t i);

/* How many idle queues to look at after a round that moved frames for so many cycles. */
static inline uint32_t dp_poll_quota(const struct dp_poll *p, uint64_t cycles)
{
	cycles = 1 + cycles / DP_POLL_CYCLES;
	return cycles < p->n_idle ? (uint32_t)cycles : p->n_idle;
}

#endif
