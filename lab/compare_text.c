/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/compare_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

double compare_number(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *compare_string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

const json_t *compare_named(const json_t *list, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one)
		if (strcmp(compare_string(one, "name"), name) == 0)
			return one;
	return NULL;
}

void compare_each_name(const json_t *comparison, const char *key,
	void (*fn)(void *ctx, const char *name), void *ctx)
{
	const json_t *path, *one, *paths = json_object_get(comparison, "paths");
	size_t i, k;

	json_array_foreach (paths, i, path) {
		json_array_foreach (json_object_get(path, key), k, one) {
			const char *name = compare_string(one, "name");
			bool told = false;

			for (size_t before = 0; before < i; before++)
				told |= compare_named(
						json_object_get(json_array_get(paths, before), key),
						name) != NULL;
			if (!told)
				fn(ctx, name);
		}
	}
}

char *compare_si(double v, char *out)
{
	if (isnan(v))
		strcpy(out, "-");
	else
		units_format_si(v, out);
	return out;
}

char *compare_us(double us, char *out)
{
	if (isnan(us))
		strcpy(out, "-");
	else
		snprintf(out, COMPARE_CELL, "%.*f", us < 9.995 ? 2 : us < 99.95 ? 1 : 0, us);
	return out;
}

char *compare_plain(double v, char *out)
{
	if (isnan(v))
		strcpy(out, "-");
	else
		snprintf(out, COMPARE_CELL, "%.*f", v != 0 && fabs(v) < 10 ? 2 : 0, v);
	return out;
}

char *compare_share(double ratio, char *out)
{
	if (isnan(ratio))
		strcpy(out, "-");
	else if (ratio <= 0)
		strcpy(out, "0");
	else if (ratio < 1e-5)
		strcpy(out, "<0.001%");
	else
		snprintf(out, COMPARE_CELL, "%.3g%%", ratio * 100);
	return out;
}

char *compare_interval(const json_t *figure, char *(*format)(double, char *), char *out)
{
	double low = compare_number(figure, "low"), high = compare_number(figure, "high");
	char a[COMPARE_CELL], b[COMPARE_CELL];

	out[0] = '\0';
	if (isnan(low) || !(compare_number(figure, "confidence") > 0))
		return out;
	format(low, a);
	format(high, b);
	snprintf(out, COMPARE_CELL, "%.40s to %.40s", a, b);
	return out;
}

bool compare_is_tcp(const json_t *comparison)
{
	return strcmp(compare_string(comparison, "frame"), "tcp") == 0;
}

char *compare_frame(const json_t *comparison, char *out)
{
	const char *frame = compare_string(comparison, "frame");

	if (compare_is_tcp(comparison))
		strcpy(out, "TCP");
	else
		snprintf(out, COMPARE_CELL, "%.60s%s", frame,
			strcmp(frame, "imix") == 0 ? "" : " B");
	return out;
}

void compare_manner(const json_t *comparison, char *out, size_t size)
{
	const json_t *m = json_object_get(comparison, "method");
	double rate = compare_number(comparison, "flow_rate_fps");
	double seconds = compare_number(comparison, "seconds");
	char text[COMPARE_CELL];

	if (json_is_object(json_object_get(m, "tcp"))) {
		double n = compare_number(json_object_get(m, "tcp"), "streams");

		snprintf(out, size, "between the guests' kernels, by iperf3: %.0f stream%s, %g s",
			n, n > 1 ? "s" : "", seconds);
	} else if (json_is_object(m)) {
		snprintf(out, size, "%s (%s), to %g%%, trials of %g s",
			strcmp(compare_string(m, "search"), "verified") == 0
				? "binary search with loss verification"
				: "throughput by binary search",
			compare_string(m, "standard"), compare_number(m, "resolution") * 100,
			seconds);
	} else if (isnan(rate)) {
		snprintf(
			out, size, "as fast as it goes, %g s; latency is under full load", seconds);
	} else {
		snprintf(out, size, "%s frames/s%s, %g s", compare_si(rate, text),
			compare_number(comparison, "flows") > 1 ? " of each flow" : "", seconds);
	}
}

/* ---- verdicts ---- */

static const struct {
	const char *key, *name, *more, *less;
} names[] = {
	{ "fps", "frames/s", "more frames/s", "fewer frames/s" },
	{ "received_fps", "frames/s", "more frames/s", "fewer frames/s" },
	{ "goodput_bps", "TCP's goodput", "more goodput of TCP", "less goodput of TCP" },
	{ "rtt_us", "TCP's round-trip time", "longer round-trip time of TCP",
		"shorter round-trip time of TCP" },
	{ "cycles_per_byte_total", "CPU cycles a byte of TCP",
		"more CPU cycles a byte of TCP, all cores charged",
		"fewer CPU cycles a byte of TCP, all cores charged" },
	{ "p50_us", "median latency", "longer median latency", "shorter median latency" },
	{ "p99_us", "p99 latency", "longer p99 latency", "shorter p99 latency" },
	{ "p999_us", "p99.9 latency", "longer p99.9 latency", "shorter p99.9 latency" },
	{ "cycles_switch_busy", "busy switch cycles a frame", "more busy switch cycles a frame",
		"fewer busy switch cycles a frame" },
	{ "cycles_total", "CPU cycles a frame", "more CPU cycles a frame, all cores charged",
		"fewer CPU cycles a frame, all cores charged" },
};
#define N_NAMES (sizeof(names) / sizeof(names[0]))

static size_t name_of(const char *key)
{
	size_t i = 0;

	while (i + 1 < N_NAMES && strcmp(names[i].key, key) != 0)
		i++;
	return i;
}

const char *compare_figure_name(const char *key)
{
	return names[name_of(key)].name;
}

/* A ratio as people say it: "12%" off, or "3.1 times" where it is far. */
static void say_ratio(double r, char *out, size_t size)
{
	if (r >= 2)
		snprintf(out, size, "%.3g times", r);
	else if (r <= 0.5 && r > 0)
		snprintf(out, size, "1/%.3g", 1 / r);
	else
		snprintf(out, size, "%+.1f%%", (r - 1) * 100);
}

int compare_verdict(const json_t *ratio, bool *unsure, char *out, size_t size)
{
	const json_t *r = json_object_get(ratio, "ratio");
	const json_t *differs = json_object_get(ratio, "differs");
	double median = compare_number(r, "median");
	size_t n = name_of(compare_string(ratio, "figure"));
	char mid[32], low[32], high[32];
	bool more = median > 1;

	*unsure = json_is_null(differs);
	say_ratio(median, mid, sizeof(mid));
	say_ratio(compare_number(r, "low"), low, sizeof(low));
	say_ratio(compare_number(r, "high"), high, sizeof(high));
	if (!(compare_number(r, "confidence") > 0))
		snprintf(out, size, "%s: %s", names[n].name, mid);
	else if (!json_is_true(differs))
		snprintf(out, size, "%s: %s (%s to %s)", names[n].name, mid, low, high);
	else
		snprintf(out, size, "%s: %s (%s to %s)", more ? names[n].more : names[n].less, mid,
			low, high);
	if (!json_is_true(differs))
		return 0;
	return more == (strcmp(compare_string(ratio, "better"), "more") == 0) ? 1 : -1;
}

/* ---- losses ---- */

void compare_lost(const json_t *lost, char *out, size_t size)
{
	json_int_t n = json_integer_value(json_object_get(lost, "lost"));
	json_int_t sent = json_integer_value(json_object_get(lost, "sent"));
	json_int_t unexplained = json_integer_value(json_object_get(lost, "unexplained"));
	const char *place;
	json_t *count;
	size_t len;
	bool first = true;

	if (n <= 0 && unexplained <= 0) {
		snprintf(out, size, "none of %lld frames lost", (long long)sent);
		return;
	}
	len = (size_t)snprintf(
		out, size, "%lld of %lld frames lost:", (long long)n, (long long)sent);
	json_object_foreach ((json_t *)json_object_get(lost, "places"), place, count) {
		if (len + 100 > size)
			break;
		len += (size_t)snprintf(out + len, size - len, "%s %lld %s", first ? "" : ",",
			(long long)json_integer_value(count), place);
		first = false;
	}
	if (unexplained > 0 && len + 40 < size)
		snprintf(out + len, size - len, "%s %lld UNEXPLAINED", first ? "" : ",",
			(long long)unexplained);
}

bool compare_warning(const json_t *warnings, char *out, size_t size)
{
	const char *first = json_string_value(json_array_get(warnings, 0));

	snprintf(out, size, "%s%s", first ? first : "",
		json_array_size(warnings) > 1 ? " (and more: in the JSON)" : "");
	return first;
}

bool compare_drops(const json_t *drops, char *out, size_t size)
{
	const char *reason;
	json_t *count;
	size_t len = 0;

	out[0] = '\0';
	json_object_foreach ((json_t *)drops, reason, count)
		if (len + 80 < size)
			len += (size_t)snprintf(out + len, size - len, "%s%lld %.50s",
				len ? ", " : "", (long long)json_integer_value(count), reason);
	return len > 0;
}
