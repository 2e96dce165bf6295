/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng with no machine: its bytes, its rate, and buffers that make no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/virtio_rig.h"
#include "vmm/rng.h"

#define BUF 0x2800000u
#define V1  VIRTIO_BIT(VIRTIO_F_VERSION_1)

static struct virtio_rig r;
static struct rng *dev;

static int setup(void **state)
{
	struct err e = { 0 };

	rig_init(&r);
	if (rng_new(RIG_BAR, &r.host, &dev, &e) || dev->dev.ops->start(&dev->dev, &e))
		return -1;
	rig_plug(&r, &dev->d);
	return 0;
}

static int teardown(void **state)
{
	dev->dev.ops->free(&dev->dev);
	rig_fini(&r);
	return 0;
}

/* Adds a buffer of n bytes and waits for it: how many of them were filled. */
static uint32_t get(uint32_t n)
{
	struct vq_seg seg[2] = { { BUF, n / 2, true }, { BUF + n / 2, n - n / 2, true } };
	uint16_t id, used;
	uint32_t len = 0;

	assert_true(vq_add(&r.q[0], seg, 2, false, &id));
	rig_kick(&r, 0);
	while (!vq_take(&r.q[0], &used, &len))
		assert_true(rig_wait(&r, 1));
	assert_int_equal(used, id);
	return len;
}

static void test_bytes(void **state)
{
	unsigned count[256] = { 0 }, lowest = ~0u;

	assert_true(rig_start(&r, 1, 8, V1 | VIRTIO_BIT(VIRTIO_F_EVENT_IDX)));
	r.m[BUF + 64] = 0xee;
	assert_int_equal(get(64), 64);
	assert_int_equal(r.m[BUF + 64], 0xee);
	/* More than a burst in all: some of it is waited for. */
	for (int i = 0; i < 8; i++) {
		assert_int_equal(get(64 << 10), RNG_CHAIN_MAX);
		for (unsigned k = 0; k < RNG_CHAIN_MAX / 2; k++)
			count[r.m[BUF + k]]++;
	}
	for (int i = 0; i < 256; i++)
		lowest = count[i] < lowest ? count[i] : lowest;
	assert_true(lowest > 128); /* of 256 on average */
	assert_int_equal(dev->bytes, 64 + 8 * RNG_CHAIN_MAX);
	assert_true(rig_reset(&r));
	assert_true(rig_start(&r, 1, 8, V1));
	assert_int_equal(get(1), 1);
}

static void test_nonsense(void **state)
{
	struct vq_seg seg = { BUF, 64, false };
	uint64_t until = clock_now_ns() + RIG_WAIT_MS * NS_PER_MS;
	uint16_t id;

	assert_true(rig_start(&r, 1, 8, V1));
	vq_add(&r.q[0], &seg, 1, false, &id);
	rig_kick(&r, 0);
	while (!(rig_status(&r) & VIRTIO_S_NEEDS_RESET))
		assert_true(clock_now_ns() < until);
	assert_non_null(strstr(dev->d.v.reason, "64 readable"));
	assert_true(rig_reset(&r));
	assert_true(rig_start(&r, 1, 8, V1));
	assert_int_equal(get(100), 100);
}

static void test_reset_while_it_waits(void **state)
{
	struct vq_seg seg = { BUF, RNG_CHAIN_MAX, true };
	uint16_t id;

	for (int round = 0; round < 20; round++) {
		assert_true(rig_start(&r, 1, 8, V1));
		for (int i = 0; i < 8; i++)
			vq_add(&r.q[0], &seg, 1, false, &id);
		rig_kick(&r, 0);
		if (round % 2) {
			dev->dev.ops->reset(&dev->dev, RIG_WAIT_MS);
			rig_plug(&r, &dev->d);
		} else {
			assert_true(rig_reset(&r));
		}
		memset(r.m + BUF, 0, RNG_CHAIN_MAX);
		for (unsigned i = 0; i < RNG_CHAIN_MAX; i++)
			assert_int_equal(r.m[BUF + i], 0);
	}
}

/* A guest that asks all the time, for little or for much, gets its rate. */
static void test_rate(void **state)
{
	static const uint32_t asks[] = { 1, 64, 1000, RNG_CHAIN_MAX, 1 << 20 };

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct rng x = { .tokens = RNG_BURST };
		uint64_t now = 0, bytes = 0, chains = 0, wait;

		while (now < 10 * NS_PER_S) {
			uint32_t got = rng_allow(&x, asks[i], now, &wait);

			bytes += got;
			chains += got > 0;
			now += got ? 300 : wait;
		}
		assert_true(bytes <= RNG_BURST + 10ull * RNG_BYTES_PER_S);
		assert_true(chains * RNG_CHAIN_MIN <= RNG_BURST + 10ull * RNG_BYTES_PER_S);
		if (asks[i] >= RNG_CHAIN_MIN)
			assert_true(bytes >= 9ull * RNG_BYTES_PER_S);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_bytes),
		T(test_nonsense),
		T(test_reset_while_it_waits),
		T(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
