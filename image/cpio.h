/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of "newc" cpio archives, what Linux unpacks as an initramfs (Linux:
 * Documentation/driver-api/early-userspace/buffer-format.rst). Streamed: a header, then exactly as
 * many bytes as it said. Owner root, time 0, inode numbers in order: the same calls, the same
 * bytes.
 */
#ifndef LANYARD_IMAGE_CPIO_H
#define LANYARD_IMAGE_CPIO_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/err.h"

struct cpio {
	FILE *f;
	const char *name; /* of the archive, for messages */
	uint64_t bytes, max_bytes;
	uint32_t inode;
	uint64_t left; /* of the current entry's data */
	uint32_t pad;  /* after it */
};

/* f is borrowed, and stays the caller's to close. */
void cpio_init(struct cpio *c, FILE *f, const char *name, uint64_t max_bytes);

/* Begins an entry; path without a leading slash. size bytes of cpio_data must follow. dev: of
 * device nodes. -EFBIG: the archive would be larger than max_bytes (ERR_REQUEST). */
int cpio_entry(
	struct cpio *c, const char *path, mode_t mode, uint64_t size, dev_t dev, struct err *e);
int cpio_data(struct cpio *c, const void *buf, size_t len, struct err *e);

/* The trailer, padded to 512 bytes, and all of it flushed. */
int cpio_finish(struct cpio *c, struct err *e);

#endif
