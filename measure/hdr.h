/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms that others can read: HdrHistogram, 3 significant digits, values from 1 to an hour of
 * nanoseconds, and its "V2 compressed" encoding in base64, which the libraries of that name in
 * Java, C, JavaScript, Python, Go ... decode. Pure.
 *
 * Layout (hdrhistogram.org): values below 2048 have a count each; above, each power of two has 1024
 * of equal width. Encoded, all numbers big endian:
 *
 *	u32 0x1c849314, u32 length, a zlib stream of:
 *	u32 0x1c849313, u32 length of the counts, i32 0 (normalizing offset), i32 digits,
 *	i64 lowest and highest value that it tells apart, double 1.0 (conversion ratio),
 *	counts: ZigZag LEB128 (9 bytes at most), a negative one is so many zeros
 */
#ifndef LANYARD_MEASURE_HDR_H
#define LANYARD_MEASURE_HDR_H

#include <stdint.h>

#include "base/err.h"

#define HDR_DIGITS    3
#define HDR_SUB_BITS  10 /* 2^10 counts to a power of two: 1000 is what 3 digits ask for */
#define HDR_VALUE_MAX 3600000000000ull
/* 2^41 <= HDR_VALUE_MAX < 2^42: 2048 counts, and 1024 for each power from 2^11 to 2^41. */
#define HDR_COUNTS ((2u << HDR_SUB_BITS) + ((41u - HDR_SUB_BITS) << HDR_SUB_BITS))

struct hdr {
	uint64_t total;
	uint64_t count[HDR_COUNTS];
};

/* Zeroed, to be freed with free(); NULL: no memory. */
struct hdr *hdr_new(void);

/* n times the value; one above HDR_VALUE_MAX counts as that. */
void hdr_add(struct hdr *h, uint64_t value, uint64_t n);

/* The highest value of the count in which the quantile lies, as HdrHistogram's libraries answer;
 * ppm: millionths, 500000 is the median. 0 if there are no values. */
uint64_t hdr_quantile(const struct hdr *h, uint32_t ppm);

/* The base64 text, "HISTFAAAA...", to be freed; NULL with *e. */
char *hdr_encode(const struct hdr *h, struct err *e);

#endif
