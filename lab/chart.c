/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/chart.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/compare_text.h"
#include "lab/tool.h"

/* Of x, y, low, high: a line with a bar at both ends, where there is an interval. (gnuplot's own
 * error bars clear the middle.) */
#define INTERVAL "using 1:($4>$3?$3:NaN):(0):($4-$3) with vectors heads size screen 0.007,90 lw 1.2"

#define GROUP_GAP 0.6 /* between groups of stacks, in widths of a place */

int chart_check(struct err *e)
{
	if (tool_exists("gnuplot"))
		return 0;
	return err_host(e, -ENOENT,
		"there is no gnuplot, which draws the charts of a report: sudo apt-get install "
		"gnuplot-nox");
}

/* Where the i-th place is on the x axis. */
static double place_x(const struct chart *c, size_t i)
{
	double x = (double)i;

	for (size_t k = 1; k <= i && c->kind == CHART_STACKS; k++)
		x += strcmp(c->group[k], c->group[k - 1]) != 0 ? GROUP_GAP : 0;
	return x;
}

/* Names are the topology's or a file's, and may be anything printable; a tic's is a format. */
static void put_quoted(const char *s, bool format, FILE *out)
{
	fputc('\'', out);
	for (; *s; s++)
		fputs(*s == '\'' ? "''" : *s == '%' && format ? "%%" : (char[]){ *s, '\0' }, out);
	fputc('\'', out);
}

static void put_axes(const struct chart *c, FILE *out)
{
	double right = place_x(c, c->n_places - 1);

	fprintf(out,
		"set terminal svg size %u,%u dynamic font 'Helvetica,Arial,sans-serif,13' noenhanced\n"
		"set encoding utf8\n"
		"set border 2 lc rgb '#9aa5b1'\nset tics nomirror scale 0.4 textcolor rgb '#3e4c59'\n"
		"set grid ytics lc rgb '#e4e7eb' lt 1 lw 1\nunset key\nset style fill solid 1.0\n"
		"set xrange [%g:%g]\nset ylabel '%s' textcolor rgb '#3e4c59' offset 1.2,0\n",
		c->width, c->height, -0.6, right + 0.6, c->y_title);
	if (c->kind == CHART_LINES)
		fputs("set logscale y\nset yrange [*:*] noextend\nset offsets graph 0, graph 0, "
		      "graph 0.08, graph 0.08\nset format y '%.10g'\n",
			out);
	else
		fputs("set yrange [0:*]\nset offsets 0, 0, graph 0.12, 0\nset format y '%.3g'\n",
			out);
	fputs("set xtics (", out);
	for (size_t i = 0; i < c->n_places; i++) {
		fputs(i ? ", " : "", out);
		put_quoted(c->place[i], true, out);
		fprintf(out, " %g", place_x(c, i));
	}
	fputs(")\n", out);
}

/* The groups' names below those of their places. */
static void put_groups(const struct chart *c, FILE *out)
{
	bool any = false;

	for (size_t i = 0, k; i < c->n_places; i = k) {
		for (k = i + 1; k < c->n_places && strcmp(c->group[k], c->group[i]) == 0; k++)
			;
		if (!c->group[i][0])
			continue;
		fputs("set label ", out);
		put_quoted(c->group[i], false, out);
		fprintf(out,
			" at first %g, character 1 center textcolor rgb '#1f2933' font ',13'\n",
			(place_x(c, i) + place_x(c, k - 1)) / 2);
		any = true;
	}
	if (any)
		fputs("set bmargin 4\n", out);
}

/* A block of data: x, y, low, high; a row for each place that has a value. */
static void put_row(FILE *out, double x, const struct chart_value *v, double scale)
{
	bool interval = !isnan(v->low);

	if (isnan(v->y))
		return;
	fprintf(out, "%g %.9g %.9g %.9g\n", x, v->y / scale, (interval ? v->low : v->y) / scale,
		(interval ? v->high : v->y) / scale);
}

static size_t count_known(const struct chart *c, size_t series)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_places; i++)
		n += !isnan(c->v[series][i].y);
	return n;
}

static double bar_width(const struct chart *c)
{
	return c->kind == CHART_STACKS ? 0.72 : 0.78 / (double)c->n_series;
}

static void put_series(const struct chart *c, FILE *out)
{
	for (size_t s = 0; s < c->n_series; s++) {
		double shift = c->kind == CHART_BARS
			? ((double)s - (double)(c->n_series - 1) / 2) * bar_width(c)
			: 0;

		/* Lines of two series lie side by side, so that their intervals do not hide. */
		if (c->kind == CHART_LINES)
			shift = ((double)s - (double)(c->n_series - 1) / 2) * 0.09;
		fprintf(out, "$s%zu << EOD\n", s);
		for (size_t i = 0; i < c->n_places; i++)
			put_row(out, place_x(c, i) + shift, &c->v[s][i], c->y_scale);
		fputs("EOD\n", out);
	}
}

/* Stacks are drawn from the top: what lies below is drawn over it. */
static void put_stacks(const struct chart *c, FILE *out)
{
	for (size_t s = 0; s < c->n_series; s++) {
		fprintf(out, "$s%zu << EOD\n", s);
		for (size_t i = 0; i < c->n_places; i++) {
			struct chart_value up_to = { 0, NAN, NAN };

			for (size_t k = 0; k <= s; k++)
				up_to.y += isnan(c->v[k][i].y) ? 0 : c->v[k][i].y;
			put_row(out, place_x(c, i), &up_to, c->y_scale);
		}
		fputs("EOD\n", out);
	}
	fputs("$sum << EOD\n", out);
	for (size_t i = 0; i < c->n_places; i++)
		put_row(out, place_x(c, i), &c->sum[i], c->y_scale);
	fputs("EOD\n", out);
}

static void put_bars_plot(const struct chart *c, FILE *out)
{
	const char *comma = "plot ";

	for (size_t s = 0; s < c->n_series; s++) {
		if (!count_known(c, s))
			continue;
		fprintf(out,
			"%s$s%zu using 1:2:(%g) with boxes lc rgb '%s', "
			"$s%zu " INTERVAL " lc rgb '#1f2933', "
			"$s%zu using 1:4:(sprintf('%%.3g',$2)) with labels offset 0,0.7 font ',11' "
			"textcolor rgb '#3e4c59'",
			comma, s, bar_width(c) * 0.94, c->colour[s], s, s);
		comma = ", \\\n";
	}
	fputs("\n", out);
}

static void put_lines_plot(const struct chart *c, FILE *out)
{
	const char *comma = "plot ";

	for (size_t s = 0; s < c->n_series; s++) {
		if (!count_known(c, s))
			continue;
		fprintf(out,
			"%s$s%zu using 1:2 with lines lw 1.6 lc rgb '%s', "
			"$s%zu " INTERVAL " lc rgb '%s', "
			"$s%zu using 1:2 with points pt 7 ps 0.55 lc rgb '%s'",
			comma, s, c->colour[s], s, c->colour[s], s, c->colour[s]);
		comma = ", \\\n";
	}
	fputs("\n", out);
}

static void put_stacks_plot(const struct chart *c, FILE *out)
{
	const char *comma = "plot ";

	for (size_t s = c->n_series; s-- > 0;) {
		fprintf(out, "%s$s%zu using 1:2:(%g) with boxes lc rgb '%s'", comma, s,
			bar_width(c), c->colour[s]);
		comma = ", \\\n";
	}
	fputs(", \\\n$sum " INTERVAL " lc rgb '#1f2933', "
	      "$sum using 1:4:(sprintf('%.3g',$2)) with labels offset 0,0.7 font ',11' textcolor "
	      "rgb '#3e4c59'\n",
		out);
}

/* ids and references to them: gnuplot's and graphviz's are the same in each drawing. */
char *chart_inline(const char *svg, const char *id)
{
	static const char *const marks[] = { "id='", "id=\"", "'#", "\"#", "url(#" };
	const char *at = strstr(svg, "<svg");
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	while (at && out && *at) {
		size_t k = 0, n = sizeof(marks) / sizeof(marks[0]);

		while (k < n && strncmp(at, marks[k], strlen(marks[k])) != 0)
			k++;
		if (k == n) {
			fputc(*at++, out);
			continue;
		}
		/* A colour begins with # too, and is no reference. */
		bool colour = k >= 2 && k < 4 && strspn(at + 2, "0123456789abcdefABCDEF") >= 3;

		fputs(marks[k], out);
		if (!colour)
			fprintf(out, "%s-", id);
		at += strlen(marks[k]);
	}
	if (out)
		fclose(out);
	return text;
}

int chart_draw(const struct chart *c, const char *id, char **svg, struct err *e)
{
	char *argv[] = { "gnuplot", "-", NULL }, *script = NULL, *raw = NULL;
	size_t len;
	FILE *out = open_memstream(&script, &len);
	int rc;

	*svg = NULL;
	if (!out)
		return err_set(e, -ENOMEM, "out of memory");
	put_axes(c, out);
	put_groups(c, out);
	if (c->kind == CHART_STACKS) {
		put_stacks(c, out);
		put_stacks_plot(c, out);
	} else {
		put_series(c, out);
		if (c->kind == CHART_LINES)
			put_lines_plot(c, out);
		else
			put_bars_plot(c, out);
	}
	fclose(out);
	rc = chart_check(e);
	if (!rc)
		rc = tool_run(argv, script, &raw, e);
	if (!rc && !(*svg = chart_inline(raw, id)))
		rc = err_set(e, -EIO, "gnuplot drew nothing");
	free(raw);
	free(script);
	return rc;
}
