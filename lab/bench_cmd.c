/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lanyard bench`: brings the lab up unless it is, runs the plan's trials, tells of each as it
 * finishes, takes the lab down again if it brought it up, whatever happened meanwhile.
 *
 * A signal ends the trial at work; what was measured by then is still reported, as incomplete.
 */
#include "lab/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "lab/args.h"
#include "lab/bench_clock.h"
#include "lab/bench_cmd.h"
#include "lab/lab.h"
#include "lab/report.h"
#include "lab/report_search.h"
#include "lab/report_tcp.h"

/* ---- options ---- */

enum { OPT_FLOWS = 256, OPT_HISTOGRAM };

static const struct argp_option option_rows[] = {
	{ "json", 'j', "FILE", 0, "Write the results as JSON too (docs/results.md); -: to stdout",
		0 },
	{ "rounds", 'r', "N", 0, "Run each trial, or search, N times: medians are shown", 0 },
	{ "only", 'o', "NAME", 0, "Only the traffic entry or group of that name", 0 },
	{ "seconds", 's', "S", 0, "Seconds a trial, instead of the topology's", 0 },
	{ "flows", OPT_FLOWS, NULL, 0, "A row for each flow, however many there are", 0 },
	{ "histogram", OPT_HISTOGRAM, NULL, 0, "Latency histograms in the JSON", 0 },
	{ "quiet", 'q', NULL, 0, "No progress lines", 0 },
	{ 0 },
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct bench_cmd *b = state->input;

	switch (key) {
	case 'j':
		b->json = arg;
		return 0;
	case 'r':
		b->opts.rounds = (unsigned)args_number(state, "rounds", arg, 1, BENCH_ROUNDS_MAX);
		return 0;
	case 'o':
		b->opts.only = arg;
		return 0;
	case 's':
		b->opts.seconds = args_number(state, "seconds", arg, 0.1, TOPO_SECONDS_MAX);
		return 0;
	case OPT_FLOWS:
		b->all_flows = true;
		return 0;
	case OPT_HISTOGRAM:
		b->histogram = true;
		return 0;
	case 'q':
		b->quiet = true;
		return 0;
	default:
		return args_one(key, arg, state, &b->arg, "TOPOLOGY or LAB");
	}
}

static const struct argp argp = {
	.options = option_rows,
	.parser = parse_one,
	.args_doc = "TOPOLOGY|LAB",
	.doc = "Run a topology's traffic, each entry with each of its frame sizes, and print what got "
	       "through, how fast and how late. A lab that is not up is brought up, and taken down "
	       "afterwards. Exit status 4: more was lost than the topology allows.\v"
	       "Example: sudo lanyard bench pair --json pair.results.json",
};

/* ---- telling ---- */

/* Networks that no trial used must not have seen a frame. */
static void print_idle_networks(const struct bench_cmd *b)
{
	const json_t *net;
	size_t i;

	json_array_foreach (b->networks, i, net) {
		json_int_t rx = json_integer_value(json_object_get(net, "rx_frames"));
		json_int_t tx = json_integer_value(json_object_get(net, "tx_frames"));

		if (!json_is_true(json_object_get(net, "takes_part")))
			fprintf(b->out,
				"network %s, which takes no part: %lld frames in, %lld out\n",
				bench_text(net, "name"), (long long)rx, (long long)tx);
	}
}

static void print_end(const struct bench_cmd *b)
{
	size_t n_frames = json_array_size(b->trials) + json_array_size(b->searches);
	size_t n = json_array_size(b->trials) + json_array_size(b->tcp);

	fputc('\n', b->out);
	print_idle_networks(b);
	if (n_frames)
		report_wrap(b->out, b->table.width, 2, "",
			"frame: bytes with FCS. Gbit/s: received, layer 2. Latency: sender's time stamp to "
			"receiver's, of several flows the worst. cyc/frame: busy cycles of the switch per frame.");
	if (json_array_size(b->tcp))
		report_wrap(b->out, b->table.width, 2, "",
			"Of TCP, bits/s: payload received; resent: segments; cyc/byte: cycles of all CPU "
			"time, polling included, per byte of payload, then whose they are.");
	fprintf(b->out, "%zu trial%s, %zu missed, %.0f s\n", n, n == 1 ? "" : "s", b->n_missed,
		(double)(clock_now_ns() - b->began_ns) / 1e9);
	fflush(b->out);
}

static int write_json(struct bench_cmd *b, const struct err *failed, struct err *e)
{
	if (b->json_fd < 0 || !b->t)
		return 0;
	json_t *doc = bench_document(b, failed);
	int rc = bench_write_json(b->json, b->json_fd, doc, e);

	json_decref(doc);
	return rc;
}

/* ---- doing ---- */

static void trial_label(const struct bench_cmd *b, size_t i, unsigned round, char *out, size_t size)
{
	const struct bench_trial *x = &b->plan.trials[i];
	char of[32] = "", what[16];

	if (b->opts.rounds > 1)
		snprintf(of, sizeof(of), ", round %u of %u", round + 1, b->opts.rounds);
	snprintf(what, sizeof(what), bench_is_tcp(x) ? "TCP" : "%u B", x->flows[0].size);
	snprintf(out, size, "trial %zu of %zu: %s, %s%s", i + 1, b->plan.n_trials, x->title, what,
		of);
}

/* All rounds of a trial; those that were run before one failed are reported too. */
static int run_trial(struct bench_cmd *b, size_t i, struct err *e)
{
	const struct bench_trial *x = &b->plan.trials[i];
	struct bench_round *rounds = calloc(b->opts.rounds, sizeof(*rounds));
	struct bench_summary s;
	unsigned n = 0;
	int rc = 0;

	if (!rounds)
		return err_set(e, -ENOMEM, "out of memory");
	while (n < b->opts.rounds && !rc) {
		char label[160];

		trial_label(b, i, n, label, sizeof(label));
		rc = bench_run_trial(&b->env, x, label, &rounds[n], e);
		n += !rc;
	}
	bench_clear_progress(b);
	if (n && bench_summary_make(rounds, n, &s)) {
		rc = err_set(e, -ENOMEM, "out of memory");
	} else if (n) {
		report_trial(&b->table, x, rounds, n, &s);
		json_array_append_new(b->trials, report_trial_json(b->t, x, rounds, n, &s));
		b->n_missed += s.n_missed > 0;
		bench_summary_free(&s);
	}
	for (unsigned k = 0; k < n; k++)
		bench_round_free(&rounds[k]);
	free(rounds);
	return rc;
}

/* A search: its own trials, as many as it takes. One without a figure counts as missed. */
static int run_search(struct bench_cmd *b, size_t i, struct err *e)
{
	struct bench_search s;
	int rc = bench_search_run(&s, &b->env, &b->plan.trials[i], b->opts.rounds, e);

	bench_clear_progress(b);
	if (s.n_goals) {
		report_search(&b->table, &s);
		for (size_t k = 0; k < s.n_goals; k++)
			if (s.goal[k].end == SEARCH_MIN_LOSES) {
				b->n_missed++;
				break;
			}
	}
	json_array_append_new(b->searches, report_search_json(b->t, &s));
	bench_search_free(&s);
	return rc;
}

/* All rounds of TCP; those that were run before one failed are reported too. */
static int run_tcp(struct bench_cmd *b, size_t i, struct err *e)
{
	const struct bench_trial *x = &b->plan.trials[i];
	struct bench_tcp_round *rounds = calloc(b->opts.rounds, sizeof(*rounds));
	unsigned n = 0;
	int rc = 0;

	if (!rounds)
		return err_set(e, -ENOMEM, "out of memory");
	while (n < b->opts.rounds && !rc) {
		char label[160];

		trial_label(b, i, n, label, sizeof(label));
		rc = bench_tcp_run(&b->env, x, label, &rounds[n], e);
		n += !rc;
	}
	bench_clear_progress(b);
	if (n) {
		json_t *j = report_tcp_trial_json(b->t, x, rounds, n, b->env.tsc_hz);

		report_tcp(&b->table, x, j, rounds, n);
		json_array_append_new(b->tcp, j);
	}
	for (unsigned k = 0; k < n; k++)
		bench_tcp_round_free(&rounds[k]);
	free(rounds);
	return rc;
}

static int run_one(struct bench_cmd *b, size_t i, struct err *e)
{
	if (bench_is_tcp(&b->plan.trials[i]))
		return run_tcp(b, i, e);
	return b->plan.trials[i].method ? run_search(b, i, e) : run_trial(b, i, e);
}

static int run_all(struct bench_cmd *b, struct err *e)
{
	struct bench_clock clock, end;
	int rc = bench_open_env(b, e);

	if (rc)
		return rc;
	clock = bench_clock_now();
	b->table = (struct report_table){
		.out = b->out,
		.t = b->t,
		.plan = &b->plan,
		.width = bench_width(b->out),
		.all_flows = b->all_flows,
	};
	b->doctor = bench_doctor(b->t, b->lab->cpus, b->lab->n_cpus);
	bench_print_head(b);
	for (size_t i = 0; i < b->plan.n_trials && !rc; i++)
		rc = run_one(b, i, e);
	report_notes(&b->table);
	end = bench_clock_now();
	if (!rc)
		rc = bench_clock_rate(&clock, &end, b->env.tsc_hz, e);
	json_t *stats = rc ? NULL : bench_call_switch(&b->env, "stats", NULL, NULL);
	if (stats)
		b->networks = report_networks_json(b->t, &b->plan, stats);
	json_decref(stats);
	if (!rc)
		print_end(b);
	return rc;
}

static int open_from_name(struct bench_cmd *b, struct err *e)
{
	int rc = lab_open(b->arg, &b->lab, e);

	b->existed = true;
	if (rc)
		return rc;
	b->t = b->lab->topology;
	return bench_plan_make(b->t, &b->opts, &b->plan, e);
}

static int bench(struct bench_cmd *b, struct err *e)
{
	struct lab_opts o = { .quiet = b->quiet };
	struct err down = { 0 };
	int rc;

	rc = bench_open_out(b->json, &b->json_fd, e);
	if (!rc)
		rc = lab_arg_is_file(b->arg) ? bench_open_file(b, e) : open_from_name(b, e);
	if (rc)
		return rc;
	rc = run_all(b, e);
	bench_clear_progress(b);
	if (!b->existed && lab_down(b->t->lab, &o, NULL, &down) && !rc) {
		*e = down;
		rc = down.code;
	}
	return rc;
}

int lab_cmd_bench(int argc, char **argv)
{
	struct bench_cmd b = { .opts = { .rounds = 1 }, .json_fd = -1, .out = stdout };
	struct err e = { 0 }, json_err = { 0 };
	int rc, status = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &b);
	if (b.json && strcmp(b.json, "-") == 0)
		b.out = stderr;
	b.began_ns = clock_now_ns();
	b.began = time(NULL);
	b.trials = json_array();
	b.searches = json_array();
	b.tcp = json_array();
	bench_catch_signals();
	rc = bench(&b, &e);
	if (write_json(&b, rc ? &e : NULL, &json_err))
		status = lab_fail(&json_err);
	if (rc)
		status = lab_fail(&e);
	else if (!status && b.n_missed)
		status = ERR_MISSED;
	if (b.env.t)
		bench_env_close(&b.env);
	bench_plan_free(&b.plan);
	lab_free(b.lab);
	topology_free(b.own_topology);
	json_decref(b.trials);
	json_decref(b.searches);
	json_decref(b.tcp);
	json_decref(b.networks);
	json_decref(b.doctor);
	fd_close(&b.json_fd);
	return status;
}
