/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of nodes themselves: a VM or a process, until its agent answers and its links are up.
 * What a VM needs besides is steps_helper.c's. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "lab/bench_clock.h"
#include "lab/daemon.h"
#include "lab/hello.h"
#include "lab/steps_own.h"
#include "lab/vf.h"

#define GUEST_MS 20000  /* to the agent's first answer: 0.1 s as a rule */
#define LINUX_MS 180000 /* ... of a Linux guest: 1 s as a rule, and minutes on an emulated host */
#define LINKS_MS 10000
#define OFF_MS   20000 /* for a Linux guest to power itself off */
#define LOOK_MS  500   /* between looks at what the VMM says of a guest that boots */

/* --- VMs --- */

/* The argument with PLAN_TSC_HZ replaced, malloc'd. */
static char *fill_tsc_hz(const char *arg, int64_t tsc_hz)
{
	const char *at = strstr(arg, PLAN_TSC_HZ);

	if (!at)
		return lab_strdup(arg);
	return lab_asprintf(
		"%.*s%" PRId64 "%s", (int)(at - arg), arg, tsc_hz, at + strlen(PLAN_TSC_HZ));
}

/* The switch's: what all of a lab take for their clock's rate is one number. */
int steps_tsc_hz(struct carry *c, struct err *e)
{
	const struct step *sw = plan_find(c->plan, STEP_SWITCH, NULL);
	json_t *info;

	if (c->tsc_hz)
		return 0;
	if (!sw) {
		c->tsc_hz = (int64_t)bench_clock_measure();
		return 0;
	}
	info = steps_wait_info(c, sw, "the switch", e);
	if (!info)
		return e->code;
	c->tsc_hz = json_integer_value(json_object_get(info, "tsc_hz"));
	json_decref(info);
	return 0;
}

/* The arguments, as they are now known. */
static int fill_args(struct carry *c, const struct step *s, struct strs *argv, struct err *e)
{
	for (size_t i = 0; i < s->args.n; i++) {
		char *arg = fill_tsc_hz(s->args.v[i], c->tsc_hz);
		char *filled = vf_fill(c->plan, arg, e);

		if (filled)
			strs_add(argv, "%s", filled);
		free(arg);
		free(filled);
		if (!filled)
			return e ? e->code : -ENODEV;
	}
	return 0;
}

int steps_vm_run(struct carry *c, struct step *s, struct err *e)
{
	struct strs argv = { 0 };
	int r = steps_tsc_hz(c, e);

	if (!r)
		r = steps_wait_servers(c, s->name, e);
	if (!r)
		r = fill_args(c, s, &argv, e);
	if (!r)
		r = steps_start(c, s, argv.v, e);
	strs_free(&argv);
	return r;
}

/* A Linux guest with a disk writes out what it holds, unmounts and powers itself off. */
static void power_off(struct carry *c, const struct step *s)
{
	const struct step *guest = plan_find(c->plan, STEP_GUEST, s->name);
	uint64_t deadline = clock_now_ns() + (uint64_t)daemon_ms(OFF_MS) * NS_PER_MS;
	struct rpc *r;
	json_t *reply;

	if (!guest || !guest->slow || !*step_option(s, "--disk") || !proc_is_alive(s->proc))
		return;
	r = rpc_connect(guest->socket, daemon_ms(STEPS_TRY_MS), NULL);
	reply = r ? rpc_call(r, "stop_guest", json_pack("{s:s}", "how", "poweroff"),
			    daemon_ms(STEPS_CALL_MS), NULL)
		  : NULL;
	rpc_close(r);
	while (reply && proc_is_alive(s->proc) && clock_now_ns() < deadline)
		clock_sleep_ns(STEPS_PAUSE_MS * NS_PER_MS);
	if (!reply || proc_is_alive(s->proc))
		progress_warn(c->progress,
			"the guest of VM %s did not power off when asked: its VM is stopped, and what it "
			"had not written is lost",
			s->name);
	json_decref(reply);
}

int steps_vm_undo(struct carry *c, struct step *s, struct err *e)
{
	static const char *const ends[] = { "agent", "console" };
	char who[TOPO_NAME_MAX + 16];
	size_t base = strlen(s->socket) - strlen(".sock");
	int r;

	step_describe_short(s, who, sizeof who);
	power_off(c, s);
	r = steps_stop(c, s, "stop", who, e);
	for (size_t i = 0; !r && i < 2; i++) {
		char *path = lab_asprintf("%.*s.%s", (int)base, s->socket, ends[i]);

		fd_unix_clear_stale(path, NULL);
		free(path);
	}
	return r;
}

/* --- guests and links --- */

/* Whether a guest that boots has come to an end instead, as its VMM says it. */
static int check_boot(const struct step *vm, const char *who, struct err *e)
{
	struct rpc *r = rpc_connect(vm->socket, daemon_ms(STEPS_TRY_MS), NULL);
	json_t *info = r ? rpc_call(r, "info", NULL, daemon_ms(STEPS_CALL_MS), NULL) : NULL;
	const char *state = json_string_value(json_object_get(info, "state"));
	const char *reason = json_string_value(json_object_get(info, "reason"));
	int rc = 0;

	if (json_integer_value(json_object_get(info, "panics")) > 0)
		rc = err_set(e, -EFAULT, "the guest of %s panicked while it booted", who);
	else if (state && strcmp(state, "stopped") == 0)
		rc = err_set(e, -EFAULT, "%s stopped while its guest booted%s%s", who,
			reason ? ": " : "", reason ? reason : "");
	rpc_close(r);
	json_decref(info);
	return rc;
}

/* What a Linux guest could not set up of what the topology asks for. */
static void warn_of(struct carry *c, const struct step *s, const json_t *hello)
{
	const json_t *p;
	size_t i;

	json_array_foreach (json_object_get(hello, "problems"), i, p)
		if (json_is_string(p))
			strs_add(&c->plan->warnings, "the guest of %s says: %s", s->name,
				json_string_value(p));
}

/* Whoever gives up says so; 0: go on. */
static int look(struct carry *c, const struct step *s, const struct step *vm, uint64_t deadline,
	uint64_t *look_ns, struct err *e)
{
	uint64_t now = clock_now_ns();
	char who[TOPO_NAME_MAX + 16];
	int r = carry_pause(c, STEPS_PAUSE_MS, e);

	if (r)
		return r;
	if (s->slow && now > *look_ns) {
		r = check_boot(vm, step_describe_short(vm, who, sizeof who), e);
		*look_ns = now + LOOK_MS * NS_PER_MS;
	}
	if (!r && now > deadline)
		r = err_set(e, -ETIMEDOUT, "the agent of %s does not answer on %s after %d s%s",
			s->name, s->socket, daemon_ms(s->slow ? LINUX_MS : GUEST_MS) / 1000,
			s->slow ? ": the end of what its guest said is above" : "");
	return r;
}

int steps_guest_run(struct carry *c, struct step *s, struct err *e)
{
	const struct step *vm = plan_node(c->plan, s->name);
	uint64_t now = clock_now_ns(),
		 deadline = now + (uint64_t)daemon_ms(s->slow ? LINUX_MS : GUEST_MS) * NS_PER_MS,
		 look_ns = now + LOOK_MS * NS_PER_MS;
	static struct hello h; /* 64 KiB */
	char who[TOPO_NAME_MAX + 16];
	json_t *said = NULL;
	int r = 0;

	if (!s->socket) {
		said = steps_wait_info(c, vm, step_describe_short(vm, who, sizeof who), e);
		json_decref(said);
		return said ? 0 : e->code;
	}
	hello_init(&h, s->socket);
	while (!r && !(said = hello_step(&h, clock_now_ns())))
		r = look(c, s, vm, deadline, &look_ns, e);
	hello_free(&h);
	if (said)
		warn_of(c, s, said);
	json_decref(said);
	return r;
}

/* The name of the first port in s->args whose state isn't "up", or NULL; *e on failure. */
static const char *first_down(struct carry *c, const struct step *s, struct err *e)
{
	struct rpc *r = steps_switch_rpc(c, e);
	json_t *stats = r ? rpc_call(r, "stats", NULL, daemon_ms(STEPS_CALL_MS), e) : NULL;
	const char *down = NULL;
	const json_t *port;
	size_t i;

	for (size_t k = 0; stats && k < s->args.n && !down; k++) {
		const char *state = NULL;

		json_array_foreach (json_object_get(stats, "ports"), i, port) {
			const char *name = json_string_value(json_object_get(port, "name"));

			if (name && strcmp(name, s->args.v[k]) == 0)
				state = json_string_value(json_object_get(port, "state"));
		}
		if (!state || strcmp(state, "up") != 0)
			down = s->args.v[k];
	}
	json_decref(stats);
	return down;
}

int steps_links_run(struct carry *c, struct step *s, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)daemon_ms(LINKS_MS) * NS_PER_MS;

	for (;;) {
		struct err why = { 0 };
		const char *down = first_down(c, s, &why);
		int r;

		if (!down && !why.code)
			return 0;
		r = carry_pause(c, STEPS_PAUSE_MS, e);
		if (r)
			return r;
		if (why.code) {
			if (e)
				*e = why;
			return why.code;
		}
		if (clock_now_ns() > deadline)
			return err_set(e, -ETIMEDOUT, "the link of %s is not up after %d s", down,
				daemon_ms(LINKS_MS) / 1000);
	}
}
