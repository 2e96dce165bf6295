/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search for the rate that a path carries, with real trials (measure/search.h decides which), and
 * what is measured at the rate found:
 *
 *	flat out	once, first: what the generators can do by themselves, and the upper limit
 *	search		as often as there are rounds; the figure is the median of the rounds'
 *	latency		at parts of the rate found, with histograms
 *	back to back	the longest burst, sent as fast as it goes, of which no frame is lost
 *	recovery	after 110 % of the rate, 50 %: for how long frames are still lost
 *
 * Rates here are of one flow; lab/report_search.c tells their sum. One thread, the command's.
 */
#ifndef LANYARD_LAB_BENCH_SEARCH_H
#define LANYARD_LAB_BENCH_SEARCH_H

#include "lab/bench_run.h"
#include "measure/search.h"

/* A result so close to what a generator can do is the generator's. */
#define BENCH_GENERATOR_SHARE 0.9
#define BENCH_CONFIDENCE      0.95

struct bench_search_round {
	struct search s;
	struct bench_round *trial; /* as s.trial */
};

struct bench_search_goal {
	double loss_ratio;
	enum search_end end; /* of the round in the middle */
	char sentence[512];  /* of that round */
	/* Medians of the rounds' bounds, and the interval of the former (measure/stats.h): of one
	 * round, its bounds. NaN: there is no figure. */
	double fps, upper_fps, low_fps, high_fps, confidence;
	/* Part of its own limit at which the busiest generator works at this rate; NaN: unknown. */
	double generator_share;
	size_t generator; /* that node */
};

struct bench_search_latency {
	double percent, fps;
	struct bench_trial trial;
	struct bench_round round;
};

struct bench_search {
	const struct bench_trial *x;
	const struct topo_method *m;
	struct search_params params;
	struct bench_trial flat_trial;
	struct bench_round flat;
	size_t n_disturbed; /* trials of the search that were made again: others had the CPU */
	size_t n_rounds;
	struct bench_search_round *round;
	size_t n_goals;
	struct bench_search_goal goal[SEARCH_GOALS_MAX];
	size_t at_goal; /* whose rate the latencies are parts of */
	size_t n_latency;
	struct bench_search_latency latency[TOPO_LATENCY_AT_MAX];
	bool have_burst, have_recovery;
	struct search burst; /* its rates are frames of a burst */
	double recovery_s;   /* the slowest flow's */
	struct bench_trial recovery_trial;
	struct bench_round recovery;
};

/* Runs it all. To be freed, also on failure: what was measured by then is there. */
int bench_search_run(struct bench_search *s, struct bench_env *env, const struct bench_trial *x,
	unsigned rounds, struct err *e);
/*
 * The same in parts, for whoever does something else in between (lab/compare_run.c: another path).
 * begin, also on failure, is followed by free:
 *	begin	flat out; the search's limits
 *	round	one search
 *	sum_up	the goals, out of the rounds
 *	load	one trial at a percentage of the rate found (only if at_goal < n_goals); *l is the
 *		caller's, its trial's flows and its round to be freed
 *	end	back to back, recovery
 */
int bench_search_begin(
	struct bench_search *s, struct bench_env *env, const struct bench_trial *x, struct err *e);
int bench_search_round(struct bench_search *s, struct bench_env *env, struct err *e);
int bench_search_sum_up(struct bench_search *s, size_t n_nodes, struct err *e);
int bench_search_load(const struct bench_search *s, struct bench_env *env, double percent,
	struct bench_search_latency *l, struct err *e);
int bench_search_end(struct bench_search *s, struct bench_env *env, struct err *e);

void bench_search_free(struct bench_search *s);

/* Frames a second that the node's generator can move; NaN: not known. */
double bench_search_limit(const struct bench_search *s, size_t node);

/* Fills in the busiest generator of a goal at its rate. Pure. */
void bench_search_judge(const struct bench_search *s, size_t n_nodes, struct bench_search_goal *g);

/* Whether the figure is the generator's rather than the path's. */
bool bench_search_is_generators(const struct bench_search_goal *g);

#endif
