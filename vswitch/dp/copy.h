/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of frames. Exactly len bytes are read and written, never one more: what lies behind a
 * frame in the sender's memory is none of the receiver's business.
 *
 * Short copies are done by two overlapping halves without a loop; 16-byte SSE2 registers are in
 * every x86-64. Long ones go to libc's memcpy, which picks its code by the CPU at load time.
 */
#ifndef LANYARD_VSWITCH_DP_COPY_H
#define LANYARD_VSWITCH_DP_COPY_H

#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void copy_16(uint8_t *dst, const uint8_t *src)
{
	_mm_storeu_si128((__m128i *)dst, _mm_loadu_si128((const __m128i *)src));
}

/* len <= 64 */
static inline void copy_upto_64(uint8_t *dst, const uint8_t *src, size_t len)
{
	if (__builtin_expect(len >= 32, 1)) {
		__m128i a = _mm_loadu_si128((const __m128i *)src);
		__m128i b = _mm_loadu_si128((const __m128i *)(src + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(src + len - 32));
		__m128i d = _mm_loadu_si128((const __m128i *)(src + len - 16));

		_mm_storeu_si128((__m128i *)dst, a);
		_mm_storeu_si128((__m128i *)(dst + 16), b);
		_mm_storeu_si128((__m128i *)(dst + len - 32), c);
		_mm_storeu_si128((__m128i *)(dst + len - 16), d);
		return;
	}
	if (len >= 16) {
		copy_16(dst, src);
		copy_16(dst + len - 16, src + len - 16);
	} else if (len >= 8) {
		uint64_t a, b;

		memcpy(&a, src, 8);
		memcpy(&b, src + len - 8, 8);
		memcpy(dst, &a, 8);
		memcpy(dst + len - 8, &b, 8);
	} else if (len >= 4) {
		uint32_t a, b;

		memcpy(&a, src, 4);
		memcpy(&b, src + len - 4, 4);
		memcpy(dst, &a, 4);
		memcpy(dst + len - 4, &b, 4);
	} else if (len) {
		dst[0] = src[0];
		if (len > 1) {
			dst[1] = src[1];
			dst[len - 1] = src[len - 1];
		}
	}
}

/* Asks for a line in order to write it. GCC's builtin does so only where -m flags say that the CPU
 * has it; those that have not take it for a no-op. */
static inline void prefetch_write(const void *p)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
}

/* Any length; the areas don't overlap (two guests' memory, or ours). */
static inline void copy_bytes(uint8_t *dst, const uint8_t *src, size_t len)
{
	if (len <= 64)
		copy_upto_64(dst, src, len);
	else
		memcpy(dst, src, len);
}

#endif
