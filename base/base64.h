/* SPDX-License-Identifier: Apache-2.0 */
/* Base 64 as RFC 4648 has it, with padding. Pure. */
#ifndef LANYARD_BASE_BASE64_H
#define LANYARD_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes of text, without NUL, that len bytes become. */
static inline size_t base64_len(size_t len)
{
	return (len + 2) / 3 * 4;
}

/* out: base64_len(len) + 1 bytes. */
void base64_encode(const void *in, size_t len, char *out);

/* out: at least len / 4 * 3 bytes. Returns how many there are; -EINVAL: that is no base 64. */
ssize_t base64_decode(const char *in, size_t len, uint8_t *out);

#endif
