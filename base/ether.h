/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet addresses. Freestanding: the probe includes it. */
#ifndef LANYARD_BASE_ETHER_H
#define LANYARD_BASE_ETHER_H

#include <stdbool.h>
#include <stdint.h>

struct ether_mac {
	uint8_t b[6];
};

#define ETHER_HDR_LEN 14 /* destination, source, type */
#define ETHER_FCS_LEN 4  /* frame sizes count it (RFC 2544); buffers don't hold it */
#define ETHER_MAC_STR 18 /* "02:00:00:00:00:01" and NUL */

static inline bool ether_mac_is_multicast(struct ether_mac m)
{
	return m.b[0] & 1;
}

static inline bool ether_mac_is_zero(struct ether_mac m)
{
	return !(m.b[0] | m.b[1] | m.b[2] | m.b[3] | m.b[4] | m.b[5]);
}

static inline uint64_t ether_mac_u64(struct ether_mac m)
{
	return (uint64_t)m.b[0] << 40 | (uint64_t)m.b[1] << 32 | (uint64_t)m.b[2] << 24 |
		(uint64_t)m.b[3] << 16 | (uint64_t)m.b[4] << 8 | m.b[5];
}

/* "xx:xx:xx:xx:xx:xx" in either case, all of it. 0 or -1. */
static inline int ether_mac_parse(const char *s, struct ether_mac *m)
{
	for (int i = 0; i < 6; i++) {
		unsigned v = 0;

		for (int j = 0; j < 2; j++, s++) {
			unsigned c = (unsigned char)*s | 0x20;

			if (*s >= '0' && *s <= '9')
				v = v << 4 | (unsigned)(*s - '0');
			else if (c >= 'a' && c <= 'f')
				v = v << 4 | (c - 'a' + 10);
			else
				return -1;
		}
		m->b[i] = (uint8_t)v;
		if (*s++ != (i < 5 ? ':' : '\0'))
			return -1;
	}
	return 0;
}

/* To out[ETHER_MAC_STR]; returns out. */
static inline char *ether_mac_str(struct ether_mac m, char *out)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 6; i++) {
		out[i * 3] = hex[m.b[i] >> 4];
		out[i * 3 + 1] = hex[m.b[i] & 15];
		out[i * 3 + 2] = i < 5 ? ':' : '\0';
	}
	return out;
}

#endif
