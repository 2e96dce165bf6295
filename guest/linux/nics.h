/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's NICs, found by their MAC addresses: named eth0, eth1, ... in the configuration's
 * order, given MTU, addresses and routes over netlink, and brought up. docs/linux-guests.md says
 * what the configuration's keys mean.
 */
#ifndef LANYARD_GUEST_LINUX_NICS_H
#define LANYARD_GUEST_LINUX_NICS_H

#include <jansson.h>

#include "traffic/counters.h"

/* Sets up lo and what config has of NICs and routes. What can't be is a sentence in problems. */
void nics_set_up(const json_t *config, json_t *problems);

/* What `hello` says of them: a new array. config: its NICs in its order, or NULL: all there are. */
json_t *nics_describe(const json_t *config);

/* What the kernel and the NIC's driver count of an interface; out->socket_dropped is left alone. */
void nics_count(const char *name, struct nic_counters *out);

#endif
