/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_search.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/stats.h"

#define FLAT_OUT_MAX_S 2.0
#define MIN_PART       100 /* the search's lower limit is the upper's hundredth, unless given */
#define BURST_MIN      16
#define BURST_EXTRA_S  0.05
#define OVERLOAD       1.1
#define RECOVERED      0.5
/* Of a search, trials at most that are made again since others had the CPU for so much of it. */
#define DISTURBED_MAX     8
#define DISTURBED_SHARE   0.2
#define LOAD_FRAMES_LEAST 1000 /* fewer frames in full rounds say nothing of a generator */

/* ---- trials made of the entry's ---- */

/* The trial with each flow at the rate (0: flat out) and for the time. */
static int trial_copy(struct bench_trial *out, const struct bench_trial *x, double fps,
	double seconds, struct err *e)
{
	*out = *x;
	out->seconds = seconds;
	out->flat_out = fps == 0;
	out->flows = calloc(x->n_flows, sizeof(*out->flows));
	if (!out->flows)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(out->flows, x->flows, x->n_flows * sizeof(*out->flows));
	for (size_t i = 0; i < x->n_flows; i++)
		out->flows[i].rate_mfps = fps > 0 ? (uint64_t)(fps * 1000 + 0.5) : 0;
	return 0;
}

static int run_at(struct bench_env *env, const struct bench_trial *x, double fps, double seconds,
	const char *what, struct bench_trial *trial, struct bench_round *r, struct err *e)
{
	char label[160];
	int rc = trial_copy(trial, x, fps, seconds, e);

	snprintf(label, sizeof(label), "%s, %u B: %s", x->title, x->flows[0].size, what);
	return rc ? rc : bench_run_trial(env, trial, label, r, e);
}

static struct search_outcome outcome_of(const struct bench_trial *x, const struct bench_round *r)
{
	struct search_outcome o = { .sent_fps = INFINITY };

	o.loss_ratio = r->sent ? fmax(0, (double)r->lost / (double)r->sent) : 1;
	for (size_t i = 0; i < r->n_flows; i++) {
		/* Frames that were late are sent after the time is over, too: count both ways. */
		double in_time = (double)r->flow[i].sent / x->seconds;

		o.sent_fps = fmin(o.sent_fps, fmin(in_time, r->flow[i].sent_fps));
	}
	return o;
}

/* ---- the generators ---- */

double bench_search_limit(const struct bench_search *s, size_t node)
{
	const struct bench_load *l = s->flat.load ? &s->flat.load[node] : NULL;

	if (!l || l->frames < LOAD_FRAMES_LEAST)
		return NAN;
	return l->fps;
}

bool bench_search_is_generators(const struct bench_search_goal *g)
{
	return g->generator_share >= BENCH_GENERATOR_SHARE;
}

void bench_search_judge(const struct bench_search *s, size_t n_nodes, struct bench_search_goal *g)
{
	const struct bench_trial *x = s->x;

	g->generator_share = NAN;
	for (size_t n = 0; n < n_nodes; n++) {
		double flows = 0, limit = bench_search_limit(s, n);

		for (size_t i = 0; i < x->n_flows; i++)
			flows += (x->flows[i].from.node == n) + (x->flows[i].to.node == n);
		if (!flows || isnan(limit) || !(flows * g->fps / limit > 0))
			continue;
		if (isnan(g->generator_share) || flows * g->fps / limit > g->generator_share) {
			g->generator_share = flows * g->fps / limit;
			g->generator = n;
		}
	}
}

/* ---- the search ---- */

/* Somebody of the trial had no CPU for long: what failed then may have failed for that. */
static bool is_disturbed(const struct bench_round *r)
{
	for (size_t i = 0; i < r->n_cpus; i++) {
		double wanted = r->cpu[i].run_s + r->cpu[i].waited_s;

		if (wanted > 0 && r->cpu[i].waited_s > DISTURBED_SHARE * wanted)
			return true;
	}
	return false;
}

static bool has_failed(const struct search_params *p, double fps, const struct search_outcome *o)
{
	return o->loss_ratio > p->loss_ratio[0] || o->sent_fps < fps * SEARCH_OFFERED;
}

/* A trial of the search. One that fails while others had the CPU is thrown away and made again, as
 * long as *spare lasts: where CPUs are shared all the time, that is how things are. */
static int search_trial(struct bench_search *s, struct bench_env *env, double fps, size_t number,
	unsigned *spare, struct bench_round *r, struct search_outcome *o, struct err *e)
{
	struct bench_trial trial;
	char what[64];
	int rc;

	snprintf(what, sizeof(what), "search, trial %zu, %.0f frames/s", number, fps);
	for (;;) {
		rc = run_at(env, s->x, fps, s->x->seconds, what, &trial, r, e);
		if (!rc)
			*o = outcome_of(&trial, r);
		free(trial.flows);
		if (rc || !*spare || !has_failed(&s->params, fps, o) || !is_disturbed(r))
			return rc;
		--*spare;
		s->n_disturbed++;
		bench_round_free(r);
	}
}

static double limit_of(const struct rate *r, const struct bench_trial *x)
{
	return (double)bench_rate_mfps(r, x->flows[0].size) / 1000;
}

static void params_make(struct bench_search *s)
{
	const struct topo_method *m = s->m;
	struct search_params *p = &s->params;
	double n = (double)s->x->n_flows;

	*p = (struct search_params){
		.method = m->search == TOPO_SEARCH_BINARY ? SEARCH_BINARY : SEARCH_VERIFIED,
		.max_fps = m->max.value ? limit_of(&m->max, s->x) : s->flat.sent_fps / n,
		.resolution = m->resolution,
		.verify = m->verify,
		.n_goals = m->n_losses,
	};
	p->min_fps = m->min.value ? limit_of(&m->min, s->x) : p->max_fps / MIN_PART;
	memcpy(p->loss_ratio, m->loss, sizeof(m->loss));
	if (m->start.value)
		p->start_fps = limit_of(&m->start, s->x);
	else if (s->flat.received_fps / n > p->min_fps && s->flat.received_fps / n < p->max_fps)
		p->start_fps = s->flat.received_fps / n;
}

static int search_once(
	struct bench_search *s, struct bench_env *env, struct bench_search_round *r, struct err *e)
{
	unsigned spare = DISTURBED_MAX;
	struct search_outcome o;
	double fps;
	int rc = search_init(&r->s, &s->params, e);

	if (rc)
		return err_prefix(e, "traffic \"%s\"", s->x->title);
	r->trial = calloc(SEARCH_TRIALS_MAX, sizeof(*r->trial));
	if (!r->trial)
		return err_set(e, -ENOMEM, "out of memory");
	while (!rc && search_next(&r->s, &fps)) {
		rc = search_trial(
			s, env, fps, r->s.n_trials + 1, &spare, &r->trial[r->s.n_trials], &o, e);
		if (!rc)
			search_tell(&r->s, &o);
	}
	return rc;
}

/* The round whose lower bound is the one in the middle: its sentence is the goal's. */
static size_t middle_round(const struct bench_search *s, size_t goal)
{
	size_t best = 0, best_diff = SIZE_MAX;

	for (size_t i = 0; i < s->n_rounds; i++) {
		size_t below = 0, diff;

		for (size_t k = 0; k < s->n_rounds; k++) {
			double a = s->round[k].s.goal[goal].lower_fps;
			double b = s->round[i].s.goal[goal].lower_fps;

			below += a < b || (a == b && k < i);
		}
		diff = below > (s->n_rounds - 1) / 2 ? below - (s->n_rounds - 1) / 2
						     : (s->n_rounds - 1) / 2 - below;
		if (diff < best_diff) {
			best = i;
			best_diff = diff;
		}
	}
	return best;
}

static void goal_sum_up(struct bench_search *s, size_t goal, double *scratch)
{
	struct bench_search_goal *g = &s->goal[goal];
	size_t n = s->n_rounds, middle = middle_round(s, goal);

	*g = (struct bench_search_goal){ .loss_ratio = s->params.loss_ratio[goal],
		.end = s->round[middle].s.goal[goal].end,
		.fps = NAN,
		.upper_fps = NAN,
		.low_fps = NAN,
		.high_fps = NAN,
		.generator_share = NAN };
	search_describe(&s->round[middle].s, goal, g->sentence, sizeof(g->sentence));
	if (g->end == SEARCH_MIN_LOSES)
		return;
	for (size_t i = 0; i < n; i++)
		scratch[i] = s->round[i].s.goal[goal].lower_fps;
	g->fps = stats_median(scratch, n);
	struct stats_interval low = stats_median_interval(scratch, n, BENCH_CONFIDENCE);
	for (size_t i = 0; i < n; i++)
		scratch[i] = s->round[i].s.goal[goal].upper_fps;
	g->upper_fps = stats_median(scratch, n);
	g->low_fps = low.low;
	g->high_fps = stats_median_interval(scratch, n, BENCH_CONFIDENCE).high;
	g->confidence = low.confidence;
}

int bench_search_round(struct bench_search *s, struct bench_env *env, struct err *e)
{
	struct bench_search_round *round = realloc(s->round, (s->n_rounds + 1) * sizeof(*round));

	if (!round)
		return err_set(e, -ENOMEM, "out of memory");
	s->round = round;
	round[s->n_rounds] = (struct bench_search_round){ 0 };
	return search_once(s, env, &round[s->n_rounds++], e);
}

int bench_search_sum_up(struct bench_search *s, size_t n_nodes, struct err *e)
{
	double *scratch = calloc(s->n_rounds + 1, sizeof(*scratch));

	if (!scratch)
		return err_set(e, -ENOMEM, "out of memory");
	s->n_goals = s->params.n_goals;
	s->at_goal = s->n_goals;
	for (size_t i = 0; i < s->n_goals; i++) {
		goal_sum_up(s, i, scratch);
		bench_search_judge(s, n_nodes, &s->goal[i]);
		if (s->at_goal == s->n_goals && s->goal[i].fps > 0)
			s->at_goal = i;
	}
	free(scratch);
	return 0;
}

/* ---- at the rate found ---- */

int bench_search_load(const struct bench_search *s, struct bench_env *env, double percent,
	struct bench_search_latency *l, struct err *e)
{
	bool histogram = env->histogram;
	char what[64];
	int rc;

	l->percent = percent;
	l->fps = s->goal[s->at_goal].fps * percent / 100;
	snprintf(what, sizeof(what), "latency at %g%%", percent);
	env->histogram = true;
	rc = run_at(env, s->x, l->fps, s->x->seconds, what, &l->trial, &l->round, e);
	env->histogram = histogram;
	return rc;
}

static int measure_latency(struct bench_search *s, struct bench_env *env, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < s->m->n_latency_at && !rc; i++) {
		rc = bench_search_load(s, env, s->m->latency_at[i], &s->latency[i], e);
		s->n_latency++;
	}
	return rc;
}

static int burst_trial(struct bench_search *s, struct bench_env *env, double frames,
	struct search_outcome *o, struct err *e)
{
	double fps = s->flat.sent_fps / (double)s->x->n_flows;
	struct bench_round r = { 0 };
	struct bench_trial trial;
	char label[160];
	int rc = trial_copy(&trial, s->x, 0, frames / fps + BURST_EXTRA_S, e);

	for (size_t i = 0; !rc && i < trial.n_flows; i++)
		trial.flows[i].frames = (uint64_t)frames;
	snprintf(label, sizeof(label), "%s: a burst of %.0f frames", s->x->title, floor(frames));
	if (!rc)
		rc = bench_run_trial(env, &trial, label, &r, e);
	if (!rc) {
		o->sent_fps = frames; /* all of a burst is sent, whenever */
		o->loss_ratio = r.sent ? fmax(0, (double)r.lost / (double)r.sent) : 1;
	}
	bench_round_free(&r);
	free(trial.flows);
	return rc;
}

static int measure_burst(struct bench_search *s, struct bench_env *env, struct err *e)
{
	struct search_params p = s->params;
	double longest = s->flat.sent_fps / (double)s->x->n_flows * s->flat_trial.seconds, frames;
	struct search_outcome o;
	int rc;

	p.min_fps = BURST_MIN;
	p.max_fps = fmax(2 * BURST_MIN, longest);
	p.start_fps = 0;
	p.n_goals = 1;
	p.loss_ratio[0] = 0;
	rc = search_init(&s->burst, &p, e);
	while (!rc && search_next(&s->burst, &frames)) {
		rc = burst_trial(s, env, frames, &o, e);
		if (!rc)
			search_tell(&s->burst, &o);
	}
	s->have_burst = !rc;
	return rc;
}

/* Each flow twice: overloading, and from then on at half the rate. */
static int recovery_trial(struct bench_search *s, struct bench_trial *out, struct err *e)
{
	const struct bench_trial *x = s->x;
	double fps = s->goal[s->at_goal].fps;

	*out = *x;
	out->seconds = 2 * x->seconds;
	out->n_flows = 2 * x->n_flows;
	out->flows = calloc(out->n_flows, sizeof(*out->flows));
	if (!out->flows)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < out->n_flows; i++) {
		struct bench_flow *f = &out->flows[i];
		bool later = i >= x->n_flows;

		*f = x->flows[i % x->n_flows];
		f->id = (unsigned)i + 1;
		f->rate_mfps = (uint64_t)(fps * (later ? RECOVERED : OVERLOAD) * 1000);
		f->seconds = x->seconds;
		f->delay_s = later ? x->seconds : 0;
	}
	return 0;
}

static int measure_recovery(struct bench_search *s, struct bench_env *env, struct err *e)
{
	char label[160];
	int rc = recovery_trial(s, &s->recovery_trial, e);

	snprintf(label, sizeof(label), "%s, %u B: recovery from overload", s->x->title,
		s->x->flows[0].size);
	if (!rc)
		rc = bench_run_trial(env, &s->recovery_trial, label, &s->recovery, e);
	if (rc)
		return rc;
	s->have_recovery = true;
	for (size_t i = s->x->n_flows; i < s->recovery.n_flows; i++)
		s->recovery_s = fmax(s->recovery_s, s->recovery.flow[i].last_gap_s);
	return 0;
}

int bench_search_begin(
	struct bench_search *s, struct bench_env *env, const struct bench_trial *x, struct err *e)
{
	int rc;

	*s = (struct bench_search){ .x = x, .m = x->method };
	rc = run_at(env, x, 0, fmin(x->seconds, FLAT_OUT_MAX_S), "flat out", &s->flat_trial,
		&s->flat, e);
	if (!rc && !(s->flat.sent_fps > 0))
		rc = err_set(e, -EIO, "traffic \"%s\": flat out, nothing was sent", x->title);
	if (!rc)
		params_make(s);
	return rc;
}

int bench_search_end(struct bench_search *s, struct bench_env *env, struct err *e)
{
	int rc = 0;

	if (s->at_goal == s->n_goals)
		return 0;
	if (s->m->back_to_back)
		rc = measure_burst(s, env, e);
	if (!rc && s->m->recovery)
		rc = measure_recovery(s, env, e);
	return rc;
}

int bench_search_run(struct bench_search *s, struct bench_env *env, const struct bench_trial *x,
	unsigned rounds, struct err *e)
{
	int rc = bench_search_begin(s, env, x, e);

	while (!rc && s->n_rounds < rounds)
		rc = bench_search_round(s, env, e);
	if (!rc)
		rc = bench_search_sum_up(s, env->t->n_nodes, e);
	if (!rc && s->at_goal < s->n_goals)
		rc = measure_latency(s, env, e);
	return rc ? rc : bench_search_end(s, env, e);
}

void bench_search_free(struct bench_search *s)
{
	for (size_t i = 0; s->round && i < s->n_rounds; i++) {
		for (size_t k = 0; s->round[i].trial && k < SEARCH_TRIALS_MAX; k++)
			bench_round_free(&s->round[i].trial[k]);
		free(s->round[i].trial);
	}
	free(s->round);
	for (size_t i = 0; i < s->n_latency; i++) {
		bench_round_free(&s->latency[i].round);
		free(s->latency[i].trial.flows);
	}
	bench_round_free(&s->flat);
	free(s->flat_trial.flows);
	bench_round_free(&s->recovery);
	free(s->recovery_trial.flows);
	*s = (struct bench_search){ 0 };
}
