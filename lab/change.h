/* SPDX-License-Identifier: Apache-2.0 */
/* Carries a diff out on a lab that is up; what fails is rolled back to the lab as it was. */
#ifndef LANYARD_LAB_CHANGE_H
#define LANYARD_LAB_CHANGE_H

#include "lab/diff.h"
#include "lab/session.h"

/* Steps whose process is gone, and what lived in it, are PLANNED. Changes nothing else. */
void change_mark_dead(struct plan *have);

/*
 * have: the record, looked at by change_repair. On success d's merged plan is the record. On
 * failure *e says why, the lab is as it was (or a warning says what is not), and have is the
 * record, as far as the folder is writable.
 */
int change_carry(struct session *s, struct diff *d, struct plan *have, struct err *e);

#endif
