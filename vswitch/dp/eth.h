/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path of a port on an Ethernet device of DPDK's. A frame that comes in is an mbuf: its
 * pieces are the frame's, and it is freed when the burst is over. A frame that leaves is copied
 * into mbufs, with the device's offloads where it has them; one that came in by such a port too,
 * and leaves as it came, is handed over without a copy: the device gets a reference of its own.
 */
#ifndef LANYARD_VSWITCH_DP_ETH_H
#define LANYARD_VSWITCH_DP_ETH_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/dp/view.h"

struct rte_mempool;

/* dp_inq.edge_queue. */
struct dp_eth_rx {
	uint16_t port, queue; /* DPDK's numbers */
	bool interrupts;      /* constant: the queue can wake a sleeper */
	bool armed;           /* it was asked to; its worker's */
};

/* dp_outq.edge_queue. Constant. */
struct dp_eth_tx {
	uint16_t port, queue;
	uint32_t accept;          /* DP_OFF_* that the device does */
	uint32_t min_len;         /* shorter frames are filled up with zeros */
	uint32_t segs_max;        /* mbufs of a frame, at most */
	uint32_t room;            /* bytes of an mbuf */
	struct rte_mempool *pool; /* for copies */
};

/* A pool of which fewer are left lends none: its device must go on receiving. */
#define DP_ETH_POOL_KEPT 1024

extern const struct dp_edge_ops dp_eth_ops;

#endif
