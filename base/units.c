/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "12" or "12.5" at the start of s: its value, and *end behind it. No sign, no exponent, no hex. */
static bool parse_number(const char *s, double *v, const char **end)
{
	size_t n = strspn(s, "0123456789");
	char buf[32];

	if (n == 0)
		return false;
	if (s[n] == '.') {
		size_t frac = strspn(s + n + 1, "0123456789");

		if (frac == 0)
			return false;
		n += 1 + frac;
	}
	if (n >= sizeof(buf))
		return false;
	memcpy(buf, s, n);
	buf[n] = '\0';
	*v = strtod(buf, NULL);
	*end = s + n;
	return true;
}

int units_parse_size(const char *s, uint64_t *bytes, struct err *e)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = { { "B", 0 }, { "K", 10 }, { "M", 20 }, { "G", 30 }, { "T", 40 } };
	const char *unit;
	double v;

	if (!parse_number(s, &v, &unit))
		return err_request(e, -EINVAL,
			"\"%s\" is no size: expected a number and a unit, such as \"64M\"", s);
	if (!*unit)
		return err_request(e, -EINVAL,
			"size \"%s\" has no unit: add B, K, M, G or T, such as \"%sM\"", s, s);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].unit))
			continue;
		double b = v * (double)(1ull << units[i].shift);

		if (b >= 0x1p62)
			return err_request(e, -ERANGE, "size \"%s\" is too large", s);
		if (b != floor(b))
			return err_request(
				e, -EINVAL, "size \"%s\" is no whole number of bytes", s);
		*bytes = (uint64_t)b;
		return 0;
	}
	return err_request(
		e, -EINVAL, "size \"%s\": unknown unit \"%s\"; use B, K, M, G or T", s, unit);
}

int units_parse_rate(const char *s, struct rate *r, struct err *e)
{
	static const struct {
		const char *prefix;
		double factor;
	} prefixes[] = { { "", 1 }, { "k", 1e3 }, { "M", 1e6 }, { "G", 1e9 } };
	const char *unit;
	double v;

	if (!strcmp(s, "max")) {
		*r = (struct rate){ .kind = RATE_MAX };
		return 0;
	}
	if (!parse_number(s, &v, &unit))
		return err_request(e, -EINVAL,
			"\"%s\" is no rate: expected \"max\" or a number and a unit, such as "
			"\"10kpps\" or \"1Gbps\"",
			s);
	if (!*unit)
		return err_request(e, -EINVAL,
			"rate \"%s\" has no unit: add pps (frames/s) or bps (bits/s) with k, M or G, "
			"such as \"10kpps\" or \"1Gbps\"",
			s);
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t n = strlen(prefixes[i].prefix);
		bool pps, bps;

		if (strncmp(unit, prefixes[i].prefix, n))
			continue;
		pps = !strcmp(unit + n, "pps");
		bps = !strcmp(unit + n, "bps");
		if (!pps && !bps)
			continue;
		double value = round(v * prefixes[i].factor);
		if (value < 1)
			return err_request(
				e, -EINVAL, "rate \"%s\" is 0: nothing would be sent", s);
		if (value > 1e15)
			return err_request(e, -ERANGE, "rate \"%s\" is too large", s);
		*r = (struct rate){ .kind = pps ? RATE_PPS : RATE_BPS, .value = (uint64_t)value };
		return 0;
	}
	return err_request(e, -EINVAL,
		"rate \"%s\": unknown unit \"%s\"; use pps or bps with k, M or G before it", s,
		unit);
}

char *units_format_si(double v, char *out)
{
	static const char prefix[] = { 0, 'k', 'M', 'G', 'T', 'P' };
	unsigned i = 0;
	double a = fabs(v);

	while (a >= 999.5 && i < sizeof(prefix) - 1) {
		a /= 1000;
		v /= 1000;
		i++;
	}
	int decimals = a >= 99.95 ? 0 : a >= 9.995 ? 1 : 2;
	if (i == 0 && v == floor(v))
		decimals = 0;
	if (i)
		snprintf(out, 16, "%.*f %c", decimals, v, prefix[i]);
	else
		snprintf(out, 16, "%.*f", decimals, v);
	return out;
}

char *units_format_size(uint64_t bytes, char *out)
{
	static const char unit[] = { 'B', 'K', 'M', 'G', 'T' };
	unsigned i = 0;

	while (i < sizeof(unit) - 1 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, 16, "%llu%c", (unsigned long long)bytes, unit[i]);
	return out;
}
