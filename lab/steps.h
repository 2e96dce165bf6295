/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of step does to the host, and how it is undone: the table for lab/carry.h. */
#ifndef LANYARD_LAB_STEPS_H
#define LANYARD_LAB_STEPS_H

#include "lab/carry.h"

extern const struct step_ops steps_ops[STEP_KIND_N];

/* Ends whatever of our daemons has its control socket in folder dir. */
int steps_sweep(struct carry *c, const char *dir, struct err *e);

/* Raises the number in file by what free_pages lacks of wanted; *raised: by how many it rose in
 * fact (the kernel may give fewer). Public for its test, which hands in a file of its own. */
int steps_raise_pages(const char *file, uint64_t free_pages, uint64_t wanted, uint64_t *raised);
int steps_lower_pages(const char *file, uint64_t by);

#endif
