/* SPDX-License-Identifier: Apache-2.0 */
/* See poll.h. */
#include "vswitch/dp/poll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int dp_poll_init(struct dp_poll *p, uint16_t me, uint32_t n_queues)
{
	size_t n = n_queues ? n_queues : 1;

	memset(p, 0, sizeof(*p));
	p->me = me;
	p->active = calloc(n, sizeof(struct dp_inq *));
	p->coming = calloc(n, sizeof(struct dp_inq *));
	p->leaving = calloc(n, sizeof(struct dp_inq *));
	p->idle = calloc(n, sizeof(struct dp_inq *));
	p->watch = calloc(n, sizeof(*p->watch));
	if (p->active && p->coming && p->leaving && p->idle && p->watch)
		return 0;
	dp_poll_fini(p);
	return -ENOMEM;
}

void dp_poll_fini(struct dp_poll *p)
{
	free(p->active);
	free(p->coming);
	free(p->leaving);
	free(p->idle);
	free(p->watch);
	memset(p, 0, sizeof(*p));
}

/* False: the queue has news, or can't be watched. */
static bool idle_add(struct dp_poll *p, struct dp_inq *q)
{
	if (q->edge || !ring_watch(&q->ring, &p->watch[p->n_idle]))
		return false;
	p->idle[p->n_idle++] = q;
	return true;
}

static void queue_add(struct dp_poll *p, struct dp_inq *q)
{
	if (q->quiet < DP_POLL_QUIET || !idle_add(p, q))
		p->active[p->n_active++] = q;
}

static void list_remove(struct dp_inq **list, uint32_t *n, uint32_t i)
{
	list[i] = list[--*n];
}

static void idle_remove(struct dp_poll *p, uint32_t i)
{
	p->n_idle--;
	p->idle[i] = p->idle[p->n_idle];
	p->watch[i] = p->watch[p->n_idle];
	if (p->next_idle >= p->n_idle)
		p->next_idle = 0;
}

void dp_poll_adopt(struct dp_poll *p, const struct dp_view *v)
{
	const struct dp_view_worker *mine = &v->workers[p->me];

	p->generation = v->generation;
	p->n_active = p->n_idle = p->n_coming = p->n_leaving = 0;
	for (uint32_t i = 0; i < mine->n_inqs; i++) {
		struct dp_inq *q = mine->inqs[i];

		/* Whoever is not its owner reads no other field of a queue. */
		if (__atomic_load_n(&q->owner, __ATOMIC_ACQUIRE) != p->me) {
			__atomic_store_n(&q->claim, p->me, __ATOMIC_RELAXED);
			p->coming[p->n_coming++] = q;
			continue;
		}
		queue_add(p, q);
		if (__atomic_load_n(&q->to, __ATOMIC_RELAXED) != p->me)
			p->leaving[p->n_leaving++] = q;
	}
	if (p->next_idle >= p->n_idle)
		p->next_idle = 0;
}

static void let_go(struct dp_poll *p, struct dp_inq *q, uint16_t to)
{
	for (uint32_t i = 0; i < p->n_active; i++)
		if (p->active[i] == q) {
			list_remove(p->active, &p->n_active, i);
			break;
		}
	for (uint32_t i = 0; i < p->n_idle; i++)
		if (p->idle[i] == q) {
			idle_remove(p, i);
			break;
		}
	/* All that we did to its ring is seen by who sees this. */
	__atomic_store_n(&q->owner, to, __ATOMIC_RELEASE);
}

void dp_poll_move(struct dp_poll *p)
{
	for (uint32_t i = 0; i < p->n_leaving;) {
		struct dp_inq *q = p->leaving[i];
		uint16_t to = __atomic_load_n(&q->to, __ATOMIC_RELAXED);

		if (__atomic_load_n(&q->claim, __ATOMIC_RELAXED) != to) {
			i++;
			continue;
		}
		list_remove(p->leaving, &p->n_leaving, i);
		let_go(p, q, to);
	}
	for (uint32_t i = 0; i < p->n_coming;) {
		struct dp_inq *q = p->coming[i];

		if (__atomic_load_n(&q->owner, __ATOMIC_ACQUIRE) != p->me) {
			i++;
			continue;
		}
		list_remove(p->coming, &p->n_coming, i);
		queue_add(p, q);
	}
}

static void idle_wake(struct dp_poll *p, uint32_t i)
{
	p->idle[i]->quiet = 0;
	p->active[p->n_active++] = p->idle[i];
	idle_remove(p, i);
}

void dp_poll_hint(struct dp_poll *p, const void *q)
{
	for (uint32_t i = 0; i < p->n_idle; i++)
		if (p->idle[i] == q) {
			idle_wake(p, i);
			return;
		}
}

void dp_poll_look(struct dp_poll *p, uint32_t n)
{
	uint32_t at = p->next_idle;

	if (n > p->n_idle)
		n = p->n_idle;
	while (n--) {
		const struct ring_watch *w = &p->watch[at];

		if (likely(__atomic_load_n(w->at, __ATOMIC_RELAXED) == w->seen)) {
			if (++at == p->n_idle)
				at = 0;
			continue;
		}
		idle_wake(p, at);
		if (at >= p->n_idle)
			at = 0;
		if (n > p->n_idle)
			n = p->n_idle;
	}
	p->next_idle = at;
}

bool dp_poll_demote(struct dp_poll *p, uint32_t i)
{
	if (!idle_add(p, p->active[i]))
		return false;
	list_remove(p->active, &p->n_active, i);
	return true;
}
