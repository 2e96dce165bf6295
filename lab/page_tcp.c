/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP over the paths showed: goodput, its cost, the figures. */
#include <math.h>
#include <stdlib.h>

#include "lab/page_own.h"

static const json_t *figures_of(const json_t *path)
{
	return json_object_get(json_object_get(path, "tcp"), "figures");
}

static void put_goodput(struct page *p, const json_t *c)
{
	struct chart *chart =
		page_chart_new(CHART_BARS, 540, 300, "billion bits of payload a second", 1e9);
	const json_t *path;
	size_t k;

	if (!chart)
		return;
	chart->n_places = 1;
	compare_frame(c, chart->place[0]);
	json_array_foreach (json_object_get(c, "paths"), k, path) {
		if (k == CHART_SERIES_MAX)
			break;
		chart->n_series = k + 1;
		chart->colour[k] = page_colour(k);
		chart->v[k][0] = page_value_of(json_object_get(figures_of(path), "goodput_bps"));
	}
	page_chart(p, chart, "Goodput of TCP");
	free(chart);
}

static void put_costs(struct page *p, const json_t *c)
{
	struct chart *chart = page_chart_new(CHART_STACKS, 540, 300, "cycles a byte", 1);
	const json_t *path;
	size_t k;

	if (!chart)
		return;
	chart->n_series = PAGE_PARTS;
	json_array_foreach (json_object_get(c, "paths"), k, path) {
		const json_t *f = figures_of(path);

		if (k == CHART_PLACES_MAX)
			break;
		chart->n_places = k + 1;
		snprintf(chart->place[k], sizeof(chart->place[k]), "%.20s",
			compare_string(path, "path"));
		compare_frame(c, chart->group[k]);
		for (size_t part = 0; part < PAGE_PARTS; part++) {
			chart->v[part][k].y = page_part(f, "cycles_per_byte_", part);
			chart->colour[part] = page_part_colour(part);
		}
		chart->sum[k] = page_value_of(json_object_get(f, "cycles_per_byte_total"));
	}
	page_chart(p, chart, "CPU cycles a byte of payload, all cores charged");
	free(chart);
}

static void put_rows(struct page *p, const json_t *c)
{
	static const struct {
		const char *key;
		char *(*format)(double, char *);
	} cells[] = {
		{ "goodput_bps", compare_si },
		{ "retransmits", compare_plain },
		{ "rtt_us", compare_us },
		{ "cycles_per_byte_switch_busy", compare_plain },
		{ "cycles_per_byte_nodes", compare_plain },
		{ "cycles_per_byte_vhost", compare_plain },
		{ "cycles_per_byte_total", compare_plain },
	};
	const json_t *path;
	char drops[512];
	size_t k;

	json_array_foreach (json_object_get(c, "paths"), k, path) {
		const json_t *f = figures_of(path);

		page_begin_row(p, k == 0, "TCP", path, k);
		for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
			page_cell(p, json_object_get(f, cells[i].key), cells[i].format);
		fputs("<td>", p->out);
		compare_drops(json_object_get(json_object_get(path, "tcp"), "drops"), drops,
			sizeof(drops));
		page_put(p, *drops ? drops : "none");
		fputs("</td></tr>\n", p->out);
	}
}

/* One a path, as in the table. */
static void put_warnings(struct page *p, const json_t *c)
{
	const json_t *path;
	char text[512];
	size_t k;

	json_array_foreach (json_object_get(c, "paths"), k, path) {
		const json_t *all = json_object_get(json_object_get(path, "tcp"), "warnings");

		if (!compare_warning(all, text, sizeof(text)))
			continue;
		fputs("<p class=\"warn\">", p->out);
		page_putf(p, "%s: %s", compare_string(path, "path"), text);
		fputs("</p>\n", p->out);
	}
}

void page_tcp(struct page *p, const json_t *c)
{
	const json_t *paths = json_object_get(c, "paths");
	const json_t *round = json_array_get(
		json_object_get(json_object_get(json_array_get(paths, 0), "tcp"), "rounds"), 0);
	char manner[256];

	compare_manner(c, manner, sizeof(manner));
	fputs("<section><h2>", p->out);
	page_put(p, compare_string(c, "name"));
	fputs("</h2>\n<p class=\"manner\">", p->out);
	page_putf(p, "TCP %s; %s, congestion control %s", manner, compare_string(round, "program"),
		compare_string(round, "congestion"));
	fputs("</p>\n", p->out);
	page_path_key(p, c);
	fputs("<div class=\"charts\">\n", p->out);
	put_goodput(p, c);
	put_costs(p, c);
	fputs("</div>\n", p->out);
	page_part_key(p);
	put_warnings(p, c);
	fputs("<h3>", p->out);
	page_putf(p, "%s: medians and intervals", compare_string(c, "name"));
	fputs("</h3>\n<div class=\"wide\"><table><thead><tr><th>What</th><th>Path</th>"
	      "<th class=\"n\">goodput <span>bits/s</span></th><th class=\"n\">segments sent again</th>"
	      "<th class=\"n\">round trip <span>µs</span></th>"
	      "<th class=\"n\">switch, at work <span>cycles/byte</span></th>"
	      "<th class=\"n\">guests <span>cycles/byte</span></th>"
	      "<th class=\"n\">vhost threads <span>cycles/byte</span></th>"
	      "<th class=\"n\">all CPU time <span>cycles/byte</span></th>"
	      "<th>dropped by the switch, frames</th></tr></thead><tbody>\n",
		p->out);
	put_rows(p, c);
	fputs("</tbody></table></div></section>\n", p->out);
}
