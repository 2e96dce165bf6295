/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lab/bench_guest.h"
#include "lab/bench_parts.h"
#include "lab/bench_run.h"

#define POLL_MS   200
#define WARM_MS   20000 /* its first start reads it from the guest's root */
#define LISTEN_MS 10000
#define FINISH_MS 20000 /* after its time: what is on its way arrives, results are exchanged */
#define SERVER_MS 10000
#define IDLE_S    60

/* Of a run: samples of before, then of after. */
struct samples {
	json_t *stats[2];
	struct bench_cost_sample cost[2];
	struct bench_cpu_sample *cpu; /* 2 * (n_nodes + 1) */
};

/* Whoever has none is told where it comes from. */
static int start(
	struct guest_command *c, struct bench_env *env, size_t node, json_t *argv, struct err *e)
{
	static const char *const from[] = {
		[TOPO_ROOT_NONE] =
			"add \"/usr/bin/iperf3\" to the node's \"files\" (package iperf3)",
		[TOPO_ROOT_HOST] = "its root is the host's: sudo apt-get install iperf3",
		[TOPO_ROOT_DISK] = "install iperf3 on the disk that is its root",
	};
	struct err why = { 0 };
	int rc = guest_command_start(c, env, node, argv, &why);

	if (rc != -ENOENT && e && rc)
		*e = why;
	if (rc == -ENOENT)
		err_host(e, rc,
			"guest %s has no iperf3, by which TCP is measured; %s, then measure again",
			env->t->nodes[node].name, from[env->t->nodes[node].root]);
	return rc;
}

static uint64_t deadline_in(int ms)
{
	return clock_now_ns() + (uint64_t)daemon_ms(ms) * NS_PER_MS;
}

/* Until it has ended; -ETIMEDOUT: without a sentence. */
static int wait_end(struct guest_command *c, int ms, struct err *e)
{
	uint64_t deadline = deadline_in(ms);
	int rc = 0;

	while (c->id && !rc) {
		rc = guest_command_poll(c, POLL_MS, e);
		if (rc > 0)
			return 0;
		if (!rc)
			rc = bench_sleep(c->env, 0, e);
		if (!rc && clock_now_ns() > deadline)
			return -ETIMEDOUT;
	}
	return rc;
}

static int late(const struct bench_env *env, size_t node, const char *what, int ms, struct err *e)
{
	return err_set(e, -ETIMEDOUT, "iperf3 in guest %s did not %s in %d s",
		env->t->nodes[node].name, what, daemon_ms(ms) / 1000);
}

static int warm(struct bench_env *env, size_t node, struct err *e)
{
	struct guest_command c;
	int rc = start(&c, env, node, json_pack("[s, s]", "iperf3", "--version"), e);

	if (rc)
		return rc;
	rc = wait_end(&c, WARM_MS, e);
	if (rc == -ETIMEDOUT)
		late(env, node, "say its version", WARM_MS, e);
	guest_command_end(&c);
	return rc;
}

/* What a command wrote to its standard error, or else its output, as one line. */
static const char *words_of(struct guest_command *c)
{
	char *text = c->err.len ? c->err.bytes : c->out.bytes;

	if (!text || !*text)
		return "it said nothing";
	for (size_t n = strlen(text); n && text[n - 1] == '\n';)
		text[--n] = '\0';
	for (char *end = text; (end = strchr(end, '\n'));)
		*end = ' ';
	return text;
}

static int listen_for(
	struct guest_command *c, struct bench_env *env, const struct bench_trial *x, struct err *e)
{
	size_t node = x->flows[0].to.node;
	uint64_t deadline = deadline_in(LISTEN_MS);
	int rc = start(
		c, env, node, iperf_server_argv(env->t, x, IDLE_S * (daemon_ms(1000) / 1000)), e);

	while (!rc && !(c->out.bytes && strstr(c->out.bytes, IPERF_LISTENS))) {
		rc = guest_command_poll(c, POLL_MS, e);
		if (rc > 0)
			rc = err_set(e, -EIO, "guest %s: its iperf3 ended at once: %.300s",
				env->t->nodes[node].name, words_of(c));
		if (!rc)
			rc = bench_sleep(env, 0, e);
		if (!rc && clock_now_ns() > deadline)
			rc = late(env, node, "listen", LISTEN_MS, e);
	}
	return rc;
}

static int sample(
	struct bench_env *env, const struct bench_trial *x, struct samples *s, int k, struct err *e)
{
	struct bench_cpu_sample *cpu = s->cpu + (size_t)k * (env->t->n_nodes + 1);

	s->cost[k] = bench_run_cost(env, x);
	s->stats[k] = bench_run_stats(env, e);
	if (!s->stats[k])
		return -EIO;
	bench_cpu_sample("/proc", env->t, env->info, s->stats[0], cpu);
	return 0;
}

static int client(struct guest_command *c, struct bench_env *env, const struct bench_trial *x,
	const char *label, struct samples *s, struct err *e)
{
	size_t node = x->flows[0].from.node;
	int rc = sample(env, x, s, 0, e);

	if (!rc)
		rc = start(c, env, node, iperf_client_argv(env->t, x), e);
	if (!rc)
		rc = bench_run_time(env, x, label, s->stats[0], e);
	if (rc)
		return rc;
	bench_tell(env, "%s: collecting", label);
	rc = wait_end(c, FINISH_MS, e);
	if (rc == -ETIMEDOUT)
		late(env, node, "end after its time", FINISH_MS, e);
	return rc ? rc : sample(env, x, s, 1, e);
}

static int make_round(
	struct bench_env *env, const struct samples *s, struct bench_round *r, struct err *e)
{
	const struct bench_raw raw = { .stats_before = s->stats[0],
		.stats_after = s->stats[1],
		.cpu_before = s->cpu,
		.cpu_after = s->cpu + env->t->n_nodes + 1 };
	int rc;

	r->n_cpus = env->t->n_nodes + 1;
	r->cpu = calloc(r->n_cpus, sizeof(*r->cpu));
	if (!r->cpu)
		return err_set(e, -ENOMEM, "out of memory");
	rc = bench_switch_diff(s->stats[0], s->stats[1], &r->sw, e);
	bench_cpus_diff(&raw, r);
	bench_cpus_judge(env->t, r);
	r->cost = bench_cost_diff(&s->cost[0], &s->cost[1]);
	return rc;
}

static int result(struct guest_command *c, struct iperf_result *r, struct err *e)
{
	const struct bench_env *env = c->env;
	int rc;

	if (!c->out.len || c->signal)
		rc = err_set(e, -EIO, "iperf3 ended with %s %d: %.300s",
			c->signal ? "signal" : "status", c->signal ? c->signal : c->status,
			words_of(c));
	else
		rc = iperf_read(c->out.bytes, r, e);
	return rc ? err_prefix(e, "guest %s", env->t->nodes[c->node].name) : 0;
}

int bench_tcp_run(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_tcp_round *r, struct err *e)
{
	struct guest_command serves = { 0 }, sends = { 0 };
	struct samples s = { 0 };
	int rc;

	*r = (struct bench_tcp_round){ 0 };
	s.cpu = calloc(2 * (env->t->n_nodes + 1), sizeof(*s.cpu));
	bench_tell(env, "%s: starting iperf3", label);
	rc = s.cpu ? warm(env, x->flows[0].from.node, e) : err_set(e, -ENOMEM, "out of memory");
	if (!rc)
		rc = listen_for(&serves, env, x, e);
	if (!rc)
		rc = client(&sends, env, x, label, &s, e);
	if (!rc)
		rc = result(&sends, &r->tcp, e);
	if (!rc)
		rc = make_round(env, &s, &r->round, e);
	if (!rc) /* Of itself: but one that doesn't is ended below. */
		wait_end(&serves, SERVER_MS, NULL);
	if (sends.env)
		guest_command_end(&sends);
	if (serves.env)
		guest_command_end(&serves);
	if (rc)
		bench_tcp_round_free(r);
	json_decref(s.stats[0]);
	json_decref(s.stats[1]);
	free(s.cpu);
	return rc;
}

void bench_tcp_round_free(struct bench_tcp_round *r)
{
	bench_round_free(&r->round);
	*r = (struct bench_tcp_round){ 0 };
}
