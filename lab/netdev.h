/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces of the host's kernel that a lab makes: a bridge for each network of that kind, and a
 * tap, which outlives who is attached to it, for each NIC there. Their aliases say whose they are
 * (`ip link` shows them), so that nothing of anybody else's is changed or deleted.
 *
 * Making one that is there already puts it right.
 */
#ifndef LANYARD_LAB_NETDEV_H
#define LANYARD_LAB_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/topology.h"

#define NETDEV_NAME (TOPO_IFNAME_MAX + 1)

/* "LAB-TAIL" where it fits an interface's name, else a shorter one made of both, to
 * out[NETDEV_NAME]; returns out. */
char *netdev_name(const char *lab, const char *tail, char *out);

struct netdev_bridge {
	const char *name, *lab;
	uint64_t mtu, ageing_s;
};

struct netdev_tap {
	const char *name, *lab, *bridge;
	uint64_t mtu, queues;
};

enum netdev_is {
	NETDEV_ABSENT,
	NETDEV_OURS,    /* the lab's */
	NETDEV_FOREIGN, /* there, and not the lab's */
};

/* Whose the interface of that name is. */
enum netdev_is netdev_look(const char *name, const char *lab);
/* Whether it is in that bridge. */
bool netdev_is_in(const char *name, const char *bridge);

int netdev_bridge_make(const struct netdev_bridge *b, struct err *e);
int netdev_tap_make(const struct netdev_tap *t, struct err *e);
/* Nothing if it is not there, or not the lab's. */
int netdev_bridge_delete(const char *name, const char *lab, struct err *e);
int netdev_tap_delete(const char *name, const char *lab, struct err *e);
/* All of the lab's, when nothing but their aliases says which there are. */
int netdev_delete_all(const char *lab, struct err *e);

#endif
