/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file or block device behind a disk: opened, checked and locked once, at the start.
 *
 * It goes through the host's page cache (no O_DIRECT): a guest's buffers are aligned to 512 bytes
 * and a file system may want more, tmpfs and 9p take no O_DIRECT at all, and what several VMs read
 * from one base image is in memory once. The guest knows of the cache (it is offered FLUSH, which
 * is fdatasync), so that what it had confirmed as flushed survives the host's end too.
 *
 * The lock is an OFD lock on the whole file, exclusive, or shared for readonly: one writer or any
 * number of readers, QEMU included. It goes when the process ends, however it does.
 */
#ifndef LANYARD_VMM_BLK_FILE_H
#define LANYARD_VMM_BLK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define BLK_SECTOR 512u /* the unit of virtio-blk, whatever the disk's */

struct blk_file {
	int fd;
	uint64_t size; /* bytes; a multiple of BLK_SECTOR */
	bool readonly;
	bool discards;       /* parts of it can be given back */
	uint32_t block_size; /* bytes: what the guest should address it in, */
	uint32_t physical;   /* and write whole; both powers of two */
};

/* ERR_REQUEST for what is no disk, ERR_HOST for what may not be opened or is locked. */
int blk_file_open(struct blk_file *f, const char *path, bool readonly, struct err *e);
void blk_file_close(struct blk_file *f); /* also after a failure, and of a zeroed one with fd -1 */

#endif
