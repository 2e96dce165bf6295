/* SPDX-License-Identifier: Apache-2.0 */
/* up and down. Progress goes to stderr; one line of result, or JSON, to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "lab/cmd.h"
#include "lab/lab.h"
#include "lab/plan.h"

static double seconds_since(uint64_t ns)
{
	return (double)(clock_now_ns() - ns) / (double)NS_PER_S;
}

/* "2 added, 1 changed": by the first word of each line. */
static const char *count_changes(const struct strs *changes, char *out, size_t size)
{
	static const char *const words[] = { "added", "changed", "restarted", "removed",
		"repaired" };
	struct strs parts = { 0 };

	for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
		size_t n = 0, len = strlen(words[w]);

		for (size_t i = 0; i < changes->n; i++)
			n += strncmp(changes->v[i], words[w], len) == 0 &&
				changes->v[i][len] == ' ';
		if (n)
			strs_add(&parts, "%zu %s", n, words[w]);
	}
	strs_join(&parts, out, size);
	strs_free(&parts);
	return out;
}

/* For JSON: {"step", "how", "took_s"} of each step, in the order of time. */
static void add_step(void *steps, const char *how, const char *text, double took_s)
{
	json_array_append_new(
		steps, json_pack("{s:s, s:s, s:f}", "step", text, "how", how, "took_s", took_s));
}

static int print_up(const struct cmd_args *a, const char *name, enum lab_was was,
	const struct strs *changes, json_t *steps, double took_s)
{
	static const char *const words[] = { "down", "broken", "up", "other" };
	char counts[128];
	struct err e = { 0 };
	json_t *warnings;
	struct lab *l;
	char when[32];
	struct tm tm;
	time_t t;

	if (lab_open(name, &l, &e))
		return lab_fail(&e);
	t = (time_t)l->plan->up_since_s;
	strftime(when, sizeof when, "%F %T", localtime_r(&t, &tm));
	if (a->given & CMD_JSON) {
		warnings = json_array();
		for (size_t i = 0; i < l->n_warnings; i++)
			json_array_append_new(warnings, json_string(l->warnings[i]));
		cmd_print_json(json_pack("{s:i, s:s, s:s, s:s, s:I, s:f, s:o, s:o, s:O}", "version",
			1, "lab", name, "dir", l->dir, "was", words[was], "up_since_s",
			(json_int_t)t, "took_s", took_s, "warnings", warnings, "changes",
			cmd_strs_json(changes), "steps", steps));
	} else if (was == LAB_WAS_UP) {
		printf("lab %s is up already since %s: nothing to do\n", name, when);
	} else if (was == LAB_WAS_OTHER) {
		printf("lab %s is changed (%.2f s): %s\n", name, took_s,
			changes->n ? count_changes(changes, counts, sizeof counts) : "mended");
	} else if (!(a->given & CMD_QUIET)) {
		printf("lab %s is %s (%.2f s); next: lanyard status %s, lanyard bench %s, lanyard "
		       "down %s\n",
			name, was == LAB_WAS_BROKEN ? "whole again" : "up", took_s, name, name,
			name);
	}
	lab_free(l);
	return 0;
}

int cmd_up(const struct cmd_args *a)
{
	struct strs changes = { 0 };
	json_t *steps = json_array();
	struct lab_opts o = {
		.quiet = a->given & CMD_QUIET,
		.change = true,
		.changes = &changes,
		.step = add_step,
		.step_arg = steps,
	};
	uint64_t began = clock_now_ns();
	struct topology *t;
	struct err e = { 0 };
	enum lab_was was;
	int status;

	if (topology_load(a->arg[0], &t, &e))
		return lab_fail(&e);
	if (lab_up(t, &o, &was, &e))
		status = lab_fail(&e);
	else
		status = print_up(a, t->lab, was, &changes, steps, seconds_since(began));
	topology_free(t);
	strs_free(&changes);
	json_decref(steps);
	return status;
}

static int down_one(const struct cmd_args *a, const char *name)
{
	json_t *steps = json_array();
	struct lab_opts o = { .quiet = a->given & CMD_QUIET, .step = add_step, .step_arg = steps };
	uint64_t began = clock_now_ns();
	struct err e = { 0 };
	bool was_down;

	if (lab_down(name, &o, &was_down, &e)) {
		json_decref(steps);
		return lab_fail(&e);
	}
	if (a->given & CMD_JSON)
		return cmd_print_json(json_pack("{s:i, s:s, s:b, s:f, s:o}", "version", 1, "lab",
			name, "was_down", was_down, "took_s", seconds_since(began), "steps",
			steps));
	json_decref(steps);
	if (was_down)
		printf("lab %s is not up: nothing to do\n", name);
	else if (!(a->given & CMD_QUIET))
		printf("lab %s is down (%.2f s)\n", name, seconds_since(began));
	return 0;
}

int cmd_down(const struct cmd_args *a)
{
	struct strs names = { 0 };
	int status = 0;

	if (!(a->given & CMD_ALL) == !a->n) {
		fputs("lanyard: down takes the name of a lab, or --all; lanyard status lists the "
		      "labs\n",
			stderr);
		return 2;
	}
	if (a->n)
		return down_one(a, a->arg[0]);
	lab_list(&names);
	if (!names.n && !(a->given & CMD_QUIET))
		puts("no lab is up: nothing to do");
	for (size_t i = 0; i < names.n; i++) {
		int one = down_one(a, names.v[i]);

		status = status ? status : one;
	}
	strs_free(&names);
	return status;
}
