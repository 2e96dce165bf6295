/* SPDX-License-Identifier: Apache-2.0 */
/* The document of a comparison (docs/results.md): out of rounds, figures with their intervals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/compare.h"
#include "lab/report.h"
#include "lab/report_search.h"
#include "lab/report_tcp.h"
#include "measure/stats.h"

json_t *compare_figure(const double *v, size_t n)
{
	double *known = calloc(n ? n : 1, sizeof(*known));
	json_t *j = json_object(), *values = json_array();
	struct stats_interval x;
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		json_array_append_new(values, report_number(v[i]));
		if (known && !isnan(v[i]))
			known[k++] = v[i];
	}
	json_object_set_new(j, "median", report_number(k ? stats_median(known, k) : (double)NAN));
	x = stats_median_interval(known, k, BENCH_CONFIDENCE);
	json_object_set_new(j, "low", report_number(x.low));
	json_object_set_new(j, "high", report_number(x.high));
	json_object_set_new(j, "confidence", json_real(x.confidence));
	json_object_set_new(j, "values", values);
	free(known);
	return j;
}

/* ---- figures of a round ---- */

struct context {
	double tsc_hz;
	struct bench_latency latency; /* the worst flow's */
};

static double per_frame(const struct bench_round *r, double n)
{
	return r->received ? n / (double)r->received : NAN;
}

static double cycles(const struct context *c, const struct bench_round *r, double seconds)
{
	return per_frame(r, seconds * c->tsc_hz);
}

#define FIGURES(X)                                                               \
	X(sent_fps, r->sent_fps)                                                 \
	X(received_fps, r->received_fps)                                         \
	X(loss_ratio, r->sent ? (double)r->lost / (double)r->sent : NAN)         \
	X(min_us, c->latency.min_us)                                             \
	X(p50_us, c->latency.p50_us)                                             \
	X(p90_us, c->latency.p90_us)                                             \
	X(p99_us, c->latency.p99_us)                                             \
	X(p999_us, c->latency.p999_us)                                           \
	X(max_us, c->latency.max_us)                                             \
	X(mean_us, c->latency.mean_us)                                           \
	X(jitter_us, c->latency.p999_us - c->latency.min_us)                     \
	X(cycles_switch_busy, r->cost.switch_s > 0 ? r->sw.cycles_per_frame : 0) \
	X(cycles_switch, cycles(c, r, r->cost.switch_s))                         \
	X(cycles_nodes, cycles(c, r, r->cost.nodes_s))                           \
	X(cycles_vhost, cycles(c, r, r->cost.vhost_s))                           \
	X(cycles_interrupts, cycles(c, r, r->cost.irq_s))                        \
	X(cycles_total, cycles(c, r, bench_cost_total(&r->cost)))                \
	X(exits_per_frame, per_frame(r, r->cost.exits))                          \
	X(interrupts_per_frame, per_frame(r, (double)r->sw.notifications_sent))  \
	X(kicks_per_frame, per_frame(r, (double)r->sw.kicks_received))

#define X(name, expression)                                                               \
	static double figure_##name(const struct context *c, const struct bench_round *r) \
	{                                                                                 \
		return expression;                                                        \
	}
FIGURES(X)
#undef X

static const struct {
	const char *key;
	double (*fn)(const struct context *c, const struct bench_round *r);
} figures[] = {
#define X(name, expression) { #name, figure_##name },
	FIGURES(X)
#undef X
};

static json_t *figures_json(const struct compare_load *l, double tsc_hz)
{
	double *v = calloc(l->n ? l->n : 1, sizeof(*v));
	json_t *j = json_object();

	for (size_t k = 0; v && k < sizeof(figures) / sizeof(figures[0]); k++) {
		for (size_t i = 0; i < l->n; i++) {
			struct context c = { tsc_hz, bench_latency_worst(&l->round[i]) };

			v[i] = figures[k].fn(&c, &l->round[i]);
		}
		json_object_set_new(j, figures[k].key, compare_figure(v, l->n));
	}
	free(v);
	return j;
}

/* ---- what was lost, and where ---- */

struct lost {
	uint64_t sent, received;
	int64_t lost, unexplained;
	json_t *places;
};

static void lost_at(struct lost *l, const char *place, uint64_t n)
{
	json_int_t before = json_integer_value(json_object_get(l->places, place));

	if (n)
		json_object_set_new(l->places, place, json_integer(before + (json_int_t)n));
}

static void lost_add(struct lost *l, const struct bench_round *r)
{
	l->sent += r->sent;
	l->received += r->received;
	l->lost += r->lost;
	l->unexplained += r->unexplained;
	for (size_t i = 0; i < r->sw.n_drops; i++) {
		char place[64];

		snprintf(place, sizeof(place), "switch: %.47s", r->sw.drop[i].reason);
		lost_at(l, place, r->sw.drop[i].n);
	}
	for (size_t i = 0; i < r->n_flows; i++)
		lost_at(l, "arrived corrupt", r->flow[i].corrupt);
#define X(key, in_table, name) lost_at(l, name, r->places.key);
	BENCH_PLACES(X)
#undef X
	lost_at(l, "kept apart by policy", r->apart > 0 ? (uint64_t)r->apart : 0);
}

static json_t *lost_json(const struct lost *l)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:I}", "sent", (json_int_t)l->sent, "received",
		(json_int_t)l->received, "lost", (json_int_t)l->lost, "places", l->places,
		"unexplained", (json_int_t)l->unexplained);
}

static json_t *lost_of_rounds(const struct bench_round *r, size_t n)
{
	struct lost l = { .places = json_object() };

	for (size_t i = 0; i < n; i++)
		lost_add(&l, &r[i]);
	return lost_json(&l);
}

/* Of all trials of all searches. */
static json_t *searches_json(const struct bench_search *s)
{
	struct lost l = { .places = json_object() };
	json_int_t n = 0;
	json_t *j;

	for (size_t i = 0; i < s->n_rounds; i++) {
		for (size_t k = 0; k < s->round[i].s.n_trials; k++)
			lost_add(&l, &s->round[i].trial[k]);
		n += (json_int_t)s->round[i].s.n_trials;
	}
	j = lost_json(&l);
	json_object_set_new(j, "trials", json_integer(n));
	json_object_set_new(j, "disturbed", json_integer((json_int_t)s->n_disturbed));
	return j;
}

/* ---- a path ---- */

void compare_add_warnings(json_t *list, const struct bench_round *r)
{
	for (size_t i = 0; i < r->n_warnings; i++) {
		json_t *new = json_string(r->warnings[i].text), *old;
		bool known = false;
		size_t k;

		json_array_foreach (list, k, old)
			known |= json_equal(old, new);
		if (!known)
			json_array_append(list, new);
		json_decref(new);
	}
}

static json_t *warnings_json(const struct compare_load *l)
{
	json_t *list = json_array();

	for (size_t r = 0; r < l->n; r++)
		compare_add_warnings(list, &l->round[r]);
	return list;
}

static json_t *rounds_json(const struct topology *t, const struct compare_load *l)
{
	json_t *list = json_array(), *flow;
	size_t k;

	for (size_t i = 0; i < l->n; i++) {
		json_t *r = report_round_json(t, &l->trial, &l->round[i]);

		json_array_foreach (json_object_get(r, "flows"), k, flow)
			json_object_del(flow, "latency_buckets_tsc"); /* the HDR text has it all */
		json_array_append_new(list, r);
	}
	return list;
}

static json_t *load_json(const struct topology *t, const struct compare_load *l, double tsc_hz)
{
	double n = (double)l->trial.n_flows;
	json_t *j = json_object();

	json_object_set_new(j, "name", json_string(l->name));
	json_object_set_new(j, "percent", report_number(l->percent));
	json_object_set_new(j, "offered_fps", report_number(l->fps * n));
	json_object_set_new(j, "figures", figures_json(l, tsc_hz));
	json_object_set_new(j, "lost", lost_of_rounds(l->round, l->n));
	json_object_set_new(j, "warnings", warnings_json(l));
	json_object_set_new(j, "rounds", rounds_json(t, l));
	return j;
}

/* A goal, with what each round found (null: that its lower limit lost already). */
static json_t *rate_json(const struct topology *t, const struct bench_search *s, size_t goal)
{
	const struct bench_search_goal *g = &s->goal[goal];
	double flows = (double)s->x->n_flows, *v = calloc(s->n_rounds + 1, sizeof(*v));
	bool known = !isnan(g->generator_share);
	json_t *j = json_object();
	char name[24];

	for (size_t i = 0; v && i < s->n_rounds; i++) {
		const struct search_goal *one = &s->round[i].s.goal[goal];

		v[i] = one->end == SEARCH_MIN_LOSES ? NAN : one->lower_fps * flows;
	}
	json_object_set_new(
		j, "name", json_string(report_goal_name(g->loss_ratio, name, sizeof(name))));
	json_object_set_new(j, "loss_ratio", json_real(g->loss_ratio));
	json_object_set_new(j, "fps", compare_figure(v, v ? s->n_rounds : 0));
	json_object_set_new(j, "sentence", json_string(g->sentence));
	json_object_set_new(j, "at_limit", json_boolean(g->end == SEARCH_AT_MAX));
	json_object_set_new(j, "generator_share", report_number(g->generator_share));
	json_object_set_new(
		j, "generator", known ? json_string(t->nodes[g->generator].name) : json_null());
	json_object_set_new(j, "generator_limited",
		known ? json_boolean(bench_search_is_generators(g)) : json_null());
	free(v);
	return j;
}

static json_t *path_json(const struct topology *t, const struct compare_path *p, double tsc_hz)
{
	const struct topo_traffic *entry = &t->traffic[p->x->flows[0].entry];
	json_t *j = json_object(), *rates = json_array(), *loads = json_array();
	json_t *search = p->searched ? report_search_json(t, &p->s) : NULL;

	for (size_t i = 0; p->searched && i < p->s.n_goals; i++)
		json_array_append_new(rates, rate_json(t, &p->s, i));
	for (size_t i = 0; i < p->n_loads; i++)
		if (p->load[i].n)
			json_array_append_new(loads, load_json(t, &p->load[i], tsc_hz));
	json_object_set_new(j, "path", json_string(t->paths[entry->path].name));
	json_object_set_new(j, "rates", rates);
	json_object_set_new(
		j, "tcp", p->n_tcp ? report_tcp_json(t, p->tcp, p->n_tcp, tsc_hz) : json_null());
	json_object_set_new(j, "loads", loads);
	json_object_set_new(j, "flat_out",
		p->searched && p->s.flat.flow ? lost_of_rounds(&p->s.flat, 1) : json_null());
	json_object_set_new(j, "searches", p->searched ? searches_json(&p->s) : json_null());
	json_object_set_new(j, "back_to_back",
		search ? json_incref(json_object_get(search, "back_to_back")) : json_null());
	json_object_set_new(j, "recovery",
		search ? json_incref(json_object_get(search, "recovery")) : json_null());
	json_decref(search);
	return j;
}

static json_t *method_json(const struct bench_trial *x)
{
	const struct topo_method *m = x->method;
	bool verified = m && m->search == TOPO_SEARCH_VERIFIED;

	if (!m)
		return json_null();
	if (bench_is_tcp(x))
		return json_pack("{s:{s:i}}", "tcp", "streams", (int)m->tcp.streams);
	return json_pack("{s:s, s:s, s:i, s:f}", "search", verified ? "verified" : "binary",
		"standard", verified ? "ETSI GS NFV-TST 009" : "RFC 2544", "verify",
		verified ? (int)m->verify : 0, "resolution", m->resolution);
}

json_t *compare_json(const struct topology *t, const struct comparison *c, double tsc_hz)
{
	const struct bench_trial *x = c->path[0].x;
	json_t *j = json_object(), *paths = json_array();
	char frame[16];

	if (bench_is_tcp(x))
		strcpy(frame, "tcp");
	else
		snprintf(frame, sizeof(frame), x->flows[0].imix ? "imix" : "%u", x->flows[0].size);
	for (size_t i = 0; i < c->n; i++)
		json_array_append_new(paths, path_json(t, &c->path[i], tsc_hz));
	json_object_set_new(j, "name", json_string(c->name));
	json_object_set_new(j, "frame", json_string(frame));
	json_object_set_new(
		j, "frame_bytes", bench_is_tcp(x) ? json_null() : json_integer(x->flows[0].size));
	json_object_set_new(j, "seconds", report_number(x->seconds));
	json_object_set_new(j, "flows", json_integer((json_int_t)x->n_flows));
	json_object_set_new(j, "l4_flows",
		json_integer(bench_is_tcp(x) ? x->method->tcp.streams : x->flows[0].l4_flows));
	json_object_set_new(j, "flow_rate_fps",
		report_number(x->method || x->flat_out ? (double)NAN
						       : (double)x->flows[0].rate_mfps / 1000));
	json_object_set_new(j, "method", method_json(x));
	json_object_set_new(j, "paths", paths);
	compare_against(j);
	return j;
}

/* ---- paths ---- */

static json_t *ends_json(const struct topology *t, const struct topo_end *end, size_t n)
{
	json_t *list = json_array();
	char name[TOPO_NAME_MAX + 12];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			list, json_string(topology_port_name(t, end[i].node, end[i].nic, name)));
	return list;
}

json_t *compare_paths_json(const struct topology *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_paths; i++) {
		const struct topo_path *p = &t->paths[i];

		json_array_append_new(list,
			json_pack("{s:s, s:s?, s:o, s:o}", "name", p->name, "what", p->what, "from",
				ends_json(t, p->from, p->n_from), "to",
				ends_json(t, p->to, p->n_to)));
	}
	return list;
}
