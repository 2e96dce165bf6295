/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng: every byte against the draft's figures, and what we read back of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/pcapng.h"

/* Section 4.1: type, length, magic, version 1.0, section length unknown, shb_userappl. */
static void section_header(void **state)
{
	static const uint8_t want[] = {
		0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0,            /* type, length */
		0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,             /* magic, major, minor */
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* section length */
		4, 0, 5, 0, 'h', 'e', 'l', 'l', 'o', 0, 0, 0,   /* shb_userappl */
		0, 0, 0, 0, 44, 0, 0, 0,                        /* end of options, length */
	};
	uint8_t out[PCAPNG_HEAD_MAX];

	assert_int_equal(pcapng_put_shb(out, "hello"), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
}

/* Section 4.2. */
static void interface_description(void **state)
{
	static const uint8_t want[] = {
		1, 0, 0, 0, 48, 0, 0, 0,        /* type, length */
		1, 0, 0, 0, 0x34, 0x12, 0, 0,   /* Ethernet, reserved, snaplen */
		2, 0, 3, 0, 'a', '.', '0', 0,   /* if_name */
		3, 0, 4, 0, 'p', 'o', 'r', 't', /* if_description */
		9, 0, 1, 0, 9, 0, 0, 0,         /* if_tsresol */
		0, 0, 0, 0, 48, 0, 0, 0,        /* end of options, length */
	};
	uint8_t out[PCAPNG_HEAD_MAX];

	assert_int_equal(pcapng_put_idb(out, "a.0", "port", 0x1234), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
}

/* Section 4.3: times in two halves, high first; data padded to 4 bytes. */
static void packet(void **state)
{
	static const uint8_t want[] = {
		6, 0, 0, 0, 52, 0, 0, 0,            /* type, length */
		0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, /* interface, time */
		5, 0, 0, 0, 60, 0, 0, 0,            /* captured, original length */
		1, 2, 3, 4, 5, 0, 0, 0,             /* data, padding */
		2, 0, 4, 0, 2, 0, 0, 0,             /* epb_flags: outbound */
		0, 0, 0, 0, 52, 0, 0, 0,            /* end of options, length */
	};
	const uint8_t data[] = { 1, 2, 3, 4, 5 };
	struct pcapng_packet p = { .time_ns = 0x0102030405060708ull,
		.cap_len = 5,
		.len = 60,
		.dir = PCAPNG_OUTBOUND,
		.data = data };
	struct pcapng_packet back;
	struct pcapng_block b;
	uint8_t out[100];

	assert_int_equal(pcapng_put_epb(out, &p), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(pcapng_block(out, sizeof(out), &b), sizeof(want));
	assert_int_equal(b.type, PCAPNG_EPB);
	assert_int_equal(pcapng_get_epb(&b, &back), 0);
	assert_true(back.time_ns == p.time_ns && back.cap_len == 5 && back.len == 60);
	assert_int_equal(back.dir, PCAPNG_OUTBOUND);
	assert_memory_equal(back.data, data, 5);
}

/* Section 4.6; the last one alone has an end time. */
static void statistics(void **state)
{
	static const uint8_t want[] = {
		5, 0, 0, 0, 76, 0, 0, 0,              /* type, length */
		0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0,   /* interface, time */
		2, 0, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0,   /* isb_starttime */
		3, 0, 8, 0, 0, 0, 0, 0, 12, 0, 0, 0,  /* isb_endtime */
		4, 0, 8, 0, 100, 0, 0, 0, 0, 0, 0, 0, /* isb_ifrecv */
		5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0,   /* isb_ifdrop */
		0, 0, 0, 0, 76, 0, 0, 0,              /* end of options, length */
	};
	struct pcapng_stats s = { .time_ns = 9,
		.start_ns = 1ull << 32 | 2,
		.end_ns = 12,
		.received = 100,
		.dropped = 7 };
	struct pcapng_stats back;
	struct pcapng_block b;
	uint8_t out[PCAPNG_ISB_MAX];

	assert_int_equal(pcapng_put_isb(out, &s), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(pcapng_block(out, sizeof(out), &b), sizeof(want));
	assert_int_equal(pcapng_get_isb(&b, &back), 0);
	assert_memory_equal(&back, &s, sizeof(s));
	s.end_ns = 0;
	assert_int_equal(pcapng_put_isb(out, &s), sizeof(want) - 12);
	assert_int_equal(pcapng_block(out, sizeof(out), &b), sizeof(want) - 12);
	assert_int_equal(pcapng_get_isb(&b, &back), 0);
	assert_memory_equal(&back, &s, sizeof(s));
}

/* All sizes: whole blocks, padded, none longer than promised, and read back as written. */
static void sizes(void **state)
{
	static uint8_t data[3000], out[4000];

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3);
	for (uint32_t n = 0; n < sizeof(data); n++) {
		struct pcapng_packet p = { .cap_len = n, .len = n + 9, .data = data, .dir = 1 };
		struct pcapng_packet back;
		struct pcapng_block b;
		size_t len = pcapng_put_epb(out, &p);

		assert_true(len % 4 == 0 && len <= n + PCAPNG_EPB_EXTRA);
		assert_int_equal(pcapng_block(out, len - 1, &b), 0);
		assert_int_equal(pcapng_block(out, len, &b), (long)len);
		assert_int_equal(pcapng_get_epb(&b, &back), 0);
		assert_true(back.cap_len == n && back.len == n + 9 && back.dir == 1);
		assert_memory_equal(back.data, data, n);
	}
	memset(data, 'x', sizeof(data));
	data[sizeof(data) - 1] = '\0';
	assert_true(pcapng_put_shb(out, (char *)data) +
			pcapng_put_idb(out, (char *)data, (char *)data, 1) <=
		PCAPNG_HEAD_MAX);
}

/* What is none is said to be none; nothing is read beyond the block. */
static void nonsense(void **state)
{
	uint8_t out[100];
	struct pcapng_packet p = { .cap_len = 5, .len = 5, .data = (const uint8_t *)"12345" }, back;
	struct pcapng_stats s;
	struct pcapng_block b;
	size_t len = pcapng_put_epb(out, &p);

	assert_int_equal(pcapng_block(out, 7, &b), 0);
	out[4]++; /* no multiple of 4 */
	assert_int_equal(pcapng_block(out, len, &b), -EINVAL);
	out[4]--;
	out[len - 4]++; /* the lengths differ */
	assert_int_equal(pcapng_block(out, len, &b), -EINVAL);
	out[len - 4]--;
	out[7] = 0x7f; /* too long for anybody */
	assert_int_equal(pcapng_block(out, len, &b), -EINVAL);
	out[7] = 0;
	out[20] = 200; /* more captured than there is */
	assert_int_equal(pcapng_block(out, len, &b), (long)len);
	assert_int_equal(pcapng_get_epb(&b, &back), -EINVAL);
	out[20] = 5;
	out[38] = 200; /* an option that is longer than the block */
	assert_int_equal(pcapng_block(out, len, &b), (long)len);
	assert_int_equal(pcapng_get_epb(&b, &back), 0);
	assert_int_equal(back.dir, PCAPNG_DIR_UNKNOWN);
	b.body_len = 8;
	assert_int_equal(pcapng_get_epb(&b, &back), -EINVAL);
	assert_int_equal(pcapng_get_isb(&b, &s), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(section_header),
		cmocka_unit_test(interface_description),
		cmocka_unit_test(packet),
		cmocka_unit_test(statistics),
		cmocka_unit_test(sizes),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
