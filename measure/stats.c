/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/stats.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Moves those that are numbers to the front, sorted, and the others behind; returns how many. */
static size_t sort_known(double *v, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(v[i]))
			v[known++] = v[i];
	for (size_t i = known; i < n; i++)
		v[i] = NAN;
	qsort(v, known, sizeof(*v), by_value);
	return known;
}

double stats_median(double *v, size_t n)
{
	n = sort_known(v, n);
	if (!n)
		return NAN;
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

struct stats_interval stats_median_interval(double *v, size_t n, double level)
{
	struct stats_interval x = { NAN, NAN, 0 };
	double term, tail;

	n = sort_known(v, n);
	if (!n)
		return x;
	/* tail = P(B < k), k = 1 at first: P(B = 0) = 2^-n. */
	term = tail = ldexp(1, -(int)n);
	size_t k = 1;
	while (k < (n + 1) / 2) {
		double next = term * (double)(n - k + 1) / (double)k;

		if (1 - 2 * (tail + next) < level)
			break;
		term = next;
		tail += next;
		k++;
	}
	x.low = v[k - 1];
	x.high = v[n - k];
	x.confidence = fmax(0, 1 - 2 * tail);
	return x;
}
