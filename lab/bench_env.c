/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_env.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lab/bench_clock.h"
#include "traffic/engine.h"

#define PATH_MAX_LEN  512
#define TSC_TOLERANCE 0.001

/* ---- calls to several agents at once ---- */

struct call {
	size_t node;
	struct rpc *rpc;
	const char *method;
	json_t *params; /* stolen */
	json_t *result;
	struct err err;
	pthread_t thread;
	bool threaded;
};

static void *call_run(void *arg)
{
	struct call *c = arg;

	c->result = rpc_call(c->rpc, c->method, c->params, BENCH_CALL_TIMEOUT_MS, &c->err);
	return NULL;
}

/* Runs all n, each on a thread of its own if there are several; 0, or the first one's error. The
 * results are the caller's either way. */
static int call_all(struct bench_env *env, struct call *c, size_t n, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		c[i].rpc = env->agent[c[i].node];
		c[i].threaded = n > 1 && pthread_create(&c[i].thread, NULL, call_run, &c[i]) == 0;
		if (!c[i].threaded)
			call_run(&c[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (c[i].threaded)
			pthread_join(c[i].thread, NULL);
		if (c[i].result || rc)
			continue;
		rc = c[i].err.code ? c[i].err.code : -EIO;
		if (e) {
			*e = c[i].err;
			e->class = ERR_FAILED; /* whatever the guest says: no fault of the user's */
		}
		err_prefix(e, "guest %s", env->t->nodes[c[i].node].name);
	}
	return rc;
}

static void calls_drop(struct call *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(c[i].result);
}

bool bench_node_takes_part(const struct bench_trial *x, size_t node)
{
	return bench_node_sends(x, node) || bench_node_receives(x, node);
}

int bench_call_nodes(struct bench_env *env, const struct bench_trial *x, bench_node_fn which,
	const char *method, bench_params_fn params, json_t **status, struct err *e)
{
	struct call *c = calloc(env->t->n_nodes, sizeof(*c));
	size_t n = 0;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < env->t->n_nodes; i++) {
		if (!env->agent[i] || !which(x, i))
			continue;
		c[n++] = (struct call){
			.node = i,
			.method = method,
			.params = params ? params(env->t, x, i) : json_object(),
		};
	}
	int rc = call_all(env, c, n, e);
	for (size_t i = 0; i < n && !rc && status; i++) {
		json_decref(status[c[i].node]);
		status[c[i].node] = json_incref(c[i].result);
	}
	calls_drop(c, n);
	free(c);
	return rc;
}

/* What a switch that there isn't has counted: nothing. */
static json_t *no_stats(void)
{
	return json_pack(
		"{s:[], s:[], s:I}", "ports", "workers", "time_ns", (json_int_t)clock_now_ns());
}

json_t *bench_call_switch(struct bench_env *env, const char *method, json_t *params, struct err *e)
{
	if (!env->sw) {
		json_decref(params);
		return no_stats();
	}
	json_t *result = rpc_call(env->sw, method, params, BENCH_CALL_TIMEOUT_MS, e);

	if (!result)
		err_prefix(e, "switch");
	return result;
}

/* ---- waiting ---- */

static bool stopped(const struct bench_env *env)
{
	return env->stop && *env->stop;
}

static int interrupted(struct err *e)
{
	return err_set(e, -EINTR, "interrupted");
}

void bench_tell(struct bench_env *env, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!env->progress)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	env->progress(env->progress_ctx, text);
}

int bench_sleep(const struct bench_env *env, uint64_t ns, struct err *e)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S) };

	if (!stopped(env))
		nanosleep(&ts, NULL);
	return stopped(env) ? interrupted(e) : 0;
}

/* ---- opening ---- */

static int open_agent(struct bench_env *env, size_t node, const char *path, struct err *e)
{
	uint64_t before, after;

	env->agent[node] = rpc_connect(path, BENCH_CALL_TIMEOUT_MS, e);
	before = traffic_tsc();
	if (env->agent[node])
		env->hello[node] =
			rpc_call(env->agent[node], "hello", NULL, BENCH_CALL_TIMEOUT_MS, e);
	after = traffic_tsc();
	if (!env->hello[node])
		return err_prefix(e, "guest %s", env->t->nodes[node].name);
	double hz = json_number_value(json_object_get(env->hello[node], "tsc_hz"));
	/* Without a switch: what all of the lab's guests were told. That it is so is checked. */
	if (env->tsc_hz <= 0 && hz > 0)
		env->tsc_hz = hz;
	if (hz < env->tsc_hz * (1 - TSC_TOLERANCE) || hz > env->tsc_hz * (1 + TSC_TOLERANCE))
		return err_set(e, -EPROTO,
			"guest %s takes its TSC for %.0f Hz, the host's is %.0f Hz: times cannot be "
			"compared",
			env->t->nodes[node].name, hz, env->tsc_hz);
	return bench_clock_shared(env->t->nodes[node].name, before,
		(uint64_t)json_integer_value(json_object_get(env->hello[node], "tsc")), after,
		env->tsc_hz, e);
}

static int open_switch(struct bench_env *env, const char *path, struct err *e)
{
	env->sw = rpc_connect(path, BENCH_CALL_TIMEOUT_MS, e);
	if (env->sw)
		env->info = rpc_call(env->sw, "info", NULL, BENCH_CALL_TIMEOUT_MS, e);
	if (!env->info)
		return err_prefix(e, "switch");
	env->tsc_hz = json_number_value(json_object_get(env->info, "tsc_hz"));
	if (env->tsc_hz <= 0)
		return err_set(e, -EPROTO, "switch: its info lacks \"tsc_hz\"");
	return 0;
}

int bench_env_open(struct bench_env *env, const char *sw_path,
	char *(*agent_path)(void *ctx, size_t node, char *out), void *ctx, struct err *e)
{
	char path[PATH_MAX_LEN];
	int rc = 0;

	json_object_seed(0); /* before there are threads */
	env->agent = calloc(env->t->n_nodes, sizeof(struct rpc *));
	env->hello = calloc(env->t->n_nodes, sizeof(json_t *));
	if (!env->agent || !env->hello)
		return err_set(e, -ENOMEM, "out of memory");
	if (topology_has_switch(env->t))
		rc = open_switch(env, sw_path, e);
	for (size_t i = 0; i < env->t->n_nodes && !rc; i++)
		if (env->t->nodes[i].kind != TOPO_EXTERNAL)
			rc = open_agent(env, i, agent_path(ctx, i, path), e);
	return rc;
}

void bench_env_close(struct bench_env *env)
{
	for (size_t i = 0; i < env->t->n_nodes; i++) {
		if (env->agent)
			rpc_close(env->agent[i]);
		if (env->hello)
			json_decref(env->hello[i]);
		if (env->vmm)
			rpc_close(env->vmm[i]);
	}
	free(env->pid);
	free(env->vmm);
	free(env->agent);
	free(env->hello);
	rpc_close(env->sw);
	json_decref(env->info);
	env->agent = NULL;
	env->pid = NULL;
	env->vmm = NULL;
	env->hello = NULL;
	env->sw = NULL;
	env->info = NULL;
}
