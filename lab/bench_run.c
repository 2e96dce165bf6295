/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/proc.h"
#include "lab/bench_taps.h"
#include "lab/bench_vfs.h"

#define IDS_LAST           65535u /* of a frame's 16 bits; 0 is no flow's */
#define IDS_TO_LEARN       (TOPO_NICS_MAX + 1u)
#define LEARN_TIMEOUT_NS   (15 * NS_PER_S)
#define LEARN_AGAIN_NS     (300 * NS_PER_MS)
#define LEARN_FDB_LIMIT    50000 /* as many as the switch lists of a port */
#define FINISH_TIMEOUT_NS  (5 * NS_PER_S)
#define DRAIN_TIMEOUT_NS   (2 * NS_PER_S)
#define DRAIN_POLL_NS      (30 * NS_PER_MS)
#define DRAIN_QUIET_POLLS  7 /* who has lost its CPU, switch or guest, comes back by then */
#define SETTLE_QUIET_POLLS 5

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

/* What is not on our switch nobody can be asked about: known is what its peer has heard of. */
static int is_heard(struct bench_env *env, const struct topo_end *peer, struct err *e)
{
	json_t *status =
		rpc_call(env->agent[peer->node], "traffic_status", NULL, BENCH_CALL_TIMEOUT_MS, e);
	const json_t *nic = json_array_get(json_object_get(status, "nics"), peer->nic);
	bool heard = json_integer_value(json_object_get(nic, "rx_frames")) > 0;

	json_decref(status);
	return status ? heard : err_prefix(e, "guest %s", env->t->nodes[peer->node].name);
}

static bool is_on_switch(const struct topology *t, const struct topo_end *end)
{
	const struct topo_nic *nic = &t->nodes[end->node].nics[end->nic];

	return !nic->vf.want && !topology_nic_is_tap(t, nic);
}

/* Asked port by port: a list of all may be too long for an answer. 1: yes; 0; -errno. */
static int is_known(struct bench_env *env, const struct bench_trial *x, const struct topo_end *end,
	struct err *e)
{
	char port[TOPO_NAME_MAX + 12];

	if (!is_on_switch(env->t, end))
		return is_heard(env, bench_peer(x, end->node, end->nic), e);
	topology_port_name(env->t, end->node, end->nic, port);
	json_t *fdb = bench_call_switch(
		env, "fdb", json_pack("{s:s, s:i}", "port", port, "limit", LEARN_FDB_LIMIT), e);
	int known = fdb ? fdb_has(fdb, env->t->nodes[end->node].nics[end->nic].mac) : -EIO;

	json_decref(fdb);
	return known;
}

/* The first NIC of the trial whose address the switch doesn't know. 1: there is one; 0; -errno. */
static int first_unknown(
	struct bench_env *env, const struct bench_trial *x, struct topo_end *end, struct err *e)
{
	for (size_t n = 0; n < env->t->n_nodes; n++) {
		for (size_t i = 0; i < env->t->nodes[n].n_nics; i++) {
			*end = (struct topo_end){ n, i };
			if (!bench_nic_takes_part(x, n, i))
				continue;

			int known = is_known(env, x, end, e);

			if (known <= 0)
				return known ? known : 1;
		}
	}
	return 0;
}

/* Why an address may be unknown: the port's state says it best. */
static int learn_failed(struct bench_env *env, const struct topo_end *end, struct err *e)
{
	char port[TOPO_NAME_MAX + 12], mac[ETHER_MAC_STR];
	const char *state = NULL, *reason = NULL;

	topology_port_name(env->t, end->node, end->nic, port);
	if (!is_on_switch(env->t, end))
		return err_set(e, -EHOSTUNREACH,
			"no frame of %s (%s) reached the NIC that it sends to in %llu s: does ping "
			"get through?",
			port, ether_mac_str(env->t->nodes[end->node].nics[end->nic].mac, mac),
			LEARN_TIMEOUT_NS / NS_PER_S);
	json_t *stats = bench_call_switch(env, "stats", json_pack("{s:s}", "port", port), NULL);
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

/* What the switch took from all ports; UINT64_MAX with *e. */
static uint64_t switch_received(struct bench_env *env, struct err *e)
{
	json_t *stats = bench_call_switch(env, "stats", NULL, e), *port;
	uint64_t sum = 0;
	size_t i;

	if (!stats)
		return UINT64_MAX;
	json_array_foreach (json_object_get(stats, "ports"), i, port)
		sum += (uint64_t)json_integer_value(
			json_object_get(json_object_get(port, "rx"), "frames"));
	json_decref(stats);
	return sum;
}

/* Until no frame of learning is on its way any more, or it would show up in the figures. */
static int settle(struct bench_env *env, const struct bench_trial *x, struct err *e)
{
	json_t **status = calloc(env->t->n_nodes, sizeof(json_t *));
	uint64_t deadline = clock_now_ns() + LEARN_TIMEOUT_NS, before = UINT64_MAX, now;
	unsigned quiet = 0;
	bool done = false; /* once it is so, nobody need be asked again: that takes their time */
	int rc = status ? 0 : err_set(e, -ENOMEM, "out of memory");

	while (!rc && quiet < SETTLE_QUIET_POLLS && clock_now_ns() < deadline) {
		if (!done)
			rc = bench_call_nodes(
				env, x, bench_node_takes_part, "traffic_status", NULL, status, e);
		done = !rc && senders_done(status, env->t->n_nodes);
		now = rc ? UINT64_MAX : switch_received(env, e);
		if (!rc && now == UINT64_MAX)
			rc = -EIO;
		if (rc)
			break;
		quiet = done && now == before ? quiet + 1 : 0;
		before = now;
		rc = bench_sleep(env, 10 * NS_PER_MS, e);
	}
	for (size_t n = 0; status && n < env->t->n_nodes; n++)
		json_decref(status[n]);
	free(status);
	return rc;
}

static int learn(struct bench_env *env, const struct bench_trial *x, struct err *e)
{
	uint64_t deadline = clock_now_ns() + LEARN_TIMEOUT_NS;
	struct topo_end unknown = { 0 };
	int rc;

	do {
		uint64_t again = clock_now_ns() + LEARN_AGAIN_NS;

		rc = bench_call_nodes(env, x, bench_node_takes_part, "traffic_start",
			bench_params_learn, NULL, e);
		while (!rc) {
			rc = bench_sleep(env, 10 * NS_PER_MS, e);
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
	return rc ? rc : settle(env, x, e);
}

/* ---- running ---- */

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

int bench_run_time(struct bench_env *env, const struct bench_trial *x, const char *label,
	const json_t *stats, struct err *e)
{
	uint64_t start = clock_now_ns(), total = (uint64_t)(x->seconds * 1e9), done = 0;
	struct proc_id *watched = watch_new(env, stats);
	int rc = watched ? 0 : err_set(e, -ENOMEM, "out of memory");

	while (done < total && !rc) {
		uint64_t left = total - done;

		bench_tell(env, "%s: %.0f s left", label, (double)left / 1e9);
		rc = bench_sleep(env, left < NS_PER_S ? left : NS_PER_S, e);
		if (!rc)
			rc = watch_check(env, watched, e);
		done = clock_now_ns() - start;
	}
	free(watched);
	return rc;
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
		rc = bench_call_nodes(env, x, bench_node_sends, "traffic_status", NULL, status, e);
		if (rc || senders_done(status, env->t->n_nodes) || clock_now_ns() > deadline)
			break;
		rc = bench_sleep(env, 20 * NS_PER_MS, e);
		if (rc)
			break;
	}
	if (rc)
		return rc;
	*in_time = senders_done(status, env->t->n_nodes);
	if (*in_time) /* there is nothing to stop */
		return 0;
	return bench_call_nodes(env, x, bench_node_sends, "traffic_stop", NULL, status, e);
}

/* Until all that was sent was received, or nothing arrives any more. */
static int drain(struct bench_env *env, const struct bench_trial *x, json_t **status, struct err *e)
{
	uint64_t deadline = clock_now_ns() + DRAIN_TIMEOUT_NS, before = UINT64_MAX, now;
	unsigned quiet = 0;
	int rc;

	for (;;) {
		rc = bench_call_nodes(
			env, x, bench_node_receives, "traffic_status", NULL, status, e);
		if (rc)
			return rc;
		now = count_frames(status, env->t->n_nodes, "receive");
		quiet = now == before ? quiet + 1 : 0;
		if (quiet == DRAIN_QUIET_POLLS ||
			now >= count_frames(status, env->t->n_nodes, "send") ||
			clock_now_ns() > deadline)
			return 0;
		before = now;
		rc = bench_sleep(env, DRAIN_POLL_NS, e);
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
		json_t *params = json_pack(
			"{s:b, s:i}", "histogram", 1, "flow", (int)(x->id_base + x->flows[i].id));
		json_t *one = rpc_call(
			env->agent[node], "traffic_status", params, BENCH_CALL_TIMEOUT_MS, e);

		if (!one)
			return err_prefix(e, "guest %s", env->t->nodes[node].name);
		take_latencies(status[node], one);
		json_decref(one);
	}
	return 0;
}

json_t *bench_run_stats(struct bench_env *env, struct err *e)
{
	json_t *stats = bench_call_switch(env, "stats", NULL, e);

	if (stats) {
		bench_taps_add("/sys", env->t, stats);
		bench_vfs_add(env->t, stats);
	}
	return stats;
}

/* All that VMs of the trial left their guests for, so far. */
static void count_exits(
	struct bench_env *env, const struct bench_trial *x, struct bench_cost_sample *s)
{
	s->exits_known = env->vmm != NULL;
	for (size_t n = 0; n < env->t->n_nodes && s->exits_known; n++) {
		json_t *counters, *vcpu, *v;
		const char *reason;
		size_t i;

		if (!bench_node_takes_part(x, n))
			continue;
		counters = env->vmm[n]
			? rpc_call(env->vmm[n], "counters", NULL, BENCH_CALL_TIMEOUT_MS, NULL)
			: NULL;
		s->exits_known = counters != NULL;
		json_array_foreach (json_object_get(counters, "vcpus"), i, vcpu)
			json_object_foreach (json_object_get(vcpu, "exits"), reason, v)
				s->exits += (uint64_t)json_integer_value(v);
		json_decref(counters);
	}
}

/* Whether a NIC of the trial is a port of the switch: neither a VF nor a tap on a bridge. */
static bool uses_switch(const struct topology *t, const struct bench_trial *x)
{
	for (size_t n = 0; n < t->n_nodes; n++) {
		for (size_t i = 0; i < t->nodes[n].n_nics; i++) {
			const struct topo_nic *nic = &t->nodes[n].nics[i];

			if (bench_nic_takes_part(x, n, i) && nic->network != TOPO_NO_NETWORK &&
				!topology_nic_is_tap(t, nic))
				return true;
		}
	}
	return false;
}

struct bench_cost_sample bench_run_cost(struct bench_env *env, const struct bench_trial *x)
{
	struct bench_cost_sample s = { 0 };
	pid_t *pids = calloc(env->t->n_nodes, sizeof(*pids));
	pid_t sw = uses_switch(env->t, x)
		? (pid_t)json_integer_value(json_object_get(env->info, "pid"))
		: 0;
	size_t k = 0;

	for (size_t n = 0; pids && env->pid && n < env->t->n_nodes; n++)
		if (bench_node_takes_part(x, n))
			pids[k++] = env->pid[n];
	if (k)
		s = bench_cost_read("/proc", sysconf(_SC_CLK_TCK), sw, pids, k);
	count_exits(env, x, &s);
	free(pids);
	return s;
}

/* cpu: samples of before, then of after; so is cost. */
static int measure(struct bench_env *env, const struct bench_trial *x, const char *label,
	struct bench_raw *raw, struct bench_cpu_sample *cpu, struct bench_cost_sample *cost,
	bool *in_time, struct err *e)
{
	bool started = false;
	int rc;

	bench_tell(env, "%s: learning", label);
	rc = learn(env, x, e);
	if (!rc)
		rc = bench_call_nodes(env, x, bench_node_takes_part, "traffic_start",
			bench_params_receive, NULL, e);
	if (!rc)
		rc = bench_call_nodes(env, x, bench_node_takes_part, "traffic_status",
			bench_params_counters, raw->counted_before, e);
	if (!rc && !(raw->stats_before = bench_run_stats(env, e)))
		rc = -EIO;
	if (!rc) {
		bench_cpu_sample("/proc", env->t, env->info, raw->stats_before, cpu);
		cost[0] = bench_run_cost(env, x);
		started = true;
		rc = bench_call_nodes(
			env, x, bench_node_sends, "traffic_start", bench_params_send, NULL, e);
	}
	if (!rc)
		rc = bench_run_time(env, x, label, raw->stats_before, e);
	if (!rc) {
		/* Now: who polls goes on while the last frames are waited for. */
		cost[1] = bench_run_cost(env, x);
		bench_tell(env, "%s: collecting", label);
		rc = finish_senders(env, x, raw->status, in_time, e);
	}
	if (rc) {
		if (started) /* whatever went wrong: nobody is left sending */
			bench_call_nodes(
				env, x, bench_node_sends, "traffic_stop", NULL, NULL, NULL);
		return rc;
	}
	rc = drain(env, x, raw->status, e);
	if (!rc && !(raw->stats_after = bench_run_stats(env, e)))
		rc = -EIO;
	if (!rc)
		bench_cpu_sample(
			"/proc", env->t, env->info, raw->stats_after, cpu + env->t->n_nodes + 1);
	if (!rc)
		rc = bench_call_nodes(env, x, bench_node_takes_part, "traffic_status",
			bench_params_counters, raw->status, e);
	if (!rc && env->histogram)
		rc = add_histograms(env, x, raw->status, e);
	return rc;
}

/* Each trial's frames have ids of their own: one that was late, held up in a ring or a NIC until
 * the next trial, is not taken for one of that. */
static unsigned ids_take(struct bench_env *env, const struct bench_trial *x)
{
	unsigned base, n = (unsigned)x->n_flows + IDS_TO_LEARN;

	if (env->next_id + n > IDS_LAST)
		env->next_id = 0;
	base = env->next_id;
	env->next_id += n;
	return base;
}

int bench_run_trial(struct bench_env *env, const struct bench_trial *planned, const char *label,
	struct bench_round *r, struct err *e)
{
	struct bench_cost_sample cost[2] = { 0 };
	struct bench_trial trial = *planned;
	const struct bench_trial *x = &trial;
	struct bench_raw raw = { .tsc_hz = env->tsc_hz, .cost = cost };
	bool in_time = true;
	int rc = -ENOMEM;

	trial.id_base = ids_take(env, planned);
	raw.status = calloc(2 * env->t->n_nodes, sizeof(*raw.status));
	struct bench_cpu_sample *cpu = calloc(2 * (env->t->n_nodes + 1), sizeof(*cpu));
	if (!raw.status || !cpu) {
		err_set(e, rc, "out of memory");
		goto out;
	}
	raw.counted_before = raw.status + env->t->n_nodes;
	raw.cpu_before = cpu;
	raw.cpu_after = cpu + env->t->n_nodes + 1;
	rc = measure(env, x, label, &raw, cpu, cost, &in_time, e);
	if (!rc)
		rc = bench_round_make(env->t, x, &raw, r, e);
	if (!rc && !in_time)
		bench_round_warn(r, BENCH_OVERTIME, 1,
			"a sender was still at it %llu s after its time, and was stopped",
			FINISH_TIMEOUT_NS / NS_PER_S);
out:
	for (size_t i = 0; raw.status && i < 2 * env->t->n_nodes; i++)
		json_decref(raw.status[i]);
	free(raw.status);
	free(cpu);
	json_decref(raw.stats_before);
	json_decref(raw.stats_after);
	return rc;
}
