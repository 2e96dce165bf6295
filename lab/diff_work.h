/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What diff.c and diff_merge.c share, and nobody else: what has been found out about each step
 * while two plans are compared (diff.c), from which the changes are made (diff_merge.c).
 */
#ifndef LANYARD_LAB_DIFF_WORK_H
#define LANYARD_LAB_DIFF_WORK_H

#include <string.h>

#include "lab/diff.h"

#define DIFF_NONE SIZE_MAX

/* What is to be done about a wanted step. */
enum fate { KEEP, ADD, REPAIR, REPLACE, CHANGE };

struct diff_work {
	const struct plan *have;
	struct diff *d;
	enum fate *fate; /* of each wanted step */
	bool *goes;      /* of each step of have: it, or what it is now, is undone */
	bool *early;     /* ... before the new ones come */
	bool unsure;     /* whether the settings of what stays hold: an `up` was cut off */
	json_t *networks, *ports, *networks_back, *ports_back;
};

static inline bool diff_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static inline bool diff_exists(const struct step *s)
{
	return s->state != STEP_PLANNED;
}

/* Fates are settled: adds to d->merged what goes and the CONFIGURE step, and lists the changes in
 * their order. */
void diff_merge(struct diff_work *w);

#endif
