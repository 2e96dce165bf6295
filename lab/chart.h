/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Charts as SVG, drawn by gnuplot. A chart is a few series over named places on the x axis; each
 * value has an interval. Kinds:
 *
 *	BARS	a group of bars at each place, one for each series
 *	LINES	a line for each series, y logarithmic
 *	STACKS	a bar for each place, the series upon each other; the interval is the sum's
 */
#ifndef LANYARD_LAB_CHART_H
#define LANYARD_LAB_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CHART_SERIES_MAX 16
#define CHART_PLACES_MAX 64

enum chart_kind { CHART_BARS, CHART_LINES, CHART_STACKS };

struct chart_value {
	double y, low, high; /* y NaN: none; low NaN: no interval */
};

struct chart {
	enum chart_kind kind;
	unsigned width, height; /* of the drawing: it scales with the page */
	const char *y_title;
	double y_scale; /* values are divided by it */
	size_t n_places, n_series;
	char place[CHART_PLACES_MAX][48];
	/* STACKS: places of one group stand together, with its name below; "": none. */
	char group[CHART_PLACES_MAX][48];
	const char *colour[CHART_SERIES_MAX]; /* "#0072b2" */
	struct chart_value v[CHART_SERIES_MAX][CHART_PLACES_MAX];
	struct chart_value sum[CHART_PLACES_MAX]; /* STACKS */
};

/* ERR_HOST: there is no gnuplot; the sentence names the package. */
int chart_check(struct err *e);

/* The "<svg ...>" element, to be freed. id: letters and digits, no other chart's of the page. */
int chart_draw(const struct chart *c, const char *id, char **svg, struct err *e);

/* An SVG as a program wrote it, without what stands before the element, its references made its own
 * by the id; to be freed. */
char *chart_inline(const char *svg, const char *id);

#endif
