/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean ...?": the known word nearest to one that was mistyped. Pure. */
#ifndef LANYARD_CONFIG_SUGGEST_H
#define LANYARD_CONFIG_SUGGEST_H

#include <stddef.h>

/* Insertions, deletions, changes and swaps of neighbours between a and b (optimal string
 * alignment); words longer than 63 bytes are compared by their first 63. */
size_t suggest_distance(const char *a, const char *b);

/* The word nearest to `typed` (by index: word(ctx, i), i < n), or NULL if none is near enough to
 * be meant: at most a third of the longer word's letters differ, and at least one may. */
const char *suggest_nearest(const char *typed, size_t n,
	const char *(*word)(const void *ctx, size_t i), const void *ctx);

#endif
