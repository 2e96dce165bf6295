/* SPDX-License-Identifier: Apache-2.0 */
/* What a comparison is made of: CPU time by place, medians and intervals, what counts as a
 * difference, how it reads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "lab/bench_cost.h"
#include "lab/chart.h"
#include "lab/compare.h"
#include "lab/compare_text.h"

/* ---- cost ---- */

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];

	for (size_t i = 1; name[i]; i++) {
		if (name[i] != '/')
			continue;
		snprintf(path, sizeof(path), "%s/%.*s", dir, (int)i, name);
		mkdir(path, 0700);
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_cost(void **state)
{
	char dir[] = "/tmp/lanyard-test-XXXXXX", command[64];
	const pid_t nodes[] = { 20, 30 }, gone[] = { 20, 40 };

	assert_non_null(mkdtemp(dir));
	put(dir, "10/task/10/comm", "lanyard-switch\n");
	put(dir, "10/task/10/schedstat", "1000 5 1\n");
	put(dir, "10/task/11/comm", "worker0\n");
	put(dir, "10/task/11/schedstat", "2000 5 1\n");
	/* One node's vhost thread is its own (Linux 6.4), the other's a kernel thread. */
	put(dir, "20/task/20/comm", "lanyard-vmm\n");
	put(dir, "20/task/20/schedstat", "30 0 1\n");
	put(dir, "20/task/21/comm", "vhost-20\n");
	put(dir, "20/task/21/schedstat", "400 0 1\n");
	put(dir, "30/task/30/comm", "lanyard-vmm\n");
	put(dir, "30/task/30/schedstat", "7 0 1\n");
	put(dir, "30/task/31/comm", "vcpu0\n");
	put(dir, "30/task/31/schedstat", "60 0 1\n");
	put(dir, "50/comm", "vhost-31\n");
	put(dir, "50/schedstat", "5000 0 1\n");
	put(dir, "51/comm", "vhost-99\n"); /* somebody else's */
	put(dir, "51/schedstat", "1 0 1\n");
	put(dir, "stat", "cpu  1 2 3 4 5 6 7 8 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n");
	struct bench_cost_sample s = bench_cost_read(dir, 100, 10, nodes, 2);
	assert_true(s.known && s.irq_known);
	assert_int_equal(s.switch_ns, 3000);
	assert_int_equal(s.nodes_ns, 97);
	assert_int_equal(s.vhost_ns, 5400);
	assert_int_equal(s.irq_ns, 130000000);
	assert_int_equal(bench_cost_read(dir, 100, 0, nodes, 2).switch_ns, 0);
	assert_false(bench_cost_read(dir, 100, 10, gone, 2).known);

	struct bench_cost_sample later = s;
	later.switch_ns += 2000000000;
	later.irq_ns += 10000000;
	struct bench_cost c = bench_cost_diff(&s, &later);
	assert_true(c.switch_s == 2 && c.nodes_s == 0 && fabs(c.irq_s - 0.01) < 1e-12);
	assert_true(isnan(c.exits));
	later.nodes_ns = 0; /* a thread has ended */
	assert_true(isnan(bench_cost_diff(&s, &later).nodes_s));
	later.known = false;
	assert_true(isnan(bench_cost_diff(&s, &later).switch_s));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* ---- differences ---- */

/* A comparison of two paths whose rates are these, and their median latencies one percent of it. */
static json_t *two_paths(const double *a, const double *b, size_t n, double resolution)
{
	const double *v[] = { a, b };
	json_t *paths = json_array();

	for (size_t i = 0; i < 2; i++) {
		json_t *rate =
			json_pack("{s:s, s:o}", "name", "NDR", "fps", compare_figure(v[i], n));
		json_t *load = json_pack("{s:s, s:f, s:{s:o}}", "name", "same rate", "percent",
			50.0, "figures", "p50_us", compare_figure(v[i], n));

		json_array_append_new(paths,
			json_pack("{s:s, s:[o], s:[o]}", "path", i ? "b" : "a", "rates", rate,
				"loads", load));
	}
	return json_pack("{s:{s:f}, s:o}", "method", "resolution", resolution, "paths", paths);
}

static const json_t *ratio_at(const json_t *pair, size_t i)
{
	return json_array_get(json_object_get(pair, "ratios"), i);
}

static void check_ratio(const json_t *r, double median, int differs)
{
	const json_t *d = json_object_get(r, "differs");

	assert_true(fabs(compare_number(json_object_get(r, "ratio"), "median") - median) < 1e-9);
	assert_int_equal(json_is_null(d) ? -1 : json_is_true(d), differs);
}

static void test_figure(void **state)
{
	const double v[] = { 5, NAN, 1, 3, 4, 2, 6 };
	json_t *f = compare_figure(v, 7);

	assert_true(compare_number(f, "median") == 3.5);
	assert_true(compare_number(f, "low") == 1 && compare_number(f, "high") == 6);
	assert_true(compare_number(f, "confidence") == 0.96875);
	assert_int_equal(json_array_size(json_object_get(f, "values")), 7);
	assert_true(json_is_null(json_array_get(json_object_get(f, "values"), 1)));
	json_decref(f);
	f = compare_figure(v, 0);
	assert_true(json_is_null(json_object_get(f, "median")));
	json_decref(f);
}

static void test_paired(void **state)
{
	/* Drift by a factor of three, in which every round shows one and the same ratio. */
	const double a[] = { 100, 150, 200, 250, 300 }, b[] = { 110, 165, 220, 275, 330 };
	json_t *c = two_paths(a, b, 5, 0.05), *pair = compare_pair(c, 0, 1, true);
	bool unsure;
	char text[256];

	check_ratio(ratio_at(pair, 0), 1.1, 1);
	assert_int_equal(compare_verdict(ratio_at(pair, 0), &unsure, text, sizeof(text)), 1);
	assert_string_equal(text, "more frames/s: +10.0% (+10.0% to +10.0%)");
	assert_int_equal(compare_verdict(ratio_at(pair, 1), &unsure, text, sizeof(text)), -1);
	assert_string_equal(text, "longer median latency: +10.0% (+10.0% to +10.0%)");
	json_decref(pair);
	/* Not paired, the drift hides it. */
	pair = compare_pair(c, 0, 1, false);
	check_ratio(ratio_at(pair, 0), 1.1, 0);
	assert_int_equal(compare_verdict(ratio_at(pair, 0), &unsure, text, sizeof(text)), 0);
	assert_false(unsure);
	json_decref(pair);
	json_decref(c);
	/* Less than the search can tell: no difference of the rates, but one of the latencies. */
	c = two_paths(a, b, 5, 0.2);
	pair = compare_pair(c, 0, 1, true);
	check_ratio(ratio_at(pair, 0), 1.1, 0);
	check_ratio(ratio_at(pair, 1), 1.1, 1);
	json_decref(pair);
	json_decref(c);
	/* Four rounds are not sure enough. */
	c = two_paths(a, b, 4, 0.05);
	pair = compare_pair(c, 0, 1, true);
	check_ratio(ratio_at(pair, 0), 1.1, -1);
	compare_verdict(ratio_at(pair, 0), &unsure, text, sizeof(text));
	assert_true(unsure);
	json_decref(pair);
	json_decref(c);
}

/* One round against the trend: the interval has 1 in it. */
static void test_no_difference(void **state)
{
	const double a[] = { 100, 100, 100, 100, 100, 100 };
	const double b[] = { 90, 91, 92, 93, 94, 101 }, none[] = { NAN, NAN, NAN, NAN, NAN, NAN };
	json_t *c = two_paths(a, b, 6, 0.01), *pair = compare_pair(c, 0, 1, true);

	check_ratio(ratio_at(pair, 0), 0.925, 0);
	json_decref(pair);
	json_decref(c);
	c = two_paths(a, none, 6, 0.01);
	pair = compare_pair(c, 0, 1, true);
	assert_int_equal(json_array_size(json_object_get(pair, "ratios")), 0);
	json_decref(pair);
	json_decref(c);
}

/* ---- words ---- */

static void test_words(void **state)
{
	char text[256];
	json_t *lost = json_pack("{s:i, s:i, s:{s:i, s:i}, s:i}", "sent", 100, "lost", 10, "places",
		"switch: tx_ring_full", 6, "NIC", 3, "unexplained", 1);

	compare_lost(lost, text, sizeof(text));
	assert_string_equal(
		text, "10 of 100 frames lost: 6 switch: tx_ring_full, 3 NIC, 1 UNEXPLAINED");
	json_decref(lost);
	assert_string_equal(compare_share(NAN, text), "-");
	assert_string_equal(compare_share(1e-9, text), "<0.001%");
	assert_string_equal(compare_share(0.142, text), "14.2%");
	assert_string_equal(compare_us(8.123, text), "8.12");
}

/* Each drawing's names become its own; colours stay. */
static void test_inline(void **state)
{
	char *svg = chart_inline("<?xml?><!DOCTYPE x><svg id=\"a\"><g id='b' fill='#ff00aa'/>"
				 "<use xlink:href='#b'/><i m=\"url(#b)\"/></svg>",
		"c1");

	assert_string_equal(svg,
		"<svg id=\"c1-a\"><g id='c1-b' fill='#ff00aa'/>"
		"<use xlink:href='#c1-b'/><i m=\"url(#c1-b)\"/></svg>");
	free(svg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_figure),
		cmocka_unit_test(test_paired),
		cmocka_unit_test(test_no_difference),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_inline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
