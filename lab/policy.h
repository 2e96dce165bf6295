/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of ports between the topology, the switch's JSON-RPC (docs/control.md, port_add and
 * configure) and people. Pure. */
#ifndef LANYARD_LAB_POLICY_H
#define LANYARD_LAB_POLICY_H

#include <jansson.h>
#include <stddef.h>

#include "config/topology.h"

/* The policy keys of a NIC's port, or (nic NULL) of a host port; a new reference, NULL if there is
 * nothing to say. A mirror stands at the port that is mirrored: {"to": who listens}. */
json_t *policy_of_nic(const struct topology *t, const struct topo_nic *nic, const char *port);
json_t *policy_of_port(const struct topology *t, const struct topo_port *port);

/* What makes `have` into `want` (each may be NULL: nothing) by `configure`: keys that differ, null
 * for those that are no more. A new reference; NULL if they are the same. */
json_t *policy_diff(const json_t *have, const json_t *want);

/* "VLAN 10, isolated, 2 static addresses" to out, "" if there is no policy; returns out. */
char *policy_brief(const json_t *policy, char *out, size_t size);

#endif
