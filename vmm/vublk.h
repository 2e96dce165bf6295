/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-blk device (virtio 1.2, 5.2) whose queues are served by a vhost-user back end, such as
 * qemu-storage-daemon: what makes an image of any format a disk.
 *
 * What the disk is (capacity, block size, limits), the back end says by GET_CONFIG each time that
 * it is connected; what changed since then, the guest is told. A machine waits VUBLK_WAIT_MS for
 * the first connection before it starts its guest, so that the guest finds its disk. If none comes
 * the guest finds a disk of size 0 with few features, which grows when the back end is there.
 *
 * Requests go through relay.h, so that a back end which is killed and started again finds exactly
 * those that were not completed; what the guest sees of it is that they take longer.
 */
#ifndef LANYARD_VMM_VUBLK_H
#define LANYARD_VMM_VUBLK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/device.h"
#include "vmm/options_disk.h"
#include "vmm/vdev.h"
#include "vmm/vhost_link.h"
#include "vmm/vhost_user.h"
#include "vmm/virtio_blk.h"

#define VUBLK_WAIT_MS      5000
#define VUBLK_CONFIG_BYTES 60 /* 5.2.4, up to what WRITE_ZEROES needs */

#define VUBLK_QUEUE_SIZE 256

struct vublk {
	struct device dev;
	const struct disk_setup *setup; /* borrowed for the device's life */
	struct vdev d;
	struct vhost_user back;
	struct vhost_link link;
	struct relay *relay;

	/* Under the device lock. */
	uint8_t config[VUBLK_CONFIG_BYTES]; /* link: w */
	bool up;                            /* link: w; the back end is there */
};

/* *out is there after a failure, too: to be freed. */
int vublk_new(unsigned index, const struct disk_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct vublk **out, struct err *e);

#endif
