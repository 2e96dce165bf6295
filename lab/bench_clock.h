/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of all latencies: the TSC, one for the host and its guests. It must run at one rate,
 * whatever the CPUs do, and be the same everywhere; else no difference of two stamps is a time.
 * Both are measured, and bench fails with a sentence if it isn't so.
 */
#ifndef LANYARD_LAB_BENCH_CLOCK_H
#define LANYARD_LAB_BENCH_CLOCK_H

#include <stdint.h>

#include "base/err.h"

struct bench_clock {
	uint64_t tsc, ns; /* when it began; ns: of CLOCK_MONOTONIC_RAW */
};

struct bench_clock bench_clock_now(void);

/* Of this host's TSC: for labs without a switch, which else tells it. Takes 0.2 s. */
double bench_clock_measure(void);

/* Whether the TSC ran at tsc_hz from `from` to `to`; both ends at least 0.1 s apart, or nothing is
 * said. */
int bench_clock_rate(
	const struct bench_clock *from, const struct bench_clock *to, double tsc_hz, struct err *e);

/* Whether a reading of a guest's lies between two of the host's, made before and after it. */
int bench_clock_shared(const char *guest, uint64_t before, uint64_t reading, uint64_t after,
	double tsc_hz, struct err *e);

#endif
