/* SPDX-License-Identifier: Apache-2.0 */
/* A round out of what guests and switch replied. Pure. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/bench_hist.h"
#include "lab/bench_parts.h"

int bench_add_numbers(
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

/* ---- guests ---- */

struct flow_numbers {
	uint64_t frames, first_tsc, last_tsc;
	uint64_t ring_full, late_max_tsc;
	uint64_t duplicated, reordered, stale, corrupt;
};

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
	if (bench_add_numbers(j, latency_numbers, &n, "a receive flow's latency", e))
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

	if (bench_add_numbers(flow, common_numbers, &n, "a send flow", e) ||
		bench_add_numbers(flow, send_numbers, &n, "a send flow", e))
		return -EPROTO;
	r->sent = n.frames;
	r->ring_full = n.ring_full;
	r->late_max_us = (double)n.late_max_tsc * 1e6 / tsc_hz;
	read_rate(&n, tsc_hz, &r->send_s, &r->sent_fps);
	return 0;
}

static int encode_latency(
	const json_t *flow, double tsc_hz, struct bench_flow_result *r, struct err *e)
{
	struct hdr *h = hdr_new();
	int rc = h ? bench_hist_add(h, json_object_get(flow, "latency"), tsc_hz, e)
		   : err_set(e, -ENOMEM, "out of memory for a histogram");

	if (!rc)
		r->hdr = hdr_encode(h, e);
	free(h);
	return r->hdr ? 0 : -EPROTO;
}

static int read_receive(
	const json_t *flow, double tsc_hz, struct bench_flow_result *r, struct err *e)
{
	struct flow_numbers n = { 0 };

	if (bench_add_numbers(flow, common_numbers, &n, "a receive flow", e) ||
		bench_add_numbers(flow, receive_numbers, &n, "a receive flow", e))
		return -EPROTO;
	/* `frames` has duplicates among them, and stale ones, of which it can't tell; corrupt
	 * ones it hasn't. */
	n.frames -= n.duplicated < n.frames ? n.duplicated : n.frames;
	r->received = n.frames;
	r->duplicated = n.duplicated;
	r->reordered = n.reordered;
	r->stale = n.stale;
	r->corrupt = n.corrupt;
	r->buckets = json_incref(json_object_get(json_object_get(flow, "latency"), "buckets"));
	read_rate(&n, tsc_hz, &r->receive_s, &r->received_fps);
	if (r->buckets && encode_latency(flow, tsc_hz, r, e))
		return -EPROTO;
	return read_latency(flow, tsc_hz, &r->latency, e);
}

/* ---- a round ---- */

/* id: what its frames carry. */
static int read_flow(const struct bench_flow *f, unsigned id, const struct bench_raw *raw,
	struct bench_flow_result *r, struct err *e)
{
	const json_t *send = find_flow(raw->status[f->from.node], id, "send");
	const json_t *receive = find_flow(raw->status[f->to.node], id, "receive");

	*r = (struct bench_flow_result){ .send_s = NAN,
		.receive_s = NAN,
		.sent_fps = NAN,
		.received_fps = NAN,
		.late_max_us = NAN,
		.latency = no_latency };
	if (!send || !receive)
		return err_set(e, -EPROTO, "the guest %s forgot flow %u",
			send ? "that receives" : "that sends", id);
	if (read_send(send, raw->tsc_hz, r, e) || read_receive(receive, raw->tsc_hz, r, e))
		return -EPROTO;
	int64_t gap = json_integer_value(json_object_get(receive, "last_gap_tsc"));
	int64_t began = json_integer_value(json_object_get(send, "first_tsc"));
	r->last_gap_s = gap > began ? (double)(gap - began) / raw->tsc_hz : 0;
	r->lost = (int64_t)(r->sent - r->received);
	r->missed = f->max_loss >= 0 && (double)r->lost > f->max_loss * (double)r->sent;
	return 0;
}

static void read_loads(const struct topology *t, const struct bench_raw *raw, struct bench_round *r)
{
	for (size_t n = 0; n < t->n_nodes; n++) {
		const json_t *load = json_object_get(raw->status[n], "load");
		uint64_t tsc = (uint64_t)json_integer_value(json_object_get(load, "tsc"));
		uint64_t frames = (uint64_t)json_integer_value(json_object_get(load, "frames"));

		r->load[n].frames = frames;
		r->load[n].fps = tsc ? raw->tsc_hz * (double)frames / (double)tsc : NAN;
	}
}

void bench_cpus_diff(const struct bench_raw *raw, struct bench_round *r)
{
	const struct bench_cpu_sample *b = raw->cpu_before, *a = raw->cpu_after;

	for (size_t i = 0; i < r->n_cpus; i++) {
		r->cpu[i] = (struct bench_cpu){ NAN, NAN };
		/* Less than before: another process, or a thread of it has ended. */
		if (!a || !b || !a[i].known || !b[i].known || a[i].run_ns < b[i].run_ns ||
			a[i].waited_ns < b[i].waited_ns)
			continue;
		r->cpu[i].run_s = (double)(a[i].run_ns - b[i].run_ns) / 1e9;
		r->cpu[i].waited_s = (double)(a[i].waited_ns - b[i].waited_ns) / 1e9;
	}
}

/* Flows between ports whose policies keep them apart: the switch floods such a frame to nobody, and
 * where it counts no drop for that, the topology is the reason. */
static void explain_apart(
	const struct topology *t, const struct bench_trial *x, struct bench_round *r)
{
	uint64_t lost = 0;
	char why[128];

	for (size_t i = 0; i < x->n_flows; i++) {
		const struct topo_end *a = &x->flows[i].from, *b = &x->flows[i].to;

		if (topology_apart(&t->nodes[a->node].nics[a->nic].policy,
			    &t->nodes[b->node].nics[b->nic].policy, why, sizeof(why)))
			lost += r->flow[i].sent - r->flow[i].received;
	}
	if (r->unexplained <= 0)
		return;
	r->apart = (uint64_t)r->unexplained < lost ? r->unexplained : (int64_t)lost;
	r->unexplained -= r->apart;
}

/* Takes what was lost at a place off what is unexplained, and off the place what was not. */
static void explain_places(struct bench_round *r)
{
	uint64_t *const place[] = {
#define X(key, in_table, name) &r->places.key,
		BENCH_PLACES(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(place) / sizeof(place[0]); i++) {
		if (r->unexplained <= 0)
			*place[i] = 0;
		else if (*place[i] > (uint64_t)r->unexplained)
			*place[i] = (uint64_t)r->unexplained;
		r->unexplained -= (int64_t)*place[i];
	}
}

int bench_round_make(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_round *r, struct err *e)
{
	uint64_t corrupt = 0;
	int rc;

	*r = (struct bench_round){ .n_flows = x->n_flows };
	r->flow = calloc(x->n_flows, sizeof(*r->flow));
	r->net = calloc(t->n_networks, sizeof(*r->net));
	r->n_nets = t->n_networks;
	r->cpu = calloc(t->n_nodes + 1, sizeof(*r->cpu));
	r->n_cpus = t->n_nodes + 1;
	r->load = calloc(t->n_nodes, sizeof(*r->load));
	if (!r->flow || !r->net || !r->cpu || !r->load) {
		bench_round_free(r);
		return err_set(e, -ENOMEM, "out of memory");
	}
	rc = bench_switch_diff(raw->stats_before, raw->stats_after, &r->sw, e);
	if (!rc)
		rc = bench_nets_diff(t, raw->stats_before, raw->stats_after, r->net, e);
	for (size_t i = 0; i < x->n_flows && !rc; i++) {
		struct bench_flow_result *f = &r->flow[i];

		rc = read_flow(&x->flows[i], x->id_base + x->flows[i].id, raw, f, e);
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
	explain_apart(t, x, r);
	bench_places_find(t, x, raw, &r->places);
	explain_places(r);
	read_loads(t, raw, r);
	bench_cpus_diff(raw, r);
	r->cost = raw->cost ? bench_cost_diff(&raw->cost[0], &raw->cost[1])
			    : (struct bench_cost){ NAN, NAN, NAN, NAN, NAN };
	bench_round_judge(t, x, raw, r);
	return 0;
}

void bench_round_free(struct bench_round *r)
{
	for (size_t i = 0; r->flow && i < r->n_flows; i++) {
		json_decref(r->flow[i].buckets);
		free(r->flow[i].hdr);
	}
	for (size_t i = 0; i < r->n_warnings; i++)
		free(r->warnings[i].text);
	free(r->warnings);
	free(r->flow);
	free(r->net);
	free(r->cpu);
	free(r->load);
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
