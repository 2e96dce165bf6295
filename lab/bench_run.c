/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/proc.h"

#define PATH_MAX_LEN      512
#define CALL_TIMEOUT_MS   10000
#define LEARN_TIMEOUT_NS  (15 * NS_PER_S)
#define LEARN_AGAIN_NS    (300 * NS_PER_MS)
#define FINISH_TIMEOUT_NS (5 * NS_PER_S)
#define DRAIN_TIMEOUT_NS  (2 * NS_PER_S)
#define DRAIN_POLL_NS     (30 * NS_PER_MS)
#define TSC_TOLERANCE     0.001

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

	c->result = rpc_call(c->rpc, c->method, c->params, CALL_TIMEOUT_MS, &c->err);
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

typedef bool (*node_fn)(const struct bench_trial *x, size_t node);

static bool takes_part(const struct bench_trial *x, size_t node)
{
	return bench_node_sends(x, node) || bench_node_receives(x, node);
}

/* Calls `method` at every node for which `which` holds, with the parameters that `params` makes
 * for it (NULL: none). status: where the results go by node (replacing), or NULL. */
static int call_nodes(struct bench_env *env, const struct bench_trial *x, node_fn which,
	const char *method,
	json_t *(*params)(const struct topology *, const struct bench_trial *, size_t),
	json_t **status, struct err *e)
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

/* ---- waiting ---- */

static bool stopped(const struct bench_env *env)
{
	return env->stop && *env->stop;
}

static int interrupted(struct err *e)
{
	return err_set(e, -EINTR, "interrupted");
}

static void tell(struct bench_env *env, const char *fmt, ...)
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

static int sleep_ns(const struct bench_env *env, uint64_t ns, struct err *e)
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
	env->agent[node] = rpc_connect(path, CALL_TIMEOUT_MS, e);
	if (env->agent[node])
		env->hello[node] = rpc_call(env->agent[node], "hello", NULL, CALL_TIMEOUT_MS, e);
	if (!env->hello[node])
		return err_prefix(e, "guest %s", env->t->nodes[node].name);
	double hz = json_number_value(json_object_get(env->hello[node], "tsc_hz"));
	if (hz < env->tsc_hz * (1 - TSC_TOLERANCE) || hz > env->tsc_hz * (1 + TSC_TOLERANCE))
		return err_set(e, -EPROTO,
			"guest %s takes its TSC for %.0f Hz, the host's is %.0f Hz: times cannot be "
			"compared",
			env->t->nodes[node].name, hz, env->tsc_hz);
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
	env->sw = rpc_connect(sw_path, CALL_TIMEOUT_MS, e);
	if (env->sw)
		env->info = rpc_call(env->sw, "info", NULL, CALL_TIMEOUT_MS, e);
	if (!env->info)
		return err_prefix(e, "switch");
	env->tsc_hz = json_number_value(json_object_get(env->info, "tsc_hz"));
	if (env->tsc_hz <= 0)
		return err_set(e, -EPROTO, "switch: its info lacks \"tsc_hz\"");
	for (size_t i = 0; i < env->t->n_nodes && !rc; i++)
		if (env->t->nodes[i].kind == TOPO_VM)
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
	}
	free(env->agent);
	free(env->hello);
	rpc_close(env->sw);
	json_decref(env->info);
	env->agent = NULL;
	env->hello = NULL;
	env->sw = NULL;
	env->info = NULL;
}

/* ---- learning ---- */

static bool fdb_has(const json_t *fdb, struct ether_mac mac)
{
	const json_t *entry;
	char text[ETHER_MAC_STR];
	size_t i;

	ether_mac_str(mac, text);
	json_array_foreach (json_object_get(fdb, "entries"), i, entry) {
		const char *got = json_string_value(json_object_get(entry, "mac"));

		if (got && strcasecmp(got, text) == 0)
			return true;
	}
	return false;
}

/* The first NIC of the trial whose address the switch doesn't know. 1: there is one; 0; -errno. */
static int first_unknown(
	struct bench_env *env, const struct bench_trial *x, struct topo_end *end, struct err *e)
{
	json_t *fdb = rpc_call(env->sw, "fdb", NULL, CALL_TIMEOUT_MS, e);
	int found = 0;

	if (!fdb) {
		err_prefix(e, "switch");
		return -EIO;
	}
	for (size_t n = 0; n < env->t->n_nodes && !found; n++) {
		for (size_t i = 0; i < env->t->nodes[n].n_nics && !found; i++) {
			*end = (struct topo_end){ n, i };
			found = bench_nic_takes_part(x, n, i) &&
				!fdb_has(fdb, env->t->nodes[n].nics[i].mac);
		}
	}
	json_decref(fdb);
	return found;
}

/* Why an address may be unknown: the port's state says it best. */
static int learn_failed(struct bench_env *env, const struct topo_end *end, struct err *e)
{
	char port[TOPO_NAME_MAX + 12], mac[ETHER_MAC_STR];
	const char *state = NULL, *reason = NULL;

	topology_port_name(env->t, end->node, end->nic, port);
	json_t *stats =
		rpc_call(env->sw, "stats", json_pack("{s:s}", "port", port), CALL_TIMEOUT_MS, NULL);
	json_t *p = json_array_get(json_object_get(stats, "ports"), 0);
	state = json_string_value(json_object_get(p, "state"));
	reason = json_string_value(json_object_get(p, "reason"));
	err_set(e, -EHOSTUNREACH,
		"no frame of %s (%s) reached the switch in %llu s; its port there is %s%s%s", port,
		ether_mac_str(env->t->nodes[end->node].nics[end->nic].mac, mac),
		LEARN_TIMEOUT_NS / NS_PER_S, state ? state : "unknown", reason ? ": " : "",
		reason ? reason : "");
	json_decref(stats);
	return -EHOSTUNREACH;
}

static int learn(struct bench_env *env, const struct bench_trial *x, struct err *e)
{
	uint64_t deadline = clock_now_ns() + LEARN_TIMEOUT_NS;
	struct topo_end unknown = { 0 };
	int rc;

	do {
		uint64_t again = clock_now_ns() + LEARN_AGAIN_NS;

		rc = call_nodes(env, x, takes_part, "traffic_start", bench_params_learn, NULL, e);
		while (!rc) {
			rc = sleep_ns(env, 10 * NS_PER_MS, e);
			if (rc)
				break;
			rc = first_unknown(env, x, &unknown, e);
			if (rc <= 0 || clock_now_ns() > again)
				break;
			rc = 0;
		}
	} while (rc > 0 && clock_now_ns() < deadline);
	if (rc > 0)
		rc = learn_failed(env, &unknown, e);
	/* The last of them may still be on their way: out of the figures with them. */
	return rc ? rc : sleep_ns(env, 20 * NS_PER_MS, e);
}

/* ---- running ---- */

static json_t *switch_stats(struct bench_env *env, struct err *e)
{
	json_t *stats = rpc_call(env->sw, "stats", NULL, CALL_TIMEOUT_MS, e);

	if (!stats)
		err_prefix(e, "switch");
	return stats;
}

/* Who is watched while nobody is asked: the switch, then the nodes' VMMs. */
static struct proc_id *watch_new(struct bench_env *env, const json_t *stats)
{
	struct proc_id *ids = calloc(env->t->n_nodes + 1, sizeof(*ids));

	for (size_t who = 0; ids && who <= env->t->n_nodes; who++) {
		pid_t pid = bench_cpu_pid(env->t, env->info, stats, who);

		if (!pid || proc_id_of(pid, &ids[who]))
			ids[who].pid = 0;
	}
	return ids;
}

static int watch_check(const struct bench_env *env, const struct proc_id *ids, struct err *e)
{
	for (size_t who = 0; who <= env->t->n_nodes; who++) {
		if (!ids[who].pid || proc_is_alive(ids[who]))
			continue;
		if (who == 0)
			return err_set(e, -EPIPE, "the switch (pid %d) died during the trial",
				(int)ids[who].pid);
		return err_set(e, -EPIPE, "the VMM of guest %s (pid %d) died during the trial",
			env->t->nodes[who - 1].name, (int)ids[who].pid);
	}
	return 0;
}

static int run_time(struct bench_env *env, const struct bench_trial *x, const char *label,
	const json_t *stats, struct err *e)
{
	uint64_t start = clock_now_ns(), total = (uint64_t)(x->seconds * 1e9), done = 0;
	struct proc_id *watched = watch_new(env, stats);
	int rc = watched ? 0 : err_set(e, -ENOMEM, "out of memory");

	while (done < total && !rc) {
		uint64_t left = total - done;

		tell(env, "%s: %.0f s left", label, (double)left / 1e9);
		rc = sleep_ns(env, left < NS_PER_S ? left : NS_PER_S, e);
		if (!rc)
			rc = watch_check(env, watched, e);
		done = clock_now_ns() - start;
	}
	free(watched);
	return rc;
}

static bool senders_done(json_t *const *status, size_t n_nodes)
{
	const json_t *flow;
	size_t i;

	for (size_t n = 0; n < n_nodes; n++) {
		json_array_foreach (json_object_get(status[n], "flows"), i, flow) {
			const char *role = json_string_value(json_object_get(flow, "role"));

			if (role && strcmp(role, "send") == 0 &&
				!json_is_true(json_object_get(flow, "done")))
				return false;
		}
	}
	return true;
}

/* Frames that all flows of the role counted. */
static uint64_t count_frames(json_t *const *status, size_t n_nodes, const char *role)
{
	const json_t *flow;
	uint64_t sum = 0;
	size_t i;

	for (size_t n = 0; n < n_nodes; n++) {
		json_array_foreach (json_object_get(status[n], "flows"), i, flow) {
			const char *r = json_string_value(json_object_get(flow, "role"));

			if (r && strcmp(r, role) == 0)
				sum += (uint64_t)json_integer_value(
					json_object_get(flow, "frames"));
		}
	}
	return sum;
}

static int finish_senders(struct bench_env *env, const struct bench_trial *x, json_t **status,
	bool *in_time, struct err *e)
{
	uint64_t deadline = clock_now_ns() + FINISH_TIMEOUT_NS;
	int rc;

	for (;;) {
		rc = call_nodes(env, x, bench_node_sends, "traffic_status", NULL, status, e);
		if (rc || senders_done(status, env->t->n_nodes) || clock_now_ns() > deadline)
			break;
		rc = sleep_ns(env, 20 * NS_PER_MS, e);
		if (rc)
			break;
	}
	if (rc)
		return rc;
	*in_time = senders_done(status, env->t->n_nodes);
	return call_nodes(env, x, bench_node_sends, "traffic_stop", NULL, status, e);
}

/* Until all that was sent was received, or nothing arrives any more. */
static int drain(struct bench_env *env, const struct bench_trial *x, json_t **status, struct err *e)
{
	uint64_t deadline = clock_now_ns() + DRAIN_TIMEOUT_NS, before = UINT64_MAX, now;
	int rc;

	for (;;) {
		rc = call_nodes(env, x, bench_node_receives, "traffic_status", NULL, status, e);
		if (rc)
			return rc;
		now = count_frames(status, env->t->n_nodes, "receive");
		if (now == before || now >= count_frames(status, env->t->n_nodes, "send") ||
			clock_now_ns() > deadline)
			return 0;
		before = now;
		rc = sleep_ns(env, DRAIN_POLL_NS, e);
		if (rc)
			return rc;
	}
}

/* Takes over the latencies, which have their histograms, into the flows of `status`. */
static void take_latencies(json_t *status, const json_t *from)
{
	json_t *flow, *got;
	size_t i, k;

	json_array_foreach (json_object_get(from, "flows"), i, got) {
		json_t *latency = json_object_get(got, "latency");

		json_array_foreach (json_object_get(status, "flows"), k, flow)
			if (latency && json_object_get(flow, "latency") &&
				json_equal(json_object_get(flow, "id"), json_object_get(got, "id")))
				json_object_set(flow, "latency", latency);
	}
}

/* A guest's line holds the histogram of one flow at a time. */
static int add_histograms(
	struct bench_env *env, const struct bench_trial *x, json_t **status, struct err *e)
{
	for (size_t i = 0; i < x->n_flows; i++) {
		size_t node = x->flows[i].to.node;
		json_t *params =
			json_pack("{s:b, s:i}", "histogram", 1, "flow", (int)x->flows[i].id);
		json_t *one =
			rpc_call(env->agent[node], "traffic_status", params, CALL_TIMEOUT_MS, e);

		if (!one)
			return err_prefix(e, "guest %s", env->t->nodes[node].name);
		take_latencies(status[node], one);
		json_decref(one);
	}
	return 0;
}

/* cpu: samples of before, then of after. */
static int measure(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_raw *raw, struct bench_cpu_sample *cpu, bool *in_time, struct err *e)
{
	bool started = false;
	int rc;

	tell(env, "%s: learning", label);
	rc = learn(env, x, e);
	if (!rc)
		rc = call_nodes(env, x, takes_part, "traffic_start", bench_params_receive, NULL, e);
	if (!rc && !(raw->stats_before = switch_stats(env, e)))
		rc = -EIO;
	if (!rc) {
		bench_cpu_sample("/proc", env->t, env->info, raw->stats_before, cpu);
		started = true;
		rc = call_nodes(
			env, x, bench_node_sends, "traffic_start", bench_params_send, NULL, e);
	}
	if (!rc)
		rc = run_time(env, x, label, raw->stats_before, e);
	if (!rc) {
		tell(env, "%s: collecting", label);
		rc = finish_senders(env, x, raw->status, in_time, e);
	}
	if (rc) {
		if (started) /* whatever went wrong: nobody is left sending */
			call_nodes(env, x, bench_node_sends, "traffic_stop", NULL, NULL, NULL);
		return rc;
	}
	rc = drain(env, x, raw->status, e);
	if (!rc && !(raw->stats_after = switch_stats(env, e)))
		rc = -EIO;
	if (!rc)
		bench_cpu_sample(
			"/proc", env->t, env->info, raw->stats_after, cpu + env->t->n_nodes + 1);
	if (!rc)
		rc = call_nodes(env, x, takes_part, "traffic_status", NULL, raw->status, e);
	if (!rc && env->histogram)
		rc = add_histograms(env, x, raw->status, e);
	return rc;
}

int bench_run_trial(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_round *r, struct err *e)
{
	struct bench_raw raw = { .tsc_hz = env->tsc_hz };
	bool in_time = true;
	int rc = -ENOMEM;

	raw.status = calloc(env->t->n_nodes, sizeof(*raw.status));
	struct bench_cpu_sample *cpu = calloc(2 * (env->t->n_nodes + 1), sizeof(*cpu));
	if (!raw.status || !cpu) {
		err_set(e, rc, "out of memory");
		goto out;
	}
	raw.cpu_before = cpu;
	raw.cpu_after = cpu + env->t->n_nodes + 1;
	rc = measure(env, x, label, &raw, cpu, &in_time, e);
	if (!rc)
		rc = bench_round_make(env->t, x, &raw, r, e);
	if (!rc && !in_time)
		bench_round_warn(r,
			"a sender was still at it %llu s after its time, and was stopped",
			FINISH_TIMEOUT_NS / NS_PER_S);
out:
	for (size_t i = 0; raw.status && i < env->t->n_nodes; i++)
		json_decref(raw.status[i]);
	free(raw.status);
	free(cpu);
	json_decref(raw.stats_before);
	json_decref(raw.stats_after);
	return rc;
}
