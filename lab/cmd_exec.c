/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: a command in a guest, as if it ran here: its input, output, error and exit status are
 * ours. So our own failures have statuses that few programs use: see EXEC_FAILED and the rest.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "lab/cmd.h"
#include "lab/exec.h"
#include "lab/plan.h"

/* As env(1), timeout(1) and nohup(1) have them. */
enum { EXEC_TIMED_OUT = 124, EXEC_FAILED, EXEC_CANT_RUN, EXEC_NOT_FOUND, EXEC_SIGNAL };

static const struct argp_option option_rows[] = {
	{ "env", 'e', "NAME=VALUE", 0, "Set a variable of the command's environment (repeatable)",
		0 },
	{ "cwd", 'C', "DIR", 0, "Run it in that folder of the guest (default /)", 0 },
	{ "timeout", 't', "SECONDS", 0,
		"End it after so long: SIGTERM, and SIGKILL 5 s later; status 124", 0 },
	{ "wait", 'w', "SECONDS", 0,
		"Wait so long for the guest's agent channel, if another has it (default 30)", 0 },
	{ "json", 'j', NULL, 0, "Print its output and end as JSON when it has ended", 0 },
	{ 0 },
};

struct options {
	const char *target;
	struct exec_request q;
	bool as_json;
};

static void add_env(struct options *o, const char *arg, struct argp_state *state)
{
	const char *eq = strchr(arg, '=');
	char *name;

	if (!eq || eq == arg)
		argp_error(state, "--env %s: expected NAME=VALUE", arg);
	name = lab_asprintf("%.*s", (int)(eq - arg), arg);
	if (json_object_set_new(o->q.env, name, json_string(eq + 1)))
		argp_error(state, "--env %s: expected UTF-8", name);
	free(name);
}

static double seconds(const char *option, const char *arg, struct argp_state *state)
{
	char *end;
	double s = strtod(arg, &end);

	if (end == arg || *end || !(s > 0) || s > 1e9)
		argp_error(state, "%s %s: expected a number of seconds above 0", option, arg);
	return s;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'e':
		add_env(o, arg, state);
		return 0;
	case 'C':
		o->q.cwd = arg;
		return 0;
	case 't':
		o->q.timeout_s = seconds("--timeout", arg, state);
		return 0;
	case 'w':
		o->q.wait_s = seconds("--wait", arg, state);
		return 0;
	case 'j':
		o->as_json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!o->target) {
			o->target = arg;
			return 0;
		}
		/* The command: what follows is its own, options too. */
		for (int i = state->next - 1; i < state->argc; i++)
			if (json_array_append_new(o->q.argv, json_string(state->argv[i])))
				argp_error(state, "argument %d of the command is not UTF-8",
					i - state->next + 1);
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!o->target)
			argp_error(state, "LAB/NODE is missing");
		if (!json_array_size(o->q.argv))
			argp_error(state, "the command to run in %s is missing", o->target);
		return 0;
	default:
		return key == ARGP_KEY_INIT || key == ARGP_KEY_SUCCESS ? 0 : ARGP_ERR_UNKNOWN;
	}
}

/* Text if it is some; else null, and base 64 beside it. */
static void set_output(json_t *j, const char *key, const struct exec_output *o)
{
	json_t *text = json_stringn(o->bytes ? o->bytes : "", o->len);
	char name[16], *coded;

	json_object_set_new(j, key, text ? text : json_null());
	if (text)
		return;
	coded = lab_calloc(base64_len(o->len) + 1, 1);
	base64_encode(o->bytes, o->len, coded);
	snprintf(name, sizeof name, "%s_base64", key);
	json_object_set_new(j, name, json_string(coded));
	free(coded);
}

static void print_result(const struct options *o, const struct exec_result *r, double took_s)
{
	json_t *j = json_pack("{s:i, s:s, s:O, s:o, s:o, s:b, s:f}", "version", 1, "node",
		o->target, "argv", o->q.argv, "status",
		r->signal ? json_null() : json_integer(r->status), "signal",
		r->signal ? json_integer(r->signal) : json_null(), "timed_out", r->timed_out,
		"took_s", took_s);

	set_output(j, "out", &r->out);
	set_output(j, "err", &r->err);
	cmd_print_json(j);
}

static int status_of(const struct exec_result *r)
{
	if (r->timed_out)
		return EXEC_TIMED_OUT;
	return r->signal ? EXEC_SIGNAL + r->signal : r->status;
}

static int failed(const struct err *e)
{
	lab_fail(e);
	if (e->class == ERR_REQUEST && e->code == -ENOENT)
		return EXEC_NOT_FOUND;
	return e->class == ERR_REQUEST && e->code == -EACCES ? EXEC_CANT_RUN : EXEC_FAILED;
}

static int find_node(const struct lab *l, const char *node, struct err *e)
{
	if (plan_find(l->plan, STEP_VM, node))
		return 0;
	return err_request(e, -EINVAL, "%s \"%s\"; lanyard status %s lists the lab's nodes",
		plan_node(l->plan, node) ? "no command can be run in the process"
					 : "the lab has no VM",
		node, l->name);
}

static int run(struct options *o, const char *node)
{
	uint64_t began = clock_now_ns();
	struct exec_result r = { 0 };
	struct err e = { 0 };
	int status;

	o->q.node = node;
	o->q.keep = o->as_json;
	if (find_node(o->q.lab, node, &e)) {
		lab_fail(&e);
		return EXEC_FAILED;
	}
	if (exec_run(&o->q, &r, &e)) {
		status = failed(&e);
	} else {
		if (o->as_json)
			print_result(o, &r, (double)(clock_now_ns() - began) / (double)NS_PER_S);
		status = status_of(&r);
	}
	exec_result_free(&r);
	return status;
}

int cmd_exec(int argc, char **argv)
{
	struct options o = { .q = { .argv = json_array(), .env = json_object(), .cwd = "/" } };
	struct argp argp = {
		.options = option_rows,
		.parser = parse_one,
		.args_doc = "LAB/NODE [--] COMMAND ARGUMENTS",
		.doc = "Runs a command in a Linux guest: input, output, error and exit status are the "
		       "command's; 128 + N: signal N ended it.\v"
		       "Lanyard's own failures: 124 it took longer than --timeout; 125 it could not be "
		       "run (no such lab or node, the guest doesn't answer, a wrong option); 126 the guest "
		       "may not execute it; 127 the guest has no such command.\n\n"
		       "Example: sudo lanyard exec linux-pair/a -- ping -c 3 10.0.0.2",
	};
	struct err e = { 0 };
	struct lab *l = NULL;
	const char *slash;
	char *name;
	int status = EXEC_FAILED;

	argp_err_exit_status = EXEC_FAILED;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &o);
	slash = strchr(o.target, '/');
	name = lab_asprintf("%.*s", slash ? (int)(slash - o.target) : 0, o.target);
	if (!slash || !slash[1]) {
		err_request(&e, -EINVAL, "\"%s\" names no node: exec takes LAB/NODE", o.target);
		lab_fail(&e);
	} else if (lab_open(name, &l, &e)) {
		lab_fail(&e);
	} else {
		o.q.lab = l;
		status = run(&o, slash + 1);
	}
	lab_free(l);
	free(name);
	json_decref(o.q.argv);
	json_decref(o.q.env);
	return status;
}
