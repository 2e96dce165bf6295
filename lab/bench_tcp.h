/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP over a path: iperf3 runs in the two Linux guests, started and ended by their agents:
 *
 *	warm	iperf3's version in the sender: is it there? Its pages are then, too
 *	listen	a server in the receiver, for one client; it ends by itself if nobody comes
 *	run	a client in the sender; nobody is asked anything while it sends
 *	collect	what it wrote; CPU time and the switch's counters against those before
 *
 * One thread, the command's. Every wait is bounded; whatever goes wrong, neither is left running.
 */
#ifndef LANYARD_LAB_BENCH_TCP_H
#define LANYARD_LAB_BENCH_TCP_H

#include "lab/bench_env.h"
#include "lab/bench_iperf.h"
#include "lab/bench_result.h"

struct bench_tcp_round {
	struct iperf_result tcp;
	/* Of it: the switch, CPU time, cost, warnings. The cost is of all the time that the client
	 * ran. */
	struct bench_round round;
};

/* *r: to be freed with bench_tcp_round_free, after success. */
int bench_tcp_run(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_tcp_round *r, struct err *e);
void bench_tcp_round_free(struct bench_tcp_round *r);

#endif
