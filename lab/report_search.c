/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/report_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define CELL 96

char *report_goal_name(double loss_ratio, char *out, size_t size)
{
	if (loss_ratio > 0)
		snprintf(out, size, "PDR %.3g%%", loss_ratio * 100);
	else
		snprintf(out, size, "NDR");
	return out;
}

static void format_si(double v, char *out)
{
	if (isnan(v))
		strcpy(out, "-");
	else
		units_format_si(v, out);
}

static void format_us(double us, char *out)
{
	if (isnan(us))
		strcpy(out, "-");
	else
		snprintf(out, CELL, "%.*f", us < 9.995 ? 2 : us < 99.95 ? 1 : 0, us);
}

static double gbps(const struct bench_trial *x, double fps)
{
	double sum = 0;

	for (size_t i = 0; i < x->n_flows; i++)
		sum += fps * x->flows[i].size * 8;
	return sum / 1e9;
}

static void print_section(struct report_table *r, const struct bench_search *s)
{
	const struct search_params *p = &s->params;
	char repeats[CELL] = "", rounds[CELL] = "";

	if (r->section == s->x->section + 1)
		return;
	r->section = s->x->section + 1;
	report_notes(r);
	if (p->method == SEARCH_VERIFIED)
		snprintf(repeats, sizeof(repeats), ", one that fails up to %u times more",
			p->verify);
	if (s->n_rounds > 1)
		snprintf(rounds, sizeof(rounds), ", medians of %zu searches", s->n_rounds);
	fprintf(r->out, "\n%s: %s, trials of %g s%s, to %g%%%s\n", s->x->title,
		p->method == SEARCH_VERIFIED
			? "binary search with loss verification (ETSI GS NFV-TST 009)"
			: "throughput by binary search (RFC 2544)",
		s->x->seconds, repeats, p->resolution * 100, rounds);
	fprintf(r->out, "  %5s  %-20s %-14s %8s %6s  %-19s %7s %6s %6s %8s %7s\n", "frame", "path",
		"what", "frames/s", "Gbit/s", "between", "lost", "p50/us", "p99/us", "p99.9/us",
		"max/us");
}

static void path_text(const struct report_table *r, const struct bench_search *s, char *out)
{
	const struct bench_flow *f = &s->x->flows[0];

	if (s->x->n_flows > 1)
		snprintf(out, CELL, "%zu flows, sum", s->x->n_flows);
	else
		snprintf(out, CELL, "%.8s.%zu > %.8s.%zu", r->t->nodes[f->from.node].name,
			f->from.nic, r->t->nodes[f->to.node].name, f->to.nic);
}

static void print_row(const struct report_table *r, const struct bench_search *s, bool first,
	const char *what, double fps, const char *between, const struct bench_round *round)
{
	char frame[CELL] = "", path[CELL] = "", rate[CELL], lost[CELL] = "";
	char us[4][CELL] = { "", "", "", "" };

	if (first) {
		snprintf(frame, sizeof(frame), s->x->flows[0].imix ? "imix" : "%u",
			s->x->flows[0].size);
		path_text(r, s, path);
	}
	format_si(fps * (double)s->x->n_flows, rate);
	if (round) {
		struct bench_latency l = bench_latency_worst(round);

		format_us(l.p50_us, us[0]);
		format_us(l.p99_us, us[1]);
		format_us(l.p999_us, us[2]);
		format_us(l.max_us, us[3]);
		if (!round->lost)
			strcpy(lost, "0");
		else
			snprintf(lost, sizeof(lost), "%.3g%%",
				round->sent ? 100 * (double)round->lost / (double)round->sent
					    : 0.0);
	}
	fprintf(r->out, "  %5s  %-20s %-14s %8s %6.3g  %-19s %7s %6s %6s %8s %7s\n", frame, path,
		what, rate, gbps(s->x, fps), between, lost, us[0], us[1], us[2], us[3]);
}

static void print_goal(const struct report_table *r, const struct bench_search *s,
	const struct bench_search_goal *g)
{
	char name[CELL], low[CELL], high[CELL], between[2 * CELL + 8] = "";
	double n = (double)s->x->n_flows;

	report_goal_name(g->loss_ratio, name, sizeof(name));
	if (isnan(g->fps)) {
		report_say(r, "        ! ", "%s: %s", name, g->sentence);
		return;
	}
	format_si(g->low_fps * n, low);
	format_si(g->high_fps * n, high);
	if (g->end == SEARCH_AT_MAX)
		strcpy(between, "the upper limit");
	else
		snprintf(between, sizeof(between), "%s and %s", low, high);
	print_row(r, s, g == s->goal, name, g->fps, between, NULL);
}

static void print_goal_notes(const struct report_table *r, const struct bench_search *s,
	const struct bench_search_goal *g)
{
	char name[CELL], limit[CELL];

	report_goal_name(g->loss_ratio, name, sizeof(name));
	if (bench_search_is_generators(g)) {
		format_si(bench_search_limit(s, g->generator), limit);
		report_say(r, "        ! ",
			"%s is the generator's, not the path's: at it, %s works at %.0f%% of what it "
			"can do by itself (%s frames/s sent and received)",
			name, r->t->nodes[g->generator].name, g->generator_share * 100, limit);
	}
	if (g->end == SEARCH_AT_MAX || g->end == SEARCH_GAVE_UP)
		report_say(r, "        ! ", "%s: %s", name, g->sentence);
	if (s->n_rounds > 1 && !isnan(g->fps))
		report_say(r, "          ",
			"%s: between: the interval of the median of %zu searches, %.3g%% sure "
			"(order statistics)",
			name, s->n_rounds, g->confidence * 100);
}

static void print_burst(const struct report_table *r, const struct bench_search *s)
{
	const struct search_goal *g = &s->burst.goal[0];

	if (g->end == SEARCH_MIN_LOSES)
		report_say(r, "          ",
			"back to back: a burst of %.0f frames, the shortest tried, is lost in part",
			s->burst.p.min_fps);
	else
		report_say(r, "          ",
			"back to back: bursts of %.0f frames of each flow pass whole%s",
			floor(g->lower_fps), g->end == SEARCH_AT_MAX ? ", the longest tried" : "");
}

static void print_recovery(const struct report_table *r, const struct bench_search *s)
{
	report_say(r, "          ",
		"recovery: after %g s at 110%% of the rate (%lld of %llu frames of both parts lost), at "
		"50%% frames were lost for %.3g s",
		s->x->seconds, (long long)s->recovery.lost, (unsigned long long)s->recovery.sent,
		s->recovery_s);
}

void report_search(struct report_table *r, const struct bench_search *s)
{
	char frame[CELL];

	print_section(r, s);
	for (size_t i = 0; i < s->n_goals; i++)
		print_goal(r, s, &s->goal[i]);
	for (size_t i = 0; i < s->n_latency; i++) {
		char what[CELL], name[CELL];

		report_goal_name(s->goal[s->at_goal].loss_ratio, name, sizeof(name));
		name[3] = '\0';
		snprintf(what, sizeof(what), "%g%% of %s", s->latency[i].percent, name);
		print_row(r, s, false, what, s->latency[i].fps, "", &s->latency[i].round);
	}
	for (size_t i = 0; i < s->n_goals; i++)
		print_goal_notes(r, s, &s->goal[i]);
	if (s->n_disturbed)
		report_say(r, "        ! ",
			"%zu trials of the search failed while others had the CPU, and were made again",
			s->n_disturbed);
	if (s->have_burst)
		print_burst(r, s);
	if (s->have_recovery)
		print_recovery(r, s);
	snprintf(frame, sizeof(frame), s->x->flows[0].imix ? "imix" : "%u B", s->x->flows[0].size);
	for (size_t i = 0; i < s->n_latency; i++)
		report_take_notes(r, &s->latency[i].round, frame);
	fflush(r->out);
}

/* ---- JSON ---- */

static const char *const end_names[] = {
	[SEARCH_RUNNING] = "running",
	[SEARCH_FOUND] = "found",
	[SEARCH_AT_MAX] = "at_max",
	[SEARCH_MIN_LOSES] = "min_loses",
	[SEARCH_GAVE_UP] = "gave_up",
};

static json_t *goal_json(
	const struct topology *t, const struct bench_search *s, const struct bench_search_goal *g)
{
	double n = (double)s->x->n_flows;
	bool known = !isnan(g->generator_share);
	json_t *j = json_object();

	json_object_set_new(j, "name", json_string(g->loss_ratio > 0 ? "pdr" : "ndr"));
	json_object_set_new(j, "loss_ratio", json_real(g->loss_ratio));
	json_object_set_new(j, "end", json_string(end_names[g->end]));
	json_object_set_new(j, "sentence", json_string(g->sentence));
	json_object_set_new(j, "flow_fps", report_number(g->fps));
	json_object_set_new(j, "fps", report_number(g->fps * n));
	json_object_set_new(j, "upper_fps", report_number(g->upper_fps * n));
	json_object_set_new(j, "interval_fps",
		json_pack("[o, o]", report_number(g->low_fps * n), report_number(g->high_fps * n)));
	json_object_set_new(
		j, "confidence", s->n_rounds > 1 ? report_number(g->confidence) : json_null());
	json_object_set_new(j, "bps_l2", report_number(gbps(s->x, g->fps) * 1e9));
	json_object_set_new(j, "generator_share", report_number(g->generator_share));
	json_object_set_new(
		j, "generator", known ? json_string(t->nodes[g->generator].name) : json_null());
	json_object_set_new(j, "generator_limited",
		known ? json_boolean(bench_search_is_generators(g)) : json_null());
	return j;
}

/* A trial of a search, in short: what was lost, and where. */
static json_t *trial_json(const struct search_trial *t, const struct bench_round *r)
{
	json_t *drops = json_object(), *j = json_object();
	uint64_t corrupt = 0;

	for (size_t i = 0; i < r->sw.n_drops; i++)
		json_object_set_new(
			drops, r->sw.drop[i].reason, json_integer((json_int_t)r->sw.drop[i].n));
	for (size_t i = 0; i < r->n_flows; i++)
		corrupt += r->flow[i].corrupt;
	json_object_set_new(j, "flow_fps", json_real(t->fps));
	json_object_set_new(j, "sent_fps", report_number(t->out.sent_fps));
	json_object_set_new(j, "loss_ratio", json_real(t->out.loss_ratio));
	json_object_set_new(j, "sent", json_integer((json_int_t)r->sent));
	json_object_set_new(j, "received", json_integer((json_int_t)r->received));
	json_object_set_new(j, "lost", json_integer(r->lost));
	json_object_set_new(j, "drops", drops);
	json_object_set_new(j, "corrupt", json_integer((json_int_t)corrupt));
	json_object_set_new(j, "places", report_places_json(&r->places));
	json_object_set_new(j, "apart", json_integer(r->apart));
	json_object_set_new(j, "unexplained", json_integer(r->unexplained));
	return j;
}

static json_t *bounds_json(const struct search *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->p.n_goals; i++)
		json_array_append_new(list,
			json_pack("{s:f, s:s, s:f, s:f}", "loss_ratio", s->p.loss_ratio[i], "end",
				end_names[s->goal[i].end], "lower_flow_fps", s->goal[i].lower_fps,
				"upper_flow_fps", s->goal[i].upper_fps));
	return list;
}

static json_t *rounds_json(const struct bench_search *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_rounds; i++) {
		const struct bench_search_round *r = &s->round[i];
		json_t *trials = json_array();

		for (size_t k = 0; k < r->s.n_trials; k++)
			json_array_append_new(trials, trial_json(&r->s.trial[k], &r->trial[k]));
		json_array_append_new(list,
			json_pack("{s:o, s:o}", "goals", bounds_json(&r->s), "trials", trials));
	}
	return list;
}

static json_t *latencies_json(const struct topology *t, const struct bench_search *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_latency; i++) {
		const struct bench_search_latency *l = &s->latency[i];

		json_array_append_new(list,
			json_pack("{s:f, s:f, s:f, s:o}", "percent", l->percent, "of_loss_ratio",
				s->goal[s->at_goal].loss_ratio, "flow_fps", l->fps, "round",
				report_round_json(t, &l->trial, &l->round)));
	}
	return list;
}

static json_t *burst_json(const struct bench_search *s)
{
	const struct search_goal *g = &s->burst.goal[0];

	if (!s->have_burst)
		return json_null();
	return json_pack("{s:s, s:o, s:i}", "end", end_names[g->end], "frames",
		g->end == SEARCH_MIN_LOSES ? json_null() : json_integer((json_int_t)g->lower_fps),
		"trials", (int)s->burst.n_trials);
}

static json_t *recovery_json(const struct topology *t, const struct bench_search *s)
{
	if (!s->have_recovery)
		return json_null();
	return json_pack("{s:f, s:o}", "seconds", s->recovery_s, "round",
		report_round_json(t, &s->recovery_trial, &s->recovery));
}

json_t *report_search_json(const struct topology *t, const struct bench_search *s)
{
	const struct search_params *p = &s->params;
	json_t *j = json_object(), *goals = json_array(), *flows = json_array();

	for (size_t i = 0; i < s->x->n_flows; i++)
		json_array_append_new(flows, report_flow_json(t, &s->x->flows[i]));
	for (size_t i = 0; i < s->n_goals; i++)
		json_array_append_new(goals, goal_json(t, s, &s->goal[i]));
	json_object_set_new(j, "name", json_string(s->x->title));
	json_object_set_new(
		j, "search", json_string(p->method == SEARCH_VERIFIED ? "verified" : "binary"));
	json_object_set_new(j, "standard",
		json_string(p->method == SEARCH_VERIFIED ? "ETSI GS NFV-TST 009" : "RFC 2544"));
	json_object_set_new(j, "trial_s", report_number(s->x->seconds));
	json_object_set_new(
		j, "verify", p->method == SEARCH_VERIFIED ? json_integer(p->verify) : json_null());
	json_object_set_new(j, "resolution", json_real(p->resolution));
	json_object_set_new(j, "min_flow_fps", json_real(p->min_fps));
	json_object_set_new(j, "max_flow_fps", json_real(p->max_fps));
	json_object_set_new(
		j, "start_flow_fps", report_number(p->start_fps > 0 ? p->start_fps : NAN));
	json_object_set_new(j, "disturbed", json_integer((json_int_t)s->n_disturbed));
	json_object_set_new(j, "flows", flows);
	json_object_set_new(j, "goals", goals);
	json_object_set_new(j, "flat_out",
		s->flat.flow ? report_round_json(t, &s->flat_trial, &s->flat) : json_null());
	json_object_set_new(j, "latency", latencies_json(t, s));
	json_object_set_new(j, "back_to_back", burst_json(s));
	json_object_set_new(j, "recovery", recovery_json(t, s));
	json_object_set_new(j, "rounds", rounds_json(s));
	return j;
}
