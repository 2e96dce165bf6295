/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which worker should serve which queue: a decision, no more. Loads in, moves out; who measures
 * and who moves is balance's caller (rebalance.c). Pure.
 *
 * A plan moves queues one by one from the worker that has most to the one that has least, each
 * time the queue that brings the two closest. It is carried out only if it is worth it as a whole:
 * what counts is the sum of the squares of the workers' loads, which says how long frames wait.
 * Together with smoothed loads, and queues that rest for a while after a move, that keeps a noisy
 * load from being carried to and fro.
 */
#ifndef LANYARD_VSWITCH_BALANCE_H
#define LANYARD_VSWITCH_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#define BALANCE_WORKERS_MAX 64

/* What a plan must bring, in squares of a CPU: 0.01 is two queues of 7 % taken apart. */
#define BALANCE_GAIN_MIN 0.01
/* On somebody's request: two queues of 1 %. */
#define BALANCE_GAIN_ASKED 0.0002

/* Queues below this share of a CPU are not worth a move. */
#define BALANCE_LOAD_MIN 0.005

/* The weight of the last second in a smoothed load. */
#define BALANCE_WEIGHT 0.5

/* Seconds that a queue rests after it was moved. */
#define BALANCE_REST_S 5

struct balance_queue {
	double load;     /* share of a CPU, 0 to 1 */
	uint16_t worker; /* who serves it */
	bool fixed;      /* not to be moved */
};

struct balance_move {
	uint32_t queue; /* index */
	uint16_t to;
};

/* A smoothed load from a cycle counter: call it once an interval. */
struct balance_meter {
	uint64_t last; /* the counter then */
	double load;
};

/* The counter stands at `cycles`, `elapsed` cycles after the last call. */
void balance_measure(struct balance_meter *m, uint64_t cycles, uint64_t elapsed);

/* Fills move[] (max of them; no queue twice) and changes q[].worker accordingly. Returns how many;
 * 0 and nothing changed: it is good as it is, or not worth it (gain_min). */
uint32_t balance_plan(struct balance_queue *q, uint32_t n, uint32_t n_workers, double gain_min,
	struct balance_move *move, uint32_t max);

#endif
