/* SPDX-License-Identifier: Apache-2.0 */
/* The step that makes a PF's VFs and puts the PF back, and what else the lab asks sriov/. */
#ifndef LANYARD_LAB_STEPS_VF_H
#define LANYARD_LAB_STEPS_VF_H

#include "lab/carry.h"

int steps_pf_run(struct carry *c, struct step *s, struct err *e);
int steps_pf_undo(struct carry *c, struct step *s, struct err *e);

/* Whether the PF is as the step left it: 0; 1: not, *why (may be NULL) says what differs. -errno:
 * nobody can tell. */
int steps_pf_differs(const struct plan *p, const struct step *s, struct err *why);

/* Puts back whatever journals say is the lab's. */
int steps_pf_release_all(struct carry *c, const char *lab, struct err *e);

/* Preflight of all PFs of a topology, with its places; what the lab has already is its own. */
int steps_pf_check(const struct topology *t, const struct plan *p, struct err *e);

#endif
