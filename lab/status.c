/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering: the record first, then one `info` and `stats` of each daemon that lives. */
#include "lab/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rpc.h"
#include "lab/daemon.h"
#include "lab/lab.h"
#include "lab/plan.h"
#include "lab/status_tap.h"
#include "lab/status_vf.h"
#include "lab/steps_tap.h"
#include "lab/vf.h"

#define ASK_MS 1000

static json_t *text_or_null(const char *s)
{
	return s && *s ? json_string(s) : json_null();
}

/* Copies a member (null if it isn't there), so that a reader always finds the key. */
static void copy(json_t *to, const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);

	json_object_set_new(to, key, v ? json_incref(v) : json_null());
}

static json_t *ask(const char *socket, const char *method, char *why, size_t why_size)
{
	struct err e = { 0 };
	struct rpc *r = rpc_connect(socket, daemon_ms(ASK_MS), &e);
	json_t *reply = r ? rpc_call(r, method, NULL, daemon_ms(ASK_MS), &e) : NULL;

	if (!reply)
		snprintf(why, why_size, "does not answer: %s", e.text);
	rpc_close(r);
	return reply;
}

/*
 * {"state", "reason", "pid", "log", "died_at_s"} of a daemon. "ended": its log says why; "died":
 * it doesn't, so the process was killed or crashed. The exit status is its parent's to know, and
 * that was the `up` that has long ended.
 */
static json_t *process_status(const struct step *s)
{
	const char *state = "running", *word;
	char reason[1200] = "";
	struct strs tail = { 0 };
	struct stat st;
	json_t *j;

	if (s->state == STEP_PLANNED) {
		state = "planned";
	} else if (!proc_is_alive(s->proc)) {
		daemon_log_tail(s->log, 1, &tail);
		word = tail.n ? daemon_last_word(tail.v[0]) : NULL;
		state = word ? "ended" : "died";
		if (word)
			snprintf(reason, sizeof reason, "%s", word);
		else
			snprintf(reason, sizeof reason, "killed, or crashed; its log %s%s",
				tail.n ? "ends with: " : "is empty",
				tail.n ? daemon_log_text(tail.v[0]) : "");
	}
	j = json_pack("{s:s, s:o, s:i, s:s, s:s}", "state", state, "reason", text_or_null(reason),
		"pid", (int)s->proc.pid, "control", s->socket, "log", s->log);
	json_object_set_new(j, "log_changed_s",
		stat(s->log, &st) == 0 ? json_integer(st.st_mtim.tv_sec) : json_null());
	strs_free(&tail);
	return j;
}

static bool runs(const json_t *process)
{
	const char *state = json_string_value(json_object_get(process, "state"));

	return state && strcmp(state, "running") == 0;
}

static void make_silent(json_t *process, const char *why)
{
	json_object_set_new(process, "state", json_string("silent"));
	json_object_set_new(process, "reason", json_string(why));
}

/* The entry of that name in an array of objects; NULL. Borrowed. */
static json_t *named(const json_t *array, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach (array, i, v) {
		const char *n = json_string_value(json_object_get(v, "name"));

		if (n && strcmp(n, name) == 0)
			return v;
	}
	return NULL;
}

static json_t *switch_status(const struct plan *p, json_t **stats)
{
	const struct step *s = plan_find(p, STEP_SWITCH, NULL);
	static const char *const keys[] = { "version", "dpdk", "huge", "poll", "tsc_hz",
		"uptime_s" };
	json_t *j, *info = NULL;
	char why[1200];

	*stats = NULL;
	if (!s)
		return json_null();
	j = process_status(s);
	if (runs(j)) {
		info = ask(s->socket, "info", why, sizeof why);
		*stats = info ? ask(s->socket, "stats", why, sizeof why) : NULL;
		if (!*stats)
			make_silent(j, why);
	}
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		copy(j, info, keys[i]);
	copy(j, *stats, "workers");
	json_decref(info);
	return j;
}

/* Every port of the record; what the switch says of it goes in, or its state is null. */
static json_t *ports_status(const struct plan *p, const json_t *stats)
{
	static const char *const keys[] = { "state", "reason", "queues", "connects", "vhost_pid",
		"features", "rx", "tx", "drops", "flooded", "notifications_sent", "kicks_received",
		"queue" };
	json_t *a = json_array();
	char device[300];

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		json_t *j, *now;

		if (s->kind != STEP_PORT)
			continue;
		now = named(json_object_get(stats, "ports"), s->name);
		j = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "name", s->name, "kind",
			step_port_kind(s), "network", s->network, "mac", text_or_null(s->mac),
			"socket", text_or_null(s->socket), "device",
			text_or_null(s->device ? vf_say(s->device, device, sizeof device) : NULL),
			"policy", s->policy ? json_incref(s->policy) : json_object(), "external",
			s->external);
		for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
			copy(j, now, keys[k]);
		/* The record knows what was asked for, the switch what holds. */
		if (json_is_object(json_object_get(now, "policy")))
			copy(j, now, "policy");
		json_array_append_new(a, j);
	}
	return a;
}

/* NICs of a node: from the record, so that they are there when its VMM is not; then those that are
 * VFs, from the topology. */
static json_t *nics_status(
	const struct plan *p, const struct topology *t, size_t at, const json_t *info)
{
	static const char *const keys[] = { "link", "connected", "reconnects", "needs_reset",
		"queues", "features", "mtu" };
	char name[TOPO_NAME_MAX + 12];
	json_t *a = json_array();

	for (size_t i = 0; i < t->nodes[at].n_nics; i++) {
		const struct step *s;
		json_t *j, *now;

		topology_port_name(t, at, i, name);
		s = plan_find(p, STEP_PORT, name);
		s = s ? s : plan_find(p, STEP_TAP, name);
		if (!s)
			continue;
		now = json_array_get(json_object_get(info, "nics"), json_array_size(a));
		j = json_pack("{s:s, s:s, s:o, s:o*}", "port", s->name, "network", s->network,
			"mac", text_or_null(s->mac), "tap",
			s->kind == STEP_TAP ? json_string(s->device) : NULL);
		for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
			copy(j, now, keys[k]);
		json_array_append_new(a, j);
	}
	for (size_t i = 0, k = 0; i < t->nodes[at].n_nics; i++)
		if (t->nodes[at].nics[i].vf.want)
			json_array_append_new(a,
				status_vf_nic(t, at, i,
					json_array_get(json_object_get(info, "vfio"), k++)));
	return a;
}

/* Who serves the node: each a process, and what for. */
static json_t *helpers_status(const struct plan *p, const char *node)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		json_t *j;

		if (!step_is_server(s) || !step_helps(s, node))
			continue;
		j = process_status(s);
		json_object_set_new(j, "name", json_string(s->name));
		json_object_set_new(j, "kind", json_string(step_kind_name(s->kind)));
		json_object_set_new(j, "folder", text_or_null(s->network));
		json_array_append_new(a, j);
	}
	return a;
}

/* What the VMM says of the device now, beside what the topology asks for. */
static void add_device(json_t *j, const json_t *now)
{
	static const char *const keys[] = { "size_bytes", "connected", "reconnects", "waiting",
		"needs_reset" };

	for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
		copy(j, now, keys[k]);
}

/* Of the VMM's list of shared folders. Borrowed. */
static const json_t *fs_of(const json_t *info, const char *tag)
{
	const json_t *v;
	size_t i;

	json_array_foreach (json_object_get(info, "fs"), i, v) {
		const char *t = json_string_value(json_object_get(v, "tag"));

		if (t && strcmp(t, tag) == 0)
			return v;
	}
	return NULL;
}

static json_t *disks_status(const struct topo_node *n, const json_t *info)
{
	static const char *const formats[] = { "raw", "qcow2", "vmdk", "vhd" };
	json_t *a = json_array();

	for (size_t i = 0; i < n->n_disks; i++) {
		json_t *j = json_pack("{s:s, s:s, s:b, s:o}", "file", n->disks[i].file, "format",
			formats[n->disks[i].format], "readonly", n->disks[i].readonly, "serial",
			text_or_null(n->disks[i].serial));

		add_device(j, json_array_get(json_object_get(info, "disks"), i));
		json_array_append_new(a, j);
	}
	return a;
}

static json_t *shares_status(const struct topo_node *n, const json_t *info)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n->n_shares; i++) {
		json_t *j = json_pack("{s:s, s:s, s:b}", "tag", n->shares[i].tag, "path",
			n->shares[i].path, "readonly", n->shares[i].readonly);

		add_device(j, fs_of(info, n->shares[i].tag));
		json_array_append_new(a, j);
	}
	return a;
}

/* "answers", "in use" (its channel, by another client) or "silent"; what it tells goes to *hello. */
static const char *agent_state(const struct plan *p, const char *node, json_t **hello)
{
	const struct step *s = plan_find(p, STEP_GUEST, node);
	struct err e = { 0 };
	struct rpc *r = s && s->socket ? rpc_connect(s->socket, daemon_ms(ASK_MS), &e) : NULL;

	*hello = r ? rpc_call(r, "hello", NULL, daemon_ms(ASK_MS), &e) : NULL;
	rpc_close(r);
	return *hello ? "answers" : e.code == -EBUSY || e.code == -EPIPE ? "in use" : "silent";
}

/* What is a VM's alone: its guest, and what serves it. */
static void add_guest(
	json_t *j, const struct plan *p, const struct topo_node *n, bool up, const json_t *info)
{
	static const char *const roots[] = { "none", "host", "disk" };
	bool is_linux = n->guest_kind == TOPO_GUEST_LINUX;
	const char *agent = NULL;
	json_t *hello = NULL;

	/* The traffic engine's agent is left to whoever measures. */
	if (is_linux && up)
		agent = agent_state(p, n->name, &hello);
	json_object_set_new(j, "guest", json_string(n->guest));
	json_object_set_new(j, "root", is_linux ? json_string(roots[n->root]) : json_null());
	json_object_set_new(j, "agent", text_or_null(agent));
	copy(j, hello, "kernel");
	copy(j, hello, "problems");
	json_object_set_new(j, "disks", disks_status(n, info));
	json_object_set_new(j, "shares", shares_status(n, info));
	json_object_set_new(j, "helpers", helpers_status(p, n->name));
	json_decref(hello);
}

static json_t *node_status(
	const struct plan *p, const struct step *s, const struct topology *t, size_t at)
{
	static const char *const keys[] = { "memory_bytes", "huge", "vcpus", "exits", "resets",
		"panics", "triple_faults", "uptime_s" };
	json_t *j = process_status(s), *info = NULL;
	const char *state;
	char why[1200];

	json_object_set_new(j, "name", json_string(s->name));
	json_object_set_new(j, "kind", json_string(step_kind_name(s->kind)));
	if (runs(j)) {
		info = ask(s->socket, "info", why, sizeof why);
		if (!info)
			make_silent(j, why);
		state = json_string_value(json_object_get(info, "state"));
		if (state && strcmp(state, "running") != 0) {
			json_object_set_new(j, "state", json_string(state));
			copy(j, info, "reason");
		}
	}
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		copy(j, info, keys[i]);
	json_object_set_new(j, "nics", nics_status(p, t, at, info));
	if (s->kind == STEP_VM)
		add_guest(j, p, &t->nodes[at], runs(j), info);
	json_decref(info);
	return j;
}

static json_t *nodes_status(const struct lab *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->topology->n_nodes; i++) {
		const struct topo_node *n = &l->topology->nodes[i];
		const struct step *s = plan_node(l->plan, n->name);

		if (s)
			json_array_append_new(a, node_status(l->plan, s, l->topology, i));
		else
			json_array_append_new(a,
				json_pack("{s:s, s:s, s:s, s:n, s:o}", "name", n->name, "kind",
					"external", "state", "external", "reason", "nics",
					nics_status(l->plan, l->topology, i, NULL)));
	}
	return a;
}

/* "up", "degraded" (something has died), "half made"; the names of the dead to *dead. */
static const char *lab_state(const struct plan *p, struct strs *dead)
{
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		char who[TOPO_NAME_MAX + 32];

		bool interface = s->kind == STEP_BRIDGE || s->kind == STEP_TAP;

		if ((step_is_process(s) && !proc_is_alive(s->proc)) ||
			(interface && p->up_since_s && !steps_tap_is_whole(p, s)))
			strs_add(dead, "%s", step_describe_short(s, who, sizeof who));
	}
	return !p->up_since_s ? "half made" : dead->n ? "degraded" : "up";
}

static json_t *lab_head(const struct lab *l)
{
	struct strs dead = { 0 };
	char names[512], why[600] = "";
	const char *state = lab_state(l->plan, &dead);
	json_t *j;

	if (!l->plan->up_since_s)
		snprintf(why, sizeof why,
			"an `up` is at work, or did not finish: lanyard up %s again, "
			"or lanyard down %s",
			l->plan->file, l->name);
	else if (dead.n)
		snprintf(why, sizeof why, "%s %s gone; lanyard up %s starts %s again",
			strs_join(&dead, names, sizeof names), dead.n == 1 ? "is" : "are",
			l->plan->file, dead.n == 1 ? "it" : "them");
	j = json_pack("{s:i, s:s, s:s, s:o, s:I, s:s, s:s}", "version", STATUS_VERSION, "lab",
		l->name, "state", state, "why", text_or_null(why), "up_since_s",
		(json_int_t)l->plan->up_since_s, "file", l->plan->file, "dir", l->dir);
	strs_free(&dead);
	return j;
}

json_t *status_lab(const char *name, struct err *e)
{
	json_t *j, *stats, *warnings = json_array();
	struct lab *l;

	if (lab_open(name, &l, e)) {
		json_decref(warnings);
		return NULL;
	}
	j = lab_head(l);
	for (size_t i = 0; i < l->n_warnings; i++)
		json_array_append_new(warnings, json_string(l->warnings[i]));
	json_object_set_new(j, "warnings", warnings);
	json_object_set_new(j, "switch", switch_status(l->plan, &stats));
	copy(j, stats, "time_ns");
	copy(j, stats, "networks");
	json_object_set_new(j, "pfs", status_pfs(l->plan, l->topology));
	json_object_set_new(j, "bridges", status_bridges(l->plan));
	json_object_set_new(j, "ports", ports_status(l->plan, stats));
	json_object_set_new(j, "nodes", nodes_status(l));
	json_decref(stats);
	lab_free(l);
	return j;
}

json_t *status_all(void)
{
	struct strs names = { 0 };
	json_t *a = json_array();

	lab_list(&names);
	for (size_t i = 0; i < names.n; i++) {
		struct err e = { 0 };
		struct lab *l;
		json_t *j;

		if (lab_open(names.v[i], &l, &e)) {
			j = json_pack("{s:s, s:s, s:s}", "lab", names.v[i], "state",
				e.class == ERR_HOST ? "unknown" : "damaged", "why", e.text);
		} else {
			j = lab_head(l);
			json_object_set_new(
				j, "nodes", json_integer((json_int_t)l->topology->n_nodes));
			lab_free(l);
		}
		json_array_append_new(a, j);
	}
	strs_free(&names);
	return json_pack("{s:i, s:o}", "version", STATUS_VERSION, "labs", a);
}
