/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_result.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Paced senders may be this much slower than asked before a warning says so. */
#define RATE_TOLERANCE 0.01
#define LATE_WARN_US   1000.0

/* A number of a reply, and the field that it goes to. */
struct num {
	const char *key;
	size_t offset; /* of a uint64_t */
};

/* Adds each number of the table to its field. -EPROTO if one is missing. */
static int add_numbers(
	const json_t *o, const struct num *table, void *out, const char *what, struct err *e)
{
	for (; table->key; table++) {
		const json_t *v = json_object_get(o, table->key);

		if (!json_is_integer(v))
			return err_set(e, -EPROTO, "%s lacks the number \"%s\"", what, table->key);
		*(uint64_t *)((char *)out + table->offset) += (uint64_t)json_integer_value(v);
	}
	return 0;
}

int bench_round_warn(struct bench_round *r, const char *fmt, ...)
{
	char **list = realloc(r->warnings, (r->n_warnings + 1) * sizeof(*list));
	va_list ap;

	if (!list)
		return -ENOMEM;
	r->warnings = list;
	va_start(ap, fmt);
	int n = vasprintf(&list[r->n_warnings], fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	r->n_warnings++;
	return 0;
}

/* ---- guests ---- */

struct flow_numbers {
	uint64_t frames, first_tsc, last_tsc;
	uint64_t ring_full, late_max_tsc;
	uint64_t duplicated, reordered, stale, corrupt;
};

#define NUM(type, field)                             \
	{                                            \
#field, offsetof(struct type, field) \
	}
static const struct num common_numbers[] = {
	NUM(flow_numbers, frames),
	NUM(flow_numbers, first_tsc),
	NUM(flow_numbers, last_tsc),
	{ 0 },
};
static const struct num send_numbers[] = {
	NUM(flow_numbers, ring_full),
	NUM(flow_numbers, late_max_tsc),
	{ 0 },
};
static const struct num receive_numbers[] = {
	NUM(flow_numbers, duplicated),
	NUM(flow_numbers, reordered),
	NUM(flow_numbers, stale),
	NUM(flow_numbers, corrupt),
	{ 0 },
};

struct latency_numbers {
	uint64_t count, min_tsc, max_tsc, sum_tsc, p50_tsc, p90_tsc, p99_tsc, p999_tsc;
};
static const struct num latency_numbers[] = {
	NUM(latency_numbers, count),
	NUM(latency_numbers, min_tsc),
	NUM(latency_numbers, max_tsc),
	NUM(latency_numbers, sum_tsc),
	NUM(latency_numbers, p50_tsc),
	NUM(latency_numbers, p90_tsc),
	NUM(latency_numbers, p99_tsc),
	NUM(latency_numbers, p999_tsc),
	{ 0 },
};

static const json_t *find_flow(const json_t *status, unsigned id, const char *role)
{
	const json_t *flows = json_object_get(status, "flows");
	const json_t *f;
	size_t i;

	json_array_foreach (flows, i, f) {
		const char *r = json_string_value(json_object_get(f, "role"));

		if (json_integer_value(json_object_get(f, "id")) == (json_int_t)id && r &&
			strcmp(r, role) == 0)
			return f;
	}
	return NULL;
}

static const struct bench_latency no_latency = { NAN, NAN, NAN, NAN, NAN, NAN, NAN };

static int read_latency(const json_t *flow, double tsc_hz, struct bench_latency *l, struct err *e)
{
	const json_t *j = json_object_get(flow, "latency");
	struct latency_numbers n = { 0 };
	double us = 1e6 / tsc_hz;

	*l = no_latency;
	if (add_numbers(j, latency_numbers, &n, "a receive flow's latency", e))
		return -EPROTO;
	if (n.count == 0)
		return 0;
	*l = (struct bench_latency){
		.min_us = (double)n.min_tsc * us,
		.p50_us = (double)n.p50_tsc * us,
		.p90_us = (double)n.p90_tsc * us,
		.p99_us = (double)n.p99_tsc * us,
		.p999_us = (double)n.p999_tsc * us,
		.max_us = (double)n.max_tsc * us,
		.mean_us = (double)n.sum_tsc / (double)n.count * us,
	};
	return 0;
}

/* n frames have n - 1 gaps between the first and the last. */
static void read_rate(const struct flow_numbers *n, double tsc_hz, double *seconds, double *fps)
{
	*seconds = *fps = NAN;
	if (n->frames == 0)
		*fps = 0;
	if (n->frames < 2 || n->last_tsc <= n->first_tsc)
		return;
	*seconds = (double)(n->last_tsc - n->first_tsc) / tsc_hz;
	*fps = (double)(n->frames - 1) / *seconds;
}

static int read_send(const json_t *flow, double tsc_hz, struct bench_flow_result *r, struct err *e)
{
	struct flow_numbers n = { 0 };

	if (add_numbers(flow, common_numbers, &n, "a send flow", e) ||
		add_numbers(flow, send_numbers, &n, "a send flow", e))
		return -EPROTO;
	r->sent = n.frames;
	r->ring_full = n.ring_full;
	r->late_max_us = (double)n.late_max_tsc * 1e6 / tsc_hz;
	read_rate(&n, tsc_hz, &r->send_s, &r->sent_fps);
	return 0;
}

static int read_receive(
	const json_t *flow, double tsc_hz, struct bench_flow_result *r, struct err *e)
{
	struct flow_numbers n = { 0 };

	if (add_numbers(flow, common_numbers, &n, "a receive flow", e) ||
		add_numbers(flow, receive_numbers, &n, "a receive flow", e))
		return -EPROTO;
	/* `frames` has duplicates among them, and stale ones, of which the guest can't tell; corrupt
	 * ones it hasn't. */
	n.frames -= n.duplicated < n.frames ? n.duplicated : n.frames;
	r->received = n.frames;
	r->duplicated = n.duplicated;
	r->reordered = n.reordered;
	r->stale = n.stale;
	r->corrupt = n.corrupt;
	r->buckets = json_incref(json_object_get(json_object_get(flow, "latency"), "buckets"));
	read_rate(&n, tsc_hz, &r->receive_s, &r->received_fps);
	return read_latency(flow, tsc_hz, &r->latency, e);
}

/* ---- switch ---- */

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
		if (add_numbers(port, port_numbers, s, "a port of the switch's stats", e) ||
			add_numbers(json_object_get(port, "rx"), port_rx, s, "a port's rx", e) ||
			add_numbers(json_object_get(port, "tx"), port_tx, s, "a port's tx", e))
			return -EPROTO;
		json_object_foreach ((json_t *)json_object_get(port, "drops"), reason, n)
			add_drop(s, reason, (uint64_t)json_integer_value(n));
	}
	json_array_foreach (workers, i, worker)
		if (add_numbers(worker, worker_numbers, s, "a worker of the switch's stats", e))
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

static int diff_stats(
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
		if (!to)
			continue;
		if (add_numbers(json_object_get(port, "rx"), rx, to, "a port's rx", e) ||
			add_numbers(json_object_get(port, "tx"), tx, to, "a port's tx", e) ||
			add_numbers(port, own, to, "a port of the switch's stats", e))
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

static int diff_nets(
	const struct topology *t, const struct bench_raw *raw, struct bench_round *r, struct err *e)
{
	struct bench_net *before = calloc(t->n_networks, sizeof(*before));
	int rc = -ENOMEM;

	r->n_nets = t->n_networks;
	r->net = calloc(t->n_networks, sizeof(*r->net));
	if (!before || !r->net) {
		err_set(e, rc, "out of memory");
		goto out;
	}
	rc = bench_nets_sum(t, raw->stats_before, before, e);
	if (!rc)
		rc = bench_nets_sum(t, raw->stats_after, r->net, e);
	for (size_t i = 0; i < t->n_networks && !rc; i++) {
		r->net[i].rx_frames -= before[i].rx_frames;
		r->net[i].tx_frames -= before[i].tx_frames;
		r->net[i].flooded -= before[i].flooded;
		r->net[i].dropped -= before[i].dropped;
	}
out:
	free(before);
	return rc;
}

/* ---- a round ---- */

static int read_flow(const struct bench_flow *f, const struct bench_raw *raw,
	struct bench_flow_result *r, struct err *e)
{
	const json_t *send = find_flow(raw->status[f->from.node], f->id, "send");
	const json_t *receive = find_flow(raw->status[f->to.node], f->id, "receive");

	*r = (struct bench_flow_result){ .send_s = NAN,
		.receive_s = NAN,
		.sent_fps = NAN,
		.received_fps = NAN,
		.late_max_us = NAN,
		.latency = no_latency };
	if (!send || !receive)
		return err_set(e, -EPROTO, "the guest %s forgot flow %u",
			send ? "that receives" : "that sends", f->id);
	if (read_send(send, raw->tsc_hz, r, e) || read_receive(receive, raw->tsc_hz, r, e))
		return -EPROTO;
	r->lost = (int64_t)(r->sent - r->received);
	r->missed = f->max_loss >= 0 && (double)r->lost > f->max_loss * (double)r->sent;
	return 0;
}

static char *flow_name(const struct topology *t, const struct bench_flow *f, char *out, size_t size)
{
	snprintf(out, size, "%s.%zu > %s.%zu", t->nodes[f->from.node].name, f->from.nic,
		t->nodes[f->to.node].name, f->to.nic);
	return out;
}

/* Flows that show one fault, of which the worst is named: a dozen flows make no dozen warnings. */
struct tally {
	size_t n, worst;
	double badness;
};

static void tally_add(struct tally *y, size_t flow, double badness)
{
	if (!(badness > 0))
		return;
	if (!y->n++ || badness > y->badness) {
		y->worst = flow;
		y->badness = badness;
	}
}

/* "a.0 > b.0" or "3 of 12 flows, a.0 > b.0 most". */
static char *tally_name(const struct topology *t, const struct bench_trial *x,
	const struct tally *y, char *out, size_t size)
{
	char name[2 * TOPO_NAME_MAX + 32];

	flow_name(t, &x->flows[y->worst], name, sizeof(name));
	if (y->n == 1)
		snprintf(out, size, "%s", name);
	else
		snprintf(out, size, "%zu of %zu flows, %s most", y->n, x->n_flows, name);
	return out;
}

/* The faults that flows may have: how bad one is (0 or NaN: not at all), and what is said. */
enum fault { SENT_NOTHING, SLOW, LATE, CORRUPT, TWICE, STALE, TOO_MANY, CLOCK, N_FAULTS };

static double fault_badness(
	enum fault fault, const struct bench_flow *f, const struct bench_flow_result *r)
{
	double wanted = (double)f->rate_mfps / 1000;

	switch (fault) {
	case SENT_NOTHING:
		return r->sent == 0;
	case SLOW: /* the part of the rate that was not kept */
		return wanted > 0 && r->sent_fps < wanted * (1 - RATE_TOLERANCE)
			? 1 - r->sent_fps / wanted
			: 0;
	case LATE:
		return wanted > 0 && r->late_max_us > LATE_WARN_US ? r->late_max_us / 1000 : 0;
	case CORRUPT:
		return (double)r->corrupt;
	case TWICE:
		return (double)r->duplicated;
	case STALE:
		return (double)r->stale;
	case TOO_MANY:
		return -(double)r->lost;
	case CLOCK: /* a time stamp from the future shows as a huge difference */
		return r->latency.max_us > 3.6e9;
	default:
		return 0;
	}
}

static void say_fault(struct bench_round *r, enum fault fault, const char *who, double badness)
{
	switch (fault) {
	case SENT_NOTHING:
		bench_round_warn(r, "%s: the sender sent nothing", who);
		break;
	case SLOW:
		bench_round_warn(r,
			"%s: sent %.3g%% less than the rate asked for: too few CPUs, or more than the "
			"path takes",
			who, badness * 100);
		break;
	case LATE:
		bench_round_warn(r,
			"%s: sent up to %.3g ms late: something else had the CPU, so the frames came in "
			"bursts",
			who, badness);
		break;
	case CORRUPT:
		bench_round_warn(r, "%s: %.0f frames arrived corrupt", who, badness);
		break;
	case TWICE:
		bench_round_warn(r, "%s: %.0f frames arrived twice", who, badness);
		break;
	case STALE:
		bench_round_warn(r,
			"%s: %.0f frames came so late that they may have come twice: they count as "
			"received",
			who, badness);
		break;
	case TOO_MANY:
		bench_round_warn(r, "%s: %.0f more frames were received than sent", who, badness);
		break;
	case CLOCK:
		bench_round_warn(r, "%s: latency of hours: the guests' clocks differ", who);
		break;
	default:
		break;
	}
}

static void warn_flows(const struct topology *t, const struct bench_trial *x, struct bench_round *r)
{
	char who[2 * TOPO_NAME_MAX + 96];

	for (enum fault fault = 0; fault < N_FAULTS; fault++) {
		struct tally y = { 0 };

		for (size_t i = 0; i < x->n_flows; i++)
			tally_add(&y, i, fault_badness(fault, &x->flows[i], &r->flow[i]));
		if (!y.n)
			continue;
		tally_name(t, x, &y, who, sizeof(who));
		say_fault(r, fault, who, y.badness);
	}
}

static void warn_ports(const json_t *stats, struct bench_round *r)
{
	const json_t *port;
	size_t i;

	json_array_foreach (json_object_get(stats, "ports"), i, port) {
		const char *state = json_string_value(json_object_get(port, "state"));
		const char *reason = json_string_value(json_object_get(port, "reason"));

		if (state && strcmp(state, "disabled") == 0)
			bench_round_warn(r, "port %s is disabled: %s",
				json_string_value(json_object_get(port, "name")),
				reason ? reason : "no reason given");
	}
}

static void warn_round(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_round *r)
{
	warn_flows(t, x, r);
	if (r->sw.flooded)
		bench_round_warn(r,
			"%llu frames were flooded: an address was forgotten during the trial "
			"(ageing_s), or never learnt",
			(unsigned long long)r->sw.flooded);
	if (r->sw.rx_frames != r->sent)
		bench_round_warn(r,
			"the guests say they sent %llu frames, the switch counted %llu from them",
			(unsigned long long)r->sent, (unsigned long long)r->sw.rx_frames);
	if (r->unexplained > 0)
		bench_round_warn(r,
			"%lld frames were LOST WITHOUT A REASON: sent, not received, and counted as "
			"dropped nowhere",
			(long long)r->unexplained);
	for (size_t i = 0; i < r->n_nets; i++)
		if (r->net[i].rx_frames + r->net[i].tx_frames && !bench_net_takes_part(t, x, i))
			bench_round_warn(r,
				"network %s takes no part, but saw %llu frames from its guests and %llu to "
				"them",
				t->networks[i].name, (unsigned long long)r->net[i].rx_frames,
				(unsigned long long)r->net[i].tx_frames);
	warn_ports(raw->stats_after, r);
}

int bench_round_make(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_round *r, struct err *e)
{
	uint64_t corrupt = 0;
	int rc;

	*r = (struct bench_round){ .n_flows = x->n_flows };
	r->flow = calloc(x->n_flows, sizeof(*r->flow));
	if (!r->flow)
		return err_set(e, -ENOMEM, "out of memory");
	rc = diff_stats(raw->stats_before, raw->stats_after, &r->sw, e);
	if (!rc)
		rc = diff_nets(t, raw, r, e);
	for (size_t i = 0; i < x->n_flows && !rc; i++) {
		struct bench_flow_result *f = &r->flow[i];

		rc = read_flow(&x->flows[i], raw, f, e);
		r->sent += f->sent;
		r->received += f->received;
		corrupt += f->corrupt;
		r->sent_fps += f->sent_fps;
		r->received_fps += f->received_fps;
		r->missed |= f->missed;
	}
	if (rc) {
		bench_round_free(r);
		return rc;
	}
	r->lost = (int64_t)(r->sent - r->received);
	r->unexplained = r->lost - (int64_t)(r->sw.dropped + corrupt);
	warn_round(t, x, raw, r);
	return 0;
}

void bench_round_free(struct bench_round *r)
{
	for (size_t i = 0; r->flow && i < r->n_flows; i++)
		json_decref(r->flow[i].buckets);
	for (size_t i = 0; i < r->n_warnings; i++)
		free(r->warnings[i]);
	free(r->warnings);
	free(r->flow);
	free(r->net);
	*r = (struct bench_round){ 0 };
}

static double worse(double a, double b)
{
	return isnan(a) ? b : isnan(b) || a > b ? a : b;
}

struct bench_latency bench_latency_worst(const struct bench_round *r)
{
	struct bench_latency w = no_latency;

	for (size_t i = 0; i < r->n_flows; i++) {
		const struct bench_latency *l = &r->flow[i].latency;

		w.min_us = isnan(w.min_us) || l->min_us < w.min_us ? l->min_us : w.min_us;
		w.p50_us = worse(w.p50_us, l->p50_us);
		w.p90_us = worse(w.p90_us, l->p90_us);
		w.p99_us = worse(w.p99_us, l->p99_us);
		w.p999_us = worse(w.p999_us, l->p999_us);
		w.max_us = worse(w.max_us, l->max_us);
		w.mean_us = worse(w.mean_us, l->mean_us);
	}
	return w;
}

double bench_round_bps(const struct bench_trial *x, const struct bench_round *r, unsigned overhead)
{
	double bps = 0;

	for (size_t i = 0; i < r->n_flows; i++)
		bps += r->flow[i].received_fps * (x->flows[i].size + overhead) * 8;
	return bps;
}
