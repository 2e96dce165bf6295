/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's latency histogram (traffic/hist.h: counts of TSC ticks) as one of nanoseconds that
 * HdrHistogram's libraries read (measure/hdr.h). Pure.
 *
 * Values of a bucket, 0.8 % wide at most, become its middle, the least and the greatest what they
 * were: percentiles are right to 1 %, minimum and maximum to 0.1 %.
 */
#ifndef LANYARD_LAB_BENCH_HIST_H
#define LANYARD_LAB_BENCH_HIST_H

#include <jansson.h>

#include "base/err.h"
#include "measure/hdr.h"

/* Adds a flow's "latency" (docs/control.md), which must have its buckets, to *h. */
int bench_hist_add(struct hdr *h, const json_t *latency, double tsc_hz, struct err *e);

#endif
