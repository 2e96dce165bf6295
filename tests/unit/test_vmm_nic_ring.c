/* SPDX-License-Identifier: Apache-2.0 */
/* Where a new back end begins: vmm/nic_ring.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/nic_ring.h"

#define SIZE 8

struct rings {
	struct {
		uint16_t flags, idx, head[SIZE], used_event;
	} avail;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t head, len;
		} e[SIZE];
		uint16_t avail_event;
	} used;
};

/* Heads are told apart by their slot: 100 + slot. */
static struct rings rings_of(uint16_t used, uint16_t avail)
{
	struct rings r;

	memset(&r, 0xee, sizeof(r));
	r.avail.idx = avail;
	r.used.idx = used;
	for (uint16_t i = 0; i < SIZE; i++)
		r.avail.head[i] = 100 + i;
	return r;
}

static void test_receive(void **state)
{
	struct rings r = rings_of(7, 12), before = r;

	assert_int_equal(nic_ring_resume_receive(&r.used), 7);
	assert_memory_equal(&r, &before, sizeof(r));
}

/* Frames under way are returned, each once, in order, and not sent again; over the wrap too. */
static void test_transmit(void **state)
{
	struct rings r = rings_of(65534, 3);

	assert_int_equal(nic_ring_resume_transmit(&r.avail, &r.used, SIZE), 3);
	assert_int_equal(r.used.idx, 3);
	for (uint16_t at = 65534; at != 3; at++) {
		assert_int_equal(r.used.e[at % SIZE].head, 100 + at % SIZE);
		assert_int_equal(r.used.e[at % SIZE].len, 0);
	}
	/* Entries returned before are as they were, and so is what lies behind the ring. */
	for (uint16_t slot = 3; slot < 6; slot++)
		assert_int_equal(r.used.e[slot].head, 0xeeeeeeee);
	assert_int_equal(r.used.avail_event, 0xeeee);
	assert_int_equal(r.avail.idx, 3);
}

static void test_transmit_nothing_under_way(void **state)
{
	struct rings r = rings_of(40, 40), before = r;

	assert_int_equal(nic_ring_resume_transmit(&r.avail, &r.used, SIZE), 40);
	assert_memory_equal(&r, &before, sizeof(r));
}

static void test_transmit_full(void **state)
{
	struct rings r = rings_of(5, 5 + SIZE);

	assert_int_equal(nic_ring_resume_transmit(&r.avail, &r.used, SIZE), 5 + SIZE);
	for (uint16_t slot = 0; slot < SIZE; slot++)
		assert_int_equal(r.used.e[slot].head, 100 + slot);
}

static void test_transmit_nonsense(void **state)
{
	struct rings r = rings_of(5, 5 + SIZE + 1), before = r;

	assert_int_equal(nic_ring_resume_transmit(&r.avail, &r.used, SIZE), 5);
	assert_memory_equal(&r, &before, sizeof(r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_transmit),
		cmocka_unit_test(test_transmit_nothing_under_way),
		cmocka_unit_test(test_transmit_full),
		cmocka_unit_test(test_transmit_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
