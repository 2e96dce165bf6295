/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system beneath an engine counts of a NIC, since that was there: where frames are lost
 * outside the engine, these say. The names are Linux's (Documentation/networking/statistics.rst),
 * and docs/control.md's; socket_dropped: by the engine's own socket, for want of room.
 * Freestanding.
 */
#ifndef LANYARD_TRAFFIC_COUNTERS_H
#define LANYARD_TRAFFIC_COUNTERS_H

#include <stdint.h>

#define NIC_COUNTERS(X)     \
	X(rx_packets)       \
	X(tx_packets)       \
	X(rx_dropped)       \
	X(rx_errors)        \
	X(rx_missed_errors) \
	X(tx_dropped)       \
	X(tx_errors)        \
	X(socket_dropped)

struct nic_counters {
#define X(name) uint64_t name;
	NIC_COUNTERS(X)
#undef X
};

#endif
