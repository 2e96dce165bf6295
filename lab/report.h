/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bench shows: a table for people, row by row as trials finish, and a JSON document for
 * programs (docs/results.md describes it field by field). Pure but for the FILE written to and,
 * in report_host.c, the host's files.
 */
#ifndef LANYARD_LAB_REPORT_H
#define LANYARD_LAB_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <jansson.h>

#include "lab/bench_plan.h"
#include "lab/bench_result.h"

#define REPORT_VERSION 1

/* ---- the table ---- */

struct report_table {
	FILE *out;
	const struct topology *t;
	const struct bench_plan *plan;
	unsigned width; /* columns of the terminal; narrower than 92: fewer columns are shown */
	bool all_flows; /* a row for each flow however many there are */
	/* private */
	size_t section; /* whose head was printed last, + 1 */
	/* The section's worst warning of each fault, and how many there were. */
	struct report_note {
		size_t n;
		double badness;
		char *text;
	} note[BENCH_FAULTS];
};

/* The rows of a trial that has been run n times, with what is to be said about it. */
void report_trial(struct report_table *r, const struct bench_trial *x,
	const struct bench_round *rounds, size_t n, const struct bench_summary *s);

/* The warnings of the last section: when there are no more trials. */
void report_notes(struct report_table *r);

/* Keeps a round's warnings for report_notes. */
void report_take_notes(struct report_table *r, const struct bench_round *round, const char *frame);

/* Words at `width`, the first line after `first`, the others indented by `indent` spaces. */
void report_wrap(FILE *out, unsigned width, unsigned indent, const char *first, const char *text);
/* The same with a format, as a line below a row of the table. */
void report_say(const struct report_table *r, const char *first, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- JSON ---- */

/* A number, or null if it is NaN. */
json_t *report_number(double v);

/* A trial with its rounds, their medians and the best. */
json_t *report_trial_json(const struct topology *t, const struct bench_trial *x,
	const struct bench_round *rounds, size_t n, const struct bench_summary *s);

/* Parts of it: a flow as asked for, and a round. */
json_t *report_flow_json(const struct topology *t, const struct bench_flow *f);
json_t *report_round_json(
	const struct topology *t, const struct bench_trial *x, const struct bench_round *r);

json_t *report_places_json(const struct bench_places *p);
/* Parts of a round. */
json_t *report_switch_json(const struct bench_switch_result *s);
json_t *report_cpus_json(const struct topology *t, const struct bench_round *r);
json_t *report_cost_json(const struct bench_cost *c);
json_t *report_warnings_json(const struct bench_round *r);

/* Each network's counters since the lab came up, out of the switch's stats; NULL: none known. */
json_t *report_networks_json(
	const struct topology *t, const struct bench_plan *plan, const json_t *stats);

/* ---- the machine ---- */

/* All that figures depend on (docs/results.md); root: "" for this host, or a test's folder that has
 * proc/ and sys/ like it. What the kernel doesn't say is null. */
json_t *report_machine(const char *root);

#endif
