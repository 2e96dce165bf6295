/* SPDX-License-Identifier: Apache-2.0 */
/* What a search for a rate found: rows for people, an object for programs (docs/results.md). */
#ifndef LANYARD_LAB_REPORT_SEARCH_H
#define LANYARD_LAB_REPORT_SEARCH_H

#include "lab/bench_search.h"
#include "lab/report.h"

void report_search(struct report_table *r, const struct bench_search *s);
json_t *report_search_json(const struct topology *t, const struct bench_search *s);

/* "NDR", or "PDR" with what may be lost: "PDR 0.5%"; to out; returns out. */
char *report_goal_name(double loss_ratio, char *out, size_t size);

#endif
