/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/hdr.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/base64.h"

#define COOKIE            0x1c849313u
#define COOKIE_COMPRESSED 0x1c849314u
#define HEADER_LEN        40
#define WORD_MAX          9 /* of a count, encoded */

struct hdr *hdr_new(void)
{
	return calloc(1, sizeof(struct hdr));
}

static unsigned shift_of(uint64_t value)
{
	return 63 - (unsigned)__builtin_clzll(value | ((2u << HDR_SUB_BITS) - 1)) - HDR_SUB_BITS;
}

static size_t index_of(uint64_t value)
{
	unsigned shift = shift_of(value);

	return ((size_t)shift << HDR_SUB_BITS) + (size_t)(value >> shift);
}

static uint64_t highest_at(size_t i)
{
	unsigned shift = i < (2u << HDR_SUB_BITS) ? 0 : (unsigned)(i >> HDR_SUB_BITS) - 1;

	return ((i - ((uint64_t)shift << HDR_SUB_BITS)) << shift) + (1ull << shift) - 1;
}

void hdr_add(struct hdr *h, uint64_t value, uint64_t n)
{
	h->count[index_of(value > HDR_VALUE_MAX ? HDR_VALUE_MAX : value)] += n;
	h->total += n;
}

uint64_t hdr_quantile(const struct hdr *h, uint32_t ppm)
{
	uint64_t seen = 0, rank;

	if (!h->total)
		return 0;
	rank = h->total / 1000000 * ppm + (h->total % 1000000 * ppm + 999999) / 1000000;
	if (!rank)
		rank = 1;
	for (size_t i = 0; i < HDR_COUNTS; i++) {
		seen += h->count[i];
		if (seen >= rank)
			return highest_at(i);
	}
	return HDR_VALUE_MAX;
}

static uint8_t *put_word(uint8_t *p, int64_t v)
{
	uint64_t u = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
	int n = 0;

	/* The ninth byte has eight bits of its own. */
	for (; u > 0x7f && n < WORD_MAX - 1; n++, u >>= 7)
		*p++ = (uint8_t)(u | 0x80);
	*p++ = (uint8_t)u;
	return p;
}

/* Up to the last count that is not 0; after it nothing needs saying. */
static uint8_t *put_counts(const struct hdr *h, uint8_t *p)
{
	size_t end = HDR_COUNTS, i = 0;

	while (end && !h->count[end - 1])
		end--;
	while (i < end) {
		size_t zeros = 0;

		while (!h->count[i + zeros])
			zeros++;
		if (zeros)
			p = put_word(p, zeros > 1 ? -(int64_t)zeros : 0);
		i += zeros;
		p = put_word(p, (int64_t)h->count[i++]);
	}
	return p;
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static size_t put_plain(const struct hdr *h, uint8_t *p)
{
	const double ratio = 1;
	uint64_t bits;
	size_t len = (size_t)(put_counts(h, p + HEADER_LEN) - (p + HEADER_LEN));

	memcpy(&bits, &ratio, sizeof(bits));
	put32(p, COOKIE);
	put32(p + 4, (uint32_t)len);
	put32(p + 8, 0);
	put32(p + 12, HDR_DIGITS);
	put64(p + 16, 1);
	put64(p + 24, HDR_VALUE_MAX);
	put64(p + 32, bits);
	return HEADER_LEN + len;
}

char *hdr_encode(const struct hdr *h, struct err *e)
{
	/* Each count takes a word, and at most one of zeros before it. */
	uint8_t *plain = malloc(HEADER_LEN + (size_t)HDR_COUNTS * WORD_MAX), *packed = NULL;
	char *text = NULL;

	if (!plain)
		goto out;
	size_t len = put_plain(h, plain);
	uLongf room = compressBound(len);
	packed = malloc(8 + room);
	if (!packed || compress2(packed + 8, &room, plain, len, Z_BEST_COMPRESSION) != Z_OK)
		goto out;
	put32(packed, COOKIE_COMPRESSED);
	put32(packed + 4, (uint32_t)room);
	text = malloc(base64_len(8 + room) + 1);
	if (text)
		base64_encode(packed, 8 + room, text);
out:
	free(packed);
	free(plain);
	if (!text)
		err_set(e, -ENOMEM, "out of memory for a histogram");
	return text;
}
