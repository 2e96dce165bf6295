/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/page_own.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/topology.h"
#include "lab/graph.h"
#include "lab/tool.h"

/* Told apart by those who see colours differently, too (Okabe and Ito). */
static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
	"#56b4e9", "#7a5195", "#8c564b" };

const char *page_colour(size_t i)
{
	return colours[i % (sizeof(colours) / sizeof(colours[0]))];
}

void page_put(struct page *p, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", p->out);
			break;
		case '>':
			fputs("&gt;", p->out);
			break;
		case '&':
			fputs("&amp;", p->out);
			break;
		case '"':
			fputs("&quot;", p->out);
			break;
		default:
			fputc(*text, p->out);
		}
	}
}

void page_putf(struct page *p, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) >= 0)
		page_put(p, text);
	va_end(ap);
	free(text);
}

static bool has_values(const struct chart *c)
{
	for (size_t s = 0; s < c->n_series; s++)
		for (size_t i = 0; i < c->n_places; i++)
			if (!isnan(c->v[s][i].y))
				return true;
	return false;
}

void page_chart(struct page *p, const struct chart *c, const char *caption)
{
	char id[24], *svg = NULL;

	if (p->rc || !has_values(c))
		return;
	snprintf(id, sizeof(id), "c%zu", ++p->n_charts);
	p->rc = chart_draw(c, id, &svg, p->e);
	if (p->rc)
		return;
	fputs("<figure><figcaption>", p->out);
	page_put(p, caption);
	fprintf(p->out, "</figcaption>%s</figure>\n", svg);
	free(svg);
}

/* ---- the top ---- */

static void put_title(struct page *p, const char *tag)
{
	const json_t *path, *paths = json_object_get(p->doc, "paths");
	size_t i, n = json_array_size(paths);

	fprintf(p->out, "<%s>", tag);
	json_array_foreach (paths, i, path) {
		if (i)
			fputs(i + 1 == n ? " and " : ", ", p->out);
		page_put(p, compare_string(path, "name"));
	}
	fprintf(p->out, " compared</%s>\n", tag);
}

static void put_head(struct page *p, const struct strs *remarks)
{
	const json_t *m = json_object_get(p->doc, "machine");
	double took = compare_number(p->doc, "took_s");

	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
		p->out);
	put_title(p, "title");
	fprintf(p->out, "<style>%s</style></head>\n<body>\n<header>\n", page_style);
	fputs("<p class=\"kicker\">Lanyard path comparison</p>\n", p->out);
	put_title(p, "h1");
	fputs("<p class=\"sub\">Lab ", p->out);
	page_put(p, compare_string(p->doc, "lab"));
	page_putf(p, " · %s · %.0f CPUs · Linux %s · measured %s in %.0f min %02.0f s",
		compare_string(m, "cpu_model"), compare_number(m, "cpus"),
		compare_string(m, "kernel"), compare_string(p->doc, "began"), floor(took / 60),
		fmod(took, 60));
	fputs("</p>\n</header>\n", p->out);
	if (!json_is_true(json_object_get(p->doc, "complete"))) {
		fputs("<p class=\"warn\"><b>Not complete:</b> ", p->out);
		page_put(p, compare_string(p->doc, "error"));
		fputs("</p>\n", p->out);
	}
	for (size_t i = 0; remarks && i < remarks->n; i++) {
		fputs("<p class=\"warn\">", p->out);
		page_put(p, remarks->v[i]);
		fputs("</p>\n", p->out);
	}
}

/* ---- in short ---- */

/* The ratio that a column of the summary shows, of a path against the first. */
static const json_t *find_ratio(const json_t *against, const char *figure, const char *at)
{
	const json_t *r, *found = NULL;
	size_t i;

	json_array_foreach (json_object_get(against, "ratios"), i, r) {
		bool same = strcmp(compare_string(r, "figure"), figure) == 0;

		/* Without a load named "same rate" any will do: the last, which is the highest. */
		if (same && (!found || strcmp(compare_string(found, "at"), at) != 0))
			found = r;
	}
	return found;
}

static void put_verdict(struct page *p, const json_t *r)
{
	char said[256];
	bool unsure;
	int v;

	if (!r) {
		fputs("<td class=\"none\">–</td>", p->out);
		return;
	}
	v = compare_verdict(r, &unsure, said, sizeof(said));
	fprintf(p->out, "<td class=\"%s\"><b>%s</b> ",
		v > 0           ? "better"
			: v < 0 ? "worse"
				: "same",
		v > 0            ? "Better:"
			: v < 0  ? "Worse:"
			: unsure ? "Open:"
				 : "No difference shown:");
	page_put(p, said);
	fputs("<small>", p->out);
	page_put(p, compare_string(r, "at"));
	fputs("</small></td>", p->out);
}

static void put_summary_row(struct page *p, const json_t *c, const json_t *against)
{
	const json_t *fps = find_ratio(against, "fps", "");
	bool tcp = compare_is_tcp(c);
	char frame[COMPARE_CELL];

	if (!fps)
		fps = find_ratio(against, tcp ? "goodput_bps" : "received_fps", "");
	fputs("<tr><th>", p->out);
	page_putf(p, "%s, %s", compare_string(c, "name"), compare_frame(c, frame));
	fputs("</th><td>", p->out);
	page_putf(p, "%s against %s", compare_string(against, "path"),
		compare_string(against, "base"));
	fputs("</td>", p->out);
	put_verdict(p, fps);
	put_verdict(p, find_ratio(against, tcp ? "rtt_us" : "p50_us", "same rate"));
	put_verdict(p, find_ratio(against, "p999_us", "same rate"));
	put_verdict(p,
		find_ratio(against, tcp ? "cycles_per_byte_total" : "cycles_total", "same rate"));
	fputs("</tr>\n", p->out);
}

/* Of TCP the same columns have figures of its own. */
static void put_summary_head(struct page *p)
{
	const json_t *c;
	bool tcp = false;
	size_t i;

	json_array_foreach (json_object_get(p->doc, "comparisons"), i, c)
		tcp |= compare_is_tcp(c);
	fprintf(p->out,
		"<section><h2>In short</h2>\n<div class=\"wide\"><table class=\"summary\"><thead><tr>"
		"<th>Traffic</th><th>Paths</th><th>Frames%s a second</th><th>Median latency%s</th>"
		"<th>99.9 %% latency</th><th>CPU cycles a frame%s, all cores charged</th></tr></thead>"
		"<tbody>\n",
		tcp ? " (TCP: bits)" : "", tcp ? " (TCP: round trip)" : "",
		tcp ? " (TCP: a byte)" : "");
}

static void put_summary(struct page *p)
{
	const json_t *c, *a;
	size_t i, k;

	put_summary_head(p);
	json_array_foreach (json_object_get(p->doc, "comparisons"), i, c)
		json_array_foreach (json_object_get(c, "against"), k, a)
			put_summary_row(p, c, a);
	fputs("</tbody></table></div>\n<p class=\"note\">A difference is called one only if its interval "
	      "(in parentheses) leaves out no difference at all, and is at least 90 % sure: one in ten or "
	      "twenty may still be chance. "
	      "<b>Open</b>: there were too few rounds to tell.</p></section>\n",
		p->out);
}

/* ---- the lab ---- */

static void put_paths(struct page *p)
{
	const json_t *path, *end;
	size_t i, k;

	fputs("<div class=\"wide\"><table><thead><tr><th>Path</th><th>What it is</th><th>From</th>"
	      "<th>To</th></tr></thead><tbody>\n",
		p->out);
	json_array_foreach (json_object_get(p->doc, "paths"), i, path) {
		static const char *const keys[] = { "from", "to" };

		fprintf(p->out, "<tr><th><i style=\"background:%s\"></i>", page_colour(i));
		page_put(p, compare_string(path, "name"));
		fputs("</th><td>", p->out);
		page_put(p, compare_string(path, "what"));
		for (size_t w = 0; w < 2; w++) {
			fputs("</td><td>", p->out);
			json_array_foreach (json_object_get(path, keys[w]), k, end)
				page_putf(p, "%s%s", k ? ", " : "", json_string_value(end));
		}
		fputs("</td></tr>\n", p->out);
	}
	fputs("</tbody></table></div>\n", p->out);
}

/* The topology as `lanyard graph` draws it; without graphviz the page says so. */
static void put_drawing(struct page *p)
{
	char *argv[] = { "dot", "-Tsvg", NULL }, *text, *dot = NULL, *raw = NULL, *svg = NULL;
	struct topology *t = NULL;
	size_t len;
	FILE *out;

	if (!tool_exists("dot")) {
		fputs("<p class=\"note\">Not drawn: there is no dot (sudo apt-get install graphviz)."
		      "</p>\n",
			p->out);
		return;
	}
	text = json_dumps(json_object_get(p->doc, "topology"), 0);
	out = open_memstream(&dot, &len);
	if (text && out && topology_parse("topology", text, strlen(text), &t, NULL) == 0) {
		graph_print(t, NULL, out);
		fflush(out);
		if (tool_run(argv, dot, &raw, NULL) == 0)
			svg = chart_inline(raw, "lab");
	}
	if (svg)
		fprintf(p->out, "<figure class=\"lab\">%s</figure>\n", svg);
	if (out)
		fclose(out);
	topology_free(t);
	free(text);
	free(dot);
	free(raw);
	free(svg);
}

int page_make(const json_t *doc, const struct strs *remarks, char **html, struct err *e)
{
	size_t len, n = json_array_size(json_object_get(doc, "comparisons"));
	struct page p = { .out = open_memstream(html, &len), .doc = doc, .e = e };

	if (!p.out)
		return err_set(e, -ENOMEM, "out of memory");
	p.rc = chart_check(e);
	put_head(&p, remarks);
	if (n)
		put_summary(&p);
	for (size_t i = 0; i < n && !p.rc;)
		i += page_entry(&p, i);
	page_losses(&p);
	fputs("<section><h2>The lab</h2>\n", p.out);
	put_paths(&p);
	put_drawing(&p);
	fputs("</section>\n", p.out);
	page_environment(&p);
	page_method(&p);
	fputs("</body></html>\n", p.out);
	fclose(p.out);
	if (p.rc) {
		free(*html);
		*html = NULL;
	}
	return p.rc;
}
