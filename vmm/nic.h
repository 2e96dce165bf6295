/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-net device whose queues are served by a back end: a vhost-user one, or the kernel's
 * vhost-net with a tap (vhost_back.h).
 *
 * nic.c          what is a NIC's own on a vdev with a vhost_link: configuration, queue pairs
 * nic_features.c which features a guest is offered
 * nic_ctrl.c     the control queue's commands: pure; served by the link's thread
 * nic_ring*.c    where a new back end begins in a ring
 *
 * Nothing of it is on the data path: kicks and calls go between the guest and the back end through
 * the kernel.
 */
#ifndef LANYARD_VMM_NIC_H
#define LANYARD_VMM_NIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ether.h"
#include "vmm/device.h"
#include "vmm/nic_features.h"
#include "vmm/vdev.h"
#include "vmm/vhost_link.h"
#include "vmm/vhost_net.h"
#include "vmm/vhost_user.h"
#include "vmm/vring.h"

#define NIC_QUEUES_MAX 16 /* pairs */

/* Device configuration's status (5.1.4). */
#define VIRTIO_NET_S_LINK_UP  1
#define VIRTIO_NET_S_ANNOUNCE 2

struct nic_setup {
	char *socket; /* of a vhost-user back end; or: */
	char *tap;    /* an interface of the host's */
	struct ether_mac mac;
	unsigned pairs;        /* at most NIC_QUEUES_MAX */
	unsigned mtu;          /* 0: not told to the guest */
	unsigned ring;         /* descriptors of a queue, at most; 0: the default */
	bool packed, offloads; /* offered, if the back end has them */
	bool listen;           /* the back end connects to the socket, which is ours */
};

struct nic {
	struct device dev;
	struct nic_setup setup;
	struct vdev d;
	union { /* by setup.tap */
		struct vhost_user user;
		struct vhost_net net;
	} back;
	struct vhost_link link;

	/* Under the device lock. */
	uint8_t config[12];    /* mac, status, pairs, mtu (5.1.4) */
	bool link_up;          /* link: w */
	uint16_t pairs_wanted; /* pairs in use, 1 unless the driver said more */
	uint64_t offloads_off; /* of those agreed on: the driver doesn't want them for now */
	struct vring_dev ctrl; /* the control queue, since ctrl_ready */
	bool ctrl_ready;
};

/* setup's strings are borrowed for the NIC's life. *out is there after a failure, too: to be
 * freed. */
int nic_new(unsigned index, const struct nic_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct nic **out, struct err *e);

/* Index of the control queue, or -1 if the driver did not take it. */
int nic_ctrl_index(const struct nic *n);

/* nic_ctrl.c: what the driver put into the control queue, under the lock. */
void nic_ctrl_serve(struct nic *n);

#endif
