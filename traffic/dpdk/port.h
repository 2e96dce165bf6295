/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine port (traffic/port.h) on queue 0 of a DPDK Ethernet device. One thread, the one that
 * polls the engine, uses a port; making and freeing it is the main thread's, before and after.
 *
 * Frames to send lie in mbufs of a pool of the port's own. An mbuf keeps its contents, and in a
 * dynamic field the engine's mark: what the driver has sent and freed is sent again with nothing
 * but a new stamp. A burst of mbufs is taken ahead of its use, and the lines that will be written
 * are fetched meanwhile.
 *
 * The driver may take fewer frames than it is given. The rest waits here and goes first next time;
 * no slots are given out until it has gone, so the ring being full is seen by the engine.
 */
#ifndef LANYARD_TRAFFIC_DPDK_PORT_H
#define LANYARD_TRAFFIC_DPDK_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>

#include "base/err.h"
#include "traffic/engine.h"
#include "traffic/port.h"

struct dpdk_port_config {
	uint16_t ethdev;         /* its id; not yet configured */
	uint32_t queue_size;     /* descriptors of each ring, as the device has it */
	uint32_t tx_descriptors; /* how many of them may wait to be sent; 0: all */
	uint32_t len_max;        /* longest frame without FCS */
	struct ether_mac mac;
};

struct dpdk_port {
	struct traffic_port port; /* first: ops are given its address */
	uint16_t ethdev;
	bool started;
	struct rte_mempool *tx_pool, *rx_pool;

	/* mbuf[0..tx_done) are the driver's, [tx_done..tx_committed) wait for room in its ring,
	 * [tx_committed..tx_n) are for the engine to fill. slot[i] is of mbuf[i]. */
	uint32_t tx_n, tx_committed, tx_done;
	struct rte_mbuf *tx_mbuf[TRAFFIC_BURST];
	struct traffic_slot slot[TRAFFIC_BURST];

	uint32_t rx_n;
	bool rx_chained_now; /* one of rx_mbuf has several segments */
	struct rte_mbuf *rx_mbuf[TRAFFIC_BURST];
	uint64_t rx_chained; /* frames that came in several mbufs: a buffer was too short */
	uint8_t *bounce;     /* where those are put together: len_max bytes for each of a burst */
};

/* Configures and starts the device. *p is zeroed memory, cache-aligned, and stays where it is. On
 * failure dpdk_port_close is still due. */
int dpdk_port_open(struct dpdk_port *p, const struct dpdk_port_config *c, struct err *e);

/* Hands frames that wait to the driver; how many still wait. */
uint32_t dpdk_port_flush(struct dpdk_port *p);

void dpdk_port_close(struct dpdk_port *p);

#endif
