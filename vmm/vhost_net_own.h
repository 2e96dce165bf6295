/* SPDX-License-Identifier: Apache-2.0 */
/* What vhost_net.c and vhost_net_open.c share. */
#ifndef LANYARD_VMM_VHOST_NET_OWN_H
#define LANYARD_VMM_VHOST_NET_OWN_H

#include "vmm/nic_features.h"
#include "vmm/vhost_net.h"

#define VHOST_NET_HEADER 12 /* bytes of virtio_net_hdr_mrg_rxbuf: all modern devices' (5.1.6) */

/* Features that vhost-net is asked for, if it has them. */
#define VHOST_NET_KERNEL                                                              \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) |        \
		VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) | \
		VIRTIO_BIT(VIRTIO_F_IN_ORDER))
/* What the network stack does for either side of a tap with virtio headers. */
#define VHOST_NET_TAP                                                                    \
	(VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) |            \
		VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) | \
		NIC_FEATURES_GUEST_OFFLOADS)

extern const struct vhost_back_ops vhost_net_ops;

/* Tells the tap what of offloads the guest takes, of virtio's features. -errno. */
int vhost_net_set_offloads(struct vhost_net *n, uint64_t features);

/* Whether frames are handed to that pair. */
int vhost_net_attach_queue(struct vhost_net *n, unsigned pair, bool on, struct err *e);

#endif
