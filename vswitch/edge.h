/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports that are no guests: the host's kernel (a tap interface), the wire (a PCI device, driven
 * by DPDK) and whatever DPDK has a virtual device for (vdev: net_af_packet, net_tap, net_memif).
 * Their queues are in the view while their link is up. Control thread; what touches the model says
 * that it wants the lock.
 */
#ifndef LANYARD_VSWITCH_EDGE_H
#define LANYARD_VSWITCH_EDGE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "vswitch/switch.h"

/* Which kind of port port_add's parameters ask for, and what that kind needs and may have: fills
 * c->kind and c->device. */
int sw_edge_request(const json_t *params, struct sw_port_config *c, struct err *e);

/* Is the request of an edge port well-formed, and is nobody else there? Under the lock. */
int sw_edge_check(const struct sw *sw, const struct sw_port_config *c, struct err *e);

/* Makes the device of a port that is in the model. Without the lock: it may take a while. */
int sw_edge_open(struct sw *sw, struct sw_port *p, struct err *e);
/* Ends it: none of its queues is in the view any more. Safe if it was never made. */
void sw_edge_close(struct sw *sw, struct sw_port *p);

/* Its network has another MTU. What the device can't take is said in the log: longer frames are
 * lost there then, as anywhere on the way. */
void sw_edge_set_mtu(struct sw_port *p, uint32_t mtu);

/* Whether frames that the port sends may come in by it again: a VF's. Under the lock. */
bool sw_edge_reflects(const struct sw_port *p);

/* Under the lock: brings the view in line with the link, as sw_port_sync. */
void sw_edge_sync(struct sw *sw, struct sw_port *p, bool hold);
/* Looks at the links of all. Takes the lock; at times. */
void sw_edge_tick(struct sw *sw);

/* Under the lock: what `stats` says of where a port leads. */
void sw_edge_stats(const struct sw_port *p, json_t *port);

#endif
