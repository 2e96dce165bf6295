/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lab as bench talks to it: the switch, and the guests' agents, several at once.
 *
 * One thread (the command's); calls to several agents run at once on threads that live as long
 * as the call.
 */
#ifndef LANYARD_LAB_BENCH_ENV_H
#define LANYARD_LAB_BENCH_ENV_H

#include <signal.h>
#include <sys/types.h>
#include <jansson.h>

#include "base/err.h"
#include "base/rpc.h"
#include "lab/bench_plan.h"
#include "lab/daemon.h"

/* A Linux guest that is asked for traffic first makes rings of some MiB: on an emulated host not at
 * once. */
#define BENCH_CALL_TIMEOUT_MS daemon_ms(10000)

struct bench_env {
	const struct topology *t;
	struct rpc *sw;     /* NULL: the lab has no switch */
	struct rpc **agent; /* by node; NULL for nodes that are no VM */
	json_t **hello;     /* by node: what the guest said of itself */
	json_t *info;       /* what the switch said of itself; NULL */
	/* By node: its process, 0 where unknown, and its VMM's control socket, NULL where there is
	 * none; NULL: of no node. The caller's to open, closed with the rest. */
	pid_t *pid;
	struct rpc **vmm;
	double tsc_hz;                     /* of the host; guests share it */
	bool histogram;                    /* ask for the latency histograms too */
	unsigned next_id;                  /* ids of the next trial's frames come after it */
	const volatile sig_atomic_t *stop; /* set by a signal: calls return -EINTR */
	/* May be NULL. Called from the command's thread, text without newline. */
	void (*progress)(void *ctx, const char *text);
	void *progress_ctx;
};

/* Connects to the switch at sw_path, if the lab has one, and to the agent of each VM at
 * agent_path(ctx, node, out), and asks who they are. *env's other fields are the caller's. To be
 * closed, also on failure. */
int bench_env_open(struct bench_env *env, const char *sw_path,
	char *(*agent_path)(void *ctx, size_t node, char *out), void *ctx, struct err *e);
void bench_env_close(struct bench_env *env);

/* Nodes that a call goes to. */
typedef bool (*bench_node_fn)(const struct bench_trial *x, size_t node);
/* A call's parameters for a node; a new reference. */
typedef json_t *(*bench_params_fn)(
	const struct topology *t, const struct bench_trial *x, size_t node);

bool bench_node_takes_part(const struct bench_trial *x, size_t node);

/*
 * Calls `method` at every node for which `which` holds, with the parameters that `params` makes
 * for it (NULL: none). status: where the results go by node (replacing), or NULL. 0, or the first
 * node's error, named.
 */
int bench_call_nodes(struct bench_env *env, const struct bench_trial *x, bench_node_fn which,
	const char *method, bench_params_fn params, json_t **status, struct err *e);

/* A call to the switch: a new reference, or NULL with *e. Of a lab without one: `stats` of no
 * ports. */
json_t *bench_call_switch(struct bench_env *env, const char *method, json_t *params, struct err *e);

/* Sleeps; -EINTR as soon as *env->stop is set. */
int bench_sleep(const struct bench_env *env, uint64_t ns, struct err *e);

/* Shows what is going on, if anybody watches. */
void bench_tell(struct bench_env *env, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
