/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lanyard compare`: the same traffic over each path that a topology lists.
 *
 *	topology's traffic over paths -> comparisons (an entry at one frame size, and the paths that
 *	carry it) -> measured in turn, A B A B ... (compare_run.c) -> the document (compare_doc.c),
 *	out of which alone the table (compare_table.c) and the page (page.h) are made: so
 *	`lanyard report` shows earlier ones just the same (compare_merge.c)
 *
 * In turn, since what else goes on in a host changes from minute to minute: two figures of one
 * round are near each other in time, and their ratio says more than that of two medians. One
 * thread, the command's.
 */
#ifndef LANYARD_LAB_COMPARE_H
#define LANYARD_LAB_COMPARE_H

#include <stdio.h>
#include <jansson.h>

#include "lab/bench_search.h"
#include "lab/bench_tcp.h"

#define COMPARE_VERSION    1
#define COMPARE_ROUNDS     6  /* unless asked for: the least that makes an interval of 95 % */
#define COMPARE_SAME_SHARE 90 /* percent of the slowest path's rate: the load that all carry */

/* Traffic that was run over a path, as often as there are rounds. */
struct compare_load {
	char name[48];  /* "50% of NDR", "same rate", "flat out" */
	double percent; /* of the rate found; NaN: of none */
	double fps;     /* of each flow; NaN: flat out */
	struct bench_trial trial;
	size_t n;
	struct bench_round *round;
};

struct compare_path {
	const struct bench_trial *x;
	bool searched;
	struct bench_search s; /* if searched */
	size_t n_loads;
	struct compare_load load[TOPO_LATENCY_AT_MAX + 1];
	size_t n_tcp; /* rounds, where TCP is measured instead */
	struct bench_tcp_round *tcp;
};

struct comparison {
	const char *name; /* the entry's; the topology's string */
	size_t n;
	struct compare_path path[TOPO_PATHS_MAX];
};

/* The comparisons of a plan, to *out (to be freed), *n of them. ERR_REQUEST: no entry of the
 * topology names two paths. */
int compare_plan(const struct topology *t, const struct bench_plan *plan, struct comparison **out,
	size_t *n, struct err *e);

/* Measures one. What was measured is there on failure too; to be freed with compare_free. */
int compare_run(struct comparison *c, struct bench_env *env, unsigned rounds, struct err *e);
void compare_free(struct comparison *c);

/* ---- the document (docs/results.md) ---- */

/* A comparison: an element of "comparisons"; a new reference. */
json_t *compare_json(const struct topology *t, const struct comparison *c, double tsc_hz);
/* "paths" of the document. */
json_t *compare_paths_json(const struct topology *t);
/* n values with their median and its interval (NaN: null): {"median", "low", "high", "confidence",
 * "values"}. */
json_t *compare_figure(const double *v, size_t n);
/* The warnings of a round that are not in the list yet. */
void compare_add_warnings(json_t *list, const struct bench_round *r);
/* Fills in "against": each path after the first, against the first. */
void compare_against(json_t *comparison);
/* An element of it; paired: values of one index were measured in one round. */
json_t *compare_pair(const json_t *comparison, size_t base, size_t path, bool paired);

/* ---- the table ---- */

void compare_print_comparison(const json_t *comparison, FILE *out, unsigned width);
/* compare_tcp.c: the part of it where TCP was measured; what is to be said of a path. */
void compare_tcp_rows(const json_t *comparison, FILE *out, int path_width);
void compare_tcp_remarks(const json_t *path, FILE *out, unsigned width);
/* After the last of these: what the columns that were printed mean. */
void compare_print_end(const json_t *comparisons, FILE *out, unsigned width);

#endif
