/* SPDX-License-Identifier: Apache-2.0 */
/* See balance.h. */
#include "vswitch/balance.h"

#include <math.h>

void balance_measure(struct balance_meter *m, uint64_t cycles, uint64_t elapsed)
{
	/* A counter that went back is another one: start with it. */
	uint64_t spent = cycles >= m->last ? cycles - m->last : cycles;
	double now = elapsed ? (double)spent / (double)elapsed : 0;

	m->last = cycles;
	m->load += BALANCE_WEIGHT * (fmin(now, 1.0) - m->load);
}

struct plan {
	struct balance_queue *q;
	uint32_t n, n_workers;
	double load[BALANCE_WORKERS_MAX];
	bool done[BALANCE_WORKERS_MAX]; /* nothing of this one can be moved to any good */
};

static int busiest(const struct plan *p)
{
	int best = -1;

	for (uint32_t w = 0; w < p->n_workers; w++)
		if (!p->done[w] && (best < 0 || p->load[w] > p->load[best]))
			best = (int)w;
	return best;
}

static uint16_t laziest(const struct plan *p)
{
	uint16_t best = 0;

	for (uint16_t w = 1; w < p->n_workers; w++)
		if (p->load[w] < p->load[best])
			best = w;
	return best;
}

/* The queue of `from` whose move to `to` brings the two closest, or -1. */
static int64_t queue_pick(const struct plan *p, uint16_t from, uint16_t to)
{
	double diff = p->load[from] - p->load[to], best_off = INFINITY;
	int64_t best = -1;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct balance_queue *q = &p->q[i];
		double off = fabs(q->load - diff / 2);

		if (q->worker != from || q->fixed || q->load < BALANCE_LOAD_MIN ||
			q->load >= diff || off >= best_off)
			continue;
		best = i;
		best_off = off;
	}
	return best;
}

/* One move: what it brings, or 0 and nothing to be done. */
static double plan_step(struct plan *p, struct balance_move *m)
{
	int from;

	while ((from = busiest(p)) >= 0) {
		uint16_t to = laziest(p);
		int64_t i = queue_pick(p, (uint16_t)from, to);
		double load, gain;

		if (i < 0) {
			p->done[from] = true;
			continue;
		}
		load = p->q[i].load;
		gain = 2 * load * (p->load[from] - p->load[to] - load);
		p->load[from] -= load;
		p->load[to] += load;
		*m = (struct balance_move){ (uint32_t)i, p->q[i].worker };
		p->q[i].worker = to;
		p->q[i].fixed = true; /* for the rest of this plan */
		return gain;
	}
	return 0;
}

uint32_t balance_plan(struct balance_queue *q, uint32_t n, uint32_t n_workers, double gain_min,
	struct balance_move *move, uint32_t max)
{
	struct plan p = { .q = q, .n = n, .n_workers = n_workers };
	double sum = 0, gain;
	uint32_t n_moves = 0;

	for (uint32_t i = 0; i < n; i++)
		p.load[q[i].worker] += q[i].load;
	while (n_moves < max && (gain = plan_step(&p, &move[n_moves])) > 0) {
		sum += gain;
		n_moves++;
	}
	/* Until here move[].to holds where the queue was. */
	for (uint32_t i = 0; i < n_moves; i++) {
		struct balance_queue *moved = &q[move[i].queue];
		uint16_t was = move[i].to;

		move[i].to = moved->worker;
		moved->fixed = false;
		if (sum < gain_min)
			moved->worker = was;
	}
	return sum < gain_min ? 0 : n_moves;
}
