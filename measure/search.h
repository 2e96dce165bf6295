/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for the highest rate that a path carries. Pure: it says which trial to run next, is
 * told what came out, and in the end says between which two rates the limit lies. Whoever calls it
 * runs the trials (lab/ on a path, the unit test on a device that it simulates).
 *
 *	search_init; while (search_next(s, &rate)) search_tell(s, &outcome); then goal[].end
 *
 * Several goals share the trials: each is a loss ratio that still passes, 0 for the rate without
 * loss (NDR), 0.005, say, for one with a part of it (PDR). A trial is asked for by one goal, and
 * decides for all of them.
 *
 *	start (if given) -> max -> min -> halfway between the highest rate that passed and the
 *	lowest that failed -> ... until these are no further apart than `resolution` of the latter
 *
 * A rate passes for a goal if a trial loses no more than the goal's ratio and was sent at that rate
 * (SEARCH_OFFERED of it: a path that takes no more, or a generator that makes no more, does not
 * carry the rate either). SEARCH_BINARY, RFC 2544, section 26.1: the first trial decides.
 * SEARCH_VERIFIED, ETSI GS NFV-TST 009, "binary search with loss verification": a trial that
 * failed is repeated at the same rate, `verify` times at most, and the rate fails only if all of
 * them do: what the machine did to one trial is no loss of the path.
 */
#ifndef LANYARD_MEASURE_SEARCH_H
#define LANYARD_MEASURE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define SEARCH_GOALS_MAX  4
#define SEARCH_TRIALS_MAX 256
#define SEARCH_VERIFY_MAX 10
/* A trial whose sender kept less of the rate than this was not sent at that rate. */
#define SEARCH_OFFERED 0.99

enum search_method { SEARCH_BINARY, SEARCH_VERIFIED };

enum search_end {
	SEARCH_RUNNING,
	SEARCH_FOUND,     /* lower passed, upper failed, close enough */
	SEARCH_AT_MAX,    /* the highest rate asked for passes: lower = upper = max */
	SEARCH_MIN_LOSES, /* the lowest rate fails already: there is no figure */
	SEARCH_GAVE_UP,   /* max_trials are used up: lower and upper are further apart than asked */
};

struct search_params {
	enum search_method method;
	double min_fps, max_fps; /* 0 < min < max */
	double start_fps;        /* the first trial's; 0: max_fps */
	double resolution;       /* (upper - lower) / upper at the end, such as 0.01 */
	unsigned verify;         /* VERIFIED: repeats of a failed trial, 1 to SEARCH_VERIFY_MAX */
	unsigned max_trials;     /* up to SEARCH_TRIALS_MAX; 0: that */
	size_t n_goals;
	double loss_ratio[SEARCH_GOALS_MAX]; /* ascending */
};

/* What a trial came to. */
struct search_outcome {
	double sent_fps; /* at which it was really sent */
	double loss_ratio;
};

struct search_trial {
	double fps; /* asked for */
	struct search_outcome out;
};

struct search_goal {
	enum search_end end;
	/* Highest rate that passed and lowest that failed; 0: none did. */
	double lower_fps, upper_fps;
	double upper_loss_ratio; /* the least that a trial at upper_fps lost */
	bool upper_not_offered;  /* at upper_fps no trial was sent at its rate */
};

struct search {
	struct search_params p;
	struct search_goal goal[SEARCH_GOALS_MAX];
	size_t n_trials;
	bool told; /* of the last trial */
	struct search_trial trial[SEARCH_TRIALS_MAX];
};

/* -EINVAL, ERR_REQUEST: which of the parameters is wrong. */
int search_init(struct search *s, const struct search_params *p, struct err *e);

/* The rate of the next trial, or false: all goals have ended. */
bool search_next(struct search *s, double *fps);

/* How the trial that search_next asked for came out. */
void search_tell(struct search *s, const struct search_outcome *o);

/* A sentence on how the goal ended, with its rates, to out; returns out. */
char *search_describe(const struct search *s, size_t goal, char *out, size_t size);

#endif
