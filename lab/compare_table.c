/* SPDX-License-Identifier: Apache-2.0 */
/* A comparison for a terminal, out of its document. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/compare.h"
#include "lab/compare_text.h"
#include "lab/report.h"

#define PATH_MAXW 28

struct printer {
	FILE *out;
	unsigned width;
	int path_w;
	const json_t *c;
};

static int path_width(const json_t *c)
{
	const json_t *path;
	size_t i, w = 4;

	json_array_foreach (json_object_get(c, "paths"), i, path) {
		size_t len = strlen(compare_string(path, "path"));

		w = len > w ? len : w;
	}
	return (int)(w > PATH_MAXW ? PATH_MAXW : w);
}

static void say(const struct printer *p, const char *first, const char *text)
{
	report_wrap(p->out, p->width, 10, first, text);
}

static double gbps(const json_t *c, double fps)
{
	return fps * compare_number(c, "frame_bytes") * 8 / 1e9;
}

static void print_row(const struct printer *p, const char *what, const char *path,
	const json_t *fps, const json_t *f)
{
	char cell[7][COMPARE_CELL], interval[COMPARE_CELL], line[1024];
	static const char *const us[] = { "p50_us", "p99_us", "p999_us" };
	static const char *const cycles[] = { "cycles_switch_busy", "cycles_total" };

	compare_si(compare_number(fps, "median"), cell[0]);
	compare_interval(fps, compare_si, interval);
	if (f)
		compare_share(compare_number(json_object_get(f, "loss_ratio"), "median"), cell[1]);
	else
		cell[1][0] = '\0';
	for (size_t i = 0; i < 3; i++) {
		cell[2 + i][0] = '\0';
		if (f)
			compare_us(
				compare_number(json_object_get(f, us[i]), "median"), cell[2 + i]);
	}
	for (size_t i = 0; i < 2; i++) {
		cell[5 + i][0] = '\0';
		if (f)
			compare_plain(compare_number(json_object_get(f, cycles[i]), "median"),
				cell[5 + i]);
	}
	snprintf(line, sizeof(line), "  %-11.11s %-*.*s %8s  %-19s %6.3g %7s %6s %6s %8s %6s %7s",
		what, p->path_w, p->path_w, path, cell[0], interval,
		gbps(p->c, compare_number(fps, "median")), cell[1], cell[2], cell[3], cell[4],
		cell[5], cell[6]);
	for (size_t len = strlen(line); len && line[len - 1] == ' ';)
		line[--len] = '\0';
	fprintf(p->out, "%s\n", line);
}

/* Rows of one kind stand together: so are the paths compared. */
static void print_rates(void *ctx, const char *name)
{
	const struct printer *p = ctx;
	const json_t *path, *paths = json_object_get(p->c, "paths");
	bool first = true;
	size_t i;

	json_array_foreach (paths, i, path) {
		const json_t *rate = compare_named(json_object_get(path, "rates"), name);

		if (!rate)
			continue;
		print_row(p, first ? name : "", compare_string(path, "path"),
			json_object_get(rate, "fps"), NULL);
		first = false;
	}
}

static void print_loads(void *ctx, const char *name)
{
	const struct printer *p = ctx;
	const json_t *path, *paths = json_object_get(p->c, "paths");
	bool first = true;
	size_t i;

	json_array_foreach (paths, i, path) {
		const json_t *load = compare_named(json_object_get(path, "loads"), name);
		const json_t *f = json_object_get(load, "figures");

		if (!load)
			continue;
		print_row(p, first ? name : "", compare_string(path, "path"),
			json_object_get(f, "received_fps"), f);
		first = false;
	}
}

/* What each path lost in all that it was given, and where. */
static void print_losses(const struct printer *p, const json_t *path)
{
	char text[1024], line[1200];
	const json_t *load;
	size_t i;

	if (json_is_object(json_object_get(path, "searches"))) {
		const json_t *s = json_object_get(path, "searches");

		compare_lost(s, text, sizeof(text));
		snprintf(line, sizeof(line), "%s, %lld trials of its searches: %s",
			compare_string(path, "path"),
			(long long)json_integer_value(json_object_get(s, "trials")), text);
		say(p, "        ", line);
	}
	json_array_foreach (json_object_get(path, "loads"), i, load) {
		const json_t *lost = json_object_get(load, "lost");

		if (json_integer_value(json_object_get(lost, "lost")) <= 0)
			continue;
		compare_lost(lost, text, sizeof(text));
		snprintf(line, sizeof(line), "%s, %s: %s", compare_string(path, "path"),
			compare_string(load, "name"), text);
		say(p, "        ", line);
	}
}

static void print_remarks(const struct printer *p, const json_t *path)
{
	const json_t *rate, *load;
	const char *name = compare_string(path, "path");
	char line[1200], text[1024];
	size_t i;

	json_array_foreach (json_object_get(path, "rates"), i, rate) {
		if (json_is_true(json_object_get(rate, "generator_limited"))) {
			snprintf(line, sizeof(line),
				"%s, %s is the generator's, not the path's: at it, %s works at %.0f%% of "
				"what it can do by itself",
				name, compare_string(rate, "name"),
				compare_string(rate, "generator"),
				compare_number(rate, "generator_share") * 100);
			say(p, "      ! ", line);
		}
		if (isnan(compare_number(json_object_get(rate, "fps"), "median"))) {
			snprintf(line, sizeof(line), "%s, %s: %s", name,
				compare_string(rate, "name"), compare_string(rate, "sentence"));
			say(p, "      ! ", line);
		}
	}
	json_array_foreach (json_object_get(path, "loads"), i, load) {
		if (!compare_warning(json_object_get(load, "warnings"), text, sizeof(text)))
			continue;
		snprintf(
			line, sizeof(line), "%s, %s: %s", name, compare_string(load, "name"), text);
		say(p, "      ! ", line);
	}
}

static void print_against(const struct printer *p, const json_t *a)
{
	char said[256], line[400];
	bool unsure, any_unsure = false, any = false;
	const json_t *r;
	size_t i;

	snprintf(line, sizeof(line), "%s against %s:", compare_string(a, "path"),
		compare_string(a, "base"));
	say(p, "      = ", line);
	json_array_foreach (json_object_get(a, "ratios"), i, r) {
		int v = compare_verdict(r, &unsure, said, sizeof(said));

		any_unsure |= unsure;
		if (!v)
			continue;
		any = true;
		snprintf(line, sizeof(line), "%s: %s", compare_string(r, "at"), said);
		say(p, v > 0 ? "        + " : "        - ", line);
	}
	if (any_unsure)
		say(p, "          ",
			"too few rounds to tell a difference from chance: 5 or more would (--rounds)");
	else if (!any)
		say(p, "          ", "no difference that these rounds can show");
}

static void print_rows(struct printer *p)
{
	fprintf(p->out, "  %-11s %-*s %8s  %-19s %6s %7s %6s %6s %8s %6s %7s\n", "what", p->path_w,
		"path", "frames/s", "interval", "Gbit/s", "lost", "p50/us", "p99/us", "p99.9/us",
		"cyc/sw", "cyc/all");
	compare_each_name(p->c, "rates", print_rates, p);
	compare_each_name(p->c, "loads", print_loads, p);
}

void compare_print_comparison(const json_t *c, FILE *out, unsigned width)
{
	struct printer p = { out, width, path_width(c), c };
	const json_t *path, *a;
	char manner[256], frame[COMPARE_CELL], line[512];
	size_t i;

	compare_manner(c, manner, sizeof(manner));
	snprintf(line, sizeof(line), "%s, %s: %s", compare_string(c, "name"),
		compare_frame(c, frame), manner);
	fputc('\n', out);
	report_wrap(out, width, 2, "", line);
	if (compare_is_tcp(c))
		compare_tcp_rows(c, out, p.path_w);
	else
		print_rows(&p);
	json_array_foreach (json_object_get(c, "against"), i, a)
		print_against(&p, a);
	json_array_foreach (json_object_get(c, "paths"), i, path)
		print_losses(&p, path);
	json_array_foreach (json_object_get(c, "paths"), i, path) {
		print_remarks(&p, path);
		compare_tcp_remarks(path, out, width);
	}
	fflush(out);
}

void compare_print_end(const json_t *comparisons, FILE *out, unsigned width)
{
	bool tcp = false, frames = false;
	const json_t *c;
	size_t i;

	json_array_foreach (comparisons, i, c) {
		tcp |= compare_is_tcp(c);
		frames |= !compare_is_tcp(c);
	}
	fputc('\n', out);
	report_wrap(out, width, 2, "",
		"Figures are medians of the rounds; interval: of that median, by order statistics. "
		"+ better, - worse: differences whose interval leaves out no difference at all.");
	if (frames)
		report_wrap(out, width, 2, "",
			"Gbit/s: layer 2. Latency: sender's time stamp to receiver's, of several flows the "
			"worst. cyc/sw: busy cycles of the switch per frame; cyc/all: cycles of all CPU "
			"time, polling included, of switch, guests, vhost threads and the host's "
			"interrupts, per frame received.");
	if (tcp)
		report_wrap(out, width, 2, "",
			"Of TCP, bits/s: payload received; resent: segments; cyc/B: cycles of all CPU "
			"time, polling included, per byte of payload; sw: busy ones of the switch.");
	fflush(out);
}
