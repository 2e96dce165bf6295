/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the driver: the rings' fast path (vnet_ring.c), used by vnet.c. */
#ifndef LANYARD_PROBE_VNET_RING_H
#define LANYARD_PROBE_VNET_RING_H

#include "guest/probe/vnet.h"

extern const struct traffic_port_ops vnet_ring_ops;

/* Indices as after a device reset, with all receive buffers available. */
void vnet_ring_restart(struct vnet *v);

/* Tells the device about what was published since the last look, if it wants to hear of it. */
void vnet_ring_kick(struct vnet *v, struct vnet_queue *q);

#endif
