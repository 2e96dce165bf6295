/* SPDX-License-Identifier: Apache-2.0 */
/* Medians and the best of a trial's rounds. Pure. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lab/bench_result.h"

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double bench_median(double *v, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(v[i]))
			v[known++] = v[i];
	if (!known)
		return NAN;
	qsort(v, known, sizeof(*v), by_value);
	return v[(known - 1) / 2];
}

/* The figures are all doubles, so a median of each is a walk over them. */
#define N_FIGURES (sizeof(struct bench_figures) / sizeof(double))

static void take_figures(const struct bench_round *r, size_t row, struct bench_figures *f)
{
	if (row == 0) {
		f->sent_fps = r->sent_fps;
		f->received_fps = r->received_fps;
		f->latency = bench_latency_worst(r);
	} else {
		f->sent_fps = r->flow[row - 1].sent_fps;
		f->received_fps = r->flow[row - 1].received_fps;
		f->latency = r->flow[row - 1].latency;
	}
	f->cycles_per_frame = r->sw.cycles_per_frame;
}

static void median_row(const struct bench_round *r, size_t n, size_t row, double *scratch,
	struct bench_figures *out)
{
	for (size_t k = 0; k < N_FIGURES; k++) {
		for (size_t i = 0; i < n; i++) {
			struct bench_figures f;

			take_figures(&r[i], row, &f);
			scratch[i] = ((double *)&f)[k];
		}
		((double *)out)[k] = bench_median(scratch, n);
	}
}

int bench_summary_make(const struct bench_round *r, size_t n, struct bench_summary *s)
{
	double *scratch = calloc(n, sizeof(*scratch));

	*s = (struct bench_summary){ .best_cycles = NAN, .min_fps = NAN, .max_fps = NAN };
	s->median = calloc(r[0].n_flows + 1, sizeof(*s->median));
	if (!s->median || !scratch) {
		free(scratch);
		bench_summary_free(s);
		return -ENOMEM;
	}
	for (size_t row = 0; row <= r[0].n_flows; row++)
		median_row(r, n, row, scratch, &s->median[row]);
	for (size_t i = 0; i < n; i++) {
		double fps = r[i].received_fps, cycles = r[i].sw.cycles_per_frame;

		if (isnan(s->max_fps) || fps > s->max_fps) {
			s->max_fps = fps;
			s->best = i;
		}
		if (isnan(s->min_fps) || fps < s->min_fps)
			s->min_fps = fps;
		if (isnan(s->best_cycles) || cycles < s->best_cycles)
			s->best_cycles = cycles;
		s->sent += r[i].sent;
		s->received += r[i].received;
		s->lost += r[i].lost;
		s->lost_max = r[i].lost > s->lost_max ? r[i].lost : s->lost_max;
		s->n_missed += r[i].missed;
	}
	free(scratch);
	return 0;
}

void bench_summary_free(struct bench_summary *s)
{
	free(s->median);
	s->median = NULL;
}
