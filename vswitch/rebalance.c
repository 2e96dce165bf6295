/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues and their workers: measures loads, has balance.c decide, and carries queues over
 * (dp/poll.h says how the two workers do it). All under sw->lock but the two that requests call.
 */
#include "vswitch/switch.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/log.h"

/* Of one plan. More come a second later. */
#define MOVES_MAX 64

/* Workers see a new view within microseconds, or when they get a CPU. */
#define MOVE_LOOK_NS (20 * NS_PER_US)

struct move {
	struct sw_port *port;
	uint16_t pair, from, to;
};

/* Moves queues, all with one view to go and one to arrive. */
static void queues_move(struct sw *sw, const struct move *m, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct dp_inq *q = m[i].port->in[m[i].pair];

		/* From now on a kick wakes both. Without an eventfd of its own, time does. */
		if (q->ring.kick_fd >= 0)
			dp_worker_watch(&sw->workers[m[i].to], q->ring.kick_fd, q);
		__atomic_store_n(&q->to, m[i].to, __ATOMIC_RELAXED);
		m[i].port->load[m[i].pair].moved_s = sw->shared.now_s;
	}
	sw_publish(sw);
	for (uint32_t i = 0; i < n; i++) {
		const struct dp_inq *q = m[i].port->in[m[i].pair];

		while (__atomic_load_n(&q->owner, __ATOMIC_ACQUIRE) != m[i].to)
			clock_sleep_ns(MOVE_LOOK_NS);
		if (q->ring.kick_fd >= 0)
			dp_worker_unwatch(&sw->workers[m[i].from], q->ring.kick_fd);
		log_debug("port %s: queue %u goes from worker %u to %u", m[i].port->name, m[i].pair,
			m[i].from, m[i].to);
	}
	sw_publish(sw);
}

void sw_load_measure(struct sw *sw)
{
	uint64_t now = __rdtsc(), elapsed = now - sw->measured_tsc;

	if (!sw->measured_tsc)
		elapsed = 0;
	sw->measured_tsc = now;
	for (uint32_t w = 0; w < sw->n_workers; w++)
		balance_measure(
			&sw->load[w], dp_counter_read(&sw->workers[w].stats.busy_cycles), elapsed);
	for (uint32_t id = 0; id < sw->n_ports; id++)
		for (uint32_t i = 0; sw->ports[id] && i < sw->ports[id]->queues; i++)
			balance_measure(&sw->ports[id]->load[i].meter,
				dp_counter_read(&sw->ports[id]->dp->in[i].busy_cycles), elapsed);
}

uint16_t sw_worker_pick(const struct sw *sw, const struct sw_port *p, uint32_t pair)
{
	double load[DP_WORKERS_MAX] = { 0 };
	uint16_t best = 0;

	if (p->load[pair].pinned)
		return (uint16_t)(p->load[pair].pinned - 1);
	/* Among workers that are equally busy, the one with fewer queues. */
	for (uint32_t w = 0; w < sw->n_workers; w++)
		load[w] = sw->load[w].load < BALANCE_LOAD_MIN ? 0 : sw->load[w].load;
	for (uint32_t id = 0; id < sw->n_ports; id++)
		for (uint32_t i = 0; sw->ports[id] && i < sw->ports[id]->queues; i++)
			if (sw->ports[id]->in[i])
				load[sw->ports[id]->in[i]->owner] += BALANCE_LOAD_MIN;
	for (uint16_t w = 1; w < sw->n_workers; w++)
		if (load[w] < load[best])
			best = w;
	return best;
}

/* All queues that are served, as balance.c wants them, and whose they are. */
static uint32_t queues_list(const struct sw *sw, struct balance_queue *q, struct move *whose)
{
	uint32_t n = 0;

	for (uint32_t id = 0; id < sw->n_ports; id++) {
		struct sw_port *p = sw->ports[id];

		for (uint32_t i = 0; p && i < p->queues; i++) {
			const struct sw_queue_load *l = &p->load[i];

			if (!p->in[i])
				continue;
			q[n] = (struct balance_queue){ l->meter.load, p->in[i]->owner,
				l->pinned ||
					(l->moved_s &&
						sw->shared.now_s - l->moved_s < BALANCE_REST_S) };
			whose[n++] = (struct move){ p, (uint16_t)i, p->in[i]->owner, 0 };
		}
	}
	return n;
}

static json_t *move_json(const struct move *m)
{
	return json_pack("{s:s, s:i, s:i, s:i}", "port", m->port->name, "queue", (int)m->pair,
		"from", (int)m->from, "to", (int)m->to);
}

static void rebalance(struct sw *sw, double gain_min, json_t *done)
{
	struct balance_move plan[MOVES_MAX];
	struct move moves[MOVES_MAX], *whose;
	struct balance_queue *q;
	uint32_t n = 0, n_moves;

	if (sw->n_workers < 2)
		return;
	for (uint32_t id = 0; id < sw->n_ports; id++)
		n += sw->ports[id] ? sw->ports[id]->queues : 0;
	q = calloc(n + 1, sizeof(*q));
	whose = calloc(n + 1, sizeof(*whose));
	if (q && whose) {
		n = queues_list(sw, q, whose);
		n_moves = balance_plan(q, n, sw->n_workers, gain_min, plan, MOVES_MAX);
		for (uint32_t i = 0; i < n_moves; i++) {
			moves[i] = whose[plan[i].queue];
			moves[i].to = plan[i].to;
			if (done)
				json_array_append_new(done, move_json(&moves[i]));
		}
		if (n_moves)
			queues_move(sw, moves, n_moves);
	}
	free(q);
	free(whose);
}

void sw_rebalance(struct sw *sw)
{
	rebalance(sw, BALANCE_GAIN_MIN, NULL);
}

json_t *sw_rebalance_now(struct sw *sw)
{
	json_t *moves = json_array();

	pthread_mutex_lock(&sw->lock);
	rebalance(sw, BALANCE_GAIN_ASKED, moves);
	pthread_mutex_unlock(&sw->lock);
	return json_pack("{s:o}", "moves", moves);
}

static int queue_assign_locked(
	struct sw *sw, const char *port, uint32_t pair, int worker, struct err *e)
{
	struct sw_port *p = sw_port_find(sw, port);

	if (!p) {
		err_request(e, -ENOENT, "there is no port \"%s\"", port);
		return err_field(e, "port");
	}
	if (pair >= p->queues) {
		err_request(e, -ERANGE, "port \"%s\" has %u queues, counted from 0: no queue %u",
			port, p->queues, pair);
		return err_field(e, "queue");
	}
	if (worker >= (int)sw->n_workers) {
		err_request(e, -ERANGE, "there are %u workers, counted from 0: no worker %d",
			sw->n_workers, worker);
		return err_field(e, "worker");
	}
	p->load[pair].pinned = (uint16_t)(worker + 1);
	if (worker >= 0 && p->in[pair] && p->in[pair]->owner != worker) {
		struct move m = { p, (uint16_t)pair, p->in[pair]->owner, (uint16_t)worker };

		queues_move(sw, &m, 1);
	}
	return 0;
}

int sw_queue_assign(struct sw *sw, const char *port, uint32_t pair, int worker, struct err *e)
{
	int ret;

	pthread_mutex_lock(&sw->lock);
	ret = queue_assign_locked(sw, port, pair, worker, e);
	pthread_mutex_unlock(&sw->lock);
	return ret;
}
