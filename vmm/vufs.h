/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-fs device (virtio 1.2, 5.11) whose queues are served by a vhost-user back end:
 * virtiofsd, which shows the guest a folder of the host. Queue 0 is for urgent requests, the others
 * for all else; there is no DAX window.
 *
 * The back end knows what the guest has open, and no other can take that over: when it went away
 * and another came, the guest's requests fail (virtiofsd answers EIO) until it mounts the folder
 * anew. virtiofsd ends when we hang up, so a reset keeps the connection.
 */
#ifndef LANYARD_VMM_VUFS_H
#define LANYARD_VMM_VUFS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/device.h"
#include "vmm/options_disk.h"
#include "vmm/vdev.h"
#include "vmm/vhost_link.h"
#include "vmm/vhost_user.h"

#define VUFS_WAIT_MS      5000
#define VUFS_CONFIG_BYTES 40 /* 5.11.4: the tag, the number of request queues */

struct vufs {
	struct device dev;
	const struct fs_setup *setup; /* borrowed for the device's life */
	struct vdev d;
	struct vhost_user back;
	struct vhost_link link;
	uint8_t config[VUFS_CONFIG_BYTES]; /* constant */

	/* Under the device lock. */
	bool up; /* link: w; the back end is there */
};

/* *out is there after a failure, too: to be freed. */
int vufs_new(unsigned index, const struct fs_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct vufs **out, struct err *e);

#endif
