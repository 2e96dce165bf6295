/* SPDX-License-Identifier: Apache-2.0 */
/* What runs of TCP showed: rows of bench's table, and JSON that bench and compare share. Pure. */
#ifndef LANYARD_LAB_REPORT_TCP_H
#define LANYARD_LAB_REPORT_TCP_H

#include "lab/bench_tcp.h"
#include "lab/report.h"

/* {figures, drops, warnings, rounds} of n rounds (docs/results.md); a new reference. */
json_t *report_tcp_json(
	const struct topology *t, const struct bench_tcp_round *r, size_t n, double tsc_hz);

/* An element of bench's "tcp"; and its row, out of that. */
json_t *report_tcp_trial_json(const struct topology *t, const struct bench_trial *x,
	const struct bench_tcp_round *r, size_t n, double tsc_hz);
void report_tcp(struct report_table *table, const struct bench_trial *x, const json_t *trial,
	const struct bench_tcp_round *r, size_t n);

#endif
