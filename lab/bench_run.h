/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out trials: talks to the guests' agents and to the switch, measures nothing itself.
 *
 *	learn	small frames from every NIC of the trial, until the switch knows their addresses
 *	start	receivers, then senders
 *	run	nobody is asked anything: a question would take the guest's time
 *	drain	until nothing more arrives (bounded)
 *	collect	the guests' status, the switch's counters against those before
 */
#ifndef LANYARD_LAB_BENCH_RUN_H
#define LANYARD_LAB_BENCH_RUN_H

#include "base/err.h"
#include "lab/bench_env.h"
#include "lab/bench_plan.h"
#include "lab/bench_result.h"

/* One round of one trial. *r: to be freed with bench_round_free. -EINTR: *env->stop was set;
 * the senders were stopped. */
int bench_run_trial(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_round *r, struct err *e);

/* Parts of it that other ways to measure share. */
/* Sleeps for the trial's time, as long as switch and VMMs live; stats: of before. */
int bench_run_time(struct bench_env *env, const struct bench_trial *x, const char *label,
	const json_t *stats, struct err *e);
/* What is counted on the host, by the switch, by the kernel of taps, by PFs of their VFs: a new
 * reference. */
json_t *bench_run_stats(struct bench_env *env, struct err *e);
/* CPU time and exits of all that has to do with the trial, so far. */
struct bench_cost_sample bench_run_cost(struct bench_env *env, const struct bench_trial *x);

#endif
