/* SPDX-License-Identifier: Apache-2.0 */
/* The line that people see of a frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lab/capture_line.h"

/* 2026-11-22 21:05:25 UTC */
#define AT (1795381525ull * 1000000000 + 123456789)

static void expect(const char *want, const char *header, size_t cap, enum pcapng_dir dir)
{
	char data[64] = "", out[CAPTURE_LINE_MAX];
	struct pcapng_packet p = {
		.time_ns = AT, .cap_len = (uint32_t)cap, .len = 1514, .dir = dir
	};
	uint8_t *copy = malloc(cap ? cap : 1); /* exactly: a sanitizer sees any byte too many */
	size_t n;

	memcpy(data, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01", 12);
	memcpy(data + 12, header, 20);
	memcpy(copy, data, cap);
	p.data = copy;
	n = capture_line(out, &p);
	assert_int_equal(n, strlen(out));
	assert_string_equal(out, want);
	free(copy);
}

#define WHEN  "21:05:25.123456789"
#define ADDRS " 02:00:00:00:00:01 > 02:00:00:00:00:02"

static void lines(void **state)
{
	static const char ip4[20] = "\x08\0", ip6[20] = "\x86\xdd", other[20] = "\x88\xb5";
	static const char tagged[20] = "\x81\0\x60\x0a\x08\x06", llc[20] = "\0\x40";
	static const char twice[20] = "\x88\xa8\0\x05\x81\0\x0f\xfe\x86\xdd";

	setenv("TZ", "UTC", 1);
	tzset();
	expect(WHEN " rx" ADDRS " IPv4 1514 bytes\n", ip4, 60, PCAPNG_INBOUND);
	expect(WHEN " tx" ADDRS " IPv6 1514 bytes\n", ip6, 60, PCAPNG_OUTBOUND);
	expect(WHEN " tx" ADDRS " 0x88b5 1514 bytes\n", other, 14, PCAPNG_OUTBOUND);
	expect(WHEN " tx" ADDRS " 802.3 1514 bytes\n", llc, 14, PCAPNG_OUTBOUND);
	expect(WHEN " rx" ADDRS " vlan 10 ARP 1514 bytes\n", tagged, 18, PCAPNG_INBOUND);
	expect(WHEN " rx" ADDRS " vlan 5 vlan 4094 IPv6 1514 bytes\n", twice, 22, PCAPNG_INBOUND);
	/* Cut within the tag, within the addresses, to nothing. */
	expect(WHEN " rx" ADDRS " 0x8100 1514 bytes\n", tagged, 17, PCAPNG_INBOUND);
	expect(WHEN " rx (header not captured) 1514 bytes\n", ip4, 13, PCAPNG_INBOUND);
	expect(WHEN " -- (header not captured) 1514 bytes\n", ip4, 0, PCAPNG_DIR_UNKNOWN);
}

/* The longest that there may be, with room for it. */
static void longest(void **state)
{
	static uint8_t data[64];
	char out[CAPTURE_LINE_MAX];
	struct pcapng_packet p = {
		.time_ns = UINT64_MAX, .cap_len = 64, .len = UINT32_MAX, .data = data
	};

	for (int i = 12; i < 60; i += 4)
		memcpy(data + i, "\x81\0\x0f\xff", 4);
	assert_true(capture_line(out, &p) < CAPTURE_LINE_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
