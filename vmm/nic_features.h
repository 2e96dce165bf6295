/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net's feature bits: what a guest is offered, and what holds together. Pure. */
#ifndef LANYARD_VMM_NIC_FEATURES_H
#define LANYARD_VMM_NIC_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/virtio_pci.h"

/* virtio 1.2, 5.1.3. */
#define VIRTIO_NET_F_CSUM                0
#define VIRTIO_NET_F_GUEST_CSUM          1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU                 3
#define VIRTIO_NET_F_MAC                 5
#define VIRTIO_NET_F_GUEST_TSO4          7
#define VIRTIO_NET_F_GUEST_TSO6          8
#define VIRTIO_NET_F_GUEST_ECN           9
#define VIRTIO_NET_F_HOST_TSO4           11
#define VIRTIO_NET_F_HOST_TSO6           12
#define VIRTIO_NET_F_HOST_ECN            13
#define VIRTIO_NET_F_MRG_RXBUF           15
#define VIRTIO_NET_F_STATUS              16
#define VIRTIO_NET_F_CTRL_VQ             17
#define VIRTIO_NET_F_CTRL_RX             18
#define VIRTIO_NET_F_CTRL_VLAN           19
#define VIRTIO_NET_F_CTRL_RX_EXTRA       20
#define VIRTIO_NET_F_GUEST_ANNOUNCE      21
#define VIRTIO_NET_F_MQ                  22
#define VIRTIO_NET_F_CTRL_MAC_ADDR       23

/* What the driver accepts of big and unchecked frames; CTRL_GUEST_OFFLOADS switches these. */
#define NIC_FEATURES_GUEST_OFFLOADS                                                  \
	(VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN))

/* Between the driver and us; passed on where the back end knows them too. */
#define NIC_FEATURES_OURS                                                                          \
	(VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |                          \
		VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MQ) |                       \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) |              \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |      \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))

struct nic_offer {
	bool seen;        /* there was a back end: */
	uint64_t backend; /* its features, */
	unsigned backend_pairs;
	unsigned pairs; /* that the NIC has */
	bool mtu, packed, offloads;
};

/* What a guest is offered. */
uint64_t nic_features_offer(const struct nic_offer *o);

/* Whether a driver's choice holds together (5.1.3.1). */
bool nic_features_fit(uint64_t acked);

#endif
