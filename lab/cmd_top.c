/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lanyard top`: asks the lab's switch for its counters again and again, and shows what they grew
 * by: on a terminal, or as tables or JSON for others. The switch alone is asked: guests and their
 * agents are left to whoever measures. A lab that goes away is waited for on a terminal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rpc.h"
#include "lab/args.h"
#include "lab/cmd.h"
#include "lab/lab.h"
#include "lab/table.h"
#include "lab/top.h"

#define ASK_MS       2000
#define INTERVAL_MIN 0.1
#define INTERVAL_MAX 60

struct top {
	/* as asked */
	const char *lab;
	bool once, json;
	double interval_s;
	/* at work */
	struct rpc *sw;
	json_t *before, *doc;
};

static const struct argp_option option_rows[] = {
	{ "once", '1', NULL, 0, "Measure once, print tables, end", 0 },
	{ "json", 'j', NULL, 0, "JSON (docs/status.md), a line each time; with --once one document",
		0 },
	{ "interval", 'i', "SECONDS", 0, "Time between two looks; 1 unless given", 0 },
	{ 0 },
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct top *t = state->input;
	char *end;

	switch (key) {
	case '1':
		t->once = true;
		return 0;
	case 'j':
		t->json = true;
		return 0;
	case 'i':
		t->interval_s = strtod(arg, &end);
		if (*end || end == arg ||
			!(t->interval_s >= INTERVAL_MIN && t->interval_s <= INTERVAL_MAX))
			argp_error(state, "--interval takes seconds from %g to %d, not \"%s\"",
				INTERVAL_MIN, INTERVAL_MAX, arg);
		return 0;
	default:
		return args_one(key, arg, state, &t->lab, "LAB");
	}
}

static const struct argp argp = {
	.options = option_rows,
	.parser = parse_one,
	.args_doc = "LAB",
	.doc = "Show a lab's ports, rates, drops with their reasons, and its workers' load, anew each "
	       "second. q ends, h helps.\v"
	       "Example: sudo lanyard top pair",
};

static int connect_switch(struct top *t, struct err *e)
{
	char path[LAB_PATH_MAX];
	struct lab *l;
	int rc = lab_open(t->lab, &l, e);

	if (rc)
		return rc;
	t->sw = rpc_connect(lab_file(l, path, "switch.sock"), ASK_MS, e);
	lab_free(l);
	return t->sw ? 0 : e->code;
}

static void disconnect(struct top *t)
{
	rpc_close(t->sw);
	t->sw = NULL;
	json_decref(t->before);
	t->before = NULL;
}

/* Looks; with a look before it there is a new document. */
static int look(struct top *t, struct err *e)
{
	int rc = t->sw ? 0 : connect_switch(t, e);
	json_t *stats = rc ? NULL : rpc_call(t->sw, "stats", NULL, ASK_MS, e);

	if (!stats) {
		disconnect(t);
		return e->code ? e->code : -EIO;
	}
	if (t->before) {
		json_decref(t->doc);
		t->doc = top_document(t->lab, t->before, stats);
	}
	json_decref(t->before);
	t->before = stats;
	return 0;
}

static void wait_s(double s)
{
	struct timespec ts = { .tv_sec = (time_t)s,
		.tv_nsec = (long)((s - (double)(time_t)s) * 1e9) };

	nanosleep(&ts, NULL);
}

/* For programs and pipes: tables or JSON, until the lab or the reader goes away. */
static int run_plain(struct top *t)
{
	struct err e = { 0 };

	if (look(t, &e))
		return lab_fail(&e);
	do {
		wait_s(t->interval_s);
		if (look(t, &e))
			return lab_fail(&e);
		if (!t->json)
			top_print(t->doc, stdout, table_width(stdout));
		else
			json_dumpf(t->doc, stdout, t->once ? JSON_INDENT(2) : JSON_COMPACT);
		if (t->json || !t->once)
			putchar('\n');
		if (fflush(stdout))
			return 1;
	} while (!t->once);
	return 0;
}

static int run_screen(struct top *t)
{
	struct top_view v = { .lab = t->lab, .interval_s = t->interval_s };
	char trouble[1200];
	struct err e = { 0 };
	uint64_t next_ns = 0;
	int key = -1;

	if (look(t, &e) || top_screen_begin(&e))
		return lab_fail(&e);
	do {
		uint64_t now = clock_now_ns();

		if (!v.paused && now >= next_ns) {
			e = (struct err){ 0 };
			v.trouble = NULL;
			if (look(t, &e)) {
				snprintf(trouble, sizeof trouble, "waiting for lab %s: %s", t->lab,
					e.text);
				v.trouble = trouble;
			}
			next_ns = clock_now_ns() + (uint64_t)(v.interval_s * 1e9);
		}
		v.doc = t->doc;
		top_screen_draw(&v);
		now = clock_now_ns();
		key = top_screen_key(
			v.paused || next_ns <= now ? 100 : (int)((next_ns - now) / 1000000) + 1);
	} while (top_key(&v, key));
	top_screen_end();
	return 0;
}

int cmd_top(int argc, char **argv)
{
	struct top t = { .interval_s = 1 };
	struct err e = { 0 };
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &t);
	if (t.once || t.json) {
		status = run_plain(&t);
	} else if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		err_request(&e, -ENOTTY,
			"top draws on a terminal, and this is none: use --once or --json");
		status = lab_fail(&e);
	} else {
		status = run_screen(&t);
	}
	disconnect(&t);
	json_decref(t.doc);
	return status;
}
