/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that carry steps out share: steps.c, steps_node.c, steps_helper.c. */
#ifndef LANYARD_LAB_STEPS_OWN_H
#define LANYARD_LAB_STEPS_OWN_H

#include "lab/steps.h"

#define STEPS_CALL_MS  5000
#define STEPS_TRY_MS   500 /* one try */
#define STEPS_PAUSE_MS 2   /* between tries */

/* The connection to the switch, made when needed; NULL with *e. Stays the carry's. */
struct rpc *steps_switch_rpc(struct carry *c, struct err *e);

/* Until `info` on the control socket gets an answer from that very process, which is returned. */
json_t *steps_wait_info(struct carry *c, const struct step *s, const char *who, struct err *e);

int steps_start(struct carry *c, struct step *s, char *const *argv, struct err *e);

/* method: NULL: a signal asks it to end. */
int steps_stop(struct carry *c, struct step *s, const char *method, const char *who, struct err *e);

/* c->tsc_hz, asked of the switch or measured, once. */
int steps_tsc_hz(struct carry *c, struct err *e);

int steps_vm_run(struct carry *c, struct step *s, struct err *e);
int steps_vm_undo(struct carry *c, struct step *s, struct err *e);
int steps_guest_run(struct carry *c, struct step *s, struct err *e);
int steps_links_run(struct carry *c, struct step *s, struct err *e);

int steps_image_run(struct carry *c, struct step *s, struct err *e);
int steps_image_undo(struct carry *c, struct step *s, struct err *e);
int steps_server_run(struct carry *c, struct step *s, struct err *e);
int steps_server_undo(struct carry *c, struct step *s, struct err *e);

/* Until all that serve the VM of that name have their sockets there. */
int steps_wait_servers(struct carry *c, const char *node, struct err *e);

#endif
