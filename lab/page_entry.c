/* SPDX-License-Identifier: Apache-2.0 */
/* What one traffic entry showed: charts over its frame sizes, latencies, then the figures. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/page_own.h"

static const json_t *comparison(const struct page *p, size_t i)
{
	return json_array_get(json_object_get(p->doc, "comparisons"), i);
}

struct chart_value page_value_of(const json_t *figure)
{
	struct chart_value v = { compare_number(figure, "median"), NAN, NAN };

	if (compare_number(figure, "confidence") > 0) {
		v.low = compare_number(figure, "low");
		v.high = compare_number(figure, "high");
	}
	return v;
}

struct chart *page_chart_new(
	enum chart_kind kind, unsigned width, unsigned height, const char *y_title, double scale)
{
	struct chart *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct chart){
		.kind = kind, .width = width, .height = height, .y_title = y_title, .y_scale = scale
	};
	for (size_t s = 0; s < CHART_SERIES_MAX; s++)
		for (size_t i = 0; i < CHART_PLACES_MAX; i++)
			c->v[s][i] = (struct chart_value){ NAN, NAN, NAN };
	return c;
}

/* ---- rates ---- */

/* The rate of a path: the first that was searched for, or what was received flat out. */
static const json_t *rate_of(const json_t *c, const json_t *path)
{
	const json_t *rate = json_array_get(json_object_get(path, "rates"), 0);
	const json_t *load = json_array_get(json_object_get(path, "loads"), 0);

	if (json_is_object(json_object_get(c, "method")))
		return json_object_get(rate, "fps");
	if (isnan(compare_number(c, "flow_rate_fps")))
		return json_object_get(json_object_get(load, "figures"), "received_fps");
	return NULL; /* the rate was given: it says nothing of the path */
}

static double greatest_rate(const struct page *p, size_t from, size_t n)
{
	const json_t *path;
	double most = 0;
	size_t k;

	for (size_t i = from; i < from + n; i++)
		json_array_foreach (json_object_get(comparison(p, i), "paths"), k, path)
			most = fmax(
				most, compare_number(rate_of(comparison(p, i), path), "median"));
	return most;
}

static void put_rates(struct page *p, size_t from, size_t n)
{
	double most = greatest_rate(p, from, n);
	bool mega = most >= 1e6;
	struct chart *c = page_chart_new(CHART_BARS, 540, 300,
		mega ? "million frames a second" : "thousand frames a second", mega ? 1e6 : 1e3);
	const json_t *path,
		*rate = json_array_get(
			json_object_get(
				json_array_get(json_object_get(comparison(p, from), "paths"), 0),
				"rates"),
			0);
	char caption[128];
	size_t k;

	for (size_t i = 0; c && i < n && i < CHART_PLACES_MAX; i++) {
		const json_t *one = comparison(p, from + i);

		compare_frame(one, c->place[i]);
		c->n_places++;
		json_array_foreach (json_object_get(one, "paths"), k, path) {
			if (k == CHART_SERIES_MAX)
				break;
			c->n_series = k + 1 > c->n_series ? k + 1 : c->n_series;
			c->colour[k] = page_colour(k);
			c->v[k][i] = page_value_of(rate_of(one, path));
		}
	}
	snprintf(caption, sizeof(caption), "Throughput by frame size (%s)",
		rate ? compare_string(rate, "name") : "received, flat out");
	if (c)
		page_chart(p, c, caption);
	free(c);
}

/* ---- cost ---- */

static const struct {
	const char *key, *name, *colour;
} parts[] = {
	{ "switch_busy", "switch, at work", "#003f5c" },
	{ "switch_polling", "switch, polling", "#8fb8d8" },
	{ "nodes", "guests and generators", "#bc5090" },
	{ "vhost", "vhost threads", "#ef5675" },
	{ "interrupts", "interrupts of the host", "#ffa600" },
};
static_assert(sizeof(parts) / sizeof(parts[0]) == PAGE_PARTS, "page_own.h");

/* The load at which costs are compared: one that all carry, or the highest. */
static const json_t *cost_load(const json_t *path)
{
	const json_t *loads = json_object_get(path, "loads");
	const json_t *same = compare_named(loads, "same rate");

	return same ? same : json_array_get(loads, json_array_size(loads) - 1);
}

double page_part(const json_t *f, const char *prefix, size_t part)
{
	static const char *const of_switch[] = { "switch_busy", "switch" };
	double v[2];
	char key[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(key, sizeof(key), "%s%s", prefix,
			part > 1 ? parts[part].key : of_switch[i]);
		v[i] = compare_number(json_object_get(f, key), "median");
	}
	return part == 0 ? fmin(v[0], v[1]) : part == 1 ? fmax(0, v[1] - v[0]) : v[0];
}

const char *page_part_colour(size_t part)
{
	return parts[part].colour;
}

void page_part_key(struct page *p)
{
	fputs("<p class=\"key\">", p->out);
	for (size_t k = 0; k < PAGE_PARTS; k++)
		fprintf(p->out, "<span><i style=\"background:%s\"></i>%s</span>", parts[k].colour,
			parts[k].name);
	fputs("</p>\n", p->out);
}

static void put_costs(struct page *p, size_t from, size_t n)
{
	struct chart *c = page_chart_new(CHART_STACKS, 540, 300, "thousand cycles a frame", 1e3);
	char caption[160], frame[COMPARE_CELL];
	const json_t *path, *load = NULL;
	size_t k;

	for (size_t i = 0; c && i < n; i++) {
		const json_t *one = comparison(p, from + i);

		json_array_foreach (json_object_get(one, "paths"), k, path) {
			size_t at = c->n_places;
			const json_t *f;

			if (at == CHART_PLACES_MAX || !cost_load(path))
				continue;
			load = cost_load(path);
			f = json_object_get(load, "figures");
			c->n_places++;
			snprintf(c->place[at], sizeof(c->place[at]), "%.20s",
				compare_string(path, "path"));
			snprintf(c->group[at], sizeof(c->group[at]), "%.40s",
				compare_frame(one, frame));
			for (size_t part = 0; part < PAGE_PARTS; part++) {
				c->v[part][at].y = page_part(f, "cycles_", part);
				c->colour[part] = parts[part].colour;
			}
			c->sum[at] = page_value_of(json_object_get(f, "cycles_total"));
		}
	}
	snprintf(caption, sizeof(caption), "CPU cycles a frame, all cores charged (%s)",
		load ? compare_string(load, "name") : "");
	if (c) {
		c->n_series = PAGE_PARTS;
		page_chart(p, c, caption);
	}
	free(c);
}

/* ---- latency ---- */

static const struct {
	const char *key, *name;
} percentiles[] = {
	{ "min_us", "least" },
	{ "p50_us", "50 %" },
	{ "p90_us", "90 %" },
	{ "p99_us", "99 %" },
	{ "p999_us", "99.9 %" },
	{ "max_us", "most" },
};
#define N_PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static void put_latency(struct page *p, const json_t *one, const char *load_name)
{
	struct chart *c = page_chart_new(CHART_LINES, 400, 270, "microseconds", 1);
	char caption[160], frame[COMPARE_CELL];
	const json_t *path;
	size_t k;

	for (size_t i = 0; c && i < N_PERCENTILES; i++)
		strcpy(c->place[i], percentiles[i].name);
	if (c)
		c->n_places = N_PERCENTILES;
	json_array_foreach (json_object_get(one, "paths"), k, path) {
		const json_t *f = json_object_get(
			compare_named(json_object_get(path, "loads"), load_name), "figures");

		if (!c || k == CHART_SERIES_MAX)
			break;
		c->n_series = k + 1;
		c->colour[k] = page_colour(k);
		for (size_t i = 0; i < N_PERCENTILES; i++)
			c->v[k][i] = page_value_of(json_object_get(f, percentiles[i].key));
	}
	snprintf(caption, sizeof(caption), "%s, %s", compare_frame(one, frame), load_name);
	if (c)
		page_chart(p, c, caption);
	free(c);
}

static void put_latencies(struct page *p, size_t from, size_t n)
{
	const json_t *load;
	size_t k;

	fputs("<h3>Latency: from the sender's time stamp to the receiver's</h3>\n"
	      "<div class=\"charts small\">\n",
		p->out);
	for (size_t i = from; i < from + n; i++) {
		const json_t *one = comparison(p, i);
		const json_t *first = json_array_get(json_object_get(one, "paths"), 0);

		json_array_foreach (json_object_get(first, "loads"), k, load)
			put_latency(p, one, compare_string(load, "name"));
	}
	fputs("</div>\n", p->out);
}

/* ---- the section ---- */

void page_path_key(struct page *p, const json_t *one)
{
	const json_t *path;
	size_t k;

	fputs("<p class=\"key\">", p->out);
	json_array_foreach (json_object_get(one, "paths"), k, path) {
		const json_t *what = compare_named(
			json_object_get(p->doc, "paths"), compare_string(path, "path"));

		fprintf(p->out, "<span><i style=\"background:%s\"></i><b>", page_colour(k));
		page_put(p, compare_string(path, "path"));
		fputs("</b>", p->out);
		if (*compare_string(what, "what"))
			page_putf(p, ": %s", compare_string(what, "what"));
		fputs("</span>", p->out);
	}
	fputs("</p>\n", p->out);
}

size_t page_entry(struct page *p, size_t from)
{
	const json_t *first = comparison(p, from);
	size_t n = 1, total = json_array_size(json_object_get(p->doc, "comparisons"));
	char manner[256];

	if (compare_is_tcp(first)) {
		page_tcp(p, first);
		return 1;
	}
	while (from + n < total &&
		strcmp(compare_string(comparison(p, from + n), "name"),
			compare_string(first, "name")) == 0)
		n++;
	compare_manner(first, manner, sizeof(manner));
	fputs("<section><h2>", p->out);
	page_put(p, compare_string(first, "name"));
	fputs("</h2>\n<p class=\"manner\">", p->out);
	page_put(p, manner);
	page_putf(p, "; %.0f flow%s at once over each path", compare_number(first, "flows"),
		compare_number(first, "flows") > 1 ? "s" : "");
	fputs("</p>\n", p->out);
	page_path_key(p, first);
	fputs("<div class=\"charts\">\n", p->out);
	put_rates(p, from, n);
	put_costs(p, from, n);
	fputs("</div>\n", p->out);
	page_part_key(p);
	put_latencies(p, from, n);
	for (size_t i = from; i < from + n; i++)
		page_figures(p, comparison(p, i));
	fputs("</section>\n", p->out);
	return n;
}
