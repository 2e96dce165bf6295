/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/top.h"

#include <string.h>

#include "base/units.h"
#include "lab/table.h"
#include "vswitch/dp/stats.h" /* the list of drop reasons */

static const struct reason {
	const char *name, *text;
} reasons[] = {
#define X(name, text) { #name, text },
	DP_DROPS(X)
#undef X
};

static double number(const json_t *j, const char *a, const char *b)
{
	j = json_object_get(j, a);
	return json_number_value(b ? json_object_get(j, b) : j);
}

static const json_t *named(
	const json_t *stats, const char *list, const char *key, const json_t *value)
{
	const json_t *x;
	size_t i;

	json_array_foreach (json_object_get(stats, list), i, x)
		if (json_equal(json_object_get(x, key), value))
			return x;
	return NULL;
}

/* What a second brought of a counter that only grows; null if it was not there before, or began
 * anew. */
static json_t *rate(const json_t *was, const json_t *is, const char *a, const char *b, double s)
{
	double grown = number(is, a, b) - number(was, a, b);

	return was && s > 0 && grown >= 0 ? json_real(grown / s) : json_null();
}

static void add_to(json_t *j, const char *key, const json_t *of, const char *of_key)
{
	double sum = number(j, key, NULL) + number(of, of_key, NULL);

	json_object_set_new(j, key, json_real(sum));
}

static json_t *times_8(json_t *bytes)
{
	json_t *j = json_is_null(bytes) ? json_null() : json_real(8 * json_number_value(bytes));

	json_decref(bytes);
	return j;
}

static const char *text_of(const char *reason)
{
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (strcmp(reasons[i].name, reason) == 0)
			return reasons[i].text;
	return "";
}

/* Every reason that ever dropped a frame, with what it drops now; their sums to port. */
static void add_drops(json_t *port, const json_t *was, const json_t *is, double s)
{
	json_t *list = json_array();
	double fps = 0, all = 0;
	const json_t *n;
	const char *key;

	json_object_foreach (json_object_get((json_t *)is, "drops"), key, n) {
		json_t *now = rate(was, is, "drops", key, s);

		if (json_number_value(n) == 0) {
			json_decref(now);
			continue;
		}
		fps += json_number_value(now);
		all += json_number_value(n);
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:o, s:O}", "reason", key, "text", text_of(key),
				"fps", now, "total", n));
	}
	json_object_set_new(port, "dropped_fps", was ? json_real(fps) : json_null());
	json_object_set_new(port, "dropped", json_real(all));
	json_object_set_new(port, "drops", list);
}

static json_t *port_document(const json_t *was, const json_t *is, double s)
{
	static const char *const keys[] = { "name", "network", "kind", "state", "reason" };
	json_t *j = json_object();

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		json_t *v = json_object_get(is, keys[i]);

		json_object_set_new(j, keys[i], v ? json_incref(v) : json_null());
	}
	json_object_set_new(j, "rx_fps", rate(was, is, "rx", "frames", s));
	json_object_set_new(j, "rx_bps", times_8(rate(was, is, "rx", "bytes", s)));
	json_object_set_new(j, "tx_fps", rate(was, is, "tx", "frames", s));
	json_object_set_new(j, "tx_bps", times_8(rate(was, is, "tx", "bytes", s)));
	add_drops(j, was, is, s);
	return j;
}

static json_t *worker_document(const json_t *was, const json_t *is, double s)
{
	double busy = number(is, "busy_cycles", NULL) - number(was, "busy_cycles", NULL);
	double frames = number(is, "frames", NULL) - number(was, "frames", NULL);
	json_t *load = json_object_get(is, "load");

	return json_pack("{s:O, s:o, s:o, s:o, s:o}", "cpu", json_object_get(is, "cpu"), "load",
		json_is_number(load) ? json_incref(load) : json_null(), "fps",
		rate(was, is, "frames", NULL, s), "cycles_per_frame",
		was && frames > 0 ? json_real(busy / frames) : json_null(), "sleeps_ps",
		rate(was, is, "sleeps", NULL, s));
}

json_t *top_document(const char *lab, const json_t *before, const json_t *after)
{
	double s = (number(after, "time_ns", NULL) - number(before, "time_ns", NULL)) / 1e9;
	json_t *ports = json_array(), *workers = json_array();
	json_t *j = json_pack("{s:i, s:s, s:f, s:f, s:f, s:f, s:o, s:o}", "version", TOP_VERSION,
		"lab", lab, "seconds", before ? s : 0.0, "rx_fps", 0.0, "tx_fps", 0.0,
		"dropped_fps", 0.0, "ports", ports, "workers", workers);
	const json_t *x;
	size_t i;

	json_array_foreach (json_object_get(after, "ports"), i, x) {
		const json_t *was = named(before, "ports", "name", json_object_get(x, "name"));
		json_t *port = port_document(was, x, s);

		add_to(j, "rx_fps", port, "rx_fps");
		add_to(j, "tx_fps", port, "tx_fps");
		add_to(j, "dropped_fps", port, "dropped_fps");
		json_array_append_new(ports, port);
	}
	json_array_foreach (json_object_get(after, "workers"), i, x)
		json_array_append_new(workers,
			worker_document(
				named(before, "workers", "cpu", json_object_get(x, "cpu")), x, s));
	return j;
}

const char *top_count(const json_t *j, const char *key, char *out)
{
	const json_t *v = json_object_get(j, key);

	if (!json_is_number(v))
		strcpy(out, "-");
	else
		units_format_si(json_number_value(v) < 0.5 ? 0 : json_number_value(v), out);
	return out;
}

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

static void print_ports(const json_t *doc, FILE *out, int width)
{
	static const char *const words[] = { "name", "network", "state" };
	static const char *const rates[] = { "rx_fps", "rx_bps", "tx_fps", "tx_bps",
		"dropped_fps" };
	struct table t = {
		.head = "PORT|NETWORK|STATE|>IN/s|>IN bit/s|>OUT/s|>OUT bit/s|>DROPPED/s"
	};
	const json_t *p;
	char count[16];
	size_t i;

	json_array_foreach (json_object_get(doc, "ports"), i, p) {
		for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
			table_add(&t, "%s", text(p, words[k]));
		for (size_t k = 0; k < sizeof rates / sizeof rates[0]; k++)
			table_add(&t, "%s", top_count(p, rates[k], count));
	}
	table_print(&t, out, width);
}

static void print_drops(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "PORT|DROPS|>FRAMES/s|>IN ALL|WHY" };
	const json_t *p, *r;
	char count[16];
	size_t i, k;

	json_array_foreach (json_object_get(doc, "ports"), i, p)
		json_array_foreach (json_object_get(p, "drops"), k, r) {
			table_add(&t, "%s", text(p, "name"));
			table_add(&t, "%s", text(r, "reason"));
			table_add(&t, "%s", top_count(r, "fps", count));
			table_add(&t, "%s", top_count(r, "total", count));
			table_add(&t, "%s", text(r, "text"));
		}
	if (t.cells.n)
		fputc('\n', out);
	table_print(&t, out, width);
}

static void print_workers(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "WORKER|>CPU|>LOAD|>FRAMES/s|>CYCLES/FRAME|>SLEEPS/s" };
	const json_t *w;
	char count[16];
	size_t i;

	json_array_foreach (json_object_get(doc, "workers"), i, w) {
		table_add(&t, "%zu", i);
		table_add(&t, "%.0f", number(w, "cpu", NULL));
		if (json_is_number(json_object_get(w, "load")))
			table_add(&t, "%.0f %%", 100 * number(w, "load", NULL));
		else
			table_add(&t, "-");
		table_add(&t, "%s", top_count(w, "fps", count));
		table_add(&t, "%s", top_count(w, "cycles_per_frame", count));
		table_add(&t, "%s", top_count(w, "sleeps_ps", count));
	}
	table_print(&t, out, width);
}

void top_print(const json_t *doc, FILE *out, int width)
{
	char in[16], sent[16], dropped[16];

	fprintf(out, "lab %s, %.2f s: %s frames/s in, %s out, %s dropped\n\n", text(doc, "lab"),
		number(doc, "seconds", NULL), top_count(doc, "rx_fps", in),
		top_count(doc, "tx_fps", sent), top_count(doc, "dropped_fps", dropped));
	print_workers(doc, out, width);
	fputc('\n', out);
	print_ports(doc, out, width);
	print_drops(doc, out, width);
}
