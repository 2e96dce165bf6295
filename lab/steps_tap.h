/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of bridges and taps: a bridge is a network of that kind, a tap a NIC on it. */
#ifndef LANYARD_LAB_STEPS_TAP_H
#define LANYARD_LAB_STEPS_TAP_H

#include "lab/carry.h"
#include "lab/host.h"

int steps_bridge_run(struct carry *c, struct step *s, struct err *e);
int steps_bridge_undo(struct carry *c, struct step *s, struct err *e);
int steps_tap_run(struct carry *c, struct step *s, struct err *e);
int steps_tap_undo(struct carry *c, struct step *s, struct err *e);

/* Whether the interface is there, and where it belongs; running the step again puts it right. */
bool steps_tap_is_whole(const struct plan *p, const struct step *s);
/* Whether it is not there any more: who was attached to it has lost it. */
bool steps_tap_is_gone(const struct plan *p, const struct step *s);

/* Preflight, with the topology's place. */
int steps_tap_check(
	const struct topology *t, const struct plan *p, const struct host *h, struct err *e);

#endif
