/* SPDX-License-Identifier: Apache-2.0 */
/* Loads in, moves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/balance.h"

#define MAX 64

static double loads_of(const struct balance_queue *q, uint32_t n, uint32_t n_workers, double *load)
{
	double squares = 0;

	memset(load, 0, n_workers * sizeof(*load));
	for (uint32_t i = 0; i < n; i++)
		load[q[i].worker] += q[i].load;
	for (uint32_t w = 0; w < n_workers; w++)
		squares += load[w] * load[w];
	return squares;
}

/* Plans, and looks whether the moves are what became of the queues. */
static uint32_t plan(struct balance_queue *q, uint32_t n, uint32_t n_workers, uint32_t max)
{
	struct balance_queue was[MAX];
	struct balance_move m[MAX];
	double load[BALANCE_WORKERS_MAX], before, after;
	uint32_t k, changed = 0;

	memcpy(was, q, n * sizeof(*q));
	before = loads_of(q, n, n_workers, load);
	k = balance_plan(q, n, n_workers, BALANCE_GAIN_MIN, m, max);
	after = loads_of(q, n, n_workers, load);
	assert_true(k <= max);
	for (uint32_t i = 0; i < k; i++) {
		assert_true(m[i].to < n_workers);
		assert_int_not_equal(was[m[i].queue].worker, m[i].to);
		assert_int_equal(q[m[i].queue].worker, m[i].to);
		assert_false(was[m[i].queue].fixed);
	}
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(was[i].fixed, q[i].fixed);
		changed += was[i].worker != q[i].worker;
	}
	assert_int_equal(k, changed);
	if (k)
		assert_true(before - after >= BALANCE_GAIN_MIN * 0.999);
	return k;
}

static void test_two_busy_on_one(void **state)
{
	struct balance_queue q[] = { { 0.5, 0, false }, { 0.5, 0, false } };

	assert_int_equal(1, plan(q, 2, 2, MAX));
	assert_int_not_equal(q[0].worker, q[1].worker);
	assert_int_equal(0, plan(q, 2, 2, MAX));
	/* With one worker there is nothing to plan. */
	q[0].worker = q[1].worker = 0;
	assert_int_equal(0, plan(q, 2, 1, MAX));
}

static void test_an_elephant(void **state)
{
	/* It ends up alone. */
	double load[2];
	struct balance_queue q[] = { { 0.8, 1, false }, { 0.1, 1, false }, { 0.1, 1, false },
		{ 0.05, 0, false } };

	assert_int_equal(2, plan(q, 4, 2, MAX));
	loads_of(q, 4, 2, load);
	assert_true(fabs(load[q[0].worker] - 0.8) < 0.001);
	/* Alone at its worker, it is no obstacle to others. */
	struct balance_queue r[] = { { 0.9, 0, false }, { 0.3, 1, false }, { 0.3, 1, false } };

	assert_int_equal(1, plan(r, 3, 3, MAX));
	assert_int_equal(0, r[0].worker);
	assert_int_equal(3, r[1].worker + r[2].worker); /* 1 and 2 */
}

static void test_not_worth_it(void **state)
{
	struct balance_queue q[] = { { 0.04, 0, false }, { 0.05, 0, false } };
	struct balance_queue near[] = { { 0.40, 0, false }, { 0.08, 0, false },
		{ 0.41, 1, false } };
	struct balance_queue none[] = { { 0, 0, false }, { 0, 0, false } };

	struct balance_move m[2];

	assert_int_equal(0, plan(q, 2, 2, MAX));
	/* But it is if somebody asks for it. */
	assert_int_equal(1, balance_plan(q, 2, 2, BALANCE_GAIN_ASKED, m, 2));
	assert_int_equal(0, balance_plan(q, 2, 2, BALANCE_GAIN_ASKED, m, 2));
	assert_int_equal(0, plan(near, 3, 2, MAX));
	assert_int_equal(0, plan(none, 2, 2, MAX));
	assert_int_equal(0, plan(none, 0, 2, MAX));
}

static void test_many_small_ones(void **state)
{
	struct balance_queue q[MAX];
	double load[2];

	for (uint32_t i = 0; i < MAX; i++)
		q[i] = (struct balance_queue){ 0.015, 0, false };
	assert_int_equal(MAX / 2, plan(q, MAX, 2, MAX));
	loads_of(q, MAX, 2, load);
	assert_true(fabs(load[0] - load[1]) < 0.02);
}

static void test_fixed_and_max(void **state)
{
	struct balance_queue q[] = { { 0.5, 0, true }, { 0.5, 0, true }, { 0.0, 0, false } };
	struct balance_queue r[] = { { 0.2, 0, false }, { 0.2, 0, false }, { 0.2, 0, false },
		{ 0.2, 0, false } };

	assert_int_equal(0, plan(q, 3, 2, MAX));
	assert_int_equal(1, plan(r, 4, 2, 1));
	assert_int_equal(1, plan(r, 4, 2, 1));
	assert_int_equal(0, plan(r, 4, 2, 1));
}

static void test_random(void **state)
{
	srandom(7);
	for (int k = 0; k < 3000; k++) {
		uint32_t n = (uint32_t)random() % MAX, w = 1 + (uint32_t)random() % 8;
		struct balance_queue q[MAX];
		int times = 0;

		for (uint32_t i = 0; i < n; i++)
			q[i] = (struct balance_queue){ (double)(random() % 1000) / 2000,
				(uint16_t)(random() % w), random() % 8 == 0 };
		while (plan(q, n, w, MAX))
			assert_true(++times < 20); /* it comes to rest */
	}
}

/* Loads that tremble by a fifth: after the first moves, none. */
static void test_no_flapping(void **state)
{
	struct balance_queue q[8];
	struct balance_meter m[8] = { 0 };
	uint32_t late = 0;

	srandom(11);
	for (uint32_t i = 0; i < 8; i++)
		q[i] = (struct balance_queue){ 0, 0, false };
	for (int s = 0; s < 300; s++) {
		uint32_t moves;

		for (uint32_t i = 0; i < 8; i++) {
			uint64_t mean = 80 + 20 * i;

			balance_measure(&m[i],
				m[i].last + mean * 9 / 10 + (uint64_t)random() % (mean / 5), 1000);
			q[i].load = m[i].load;
		}
		moves = plan(q, 8, 2, MAX);
		if (s > 10)
			late += moves;
	}
	assert_int_equal(0, late);
}

static void test_meter(void **state)
{
	struct balance_meter m = { 0 };

	for (int i = 1; i <= 10; i++)
		balance_measure(&m, (uint64_t)i * 300, 1000);
	assert_true(fabs(m.load - 0.3) < 0.001);
	balance_measure(&m, 3000, 1000);
	assert_true(fabs(m.load - 0.15) < 0.001);
	/* More than there is, a counter that starts anew, no time: nothing strange comes out. */
	balance_measure(&m, 1000000, 1000);
	assert_true(m.load < 1);
	balance_measure(&m, 5, 1000);
	balance_measure(&m, 10, 0);
	assert_true(m.load >= 0 && m.load < 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_busy_on_one),
		cmocka_unit_test(test_an_elephant),
		cmocka_unit_test(test_not_worth_it),
		cmocka_unit_test(test_many_small_ones),
		cmocka_unit_test(test_fixed_and_max),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_no_flapping),
		cmocka_unit_test(test_meter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
