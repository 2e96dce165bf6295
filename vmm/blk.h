/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-blk device (virtio 1.2, 5.2) on a file or block device of the host.
 *
 * blk.c         what a disk is to its driver: features, configuration
 * blk_queue.c   the thread of a queue, and its io_uring
 * blk_request.c requests: read from the guest, given to the host, answered
 * blk_file.c    the file: opened, checked, locked
 *
 * Whatever a request says, and whatever the host answers, ends in the request's status. Only a
 * ring that makes no sense, or a request without a place for its status, is NEEDS_RESET.
 */
#ifndef LANYARD_VMM_BLK_H
#define LANYARD_VMM_BLK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/blk_file.h"
#include "vmm/device.h"
#include "vmm/options_disk.h"
#include "vmm/vdev.h"
#include "vmm/virtio_blk.h"
#include "vmm/vserve.h"

#define BLK_SEG_MAX    126
#define BLK_CONFIG_LEN 60

_Static_assert(DISK_QUEUES_MAX <= VSERVE_QUEUES_MAX, "a thread each");

/* Sectors of a discard or of a request to write zeroes: 2 GiB - 4 KiB. */
#define BLK_RANGE_MAX 0x3ffff8u

/* What a disk did. Queues' threads: w, relaxed. */
enum blk_count {
	BLK_READS,
	BLK_WRITES,
	BLK_FLUSHES,
	BLK_DISCARDS,
	BLK_ZEROES,
	BLK_READ_BYTES,
	BLK_WRITTEN_BYTES,
	BLK_FAILED,  /* the host could not */
	BLK_REFUSED, /* requests that made no sense */
	BLK_COUNTS,
};

struct blk_queue;

struct blk {
	struct device dev;
	const struct disk_setup *setup; /* borrowed for the disk's life */
	struct blk_file file;
	struct vdev d;
	struct vserve serve;
	uint8_t config[BLK_CONFIG_LEN];
	struct blk_queue *queue[DISK_QUEUES_MAX];
	atomic_ulong counts[BLK_COUNTS];
};

/* *out is there after a failure, too: to be freed. */
int blk_new(unsigned index, const struct disk_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct blk **out, struct err *e);

/* blk_queue.c */
/* ERR_HOST if there is no io_uring to be had. */
int blk_queue_new(struct blk *b, struct vserve_queue *q, struct blk_queue **out, struct err *e);
void blk_queue_free(struct blk_queue *q);
/* The thread; arg: struct vserve_queue. */
void *blk_queue_run(void *arg);

static inline void blk_count(struct blk *b, enum blk_count which, uint64_t n)
{
	atomic_fetch_add_explicit(&b->counts[which], n, memory_order_relaxed);
}

#endif
