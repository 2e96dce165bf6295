/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that make a page: private to lab/page*.c. */
#ifndef LANYARD_LAB_PAGE_OWN_H
#define LANYARD_LAB_PAGE_OWN_H

#include <stdio.h>
#include <jansson.h>

#include "lab/chart.h"
#include "lab/compare_text.h"
#include "lab/page.h"

struct page {
	FILE *out;
	const json_t *doc;
	size_t n_charts; /* drawn so far: makes their ids */
	struct err *e;
	int rc; /* the first failure: what comes after it is not drawn */
};

/* Text with what HTML takes for its own escaped. */
void page_put(struct page *p, const char *text);
void page_putf(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A path's colour, by its place among the comparison's. */
const char *page_colour(size_t i);

/* Draws it with a caption; one without any value is left out. */
void page_chart(struct page *p, const struct chart *c, const char *caption);

/* page_entry.c: what one traffic entry showed: its comparisons from `from` on. Returns how many
 * there are. */
size_t page_entry(struct page *p, size_t from);

/* Charts: a figure as a value of one; an empty one, to be freed, or NULL. */
struct chart_value page_value_of(const json_t *figure);
struct chart *page_chart_new(
	enum chart_kind kind, unsigned width, unsigned height, const char *y_title, double scale);
/* What CPU time was spent on: parts of a stack, out of the figures PREFIXswitch and so on. */
#define PAGE_PARTS 5
double page_part(const json_t *figures, const char *prefix, size_t part);
const char *page_part_colour(size_t part);
void page_part_key(struct page *p);
void page_path_key(struct page *p, const json_t *comparison);

/* page_tcp.c: the section of a comparison of TCP. */
void page_tcp(struct page *p, const json_t *comparison);

/* page_table.c: a row's beginning (what, and its k-th path), a figure with its interval. */
void page_begin_row(struct page *p, bool first, const char *what, const json_t *path, size_t k);
void page_cell(struct page *p, const json_t *figure, char *(*format)(double, char *));
/* page_table.c: the figures of a comparison; what was lost, and where. */
void page_figures(struct page *p, const json_t *comparison);
void page_losses(struct page *p);

/* page_env.c: machine, doctor, lab; how it was measured and can be again. */
void page_environment(struct page *p);
void page_method(struct page *p);

extern const char page_style[];

#endif
