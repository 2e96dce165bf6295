/* SPDX-License-Identifier: Apache-2.0 */
/* lab/bench_*, lab/report_*: figures out of replies, where frames were lost, the table, JSON. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/bench_plan.h"
#include "lab/bench_result.h"
#include "lab/report.h"
#include "bench_topology.h"

/* TSC of 1 GHz: a tick is a nanosecond. */
#define HZ 1e9

static json_t *sender(unsigned id, uint64_t frames, uint64_t last)
{
	return js(
		"{'flows': [{'id': %u, 'role': 'send', 'nic': 0, 'done': true, 'first_tsc': 1000, "
		"'last_tsc': %llu, 'frames': %llu, 'bytes': 0, 'ring_full': 7, 'late_max_tsc': 5000}]}",
		id, (unsigned long long)last, (unsigned long long)frames);
}

static json_t *receiver(unsigned id, uint64_t frames, uint64_t dup, uint64_t corrupt)
{
	return js(
		"{'flows': [{'id': %u, 'role': 'receive', 'nic': 0, 'done': false, 'first_tsc': 2000, "
		"'last_tsc': 1000002000, 'frames': %llu, 'bytes': 0, 'lost': 0, 'duplicated': %llu, "
		"'reordered': 3, 'stale': 0, 'corrupt': %llu, 'latency': {'count': 4, 'min_tsc': 1000, "
		"'max_tsc': 9000, 'sum_tsc': 12000, 'p50_tsc': 2000, 'p90_tsc': 4000, 'p99_tsc': 8000, "
		"'p999_tsc': 8500}}]}",
		id, (unsigned long long)frames, (unsigned long long)dup,
		(unsigned long long)corrupt);
}

static json_t *stats(uint64_t in, uint64_t out, uint64_t drops, uint64_t quiet)
{
	return js(
		"{'tsc_hz': 1000000000, 'time_ns': 0, 'ports': ["
		"{'name': 'a.0', 'network': 'lan', 'state': 'up', 'reason': null, 'rx': {'frames': "
		"%llu, 'bytes': 0}, 'tx': {'frames': 5, 'bytes': 0}, 'drops': {}, 'flooded': 2, "
		"'notifications_sent': 1, 'kicks_received': 1},"
		"{'name': 'b.0', 'network': 'lan', 'state': 'up', 'reason': null, 'rx': {'frames': 5, "
		"'bytes': 0}, 'tx': {'frames': %llu, 'bytes': 0}, 'drops': {'tx_ring_full': %llu, "
		"'rx_bad': 9}, 'flooded': 0, 'notifications_sent': 0, 'kicks_received': 0},"
		"{'name': 'a.1', 'network': 'quiet', 'state': 'disabled', 'reason': 'loop in ring', "
		"'rx': {'frames': 0, 'bytes': 0}, 'tx': {'frames': %llu, 'bytes': 0}, 'drops': {}, "
		"'flooded': 0, 'notifications_sent': 0, 'kicks_received': 0}],"
		"'networks': [], 'workers': [{'cpu': 0, 'frames': %llu, 'bursts': %llu, 'polls': 100, "
		"'empty_polls': 50, 'busy_cycles': %llu, 'idle_cycles': %llu, 'sleeps': 1, 'wakeups': "
		"1}]}",
		(unsigned long long)in, (unsigned long long)out, (unsigned long long)drops,
		(unsigned long long)quiet, (unsigned long long)in, (unsigned long long)in / 10,
		(unsigned long long)in * 80, (unsigned long long)in * 20);
}

struct trial_case {
	struct topology *t;
	struct bench_plan p;
	json_t *status[3];
	struct bench_raw raw;
};

/* Trial: FLAT or another one-flow entry, a.0 to b.0. Takes the replies. */
static struct trial_case *new_case(
	const char *topology, json_t *from, json_t *to, json_t *before, json_t *after)
{
	struct trial_case *c = calloc(1, sizeof(*c));
	struct err e = { 0 };

	c->t = make(topology);
	assert_int_equal(bench_plan_make(c->t, &one_round, &c->p, &e), 0);
	c->status[0] = from;
	c->status[1] = to;
	c->raw = (struct bench_raw){
		.status = c->status, .stats_before = before, .stats_after = after, .tsc_hz = HZ
	};
	return c;
}

static void free_case(struct trial_case *c)
{
	for (int i = 0; i < 3; i++)
		json_decref(c->status[i]);
	json_decref(c->raw.stats_before);
	json_decref(c->raw.stats_after);
	bench_plan_free(&c->p);
	topology_free(c->t);
	free(c);
}

static bool has_warning(const struct bench_round *r, const char *part)
{
	for (size_t i = 0; i < r->n_warnings; i++)
		if (strstr(r->warnings[i].text, part))
			return true;
	return false;
}

static void print_warnings(const struct bench_round *r)
{
	for (size_t i = 0; i < r->n_warnings; i++)
		print_message("warning: %s\n", r->warnings[i].text);
}

static void test_round(void **state)
{
	struct trial_case *c =
		new_case(HEAD FLAT TAIL, sender(1, 1000001, 1000001000), receiver(1, 999901, 10, 0),
			stats(50, 40, 3, 0), stats(50 + 1000001, 999931, 103, 0));
	struct bench_round r;
	struct err e = { 0 };

	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	const struct bench_flow_result *f = &r.flow[0];
	assert_int_equal(f->sent, 1000001);
	assert_int_equal(f->received, 999891); /* a duplicate is no frame more */
	assert_int_equal(f->lost, 110);
	assert_int_equal(f->duplicated, 10);
	assert_int_equal(f->reordered, 3);
	assert_int_equal(f->ring_full, 7);
	assert_true(fabs(f->sent_fps - 1e6) < 1); /* 1000000 gaps in 1 s */
	assert_true(fabs(f->received_fps - 999890) < 1);
	assert_true(fabs(f->received_fps * f->receive_s + 1 - (double)f->received) < 1e-3);
	assert_true(f->latency.p50_us == 2 && f->latency.max_us == 9 && f->latency.mean_us == 3);
	assert_true(f->late_max_us == 5);
	assert_int_equal(r.sw.rx_frames, 1000001);
	assert_int_equal(r.sw.frames, 1000001);
	assert_true(fabs(r.sw.cycles_per_frame - 80) < 1e-9);
	assert_true(fabs(r.sw.busy_ratio - 0.8) < 1e-9);
	assert_int_equal(r.sw.flooded, 0);
	assert_int_equal(r.sw.dropped, 100);
	assert_int_equal(r.sw.n_drops, 1);
	assert_string_equal(r.sw.drop[0].reason, "tx_ring_full");
	assert_int_equal(r.unexplained, 10);
	assert_false(r.missed); /* nothing is demanded */
	assert_int_equal(r.net[0].rx_frames, 1000001);
	assert_int_equal(r.net[1].tx_frames, 0);
	print_warnings(&r);
	assert_true(has_warning(&r, "10 frames were LOST WITHOUT A REASON"));
	assert_true(has_warning(&r, "a.0 > b.0: 10 frames arrived twice"));
	assert_true(has_warning(&r, "port a.1 is disabled: loop in ring"));
	assert_int_equal(r.n_warnings, 3);
	assert_true(fabs(bench_round_bps(&c->p.trials[0], &r, 0) - 999890.0 * 512) < 512);
	assert_true(fabs(bench_round_bps(&c->p.trials[0], &r, 20) - 999890.0 * 672) < 672);
	bench_round_free(&r);
	free_case(c);
}

/* The switch sees no frame of a bridge's: that is no miscount of its. */
static void test_round_bridge(void **state)
{
	struct trial_case *c = new_case(
		"{ \"version\": 1, \"lab\": \"t\", \"networks\": { \"lan\": { \"kind\": \"bridge\" } }, "
		"\"nodes\": { \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" } ] },"
		"\"b\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" } ] } }, "
		"\"traffic\": [" FLAT TAIL,
		sender(1, 10, 100000), receiver(1, 10, 0, 0), stats(0, 0, 0, 0), stats(0, 0, 0, 0));
	struct bench_round r;

	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, NULL), 0);
	assert_false(has_warning(&r, "the switch counted"));
	bench_round_free(&r);
	free_case(c);
}

/* A paced trial that may lose nothing, whose sender was slow and late, and a leak. */
static void test_round_warns(void **state)
{
	struct trial_case *c = new_case(HEAD
		"{ \"name\": \"n\", \"from\": \"a.0\", \"to\": \"b.0\", \"rate\": \"1Mpps\", \"max_loss\": "
		"0 }" TAIL,
		sender(1, 900001, 1000001000), receiver(1, 900000, 0, 1), stats(0, 0, 0, 0),
		stats(900002, 900000, 0, 4));
	struct bench_round r;
	struct err e = { 0 };

	json_object_set_new(json_array_get(json_object_get(c->status[0], "flows"), 0),
		"late_max_tsc", json_integer(3000000));
	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	assert_true(r.missed);
	assert_int_equal(r.lost, 1);
	assert_int_equal(r.unexplained, 0); /* it came, and was corrupt */
	print_warnings(&r);
	assert_true(has_warning(&r, "a.0 > b.0: sent 10% less than the rate asked for"));
	assert_true(has_warning(&r, "a.0 > b.0: sent up to 3 ms late"));
	assert_true(has_warning(&r, "1 frames arrived corrupt"));
	assert_true(has_warning(&r, "they sent 900001 frames, the switch counted 900002"));
	assert_true(has_warning(
		&r, "network quiet takes no part, but saw 0 frames from its guests and 4"));
	bench_round_free(&r);
	free_case(c);
}

/* A switch that others kept from its CPU, and two guests that share one. */
static void test_round_cpus(void **state)
{
	struct trial_case *c = new_case(HEAD FLAT TAIL, sender(1, 10, 100000),
		receiver(1, 10, 0, 0), stats(5, 0, 0, 0), stats(15, 10, 0, 0));
	struct bench_cpu_sample before[4] = { { true, 5, 5 }, { true, 0, 0 }, { true, 0, 0 } };
	struct bench_cpu_sample after[4] = { { true, 900000005, 100000005 },
		{ true, 500000000, 500000000 }, { true, 600000000, 400000000 }, { true, 1, 1 } };
	struct bench_round r;
	struct err e = { 0 };

	c->raw.cpu_before = before;
	c->raw.cpu_after = after;
	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	print_warnings(&r);
	assert_int_equal(r.n_cpus, 4);
	assert_true(fabs(r.cpu[0].run_s - 0.9) < 1e-9 && fabs(r.cpu[0].waited_s - 0.1) < 1e-9);
	assert_true(isnan(r.cpu[3].run_s)); /* not known before */
	assert_true(has_warning(&r, "the switch had no CPU for 10% of the time"));
	assert_true(has_warning(&r, "guest a, and less so others, had no CPU for 50% of the time"));
	bench_round_free(&r);
	free_case(c);
}

/* Nothing received: no rate, no latency, and no number made up for them. */
static void test_round_empty(void **state)
{
	struct trial_case *c = new_case(HEAD FLAT TAIL, sender(1, 1, 1000),
		js("{'flows': [{'id': 1, 'role': 'receive', 'first_tsc': 0, 'last_tsc': 0, 'frames': 0, "
		   "'duplicated': 0, 'reordered': 0, 'stale': 0, 'corrupt': 0, 'latency': {'count': 0, "
		   "'min_tsc': 0, 'max_tsc': 0, 'sum_tsc': 0, 'p50_tsc': 0, 'p90_tsc': 0, 'p99_tsc': 0, "
		   "'p999_tsc': 0}}]}"),
		stats(0, 0, 0, 0), stats(0, 0, 0, 0));
	struct bench_round r;
	struct bench_summary s;
	struct err e = { 0 };

	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	assert_true(isnan(r.flow[0].sent_fps)); /* one frame has no rate */
	assert_true(r.flow[0].received_fps == 0);
	assert_true(isnan(r.flow[0].latency.p50_us));
	assert_true(isnan(r.sw.cycles_per_frame));
	assert_int_equal(r.lost, 1);
	assert_int_equal(bench_summary_make(&r, 1, &s), 0);
	json_t *j = report_trial_json(c->t, &c->p.trials[0], &r, 1, &s);
	const json_t *m = json_object_get(j, "median");
	assert_true(json_is_null(json_object_get(m, "cycles_per_frame")));
	assert_true(json_is_null(json_object_get(json_object_get(m, "worst_latency_us"), "p99")));
	json_decref(j);
	bench_summary_free(&s);
	bench_round_free(&r);
	free_case(c);
}

static void test_round_refuses(void **state)
{
	static const struct {
		const char *what, *message;
	} cases[] = {
		{ "sender", "the guest that sends forgot flow 1" },
		{ "receiver", "the guest that receives forgot flow 1" },
		{ "key", "a send flow lacks the number \"ring_full\"" },
		{ "restart",
			"the switch's counters went back during the trial: was it restarted?" },
		{ "stats", "the switch's stats lack \"ports\" or \"workers\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trial_case *c = new_case(HEAD FLAT TAIL, sender(1, 10, 100000),
			receiver(1, 10, 0, 0), stats(5, 0, 0, 0), stats(15, 10, 0, 0));
		struct bench_round r;
		struct err e = { 0 };

		if (i < 2)
			json_object_clear(c->status[i]);
		else if (i == 2)
			json_object_del(json_array_get(json_object_get(c->status[0], "flows"), 0),
				"ring_full");
		else if (i == 3)
			json_object_update_new(c->raw.stats_after, stats(4, 0, 0, 0));
		else
			json_object_clear(c->raw.stats_after);
		assert_true(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e) < 0);
		assert_string_equal(e.text, cases[i].message);
		free_case(c);
	}
}

static void test_places(void **state)
{
	struct trial_case *c = new_case(HEAD FLAT TAIL, sender(1, 1000, 1000001000),
		receiver(1, 900, 0, 0), stats(50, 40, 3, 0), stats(50 + 990, 40 + 935, 53, 0));
	struct bench_round r;
	struct err e = { 0 };

	/* Of 1000 the switch took 990, dropped 50, gave 935 (it says); 930 came, 20 of no flow. */
	json_object_set_new(
		c->status[0], "nics", js("[{'tx_frames': 1000, 'rx_frames': 0, 'rx_other': 0}]"));
	json_object_set_new(
		c->status[1], "nics", js("[{'tx_frames': 0, 'rx_frames': 930, 'rx_other': 20}]"));
	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	assert_int_equal(r.lost, 100);
	assert_int_equal(r.sw.dropped, 50);
	assert_int_equal(r.places.sender_ring, 10);
	assert_int_equal(r.places.receiver_ring, 5);
	assert_int_equal(r.places.of_no_flow, 20);
	assert_int_equal(r.places.nic, 0);
	assert_int_equal(r.unexplained, 15);
	assert_true(has_warning(&r, "15 frames were LOST WITHOUT A REASON"));
	bench_round_free(&r);
	free_case(c);
}

static void test_median(void **state)
{
	assert_true(bench_median((double[]){ 3, 1, 2 }, 3) == 2);
	assert_true(bench_median((double[]){ 4, 3, 1, 2 }, 4) == 2); /* lower: it was measured */
	assert_true(bench_median((double[]){ NAN, 5, NAN }, 3) == 5);
	assert_true(isnan(bench_median((double[]){ NAN }, 1)));
}

static void test_summary(void **state)
{
	struct bench_flow_result f[3] = { 0 };
	struct bench_round r[3] = { 0 };
	static const double fps[] = { 2e6, 3e6, 1e6 }, cycles[] = { 90, 85, NAN };
	struct bench_summary s;

	for (int i = 0; i < 3; i++) {
		f[i].received_fps = r[i].received_fps = fps[i];
		f[i].latency.p99_us = 10 * (i + 1);
		r[i].flow = &f[i];
		r[i].n_flows = 1;
		r[i].sw.cycles_per_frame = cycles[i];
		r[i].sent = 100;
		r[i].received = i == 2 ? 90 : 100;
		r[i].lost = i == 2 ? 10 : 0;
		r[i].missed = i == 2;
	}
	assert_int_equal(bench_summary_make(r, 3, &s), 0);
	assert_true(s.median[0].received_fps == 2e6);
	assert_true(s.median[1].received_fps == 2e6);
	assert_true(s.median[0].cycles_per_frame == 85);
	assert_true(s.median[1].latency.p99_us == 20);
	assert_int_equal(s.best, 1);
	assert_true(s.max_fps == 3e6 && s.min_fps == 1e6 && s.best_cycles == 85);
	assert_int_equal(s.lost, 10); /* a loss in any round is a loss */
	assert_int_equal(s.lost_max, 10);
	assert_int_equal(s.n_missed, 1);
	bench_summary_free(&s);
}

/* ---- the table ---- */

static char *print_trial(struct trial_case *c, const struct bench_round *rounds, size_t n,
	unsigned width, bool all_flows)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct report_table table = {
		.out = out, .t = c->t, .plan = &c->p, .width = width, .all_flows = all_flows
	};
	struct bench_summary s;

	assert_int_equal(bench_summary_make(rounds, n, &s), 0);
	report_trial(&table, &c->p.trials[0], rounds, n, &s);
	report_notes(&table);
	bench_summary_free(&s);
	fclose(out);
	return text;
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;

	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strcspn(p, "\n") > longest)
			longest = strcspn(p, "\n");
	return longest;
}

static void test_table(void **state)
{
	struct trial_case *c = new_case(HEAD
		"{ \"name\": \"paced\", \"from\": \"a.0\", \"to\": \"b.0\", \"rate\": \"1Mpps\", \"max_loss\": "
		"0, \"seconds\": 1 }" TAIL,
		sender(1, 1000001, 1000001000), receiver(1, 999998, 0, 0), stats(0, 0, 0, 0),
		stats(1000001, 999998, 3, 0));
	struct bench_round r;
	struct err e = { 0 };

	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	char *text = print_trial(c, &r, 1, 100, false);
	assert_string_equal(text,
		"\n"
		"paced: 1.00 Mpps, 1 s, none may be lost\n"
		"  frame  path        sent/s  recv/s Gbit/s    lost p50/us p99/us p99.9/us max/us "
		"cyc/frame\n"
		"!!   64  a.0 > b.0   1.00 M  1.00 M  0.512 <0.001%   2.00   8.00     8.50   9.00        "
		"80\n"
		"        lost 3 of 1000001: 3 tx_ring_full\n"
		"        MISSED: a.0 > b.0 lost 3 of 1000001 (0.0003%); the topology allows 0%\n"
		"      ! 64 B: port a.1 is disabled: loop in ring\n");
	assert_true(longest_line(text) <= 100);
	free(text);
	text = print_trial(c, &r, 1, 80, false);
	print_message("%s", text);
	assert_true(longest_line(text) <= 80);
	assert_null(strstr(text, "max/us"));
	free(text);
	/* Rounds: the spread is told. */
	struct bench_round rounds[] = { r, r };
	text = print_trial(c, rounds, 2, 100, false);
	assert_non_null(strstr(text, "1 s, none may be lost, medians of 2 rounds"));
	assert_non_null(strstr(text, "best of 2: 1.00 M/s received (worst 1.00 M/s), 80 cycles"));
	assert_non_null(strstr(text, "lost 3 of 1000001 (round 1)"));
	assert_non_null(
		strstr(text, "! 64 B: port a.1 is disabled: loop in ring (the worst of 2)"));
	free(text);
	bench_round_free(&r);
	free_case(c);
}

/* Many flows are one row, or a row each when asked. */
static void test_table_sum(void **state)
{
	struct trial_case *c = new_case(HEAD STAR TAIL, NULL, NULL, NULL, NULL);
	struct bench_flow_result f[6] = { 0 };
	struct bench_round r = { .flow = f, .n_flows = 6, .sent = 6000, .received = 6000 };

	for (int i = 0; i < 6; i++) {
		f[i].sent = f[i].received = 1000;
		f[i].sent_fps = f[i].received_fps = 1000;
		f[i].latency = (struct bench_latency){ 1, 2, 3, 4, 5, 10 + i, 2 };
	}
	r.sent_fps = r.received_fps = 6000;
	r.sw.cycles_per_frame = 200;
	char *text = print_trial(c, &r, 1, 100, false);
	assert_non_null(strstr(text,
		"     64  6 flows     6.00 k  6.00 k  0.003       0   2.00   4.00     5.00   15.0       "
		"200\n"));
	assert_null(strstr(text, "a.0 > b.0"));
	assert_non_null(strstr(text, "star: 1.00 kpps each, 5 s, at most 0.1% may be lost\n"));
	free(text);
	text = print_trial(c, &r, 1, 100, true);
	assert_non_null(strstr(text, "6 flows"));
	assert_non_null(strstr(text, "c.0 > b.0   1.00 k"));
	free(text);
	free_case(c);
}

static void test_wrap(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	report_wrap(out, 20, 4, "  ! ", "one two three four five averyveryverylongword six");
	report_wrap(out, 20, 4, "", "");
	fclose(out);
	assert_string_equal(text,
		"  ! one two three\n"
		"    four five\n"
		"    averyveryverylongword\n"
		"    six\n"
		"\n");
	free(text);
}

/* ---- JSON, machine ---- */

static void test_json(void **state)
{
	struct trial_case *c = new_case(HEAD FLAT TAIL, sender(1, 1000001, 1000001000),
		receiver(1, 999998, 0, 0), stats(0, 0, 0, 0), stats(1000001, 999998, 3, 0));
	struct bench_round r;
	struct bench_summary s;
	struct err e = { 0 };
	const char *name, *from, *to;
	json_int_t sent, drops, lost;
	double cycles, p50, l1;
	int size, flat, missed;

	assert_int_equal(bench_round_make(c->t, &c->p.trials[0], &c->raw, &r, &e), 0);
	assert_int_equal(bench_summary_make(&r, 1, &s), 0);
	json_t *j = report_trial_json(c->t, &c->p.trials[0], &r, 1, &s);
	assert_int_equal(
		json_unpack(j,
			"{s:s, s:b, s:b, s:[{s:s, s:s, s:i, s:n, s:n}], s:[{s:I, s:I, "
			"s:{s:F, s:{s:I}}, s:[{s:F, s:{s:F}}]}]}",
			"name", &name, "latency_under_full_load", &flat, "missed", &missed, "flows",
			"from", &from, "to", &to, "frame_bytes", &size, "rate_fps", "max_loss",
			"rounds", "sent", &sent, "lost", &lost, "switch", "cycles_per_frame",
			&cycles, "drops", "tx_ring_full", &drops, "flows", "received_bps_l1", &l1,
			"latency_us", "p50", &p50),
		0);
	assert_string_equal(name, "flat out");
	assert_string_equal(from, "a.0");
	assert_string_equal(to, "b.0");
	assert_int_equal(size, 64);
	assert_true(flat);
	assert_false(missed);
	assert_int_equal(sent, 1000001);
	assert_int_equal(lost, 3);
	assert_int_equal(drops, 3);
	assert_true(cycles == 80 && p50 == 2);
	assert_true(fabs(l1 - 999997.0 * 84 * 8) < 1000);
	json_decref(j);
	/* Networks since the lab came up: which took part, and what each saw. */
	j = report_networks_json(c->t, &c->p, c->raw.stats_after);
	assert_json(j,
		"[{\"name\":\"lan\",\"rx_frames\":1000006,\"tx_frames\":1000003,\"flooded\":2,"
		"\"dropped\":12,\"takes_part\":true},{\"name\":\"quiet\",\"rx_frames\":0,"
		"\"tx_frames\":0,\"flooded\":0,\"dropped\":0,\"takes_part\":false}]");
	assert_true(json_is_null(report_number(NAN)));
	bench_summary_free(&s);
	bench_round_free(&r);
	free_case(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_round_bridge),
		cmocka_unit_test(test_round_warns),
		cmocka_unit_test(test_round_cpus),
		cmocka_unit_test(test_round_empty),
		cmocka_unit_test(test_round_refuses),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_median),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_sum),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
