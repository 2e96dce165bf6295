/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is loaded into a guest: a file, or bytes in memory. A file is opened once and read again at
 * each reset, straight into guest memory; one that is replaced on disk meanwhile does not matter,
 * one that shrank is read as truncated. It is not trusted. Main thread.
 */
#ifndef LANYARD_VMM_BOOT_FILE_H
#define LANYARD_VMM_BOOT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct boot_file {
	const char *name; /* for messages */
	int fd;           /* -1: bytes, or not opened */
	const uint8_t *bytes;
	uint64_t size;
};

/*
 * `what` ("guest file") begins the sentence, `expected` ends it, `field` is the option's name.
 * ERR_REQUEST where it is missing, or no regular file.
 */
int boot_file_open(struct boot_file *f, const char *path, const char *what, const char *expected,
	const char *field, struct err *e);
void boot_file_close(struct boot_file *f);

/* len bytes at off into buf; false if the file has not that many. */
bool boot_file_read(const struct boot_file *f, uint64_t off, void *buf, uint64_t len);

#endif
