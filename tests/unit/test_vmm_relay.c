/* SPDX-License-Identifier: Apache-2.0 */
/* Requests passed from a guest's ring to a back end's and back: what is in flight survives a back
 * end, whatever the order in which it completed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/relay_ring.h"

#define SIZE 16

struct rig {
	struct relay_ring r;
	uint16_t avail[3 + SIZE];
	_Alignas(4) uint16_t used[3 + 4 * SIZE];
	_Alignas(8) uint8_t b[RELAY_RING_BYTES];
	uint16_t taken; /* by the back end from its available ring */
};

static uint16_t *b_used(struct rig *g)
{
	return (uint16_t *)(void *)(g->b + RELAY_AVAIL_BYTES);
}

static void init(struct rig *g)
{
	memset(g, 0, sizeof(*g));
	relay_ring_init(&g->r, SIZE, g->avail, g->used);
	assert_int_equal(relay_ring_restart(&g->r, g->b), 0);
}

static void add(struct rig *g, uint16_t head)
{
	g->avail[2 + g->avail[1]++ % SIZE] = head;
}

static int forward(struct rig *g)
{
	struct err e = { 0 };
	bool kick;

	return relay_ring_forward(&g->r, &kick, &e);
}

static uint16_t take(struct rig *g)
{
	const uint16_t *a = (const uint16_t *)(const void *)g->b;

	assert_int_not_equal(a[1], g->taken);
	return a[2 + g->taken++ % SIZE];
}

static void push(struct rig *g, uint32_t head, uint32_t len)
{
	uint32_t *e = (uint32_t *)(void *)(b_used(g) + 2) + 2 * (b_used(g)[1] % SIZE);

	e[0] = head;
	e[1] = len;
	b_used(g)[1]++;
}

static int complete(struct rig *g, bool *interrupt)
{
	struct err e = { 0 };

	return relay_ring_complete(&g->r, interrupt, &e);
}

static void test_there_and_back(void **state)
{
	struct rig g;
	bool kick, interrupt;
	struct err e = { 0 };

	init(&g);
	add(&g, 5);
	add(&g, 3);
	assert_int_equal(relay_ring_forward(&g.r, &kick, &e), 2);
	assert_true(kick);
	assert_int_equal(take(&g), 5);
	assert_int_equal(take(&g), 3);
	push(&g, 3, 77);
	assert_int_equal(complete(&g, &interrupt), 1);
	assert_true(interrupt);
	assert_int_equal(g.used[1], 1);
	assert_int_equal(g.used[2], 3);
	assert_int_equal(g.used[4], 77);
	assert_int_equal(g.r.n_in_flight, 1);
	b_used(&g)[0] = 1; /* the back end polls */
	add(&g, 3);
	assert_int_equal(relay_ring_forward(&g.r, &kick, &e), 1);
	assert_false(kick);
	g.avail[0] = 1; /* the guest polls */
	push(&g, 5, 0);
	assert_int_equal(complete(&g, &interrupt), 1);
	assert_false(interrupt);
	assert_int_equal(relay_ring_forward(&g.r, &kick, &e), 0);
}

/* 5 was made first and is slow: the ring turns over twice, and then the back end is killed. */
static void test_restart_out_of_order(void **state)
{
	struct rig g;
	bool interrupt;

	init(&g);
	add(&g, 5);
	assert_int_equal(forward(&g), 1);
	assert_int_equal(take(&g), 5);
	for (int i = 0; i < 40; i++) {
		add(&g, (uint16_t)(6 + i % 3));
		assert_int_equal(forward(&g), 1);
		push(&g, take(&g), 0);
		assert_int_equal(complete(&g, &interrupt), 1);
	}
	add(&g, 9);
	add(&g, 1);
	assert_int_equal(forward(&g), 2);
	push(&g, 9, 0); /* completed, but not taken by us yet */
	assert_int_equal(complete(&g, &interrupt), 1);
	add(&g, 2); /* while there is no back end */

	assert_int_equal(relay_ring_restart(&g.r, g.b), 2);
	g.taken = 0;
	assert_int_equal(take(&g), 5);
	assert_int_equal(take(&g), 1);
	assert_int_equal(forward(&g), 1);
	assert_int_equal(take(&g), 2);
	push(&g, 1, 0);
	push(&g, 2, 0);
	push(&g, 5, 0);
	assert_int_equal(complete(&g, &interrupt), 3);
	assert_int_equal(g.used[1], 44);
	assert_int_equal(g.r.n_in_flight, 0);
	assert_int_equal(relay_ring_restart(&g.r, g.b), 0);
}

static void test_guest_at_fault(void **state)
{
	struct rig g;

	init(&g);
	add(&g, SIZE);
	assert_int_equal(forward(&g), -EINVAL);
	init(&g);
	add(&g, 4);
	add(&g, 4);
	assert_int_equal(forward(&g), -EINVAL);
	init(&g);
	g.avail[1] = SIZE + 1;
	assert_int_equal(forward(&g), -EINVAL);
}

static void test_back_end_at_fault(void **state)
{
	struct rig g;
	bool interrupt;

	init(&g);
	push(&g, 0, 0); /* was given nothing */
	assert_int_equal(complete(&g, &interrupt), -EPROTO);
	init(&g);
	add(&g, 4);
	add(&g, 6);
	forward(&g);
	push(&g, 4, 0);
	push(&g, 4, 0); /* the first counts, the second does not */
	assert_int_equal(complete(&g, &interrupt), -EPROTO);
	assert_true(interrupt);
	assert_int_equal(g.used[1], 1);
	assert_int_equal(g.r.n_in_flight, 1);
	init(&g);
	add(&g, 4);
	forward(&g);
	push(&g, 0x10004, 0);
	assert_int_equal(complete(&g, &interrupt), -EPROTO);
	assert_int_equal(g.used[1], 0);
}

/* Any order, any moment of death: each request is completed once. */
static void test_random(void **state)
{
	struct rig g;
	unsigned made = 0, done = 0, seed = 1;
	uint8_t free_head[SIZE];
	uint16_t held[SIZE];
	unsigned n_held = 0;

	memset(free_head, 1, sizeof(free_head));
	init(&g);
	for (int i = 0; i < 200000; i++) {
		unsigned what = rand_r(&seed) % 8, k = rand_r(&seed) % SIZE;
		bool interrupt;

		if (what < 3 && free_head[k]) {
			free_head[k] = 0;
			add(&g, (uint16_t)k);
			made++;
		} else if (what == 3) {
			assert_true(forward(&g) >= 0);
		} else if (what == 4) {
			while (((uint16_t *)(void *)g.b)[1] != g.taken)
				held[n_held++] = take(&g);
		} else if (what == 5 && n_held) {
			unsigned at = k % n_held;

			push(&g, held[at], k);
			held[at] = held[--n_held];
		} else if (what == 6) {
			uint16_t before = g.used[1];
			int n = complete(&g, &interrupt);

			assert_true(n >= 0);
			for (; before != g.used[1]; before++) {
				uint16_t head = g.used[2 + 4 * (before % SIZE)];

				assert_int_equal(free_head[head], 0);
				free_head[head] = 1;
				done++;
			}
		} else if (what == 7 && k == 0 && rand_r(&seed) % 4 == 0) {
			uint16_t before = g.used[1];

			complete(&g, &interrupt); /* as the last of a back end */
			for (; before != g.used[1]; before++, done++)
				free_head[g.used[2 + 4 * (before % SIZE)]] = 1;
			relay_ring_restart(&g.r, g.b);
			n_held = g.taken = 0;
		}
		assert_true(done <= made && made - done <= SIZE);
	}
	assert_true(done > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_restart_out_of_order),
		cmocka_unit_test(test_guest_at_fault),
		cmocka_unit_test(test_back_end_at_fault),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
