/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out trials: talks to the guests' agents and to the switch, measures nothing itself.
 *
 *	learn	small frames from every NIC of the trial, until the switch knows their addresses
 *	start	receivers, then senders
 *	run	nobody is asked anything: a question would take the guest's time
 *	drain	until nothing more arrives (bounded)
 *	collect	the guests' status, the switch's counters against those before
 *
 * One thread (the command's); calls to several agents run at once on threads that live as long
 * as the call.
 */
#ifndef LANYARD_LAB_BENCH_RUN_H
#define LANYARD_LAB_BENCH_RUN_H

#include <signal.h>
#include <jansson.h>

#include "base/err.h"
#include "base/rpc.h"
#include "lab/bench_plan.h"
#include "lab/bench_result.h"

struct bench_env {
	const struct topology *t;
	struct rpc *sw;
	struct rpc **agent;                /* by node; NULL for nodes that are no VM */
	json_t **hello;                    /* by node: what the guest said of itself */
	json_t *info;                      /* what the switch said of itself */
	double tsc_hz;                     /* of the host; guests share it */
	bool histogram;                    /* ask for the latency histograms too */
	const volatile sig_atomic_t *stop; /* set by a signal: calls return -EINTR */
	/* May be NULL. Called from the command's thread, text without newline. */
	void (*progress)(void *ctx, const char *text);
	void *progress_ctx;
};

/* Connects to the switch at sw_path and to the agent of each VM at agent_path(ctx, node, out),
 * and asks who they are. *env's other fields are the caller's. To be closed, also on failure. */
int bench_env_open(struct bench_env *env, const char *sw_path,
	char *(*agent_path)(void *ctx, size_t node, char *out), void *ctx, struct err *e);
void bench_env_close(struct bench_env *env);

/* One round of one trial. *r: to be freed with bench_round_free. -EINTR: *env->stop was set;
 * the senders were stopped. */
int bench_run_trial(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_round *r, struct err *e);

#endif
