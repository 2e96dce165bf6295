/* SPDX-License-Identifier: Apache-2.0 */
/* What the switch counted over a trial, out of its stats before and after. Pure. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/bench_parts.h"

static const struct num port_numbers[] = {
	NUM(bench_switch_result, flooded),
	NUM(bench_switch_result, notifications_sent),
	NUM(bench_switch_result, kicks_received),
	{ 0 },
};
static const struct num port_rx[] = { { "frames", offsetof(struct bench_switch_result, rx_frames) },
	{ 0 } };
static const struct num port_tx[] = { { "frames", offsetof(struct bench_switch_result, tx_frames) },
	{ 0 } };
static const struct num worker_numbers[] = {
	NUM(bench_switch_result, frames),
	NUM(bench_switch_result, bursts),
	NUM(bench_switch_result, polls),
	NUM(bench_switch_result, empty_polls),
	NUM(bench_switch_result, busy_cycles),
	NUM(bench_switch_result, idle_cycles),
	NUM(bench_switch_result, sleeps),
	NUM(bench_switch_result, wakeups),
	{ 0 },
};

static void add_drop(struct bench_switch_result *s, const char *reason, uint64_t n)
{
	size_t i = 0;

	while (i < s->n_drops && strcmp(s->drop[i].reason, reason) != 0)
		i++;
	if (i == BENCH_DROPS_MAX)
		return;
	if (i == s->n_drops) {
		snprintf(s->drop[i].reason, sizeof(s->drop[i].reason), "%s", reason);
		s->n_drops++;
	}
	s->drop[i].n += n;
}

/* A mirror's target gets copies: what becomes of those is not the traffic's business. */
static bool is_mirror_target(const json_t *ports, const json_t *port)
{
	const char *name = json_string_value(json_object_get(port, "name"));
	const json_t *p;
	size_t i;

	json_array_foreach (ports, i, p) {
		const json_t *policy = json_object_get(p, "policy");
		const char *to =
			json_string_value(json_object_get(json_object_get(policy, "mirror"), "to"));

		if (to && name && strcmp(to, name) == 0)
			return true;
	}
	return false;
}

/* All ports' and workers' counters, summed. */
static int sum_stats(const json_t *stats, struct bench_switch_result *s, struct err *e)
{
	const json_t *ports = json_object_get(stats, "ports"), *port, *worker, *n;
	const json_t *workers = json_object_get(stats, "workers");
	const char *reason;
	size_t i;

	if (!json_is_array(ports) || !json_is_array(workers))
		return err_set(e, -EPROTO, "the switch's stats lack \"ports\" or \"workers\"");
	json_array_foreach (ports, i, port) {
		if (is_mirror_target(ports, port))
			continue;
		if (bench_add_numbers(port, port_numbers, s, "a port of the switch's stats", e) ||
			bench_add_numbers(
				json_object_get(port, "rx"), port_rx, s, "a port's rx", e) ||
			bench_add_numbers(
				json_object_get(port, "tx"), port_tx, s, "a port's tx", e))
			return -EPROTO;
		json_object_foreach ((json_t *)json_object_get(port, "drops"), reason, n)
			add_drop(s, reason, (uint64_t)json_integer_value(n));
	}
	json_array_foreach (workers, i, worker)
		if (bench_add_numbers(
			    worker, worker_numbers, s, "a worker of the switch's stats", e))
			return -EPROTO;
	return 0;
}

static uint64_t drop_count(const struct bench_switch_result *s, const char *reason)
{
	for (size_t i = 0; i < s->n_drops; i++)
		if (strcmp(s->drop[i].reason, reason) == 0)
			return s->drop[i].n;
	return 0;
}

/* Largest first. */
static int by_count(const void *a, const void *b)
{
	const struct bench_drop *x = a, *y = b;

	return x->n < y->n ? 1 : x->n > y->n ? -1 : strcmp(x->reason, y->reason);
}

int bench_switch_diff(
	const json_t *before, const json_t *after, struct bench_switch_result *out, struct err *e)
{
	struct bench_switch_result a = { 0 }, b = { 0 };
	static const struct num *const tables[] = { port_numbers, worker_numbers };
	static const size_t frames[] = { offsetof(struct bench_switch_result, rx_frames),
		offsetof(struct bench_switch_result, tx_frames) };

	*out = (struct bench_switch_result){ 0 };
	if (sum_stats(before, &b, e) || sum_stats(after, &a, e))
		return -EPROTO;
	if (a.rx_frames < b.rx_frames || a.frames < b.frames)
		return err_set(e, -EIO,
			"the switch's counters went back during the trial: was it restarted?");
	for (size_t i = 0; i < 2; i++) {
		*(uint64_t *)((char *)out + frames[i]) = *(uint64_t *)((char *)&a + frames[i]) -
			*(uint64_t *)((char *)&b + frames[i]);
		for (const struct num *n = tables[i]; n->key; n++)
			*(uint64_t *)((char *)out + n->offset) =
				*(uint64_t *)((char *)&a + n->offset) -
				*(uint64_t *)((char *)&b + n->offset);
	}
	for (size_t i = 0; i < a.n_drops; i++) {
		uint64_t n = a.drop[i].n - drop_count(&b, a.drop[i].reason);

		out->dropped += n;
		if (n)
			add_drop(out, a.drop[i].reason, n);
	}
	qsort(out->drop, out->n_drops, sizeof(out->drop[0]), by_count);
	out->cycles_per_frame = out->frames ? (double)out->busy_cycles / (double)out->frames : NAN;
	out->frames_per_burst = out->bursts ? (double)out->frames / (double)out->bursts : NAN;
	double cycles = (double)out->busy_cycles + (double)out->idle_cycles;
	out->busy_ratio = cycles > 0 ? (double)out->busy_cycles / cycles : NAN;
	return 0;
}

int bench_nets_sum(
	const struct topology *t, const json_t *stats, struct bench_net *net, struct err *e)
{
	static const struct num rx[] = { { "frames", offsetof(struct bench_net, rx_frames) },
		{ 0 } };
	static const struct num tx[] = { { "frames", offsetof(struct bench_net, tx_frames) },
		{ 0 } };
	static const struct num own[] = { NUM(bench_net, flooded), { 0 } };
	const json_t *port, *n;
	const char *reason;
	size_t i;

	memset(net, 0, t->n_networks * sizeof(*net));
	json_array_foreach (json_object_get(stats, "ports"), i, port) {
		const char *name = json_string_value(json_object_get(port, "network"));
		struct bench_net *to = NULL;

		for (size_t k = 0; name && k < t->n_networks; k++)
			if (strcmp(t->networks[k].name, name) == 0)
				to = &net[k];
		if (!to || is_mirror_target(json_object_get(stats, "ports"), port))
			continue;
		if (bench_add_numbers(json_object_get(port, "rx"), rx, to, "a port's rx", e) ||
			bench_add_numbers(json_object_get(port, "tx"), tx, to, "a port's tx", e) ||
			bench_add_numbers(port, own, to, "a port of the switch's stats", e))
			return -EPROTO;
		json_object_foreach ((json_t *)json_object_get(port, "drops"), reason, n)
			to->dropped += (uint64_t)json_integer_value(n);
	}
	return 0;
}

bool bench_net_takes_part(const struct topology *t, const struct bench_trial *x, size_t network)
{
	for (size_t i = 0; i < x->n_flows; i++) {
		const struct topo_end *end = &x->flows[i].from; /* the other is on the same */

		if (t->nodes[end->node].nics[end->nic].network == network)
			return true;
	}
	return false;
}

int bench_nets_diff(const struct topology *t, const json_t *before, const json_t *after,
	struct bench_net *net, struct err *e)
{
	struct bench_net *old = calloc(t->n_networks, sizeof(*old));
	int rc;

	if (!old)
		return err_set(e, -ENOMEM, "out of memory");
	rc = bench_nets_sum(t, before, old, e);
	if (!rc)
		rc = bench_nets_sum(t, after, net, e);
	for (size_t i = 0; i < t->n_networks && !rc; i++) {
		net[i].rx_frames -= old[i].rx_frames;
		net[i].tx_frames -= old[i].tx_frames;
		net[i].flooded -= old[i].flooded;
		net[i].dropped -= old[i].dropped;
	}
	free(old);
	return rc;
}
