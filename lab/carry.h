/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries a plan out, and undoes it. What a step does and how it is undone are two functions in a
 * const table (lab/steps.c; tests bring their own), so this file knows only the order:
 *
 *	step: PLANNED -> BEGUN (record) -> run -> DONE (record)
 *	undo: newest first, each step that is not PLANNED -> undo -> PLANNED (record)
 *
 * A step that fails is undone with all that this run did before it. While anything waits,
 * carry_pause notices signals to us and the death of any daemon at once.
 */
#ifndef LANYARD_LAB_CARRY_H
#define LANYARD_LAB_CARRY_H

#include "base/err.h"
#include "base/rpc.h"
#include "lab/folder.h"
#include "lab/plan.h"
#include "lab/progress.h"

struct carry;

struct step_ops {
	int (*run)(struct carry *c, struct step *s, struct err *e);
	/* Tolerates that all, some or nothing of the step is there. */
	int (*undo)(struct carry *c, struct step *s, struct err *e);
};

struct carry {
	struct plan *plan;
	struct folder *folder;      /* the record is written there while it is open */
	const struct step_ops *ops; /* by kind */
	struct progress *progress;
	int signal_fd;        /* signalfd of SIGINT, SIGTERM, SIGHUP; -1: none */
	struct rpc *sw;       /* connection to the switch's control, made when needed */
	bool sw_silent;       /* it did not answer: don't ask again */
	uint64_t pages_held;  /* hugepages that the lab has already: `up` changes it */
	int64_t tsc_hz;       /* as the switch told; 0: not asked yet */
	struct strs *foreign; /* files that were in the run folder and aren't ours */
};

/* Runs every step that is PLANNED, in order. On failure all that it did is undone, newest first,
 * *e says why, and carry->progress showed what. */
int carry_out(struct carry *c, struct err *e);

/* Undoes every step that is not PLANNED (fresh_only: and that carry_out ran just now). Goes on
 * past failures; returns the first, and then the run folder stays. */
int carry_undo(struct carry *c, bool fresh_only, struct err *e);

/* One step alone, with that text in its line (NULL: the step's own). What was done before is not
 * undone by a failure. */
int carry_run(struct carry *c, struct step *s, const char *text, struct err *e);
int carry_undo_one(struct carry *c, struct step *s, const char *text, struct err *e);

/* Sleeps for ms. -EINTR: a signal; -ECHILD: a daemon died, *e says which, how, and its last log
 * line. */
int carry_pause(struct carry *c, int ms, struct err *e);

/* Writes the record, if there is a run folder for it. */
int carry_save(struct carry *c, struct err *e);

#endif
