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

#endif
