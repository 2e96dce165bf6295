/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed kernel modules to what they were: .xz (liblzma), .zst (libzstd), .gz (zlib). */
#ifndef LANYARD_IMAGE_UNPACK_H
#define LANYARD_IMAGE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define UNPACK_BYTES_MAX (128u << 20)

/* Length of the suffix that says so (".xz"), 0: not compressed. */
size_t unpack_suffix(const char *path);

/* The file, unpacked as its suffix says, to a malloc'd buffer. -EFBIG: more than UNPACK_BYTES_MAX.
 * */
int unpack_file(const char *path, uint8_t **out, size_t *len, struct err *e);

/* As unpack_file, of bytes; path is for its suffix and messages only. Pure. */
int unpack_bytes(const char *path, const uint8_t *in, size_t in_len, uint8_t **out, size_t *len,
	struct err *e);

#endif
