/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of a lab: its plan with each step's state and result, as RUN/LAB/record.json. It is
 * written anew (to record.json.new, then renamed) before and after every step, so that `down`
 * can undo whatever a crash left half way. docs/status.md shows one.
 */
#ifndef LANYARD_LAB_RECORD_H
#define LANYARD_LAB_RECORD_H

#include <jansson.h>

#include "base/err.h"
#include "lab/plan.h"

#define RECORD_VERSION 1

/* A plan or record as JSON (a new reference), and back. record_from_json fills *p, which is to be
 * cleared with plan_clear, on failure too; -EINVAL names what is wrong with it. */
json_t *record_to_json(const struct plan *p);
int record_from_json(const json_t *j, struct plan *p, struct err *e);

/* In the run folder dirfd. record_read: -ENOENT (no record), -EINVAL (damaged). */
int record_write(int dirfd, const struct plan *p, struct err *e);
int record_read(int dirfd, struct plan *p, struct err *e);

#endif
