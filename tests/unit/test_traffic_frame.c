/* SPDX-License-Identifier: Apache-2.0 */
/* traffic/frame: what is on the wire, decoded here without its code; what it finds corrupt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "traffic/frame.h"

static const struct ether_mac dst = { { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 } };
static const struct ether_mac src = { { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee } };

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint64_t le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

static void make(uint8_t *f, uint32_t size, uint32_t l4, uint32_t seed, uint64_t seq, uint64_t tsc)
{
	struct traffic_template t;

	traffic_template_init(&t, dst, src, 0x1234, size, l4);
	traffic_frame_fill(&t, f, seed);
	traffic_frame_stamp(&t, f, seq, tsc);
}

static bool ok(const uint8_t *f, uint32_t len)
{
	return traffic_frame_head_ok(f) && traffic_frame_said_len(f) == len &&
		traffic_frame_body_ok(f, len);
}

static void test_decode(void **state)
{
	static uint8_t f[TRAFFIC_SIZE_MAX + 64];

	for (uint32_t size = TRAFFIC_SIZE_MIN; size <= TRAFFIC_SIZE_MAX; size++) {
		uint32_t len = size - 4, sum = 0;
		uint64_t seq = 0xabcdef012300ull + size;

		memset(f, 0xee, sizeof(f));
		make(f, size, 7, size, seq, 0x1122334455667788ull);
		assert_memory_equal(f, dst.b, 6);
		assert_memory_equal(f + 6, src.b, 6);
		assert_int_equal(be16(f + 12), 0x0800);
		assert_int_equal(f[14], 0x45);
		assert_int_equal(be16(f + 16), len - 14);
		assert_int_equal(f[22], 64);
		assert_int_equal(f[23], 17);
		for (int i = 0; i < 20; i += 2)
			sum += be16(f + 14 + i);
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal(sum, 0xffff);
		assert_memory_equal(f + 26, "\x0a\xcc\xdd\xee", 4);
		assert_memory_equal(f + 30, "\x0a\x33\x44\x55", 4);
		assert_int_equal(be16(f + 34), 49152 + seq % 7);
		assert_int_equal(be16(f + 36), 7681);
		assert_int_equal(be16(f + 38), len - 34);
		assert_int_equal(be16(f + 40), 0);
		assert_int_equal(le(f + 42, 2), 0x1234);
		assert_int_equal(le(f + 44, 6), seq);
		assert_int_equal(le(f + 50, 8), 0x1122334455667788ull);
		assert_true(ok(f, len));
		/* Nothing was written behind the frame. */
		for (int i = 0; i < 16; i++)
			assert_int_equal(f[len + i], 0xee);
	}
}

/* Every single flipped bit of a frame is found, wherever it is. */
static void test_bit_flips(void **state)
{
	static const uint32_t sizes[] = { 64, 65, 72, 79, 80, 81, 95, 96, 97, 111, 112, 113, 128,
		300, 1518, 1519, 9234 };
	static uint8_t f[TRAFFIC_SIZE_MAX];

	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		uint32_t len = sizes[k] - 4;

		make(f, sizes[k], 1, 99 + sizes[k], 1000000007, 123456789012345);
		for (uint32_t bit = 0; bit < len * 8; bit++) {
			f[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (ok(f, len))
				fail_msg("size %u: flipped bit %u not found", sizes[k], bit);
			f[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_true(ok(f, len));
		assert_false(ok(f, len - 1));
	}
}

/* A frame whose first n bytes are of one frame and the rest of another. */
static void test_stitched(void **state)
{
	static uint8_t a[1514], b[1514], f[1514];

	for (int kind = 0; kind < 2; kind++) {
		/* kind 0: two buffers; kind 1: the same buffer, an earlier frame (only the check
		 * at the end and the head differ, so the cut must leave the end old). */
		make(a, 1518, 1, 5, 1000, 7);
		make(b, 1518, 1, kind ? 5 : 6, 744, 5);
		for (uint32_t cut = 60; cut < 1514; cut++) {
			memcpy(f, a, cut);
			memcpy(f + cut, b + cut, 1514 - cut);
			if (ok(f, 1514))
				fail_msg("kind %d: stitched at %u not found", kind, cut);
		}
	}
	/* A body that was never written: zeros, or a repeated line. */
	make(a, 1518, 1, 5, 1000, 7);
	memset(a + 640, 0, 64);
	assert_false(ok(a, 1514));
	make(a, 1518, 1, 5, 1000, 7);
	memcpy(a + 640, a + 576, 64);
	assert_false(ok(a, 1514));
}

static void test_restamp(void **state)
{
	struct traffic_template t;
	static uint8_t f[1514], g[1514];

	/* A prefilled buffer stamped again and again is the same as one made anew. */
	traffic_template_init(&t, dst, src, 0x1234, 1518, 5);
	traffic_frame_fill(&t, f, 77);
	for (uint64_t seq = 0; seq < 100; seq++) {
		traffic_frame_stamp(&t, f, seq, seq * 3);
		make(g, 1518, 5, 77, seq, seq * 3);
		assert_memory_equal(f, g, 1514);
	}
}

/* The property that test_bit_flips rests on, for all 8 factors. */
static void test_factors(void **state)
{
	static const uint64_t k[] = { TRAFFIC_K0, TRAFFIC_K1, TRAFFIC_K2, TRAFFIC_K3, TRAFFIC_K4,
		TRAFFIC_K5, TRAFFIC_K6, TRAFFIC_K7 };

	for (int i = 0; i < 8; i++) {
		assert_true(k[i] & 1);
		for (int s = 0; s < 64; s++) {
			uint64_t top = k[i] << s >> 48;

			assert_true(top != 0 && top != 0xffff);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_stitched),
		cmocka_unit_test(test_restamp),
		cmocka_unit_test(test_factors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
