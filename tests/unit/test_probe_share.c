/* SPDX-License-Identifier: Apache-2.0 */
/* When the probe takes itself for one of several on its CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guest/probe/share.h"

#define HZ 1000000000ull
#define US (HZ / 1000000)
#define MS (HZ / 1000)

/* Rounds of 1 us for span; every period the CPU is away for gap. Returns the time after. */
static uint64_t run(struct share *s, uint64_t now, uint64_t span, uint64_t period, uint64_t gap)
{
	uint64_t end = now + span, next = now + period;

	while (now < end) {
		now += US;
		if (gap && now >= next) {
			now += gap;
			next = now + period;
		}
		share_round(s, now);
	}
	return now;
}

static void test_alone(void **state)
{
	struct share s;
	uint64_t now = 5;

	share_init(&s, HZ, now);
	now = run(&s, now, HZ, 0, 0);
	assert_false(s.polite);
	/* Short interruptions, and long ones that are rare, are nobody's sharing. */
	now = run(&s, now, HZ, 1 * MS, 100 * US);
	assert_false(s.polite);
	now = run(&s, now, HZ, 100 * MS, 2 * MS);
	assert_false(s.polite);
}

static void test_shared(void **state)
{
	struct share s;
	uint64_t now = 5, hold;

	share_init(&s, HZ, now);
	now = run(&s, now, 100 * MS, 4 * MS, 4 * MS);
	assert_true(s.polite);
	/* For a while only, when it is alone again. */
	now = run(&s, now, 150 * MS, 0, 0);
	assert_true(s.polite);
	now = run(&s, now, 100 * MS, 0, 0);
	assert_false(s.polite);
	/* Again soon after: for longer, but never for ever. */
	hold = s.hold;
	for (int i = 0; i < 20; i++) {
		now = run(&s, now, 50 * MS, 4 * MS, 4 * MS);
		assert_true(s.polite);
		now = run(&s, now, s.hold + 50 * MS, 0, 0);
		assert_false(s.polite);
	}
	assert_true(s.hold > hold);
	assert_true(s.hold <= s.hold_max_tsc);
	/* Long after it begins anew. */
	now = run(&s, now, 6 * HZ, 0, 0);
	run(&s, now, 50 * MS, 4 * MS, 4 * MS);
	assert_int_equal(s.hold, s.hold_min_tsc);
}

/* Time that it gave away by sleeping is not taken from it. */
static void test_sleep(void **state)
{
	struct share s;
	uint64_t now = 5;

	share_init(&s, HZ, now);
	for (int i = 0; i < 1000; i++) {
		now = run(&s, now, 100 * US, 0, 0) + 900 * US;
		share_slept(&s, now);
	}
	assert_false(s.polite);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
