/* SPDX-License-Identifier: Apache-2.0 */
/* PFs and VFs in the status of a lab. */
#ifndef LANYARD_LAB_STATUS_VF_H
#define LANYARD_LAB_STATUS_VF_H

#include <jansson.h>
#include <stdio.h>

#include "config/topology.h"
#include "lab/plan.h"

/* "pfs": what the lab wanted of each, who has which VF, and what the host says now. */
json_t *status_pfs(const struct plan *p, const struct topology *t);
/* A NIC that is a VF, as one of the node's. now: what its VMM says of the device, or NULL. */
json_t *status_vf_nic(const struct topology *t, size_t node, size_t nic, const json_t *now);

/* The same for people: a table, and sentences where something is not as it should be. */
void status_print_pfs(const json_t *doc, FILE *out, int width);

#endif
