/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities with units, as users write them: "64M", "10kpps", "1Gbps". A number without its unit
 * is an error (the sentence names the units). */
#ifndef LANYARD_BASE_UNITS_H
#define LANYARD_BASE_UNITS_H

#include <stdint.h>

#include "base/err.h"

/* Sizes: K, M, G, T are powers of 1024, "B" is bytes. "64M" -> 67108864. */
int units_parse_size(const char *s, uint64_t *bytes, struct err *e);

enum rate_kind { RATE_MAX, RATE_PPS, RATE_BPS };
struct rate {
	enum rate_kind kind;
	uint64_t
		value; /* frames/s, or bits/s at layer 2 with FCS (no preamble or gap); 0 for MAX */
};

/* "max", "[k|M|G]pps", "[k|M|G]bps" (decimal prefixes, fractions allowed). 0 is an error. */
int units_parse_rate(const char *s, struct rate *r, struct err *e);

/* For tables: 1234567 -> "1.23 M" into out[16] (significant digits 3); size -> "64M". */
char *units_format_si(double v, char *out);
char *units_format_size(uint64_t bytes, char *out);

#endif
