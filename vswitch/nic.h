/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet devices that DPDK drives, attached and detached while the switch runs. What a device
 * has of queues, RSS, checksum and segmentation offloads is used; nothing of it is needed. Control
 * thread.
 */
#ifndef LANYARD_VSWITCH_NIC_H
#define LANYARD_VSWITCH_NIC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vswitch/dp/eth.h"

/* Pools of devices that are gone, of which others' rings hold frames still. */
#define NIC_LEFT_MAX 64

struct nic_left {
	uint32_t n;
	struct rte_mempool *pool[NIC_LEFT_MAX];
};

struct nic {
	bool attached;
	uint16_t port; /* DPDK's number */
	bool started;
	bool rss; /* it spreads frames over its queues */
	struct rte_mempool *pool;
	uint16_t n_queues;
	struct dp_eth_rx rx[DP_PAIRS_MAX];
	struct dp_eth_tx tx[DP_PAIRS_MAX];
};

/* Attaches the PCI device (an address that pcidev_check found good) with n queue pairs, and starts
 * it. bus "pci" or "vdev", which is also the
 * request's field that errors name. -errno with a sentence: it is detached again. */
int nic_open(struct nic *n, struct nic_left *left, const char *bus, const char *name,
	const char *args, uint16_t n_queues, uint32_t mtu, struct err *e);
/* Detaches it. Its pool may have to wait in *left. */
void nic_close(struct nic *n, struct nic_left *left);
/* Frees those pools that all frames came back to. */
void nic_left_free(struct nic_left *left);

/* While it runs. What its buffers are too small for takes a device that is opened anew. */
int nic_set_mtu(struct nic *n, uint32_t mtu, struct err *e);

bool nic_is_up(const struct nic *n);

/* A file that becomes readable when queue i has frames, of which the caller gets a copy; -1: the
 * device has no such interrupts. */
int nic_wake_fd(const struct nic *n, uint16_t i);

/* {"driver", "mac", "mbps", "rss": bool, "offloads": [..], and what the device itself dropped} */
json_t *nic_json(const struct nic *n);

#endif
