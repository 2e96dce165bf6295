/* SPDX-License-Identifier: Apache-2.0 */
/* Little- and big-endian integers that don't do arithmetic. Freestanding. */
#ifndef LANYARD_BASE_WIRE_H
#define LANYARD_BASE_WIRE_H

#include <stdint.h>

#define WIRE_TYPE(name, bits, to, from)                     \
	typedef struct {                                    \
		uint##bits##_t raw;                         \
	} name##_t;                                         \
	static inline uint##bits##_t name##_get(name##_t v) \
	{                                                   \
		return to(v.raw);                           \
	}                                                   \
	static inline name##_t name##_of(uint##bits##_t v)  \
	{                                                   \
		return (name##_t){ from(v) };               \
	}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Lanyard runs on x86-64"
#endif
#define WIRE_SAME(v) (v)

WIRE_TYPE(le16, 16, WIRE_SAME, WIRE_SAME)
WIRE_TYPE(le32, 32, WIRE_SAME, WIRE_SAME)
WIRE_TYPE(le64, 64, WIRE_SAME, WIRE_SAME)
WIRE_TYPE(be16, 16, __builtin_bswap16, __builtin_bswap16)
WIRE_TYPE(be32, 32, __builtin_bswap32, __builtin_bswap32)
WIRE_TYPE(be64, 64, __builtin_bswap64, __builtin_bswap64)

#endif
