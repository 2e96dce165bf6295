/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of a bench, field by field as docs/results.md has it. */
#include <math.h>

#include "lab/report.h"

json_t *report_number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *ratio(int64_t part, uint64_t whole)
{
	return whole ? json_real((double)part / (double)whole) : json_null();
}

static json_t *latency_json(const struct bench_latency *l)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "min", report_number(l->min_us),
		"p50", report_number(l->p50_us), "p90", report_number(l->p90_us), "p99",
		report_number(l->p99_us), "p999", report_number(l->p999_us), "max",
		report_number(l->max_us), "mean", report_number(l->mean_us));
}

static void set_bps(json_t *j, double fps, uint32_t size)
{
	json_object_set_new(j, "received_bps_l2", report_number(fps * size * 8));
	json_object_set_new(
		j, "received_bps_l1", report_number(fps * (size + BENCH_L1_OVERHEAD) * 8));
}

json_t *report_flow_json(const struct topology *t, const struct bench_flow *f)
{
	char from[TOPO_NAME_MAX + 12], to[TOPO_NAME_MAX + 12];

	return json_pack("{s:i, s:s, s:s, s:s, s:i, s:o, s:o}", "id", (int)f->id, "entry",
		t->traffic[f->entry].name, "from",
		topology_port_name(t, f->from.node, f->from.nic, from), "to",
		topology_port_name(t, f->to.node, f->to.nic, to), "frame_bytes", (int)f->size,
		"rate_fps", report_number(f->rate_mfps ? (double)f->rate_mfps / 1000 : NAN),
		"max_loss", report_number(f->max_loss >= 0 ? f->max_loss : NAN));
}

static json_t *flow_result_json(const struct bench_flow *f, const struct bench_flow_result *r)
{
	json_t *j = json_object();

	json_object_set_new(j, "id", json_integer(f->id));
	json_object_set_new(j, "sent", count(r->sent));
	json_object_set_new(j, "received", count(r->received));
	json_object_set_new(j, "lost", json_integer(r->lost));
	json_object_set_new(j, "loss_ratio", ratio(r->lost, r->sent));
	json_object_set_new(j, "missed", json_boolean(r->missed));
	json_object_set_new(j, "duplicated", count(r->duplicated));
	json_object_set_new(j, "reordered", count(r->reordered));
	json_object_set_new(j, "stale", count(r->stale));
	json_object_set_new(j, "corrupt", count(r->corrupt));
	json_object_set_new(j, "sent_fps", report_number(r->sent_fps));
	json_object_set_new(j, "received_fps", report_number(r->received_fps));
	set_bps(j, r->received_fps, f->size);
	json_object_set_new(j, "send_s", report_number(r->send_s));
	json_object_set_new(j, "receive_s", report_number(r->receive_s));
	json_object_set_new(j, "ring_full", count(r->ring_full));
	json_object_set_new(j, "late_max_us", report_number(f->rate_mfps ? r->late_max_us : NAN));
	json_object_set_new(j, "latency_us", latency_json(&r->latency));
	if (r->buckets)
		json_object_set(j, "latency_buckets_tsc", r->buckets);
	if (r->hdr)
		json_object_set_new(j, "latency_hdr_ns", json_string(r->hdr));
	return j;
}

json_t *report_switch_json(const struct bench_switch_result *s)
{
	json_t *j = json_object(), *drops = json_object();
	const struct {
		const char *key;
		uint64_t n;
	} counts[] = {
		{ "rx_frames", s->rx_frames },
		{ "tx_frames", s->tx_frames },
		{ "flooded", s->flooded },
		{ "dropped", s->dropped },
		{ "worker_frames", s->frames },
		{ "bursts", s->bursts },
		{ "polls", s->polls },
		{ "empty_polls", s->empty_polls },
		{ "busy_cycles", s->busy_cycles },
		{ "idle_cycles", s->idle_cycles },
		{ "sleeps", s->sleeps },
		{ "wakeups", s->wakeups },
		{ "notifications_sent", s->notifications_sent },
		{ "kicks_received", s->kicks_received },
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		json_object_set_new(j, counts[i].key, count(counts[i].n));
	json_object_set_new(j, "cycles_per_frame", report_number(s->cycles_per_frame));
	json_object_set_new(j, "frames_per_burst", report_number(s->frames_per_burst));
	json_object_set_new(j, "busy_ratio", report_number(s->busy_ratio));
	for (size_t i = 0; i < s->n_drops; i++)
		json_object_set_new(drops, s->drop[i].reason, count(s->drop[i].n));
	json_object_set_new(j, "drops", drops);
	return j;
}

json_t *report_places_json(const struct bench_places *p)
{
	json_t *j = json_object();

#define X(key, in_table, name) json_object_set_new(j, #key, count(p->key));
	BENCH_PLACES(X)
#undef X
	return j;
}

static json_t *net_json(const struct topology *t, size_t i, const struct bench_net *n)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", t->networks[i].name, "rx_frames",
		count(n->rx_frames), "tx_frames", count(n->tx_frames), "flooded", count(n->flooded),
		"dropped", count(n->dropped));
}

json_t *report_cpus_json(const struct topology *t, const struct bench_round *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_cpus; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:o, s:o}", "who", i ? t->nodes[i - 1].name : "switch",
				"run_s", report_number(r->cpu[i].run_s), "waited_s",
				report_number(r->cpu[i].waited_s)));
	return list;
}

/* What each node's generator moved, and what it could have. */
static json_t *generators_json(
	const struct topology *t, const struct bench_trial *x, const struct bench_round *r)
{
	json_t *list = json_array();

	for (size_t n = 0; r->load && n < t->n_nodes; n++) {
		double moved = 0;

		if (!bench_node_sends(x, n) && !bench_node_receives(x, n))
			continue;
		for (size_t i = 0; i < r->n_flows; i++) {
			moved += x->flows[i].from.node == n ? r->flow[i].sent_fps : 0;
			moved += x->flows[i].to.node == n ? r->flow[i].received_fps : 0;
		}
		json_array_append_new(list,
			json_pack("{s:s, s:o, s:o}", "node", t->nodes[n].name, "moved_fps",
				report_number(moved), "limit_fps", report_number(r->load[n].fps)));
	}
	return list;
}

json_t *report_cost_json(const struct bench_cost *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "switch_s", report_number(c->switch_s),
		"nodes_s", report_number(c->nodes_s), "vhost_s", report_number(c->vhost_s),
		"interrupts_s", report_number(c->irq_s), "exits", report_number(c->exits));
}

json_t *report_warnings_json(const struct bench_round *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_warnings; i++)
		json_array_append_new(list, json_string(r->warnings[i].text));
	return list;
}

json_t *report_round_json(
	const struct topology *t, const struct bench_trial *x, const struct bench_round *r)
{
	json_t *j = json_object(), *flows = json_array(), *nets = json_array();

	for (size_t i = 0; i < r->n_flows; i++)
		json_array_append_new(flows, flow_result_json(&x->flows[i], &r->flow[i]));
	for (size_t i = 0; i < r->n_nets; i++)
		json_array_append_new(nets, net_json(t, i, &r->net[i]));
	json_object_set_new(j, "sent", count(r->sent));
	json_object_set_new(j, "received", count(r->received));
	json_object_set_new(j, "lost", json_integer(r->lost));
	json_object_set_new(j, "loss_ratio", ratio(r->lost, r->sent));
	json_object_set_new(j, "apart", json_integer(r->apart));
	json_object_set_new(j, "places", report_places_json(&r->places));
	json_object_set_new(j, "unexplained", json_integer(r->unexplained));
	json_object_set_new(j, "missed", json_boolean(r->missed));
	json_object_set_new(j, "sent_fps", report_number(r->sent_fps));
	json_object_set_new(j, "received_fps", report_number(r->received_fps));
	json_object_set_new(j, "received_bps_l2", report_number(bench_round_bps(x, r, 0)));
	json_object_set_new(
		j, "received_bps_l1", report_number(bench_round_bps(x, r, BENCH_L1_OVERHEAD)));
	json_object_set_new(j, "flows", flows);
	json_object_set_new(j, "switch", report_switch_json(&r->sw));
	json_object_set_new(j, "networks", nets);
	json_object_set_new(j, "cpu", report_cpus_json(t, r));
	json_object_set_new(j, "generators", generators_json(t, x, r));
	json_object_set_new(j, "cost", report_cost_json(&r->cost));
	json_object_set_new(j, "warnings", report_warnings_json(r));
	return j;
}

static json_t *median_json(const struct bench_trial *x, const struct bench_summary *s)
{
	json_t *j = json_object(), *flows = json_array();

	for (size_t i = 0; i < x->n_flows; i++) {
		const struct bench_figures *f = &s->median[i + 1];
		json_t *flow = json_object();

		json_object_set_new(flow, "id", json_integer(x->flows[i].id));
		json_object_set_new(flow, "sent_fps", report_number(f->sent_fps));
		json_object_set_new(flow, "received_fps", report_number(f->received_fps));
		set_bps(flow, f->received_fps, x->flows[i].size);
		json_object_set_new(flow, "latency_us", latency_json(&f->latency));
		json_array_append_new(flows, flow);
	}
	json_object_set_new(j, "sent_fps", report_number(s->median[0].sent_fps));
	json_object_set_new(j, "received_fps", report_number(s->median[0].received_fps));
	json_object_set_new(j, "cycles_per_frame", report_number(s->median[0].cycles_per_frame));
	json_object_set_new(j, "worst_latency_us", latency_json(&s->median[0].latency));
	json_object_set_new(j, "flows", flows);
	return j;
}

json_t *report_trial_json(const struct topology *t, const struct bench_trial *x,
	const struct bench_round *rounds, size_t n, const struct bench_summary *s)
{
	json_t *j = json_object(), *flows = json_array(), *list = json_array();

	for (size_t i = 0; i < x->n_flows; i++)
		json_array_append_new(flows, report_flow_json(t, &x->flows[i]));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, report_round_json(t, x, &rounds[i]));
	json_object_set_new(j, "name", json_string(x->title));
	json_object_set_new(j, "group", json_boolean(x->group));
	json_object_set_new(j, "seconds", report_number(x->seconds));
	json_object_set_new(j, "latency_under_full_load", json_boolean(x->flat_out));
	json_object_set_new(j, "missed", json_boolean(s->n_missed > 0));
	json_object_set_new(j, "sent", count(s->sent));
	json_object_set_new(j, "received", count(s->received));
	json_object_set_new(j, "lost", json_integer(s->lost));
	json_object_set_new(j, "flows", flows);
	json_object_set_new(j, "median", median_json(x, s));
	json_object_set_new(j, "best",
		json_pack("{s:i, s:o, s:o}", "round", (int)s->best, "received_fps",
			report_number(s->max_fps), "cycles_per_frame",
			report_number(s->best_cycles)));
	json_object_set_new(j, "rounds", list);
	return j;
}

json_t *report_networks_json(
	const struct topology *t, const struct bench_plan *plan, const json_t *stats)
{
	struct bench_net net[TOPO_ITEMS_MAX];
	json_t *list = json_array();

	if (bench_nets_sum(t, stats, net, NULL)) {
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < t->n_networks; i++) {
		json_t *j = net_json(t, i, &net[i]);
		bool part = false;

		for (size_t k = 0; k < plan->n_trials; k++)
			part |= bench_net_takes_part(t, &plan->trials[k], i);
		json_object_set_new(j, "takes_part", json_boolean(part));
		json_array_append_new(list, j);
	}
	return list;
}
