/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of a comparison as a table, each with its interval; what was lost, and where. */
#include <math.h>
#include <string.h>

#include "lab/page_own.h"

/* The table that rows are put into. */
struct figures {
	struct page *p;
	const json_t *c; /* the comparison */
};

void page_cell(struct page *p, const json_t *figure, char *(*format)(double, char *))
{
	char text[COMPARE_CELL];

	fputs("<td class=\"n\">", p->out);
	page_put(p, format(compare_number(figure, "median"), text));
	compare_interval(figure, format, text);
	if (*text && format != compare_share) {
		char *to = strstr(text, " to ");

		fputs("<small>", p->out);
		if (to)
			*to = '\0';
		page_put(p, text);
		if (to)
			page_putf(p, "–%s", to + 4);
		fputs("</small>", p->out);
	}
	fputs("</td>", p->out);
}

static void put_gbps(struct page *p, const json_t *c, const json_t *figure)
{
	double fps = compare_number(figure, "median");

	fputs("<td class=\"n\">", p->out);
	if (isnan(fps))
		page_put(p, "-");
	else
		page_putf(p, "%.3g", fps * compare_number(c, "frame_bytes") * 8 / 1e9);
	fputs("</td>", p->out);
}

void page_begin_row(struct page *p, bool first, const char *what, const json_t *path, size_t k)
{
	fprintf(p->out, "<tr%s><th>", first ? " class=\"first\"" : "");
	page_put(p, first ? what : "");
	fprintf(p->out, "</th><td class=\"p\"><i style=\"background:%s\"></i>", page_colour(k));
	page_put(p, compare_string(path, "path"));
	fputs("</td>", p->out);
}

static void put_rates(void *ctx, const char *name)
{
	const struct figures *t = ctx;
	struct page *p = t->p;
	const json_t *path;
	size_t k;

	json_array_foreach (json_object_get(t->c, "paths"), k, path) {
		const json_t *rate = compare_named(json_object_get(path, "rates"), name);
		bool generators = json_is_true(json_object_get(rate, "generator_limited"));

		page_begin_row(p, k == 0, name, path, k);
		page_cell(p, json_object_get(rate, "fps"), compare_si);
		put_gbps(p, t->c, json_object_get(rate, "fps"));
		fputs("<td colspan=\"7\">", p->out);
		if (generators)
			page_putf(p,
				"the generator's limit rather than the path's: %s works at %.0f %% of what "
				"it can do by itself",
				compare_string(rate, "generator"),
				compare_number(rate, "generator_share") * 100);
		else if (isnan(compare_number(json_object_get(rate, "fps"), "median")) ||
			json_is_true(json_object_get(rate, "at_limit")))
			page_put(p, compare_string(rate, "sentence"));
		fputs("</td></tr>\n", p->out);
	}
}

static void put_loads(void *ctx, const char *name)
{
	static const struct {
		const char *key;
		char *(*format)(double, char *);
	} cells[] = {
		{ "loss_ratio", compare_share },
		{ "p50_us", compare_us },
		{ "p99_us", compare_us },
		{ "p999_us", compare_us },
		{ "jitter_us", compare_us },
		{ "cycles_switch_busy", compare_plain },
		{ "cycles_total", compare_plain },
	};
	const struct figures *t = ctx;
	struct page *p = t->p;
	const json_t *path;
	size_t k;

	json_array_foreach (json_object_get(t->c, "paths"), k, path) {
		const json_t *load = compare_named(json_object_get(path, "loads"), name);
		const json_t *f = json_object_get(load, "figures");

		page_begin_row(p, k == 0, name, path, k);
		page_cell(p, json_object_get(f, "received_fps"), compare_si);
		put_gbps(p, t->c, json_object_get(f, "received_fps"));
		for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
			page_cell(p, json_object_get(f, cells[i].key), cells[i].format);
		fputs("</tr>\n", p->out);
	}
}

static void put_extras(struct page *p, const json_t *c)
{
	const json_t *path;
	size_t k;

	json_array_foreach (json_object_get(c, "paths"), k, path) {
		const json_t *burst = json_object_get(path, "back_to_back");
		const json_t *recovery = json_object_get(path, "recovery");

		if (json_is_object(burst))
			page_putf(p, "%s: bursts of %.0f frames pass whole. ",
				compare_string(path, "path"), compare_number(burst, "frames"));
		if (json_is_object(recovery))
			page_putf(p, "%s: after an overload frames were lost for %.3g s more. ",
				compare_string(path, "path"), compare_number(recovery, "seconds"));
	}
}

void page_figures(struct page *p, const json_t *c)
{
	struct figures t = { p, c };
	char frame[COMPARE_CELL];

	fputs("<h3>", p->out);
	page_putf(p, "%s, %s: medians and intervals", compare_string(c, "name"),
		compare_frame(c, frame));
	fputs("</h3>\n<div class=\"wide\"><table><thead><tr><th>What</th><th>Path</th>"
	      "<th class=\"n\">frames/s</th><th class=\"n\">Gbit/s</th><th class=\"n\">lost</th>"
	      "<th class=\"n\">50 % <span>µs</span></th><th class=\"n\">99 % <span>µs</span></th>"
	      "<th class=\"n\">99.9 % <span>µs</span></th><th class=\"n\">jitter <span>µs</span></th>"
	      "<th class=\"n\">switch, at work <span>cycles/frame</span></th>"
	      "<th class=\"n\">all CPU time <span>cycles/frame</span></th></tr></thead><tbody>\n",
		p->out);
	compare_each_name(c, "rates", put_rates, &t);
	compare_each_name(c, "loads", put_loads, &t);
	fputs("</tbody></table></div>\n<p class=\"note\">", p->out);
	put_extras(p, c);
	fputs("</p>\n", p->out);
}

/* ---- losses ---- */

static void put_lost_row(
	struct page *p, const json_t *c, const json_t *path, const char *what, const json_t *lost)
{
	json_int_t unexplained = json_integer_value(json_object_get(lost, "unexplained"));
	const char *place;
	char frame[COMPARE_CELL], share[COMPARE_CELL];
	double sent = compare_number(lost, "sent"), n = compare_number(lost, "lost");
	bool first = true;
	json_t *count;

	fputs("<tr><th>", p->out);
	page_putf(p, "%s, %s", compare_string(c, "name"), compare_frame(c, frame));
	fputs("</th><td>", p->out);
	page_put(p, compare_string(path, "path"));
	fputs("</td><td>", p->out);
	page_put(p, what);
	fputs("</td><td class=\"n\">", p->out);
	page_putf(p, "%.0f", sent);
	fputs("</td><td class=\"n\">", p->out);
	page_putf(p, "%.0f", n);
	if (n > 0)
		page_putf(p, " (%s)", compare_share(n / sent, share));
	fputs("</td><td>", p->out);
	json_object_foreach ((json_t *)json_object_get(lost, "places"), place, count) {
		page_putf(p, "%s%s: %lld", first ? "" : ", ", place,
			(long long)json_integer_value(count));
		first = false;
	}
	fprintf(p->out, "</td><td class=\"n%s\">%lld</td></tr>\n", unexplained ? " bad" : "",
		(long long)unexplained);
}

void page_losses(struct page *p)
{
	const json_t *c, *path, *load;
	size_t i, k, m;

	fputs("<section><h2>Where frames were lost</h2>\n<div class=\"wide\"><table><thead><tr>"
	      "<th>Traffic</th><th>Path</th><th>Trials</th><th class=\"n\">sent</th>"
	      "<th class=\"n\">lost</th><th>where</th><th class=\"n\">unexplained</th></tr></thead>"
	      "<tbody>\n",
		p->out);
	json_array_foreach (json_object_get(p->doc, "comparisons"), i, c) {
		json_array_foreach (json_object_get(c, "paths"), k, path) {
			const json_t *s = json_object_get(path, "searches");
			char what[64];

			if (json_is_object(s)) {
				snprintf(what, sizeof(what), "%.0f of the searches",
					compare_number(s, "trials"));
				put_lost_row(p, c, path, what, s);
			}
			json_array_foreach (json_object_get(path, "loads"), m, load)
				put_lost_row(p, c, path, compare_string(load, "name"),
					json_object_get(load, "lost"));
		}
	}
	fputs("</tbody></table></div>\n<p class=\"note\">A search overloads a path on purpose: what it "
	      "loses says where the path gives way. Every frame that was sent and not received is "
	      "counted somewhere (by a reason of the switch, in a ring, by a NIC) or stands under "
	      "“unexplained”.</p></section>\n",
		p->out);
}
