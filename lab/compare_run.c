/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "lab/report_search.h"

/* ---- the plan ---- */

static const struct topo_traffic *entry_of(const struct topology *t, const struct bench_trial *x)
{
	return &t->traffic[x->flows[0].entry];
}

/* Trials of a section are its frame sizes: the same ones of an entry's sections go together. */
static size_t index_in_section(const struct bench_plan *p, size_t i)
{
	size_t k = 0;

	while (k < i && p->trials[i - k - 1].section == p->trials[i].section)
		k++;
	return k;
}

static bool belongs(const struct topology *t, const struct bench_plan *p, size_t a, size_t b)
{
	return entry_of(t, &p->trials[a])->entry == entry_of(t, &p->trials[b])->entry &&
		index_in_section(p, a) == index_in_section(p, b);
}

int compare_plan(const struct topology *t, const struct bench_plan *p, struct comparison **out,
	size_t *n, struct err *e)
{
	struct comparison *list = calloc(p->n_trials, sizeof(*list));

	*out = list;
	*n = 0;
	if (!list)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < p->n_trials; i++) {
		const struct topo_traffic *x = entry_of(t, &p->trials[i]);
		struct comparison *c = &list[*n];
		bool first = x->path != TOPO_NO_PATH;

		for (size_t k = 0; k < i && first; k++)
			first = !belongs(t, p, k, i);
		if (!first)
			continue;
		*c = (struct comparison){ .name = x->entry_name };
		for (size_t k = i; k < p->n_trials; k++)
			if (belongs(t, p, i, k))
				c->path[c->n++].x = &p->trials[k];
		if (c->n > 1)
			++*n;
	}
	if (*n)
		return 0;
	return err_request(e, -ENOENT,
		"%s: no traffic is run over two paths, so there is nothing to compare: name the ends in "
		"\"paths\", and two of those names in \"paths\" of a traffic entry (docs/topology.md)",
		t->file);
}

/* ---- measuring ---- */

static void label_of(const struct comparison *c, const struct compare_path *p, const char *what,
	char *out, size_t size)
{
	snprintf(out, size, "%s, %u B: %s", p->x->title, p->x->flows[0].size, what);
}

static int load_add_round(struct compare_load *l, struct bench_round *r, struct err *e)
{
	struct bench_round *more = realloc(l->round, (l->n + 1) * sizeof(*more));

	if (!more) {
		bench_round_free(r);
		return err_set(e, -ENOMEM, "out of memory");
	}
	l->round = more;
	more[l->n++] = *r;
	return 0;
}

/* The entry's own traffic: no search. */
static int run_plain(const struct comparison *c, struct compare_path *p, struct bench_env *env,
	unsigned round, unsigned rounds, struct err *e)
{
	struct compare_load *l = &p->load[0];
	char label[192], what[48];
	bool histogram = env->histogram;
	struct bench_round r;
	int rc;

	p->n_loads = 1;
	snprintf(what, sizeof(what), "round %u of %u", round + 1, rounds);
	label_of(c, p, what, label, sizeof(label));
	l->percent = NAN;
	l->fps = p->x->flat_out ? NAN : (double)p->x->flows[0].rate_mfps / 1000;
	l->trial = *p->x;
	if (p->x->flat_out) {
		strcpy(l->name, "flat out");
	} else {
		char rate[16];

		units_format_si(l->fps, rate);
		snprintf(l->name, sizeof(l->name), "%spps", rate);
	}
	env->histogram = true;
	rc = bench_run_trial(env, p->x, label, &r, e);
	env->histogram = histogram;
	return rc ? rc : load_add_round(l, &r, e);
}

static int run_load(struct compare_path *p, size_t k, struct bench_env *env, double percent,
	const char *name, struct err *e)
{
	struct bench_search_latency at = { 0 };
	struct compare_load *l = &p->load[k];
	int rc = bench_search_load(&p->s, env, percent, &at, e);

	if (rc) {
		free(at.trial.flows);
		return rc;
	}
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->percent = percent;
	l->fps = at.fps;
	free(l->trial.flows);
	l->trial = at.trial;
	p->n_loads = k + 1 > p->n_loads ? k + 1 : p->n_loads;
	return load_add_round(l, &at.round, e);
}

static bool has_rate(const struct compare_path *p)
{
	return p->s.at_goal < p->s.n_goals;
}

static double found_fps(const struct compare_path *p)
{
	return has_rate(p) ? p->s.goal[p->s.at_goal].fps : NAN;
}

/* The rate that even the slowest path carries well; NaN: not every path has one. */
static double same_fps(const struct comparison *c)
{
	double least = INFINITY;

	for (size_t i = 0; i < c->n; i++) {
		if (!has_rate(&c->path[i]))
			return NAN;
		least = fmin(least, found_fps(&c->path[i]));
	}
	return least * COMPARE_SAME_SHARE / 100;
}

/* At parts of each path's own rate, then all at one. */
static int run_loads(struct comparison *c, struct bench_env *env, double same, struct err *e)
{
	const struct topo_method *m = c->path[0].x->method;
	int rc = 0;

	for (size_t k = 0; k <= m->n_latency_at && !rc; k++) {
		for (size_t i = 0; i < c->n && !rc; i++) {
			struct compare_path *p = &c->path[i];
			char name[48], goal[24];

			if (!has_rate(p) || (k == m->n_latency_at && isnan(same)))
				continue;
			if (k == m->n_latency_at) {
				rc = run_load(p, k, env, 100 * same / found_fps(p), "same rate", e);
				continue;
			}
			report_goal_name(p->s.goal[p->s.at_goal].loss_ratio, goal, sizeof(goal));
			goal[3] = '\0';
			snprintf(name, sizeof(name), "%g%% of %s", m->latency_at[k], goal);
			rc = run_load(p, k, env, m->latency_at[k], name, e);
		}
	}
	return rc;
}

/* Each path's generators first; then round by round, path by path. */
static int run_searches(struct comparison *c, struct bench_env *env, unsigned rounds, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < c->n && !rc; i++) {
		c->path[i].searched = true;
		rc = bench_search_begin(&c->path[i].s, env, c->path[i].x, e);
	}
	for (unsigned r = 0; r < rounds && !rc; r++)
		for (size_t i = 0; i < c->n && !rc; i++)
			rc = bench_search_round(&c->path[i].s, env, e);
	for (size_t i = 0; i < c->n && !rc; i++)
		rc = bench_search_sum_up(&c->path[i].s, env->t->n_nodes, e);
	for (unsigned r = 0; r < rounds && !rc; r++)
		rc = run_loads(c, env, same_fps(c), e);
	for (size_t i = 0; i < c->n && !rc; i++)
		rc = bench_search_end(&c->path[i].s, env, e);
	return rc;
}

/* All rounds are made room for before: a path has as many as were run. */
static int run_tcp(struct comparison *c, struct bench_env *env, unsigned rounds, struct err *e)
{
	char label[192], what[48];
	int rc = 0;

	for (size_t i = 0; i < c->n; i++) {
		c->path[i].tcp = calloc(rounds, sizeof(*c->path[i].tcp));
		if (!c->path[i].tcp)
			return err_set(e, -ENOMEM, "out of memory");
	}
	for (unsigned r = 0; r < rounds && !rc; r++)
		for (size_t i = 0; i < c->n && !rc; i++) {
			struct compare_path *p = &c->path[i];

			snprintf(what, sizeof(what), "round %u of %u", r + 1, rounds);
			snprintf(label, sizeof(label), "%s, TCP: %s", p->x->title, what);
			rc = bench_tcp_run(env, p->x, label, &p->tcp[p->n_tcp], e);
			p->n_tcp += !rc;
		}
	return rc;
}

int compare_run(struct comparison *c, struct bench_env *env, unsigned rounds, struct err *e)
{
	int rc = 0;

	if (bench_is_tcp(c->path[0].x))
		return run_tcp(c, env, rounds, e);
	if (c->path[0].x->method)
		return run_searches(c, env, rounds, e);
	for (unsigned r = 0; r < rounds && !rc; r++)
		for (size_t i = 0; i < c->n && !rc; i++)
			rc = run_plain(c, &c->path[i], env, r, rounds, e);
	return rc;
}

void compare_free(struct comparison *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct compare_path *p = &c->path[i];

		for (size_t k = 0; k < p->n_loads; k++) {
			for (size_t r = 0; r < p->load[k].n; r++)
				bench_round_free(&p->load[k].round[r]);
			free(p->load[k].round);
			if (p->searched)
				free(p->load[k].trial.flows); /* else the plan's */
		}
		if (p->searched)
			bench_search_free(&p->s);
		for (size_t r = 0; r < p->n_tcp; r++)
			bench_tcp_round_free(&p->tcp[r]);
		free(p->tcp);
		*p = (struct compare_path){ .x = p->x };
	}
}
