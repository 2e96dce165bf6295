/* SPDX-License-Identifier: Apache-2.0 */
#include "config/suggest.h"

#include <string.h>

#define WORD_MAX 63

static size_t min2(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t suggest_distance(const char *a, const char *b)
{
	/* Rows of the usual table: two back, one back, this one. */
	size_t row[3][WORD_MAX + 1];
	size_t n = strnlen(a, WORD_MAX), m = strnlen(b, WORD_MAX);

	for (size_t j = 0; j <= m; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *cur = row[i % 3], *up = row[(i - 1) % 3], *up2 = row[(i + 1) % 3];

		cur[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t d = up[j - 1] + (a[i - 1] != b[j - 1]);

			d = min2(d, min2(up[j], cur[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = min2(d, up2[j - 2] + 1);
			cur[j] = d;
		}
	}
	return row[n % 3][m];
}

const char *suggest_nearest(const char *typed, size_t n,
	const char *(*word)(const void *ctx, size_t i), const void *ctx)
{
	const char *best = NULL;
	size_t best_distance = 0;

	for (size_t i = 0; i < n; i++) {
		const char *w = word(ctx, i);
		size_t a = strlen(typed), b = strlen(w), longer = a > b ? a : b;
		size_t limit = longer / 3 ? longer / 3 : 1;
		size_t d = suggest_distance(typed, w);

		if (d <= limit && d < longer && (!best || d < best_distance)) {
			best = w;
			best_distance = d;
		}
	}
	return best;
}
