/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each path of a comparison against its first: ratios with their intervals, and whether they show a
 * difference. Pure; works on the document, so that merged ones (lab/compare_merge.c) are judged
 * alike.
 *
 *	paired		the ratio of each round, their median and its interval: what drifts from
 *			round to round is in both
 *	not paired	the ratio of medians, between the ends of both intervals
 *
 * There is a difference if the interval leaves 1 out, if it is sure enough for that, and if the
 * ratio is further from 1 than a search can tell.
 */
#include <math.h>
#include <stdlib.h>

#include "lab/compare.h"
#include "lab/compare_text.h"
#include "lab/report.h"

#define SURE_ENOUGH 0.9 /* five rounds make 0.9375 */

static double ratio(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

static json_t *ratio_paired(const json_t *a, const json_t *b)
{
	const json_t *va = json_object_get(a, "values"), *vb = json_object_get(b, "values");
	size_t n = json_array_size(va) < json_array_size(vb) ? json_array_size(va)
							     : json_array_size(vb);
	double *v = calloc(n ? n : 1, sizeof(*v));
	json_t *j;

	for (size_t i = 0; v && i < n; i++) {
		const json_t *x = json_array_get(va, i), *y = json_array_get(vb, i);

		v[i] = json_is_number(x) && json_is_number(y)
			? ratio(json_number_value(x), json_number_value(y))
			: NAN;
	}
	j = compare_figure(v, v ? n : 0);
	free(v);
	return j;
}

static json_t *ratio_apart(const json_t *a, const json_t *b)
{
	return json_pack("{s:o, s:o, s:o, s:f, s:[]}", "median",
		report_number(ratio(compare_number(a, "median"), compare_number(b, "median"))),
		"low", report_number(ratio(compare_number(a, "low"), compare_number(b, "high"))),
		"high", report_number(ratio(compare_number(a, "high"), compare_number(b, "low"))),
		"confidence",
		fmin(compare_number(a, "confidence"), compare_number(b, "confidence")), "values");
}

/* true, false; null: too few rounds to tell. */
static json_t *differs(const json_t *r, double resolution)
{
	double median = compare_number(r, "median"), low = compare_number(r, "low"),
	       high = compare_number(r, "high");

	if (isnan(median) || !(compare_number(r, "confidence") >= SURE_ENOUGH))
		return json_null();
	return json_boolean((low > 1 || high < 1) && fabs(median - 1) > resolution);
}

static void add_ratio(json_t *list, const char *load, const char *figure, bool more_is_better,
	const json_t *a, const json_t *b, bool paired, double resolution)
{
	json_t *r = paired ? ratio_paired(a, b) : ratio_apart(a, b);
	json_t *verdict = differs(r, resolution);

	if (json_is_null(json_object_get(r, "median"))) {
		json_decref(r);
		json_decref(verdict);
		return;
	}
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:o, s:o}", "at", load, "figure", figure, "better",
			more_is_better ? "more" : "less", "ratio", r, "differs", verdict));
}

static void compare_rates(
	json_t *list, const json_t *a, const json_t *b, bool paired, double resolution)
{
	const json_t *rate;
	size_t i;

	json_array_foreach (json_object_get(a, "rates"), i, rate) {
		const char *name = compare_string(rate, "name");
		const json_t *other = compare_named(json_object_get(b, "rates"), name);

		if (other)
			add_ratio(list, name, "fps", true, json_object_get(rate, "fps"),
				json_object_get(other, "fps"), paired, resolution);
	}
}

/* The figures of a load that two paths are judged by. */
static const struct {
	const char *key;
	bool more_is_better, plain_only;
} judged[] = {
	{ "received_fps", true, true },
	{ "p50_us", false, false },
	{ "p99_us", false, false },
	{ "p999_us", false, false },
	{ "cycles_switch_busy", false, false },
	{ "cycles_total", false, false },
};

static void compare_loads(json_t *list, const json_t *a, const json_t *b, bool paired)
{
	const json_t *load;
	size_t i;

	json_array_foreach (json_object_get(a, "loads"), i, load) {
		const char *name = compare_string(load, "name");
		const json_t *other = compare_named(json_object_get(b, "loads"), name);

		for (size_t k = 0; other && k < sizeof(judged) / sizeof(judged[0]); k++) {
			const char *key = judged[k].key;

			if (judged[k].plain_only &&
				json_is_number(json_object_get(load, "percent")))
				continue;
			add_ratio(list, name, key, judged[k].more_is_better,
				json_object_get(json_object_get(load, "figures"), key),
				json_object_get(json_object_get(other, "figures"), key), paired, 0);
		}
	}
}

static void compare_tcp(json_t *list, const json_t *a, const json_t *b, bool paired)
{
	static const char *const keys[] = { "goodput_bps", "rtt_us", "cycles_per_byte_total" };
	const json_t *fa = json_object_get(json_object_get(a, "tcp"), "figures");
	const json_t *fb = json_object_get(json_object_get(b, "tcp"), "figures");

	for (size_t k = 0; fa && fb && k < sizeof(keys) / sizeof(keys[0]); k++)
		add_ratio(list, "TCP", keys[k], k == 0, json_object_get(fa, keys[k]),
			json_object_get(fb, keys[k]), paired, 0);
}

json_t *compare_pair(const json_t *c, size_t base, size_t path, bool paired)
{
	const json_t *paths = json_object_get(c, "paths");
	const json_t *b = json_array_get(paths, base), *a = json_array_get(paths, path);
	double resolution = compare_number(json_object_get(c, "method"), "resolution");
	json_t *list = json_array();

	compare_rates(list, a, b, paired, isnan(resolution) ? 0 : resolution);
	compare_loads(list, a, b, paired);
	compare_tcp(list, a, b, paired);
	return json_pack("{s:O, s:O, s:b, s:o}", "path", json_object_get(a, "path"), "base",
		json_object_get(b, "path"), "paired", paired, "ratios", list);
}

void compare_against(json_t *c)
{
	size_t n = json_array_size(json_object_get(c, "paths"));
	json_t *all = json_array();

	for (size_t i = 1; i < n; i++)
		json_array_append_new(all, compare_pair(c, 0, i, true));
	json_object_set_new(c, "against", all);
}
