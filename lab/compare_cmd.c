/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lanyard compare`: brings the lab up unless it is, measures each comparison and tells of it,
 * takes the lab down again if it brought it up; writes the document and the page of all of them. A
 * signal ends the trial at work: the comparisons that were complete by then are still reported.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "lab/args.h"
#include "lab/bench.h"
#include "lab/bench_clock.h"
#include "lab/bench_cmd.h"
#include "lab/chart.h"
#include "lab/compare.h"
#include "lab/page.h"

struct compare_cmd {
	struct bench_cmd b; /* opts, json, lab, env, doctor of it are used */
	const char *html;
	int html_fd;
	int argc;
	char **argv;
	struct comparison *list;
	size_t n;
	json_t *comparisons;
};

static const struct argp_option option_rows[] = {
	{ "json", 'j', "FILE", 0, "Write the results as JSON too (docs/results.md); -: to stdout",
		0 },
	{ "html", 'H', "FILE", 0,
		"Write one HTML page too, with charts (needs gnuplot, package gnuplot-nox); -: to "
		"stdout",
		0 },
	{ "rounds", 'r', "N", 0,
		"Measure each path N times, in turn; 6 unless given, the least that makes intervals "
		"of 95 %",
		0 },
	{ "only", 'o', "NAME", 0, "Only the traffic entry of that name", 0 },
	{ "seconds", 's', "S", 0, "Seconds a trial, instead of the topology's", 0 },
	{ "quiet", 'q', NULL, 0, "No progress lines", 0 },
	{ 0 },
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct compare_cmd *c = state->input;

	switch (key) {
	case 'j':
		c->b.json = arg;
		return 0;
	case 'H':
		c->html = arg;
		return 0;
	case 'r':
		c->b.opts.rounds = (unsigned)args_number(state, "rounds", arg, 1, BENCH_ROUNDS_MAX);
		return 0;
	case 'o':
		c->b.opts.only = arg;
		return 0;
	case 's':
		c->b.opts.seconds = args_number(state, "seconds", arg, 0.1, TOPO_SECONDS_MAX);
		return 0;
	case 'q':
		c->b.quiet = true;
		return 0;
	default:
		return args_one(key, arg, state, &c->b.arg, "TOPOLOGY");
	}
}

static const struct argp argp = {
	.options = option_rows,
	.parser = parse_one,
	.args_doc = "TOPOLOGY",
	.doc = "Run the same traffic over each path that a topology lists, in turn, and compare them: "
	       "rates, latencies, CPU cycles per frame, each with its interval, and what was lost "
	       "where. A lab that is not up is brought up, and taken down afterwards. Exit status 4: a "
	       "search found no rate, or more was lost than the topology allows.\v"
	       "Example: sudo lanyard compare topologies/compare.json --html compare.html",
};

/* ---- doing ---- */

/* As whoever reads the file will have it, to the last digit: so what is shown now is what is shown
 * then. j is stolen. */
static json_t *as_written(json_t *j)
{
	char *text = json_dumps(j, JSON_REAL_PRECISION(9));
	json_t *read = text ? json_loads(text, 0, NULL) : NULL;

	free(text);
	if (!read)
		return j;
	json_decref(j);
	return read;
}

static json_t *document(const struct compare_cmd *c, const struct err *failed)
{
	json_t *j = bench_document_head(&c->b, "compare", failed), *words = json_array();

	json_array_append_new(words, json_string("lanyard"));
	json_array_append_new(words, json_string("compare"));
	for (int i = 1; i < c->argc; i++)
		json_array_append_new(words, json_string(c->argv[i]));
	json_object_set_new(j, "version", json_integer(COMPARE_VERSION));
	json_object_set_new(j, "missed", json_integer((json_int_t)c->b.n_missed));
	json_object_set_new(j, "command", words);
	json_object_set_new(j, "paths", compare_paths_json(c->b.t));
	json_object_set(j, "comparisons", c->comparisons);
	return j;
}

/* A rate that was not found since the lower limit loses already, or more lost than the topology
 * allows: exit status 4, as bench's. */
static bool has_missed(const struct comparison *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct compare_path *p = &c->path[i];

		for (size_t k = 0; p->searched && k < p->s.n_goals; k++)
			if (p->s.goal[k].end == SEARCH_MIN_LOSES)
				return true;
		for (size_t k = 0; k < p->n_loads; k++)
			for (size_t r = 0; r < p->load[k].n; r++)
				if (p->load[k].round[r].missed)
					return true;
	}
	return false;
}

static int run_all(struct compare_cmd *c, struct err *e)
{
	struct bench_clock clock, end;
	unsigned width = bench_width(c->b.out);
	int rc = bench_open_env(&c->b, e);

	if (rc)
		return rc;
	clock = bench_clock_now();
	c->b.doctor = bench_doctor(c->b.t, c->b.lab->cpus, c->b.lab->n_cpus);
	c->b.table.width = width;
	bench_print_head(&c->b);
	for (size_t i = 0; i < c->n && !rc; i++) {
		rc = compare_run(&c->list[i], &c->b.env, c->b.opts.rounds, e);
		bench_clear_progress(&c->b);
		if (!rc) {
			json_t *j = as_written(compare_json(c->b.t, &c->list[i], c->b.env.tsc_hz));

			compare_print_comparison(j, c->b.out, width);
			json_array_append_new(c->comparisons, j);
			c->b.n_missed += has_missed(&c->list[i]);
		}
		compare_free(&c->list[i]);
	}
	end = bench_clock_now();
	if (!rc)
		rc = bench_clock_rate(&clock, &end, c->b.env.tsc_hz, e);
	if (!rc)
		compare_print_end(c->comparisons, c->b.out, width);
	return rc;
}

static int compare(struct compare_cmd *c, struct err *e)
{
	struct lab_opts o = { .quiet = c->b.quiet };
	struct err down = { 0 };
	int rc = topology_load(c->b.arg, &c->b.own_topology, e);

	/* Before anything is made: is there something to compare, and somewhere to write? */
	if (!rc)
		rc = bench_plan_make(c->b.own_topology, &c->b.opts, &c->b.plan, e);
	if (!rc)
		rc = compare_plan(c->b.own_topology, &c->b.plan, &c->list, &c->n, e);
	if (!rc)
		rc = bench_open_out(c->b.json, &c->b.json_fd, e);
	if (!rc && c->html)
		rc = chart_check(e);
	if (!rc)
		rc = bench_open_out(c->html, &c->html_fd, e);
	if (!rc)
		rc = bench_open_file(&c->b, e);
	if (rc)
		return rc;
	rc = run_all(c, e);
	bench_clear_progress(&c->b);
	if (!c->b.existed && lab_down(c->b.t->lab, &o, NULL, &down) && !rc) {
		*e = down;
		rc = down.code;
	}
	return rc;
}

static int write_all(struct compare_cmd *c, const struct err *failed, struct err *e)
{
	char *html = NULL;
	json_t *doc;
	int rc = 0;

	if (!c->b.lab)
		return 0; /* nothing was measured */
	doc = as_written(document(c, failed));
	if (c->b.json_fd >= 0)
		rc = bench_write_json(c->b.json, c->b.json_fd, doc, e);
	if (!rc && c->html_fd >= 0)
		rc = page_make(doc, NULL, &html, e);
	if (html)
		rc = bench_write_out(c->html, c->html_fd, html, strlen(html), e);
	free(html);
	json_decref(doc);
	return rc;
}

int lab_cmd_compare(int argc, char **argv)
{
	struct compare_cmd c = {
		.b = { .opts = { .rounds = COMPARE_ROUNDS }, .json_fd = -1, .out = stdout },
		.html_fd = -1,
		.argc = argc,
		.argv = argv
	};
	struct err e = { 0 }, write_err = { 0 };
	int rc, status = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &c);
	if ((c.b.json && strcmp(c.b.json, "-") == 0) || (c.html && strcmp(c.html, "-") == 0))
		c.b.out = stderr;
	c.b.began_ns = clock_now_ns();
	c.b.began = time(NULL);
	c.comparisons = json_array();
	bench_catch_signals();
	rc = compare(&c, &e);
	if (write_all(&c, rc ? &e : NULL, &write_err))
		status = lab_fail(&write_err);
	if (rc)
		status = lab_fail(&e);
	else if (!status && c.b.n_missed)
		status = ERR_MISSED;
	if (c.b.env.t)
		bench_env_close(&c.b.env);
	free(c.list);
	bench_plan_free(&c.b.plan);
	lab_free(c.b.lab);
	topology_free(c.b.own_topology);
	json_decref(c.comparisons);
	json_decref(c.b.doctor);
	fd_close(&c.b.json_fd);
	fd_close(&c.html_fd);
	return status;
}
