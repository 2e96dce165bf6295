/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Medians and intervals of repeated measurements. Pure.
 *
 * No distribution is assumed: repeats of a benchmark are few and seldom normal. The interval of the
 * median is made of order statistics: of n sorted values, the k-th lowest and the k-th highest
 * enclose the median with probability 1 - 2 P(B < k), B binomial(n, 1/2). k is the greatest whose
 * probability reaches the level asked for; with too few values it is 1 (all of them), and the
 * probability, which is then lower, is said. 6 values are needed for 95 %.
 */
#ifndef LANYARD_MEASURE_STATS_H
#define LANYARD_MEASURE_STATS_H

#include <stddef.h>

struct stats_interval {
	double low, high;
	double confidence; /* that they enclose the median: 0.9375 for the range of 5 values */
};

/* The median of n values (the mean of the middle two of an even number), NaN ones left out; NaN if
 * there are none. Sorts v. */
double stats_median(double *v, size_t n);

/* Of n values of the same thing, NaN ones left out; a single one has confidence 0. Sorts v. */
struct stats_interval stats_median_interval(double *v, size_t n, double level);

#endif
