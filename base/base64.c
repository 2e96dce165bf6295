/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *in, size_t len, char *out)
{
	const uint8_t *p = in;

	for (; len >= 3; len -= 3, p += 3) {
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = digits[p[2] & 63];
	}
	if (len) {
		uint8_t second = len == 2 ? p[1] : 0;

		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | second >> 4];
		*out++ = len == 2 ? digits[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	*out = '\0';
}

static int digit(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

ssize_t base64_decode(const char *in, size_t len, uint8_t *out)
{
	uint8_t *p = out;

	if (len % 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4) {
		bool last = i + 4 == len;
		int pad = last && in[i + 3] == '=' ? in[i + 2] == '=' ? 2 : 1 : 0;
		int v[4] = { 0 };

		for (int k = 0; k < 4 - pad; k++) {
			v[k] = digit(in[i + (size_t)k]);
			if (v[k] < 0)
				return -EINVAL;
		}
		*p++ = (uint8_t)(v[0] << 2 | v[1] >> 4);
		if (pad < 2)
			*p++ = (uint8_t)(v[1] << 4 | v[2] >> 2);
		if (pad < 1)
			*p++ = (uint8_t)(v[2] << 6 | v[3]);
	}
	return p - out;
}
