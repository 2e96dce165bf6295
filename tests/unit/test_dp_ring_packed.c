/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is peculiar to packed rings: each way to break one, event suppression over the wrap, and
 * where to go on after somebody died. Random layouts are in test_dp_ring.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/dprig.h"
#include "tests/lib/packed_driver.h"
#include "vswitch/dp/ring_packed.h"

#define SIZE   10u
#define V1     (1ull << 32)
#define IND    (1ull << 28)
#define EVENT  (1ull << 29)
#define PACKED (1ull << 34)
#define FREE   (RIG_GPA + 8192)
#define NEXT   VRING_DESC_F_NEXT

static struct rig_guest g;
static struct packed_driver drv;

static struct ring *ring_new(uint64_t features, uint16_t base)
{
	free(g.mem);
	rig_guest_init(&g, 65536, 2, true);
	rig_guest_rings(&g, SIZE, V1 | PACKED | features, 0x8000);
	pd_init(&drv, g.in.ring.pdesc, g.in.ring.driver_event, g.in.ring.device_event, SIZE, base);
	rig_guest_rings(&g, SIZE, V1 | PACKED | features, base);
	return &g.in.ring;
}

/* The driver adds a buffer of n entries. */
static void add(uint16_t n, uint16_t id)
{
	struct vring_packed_desc d[SIZE];

	for (uint16_t i = 0; i < n; i++)
		d[i] = (struct vring_packed_desc){ FREE + 256u * i, 60, 0, 0 };
	assert_true(pd_add(&drv, d, n, id));
}

/* The device uses the next buffer, and publishes it or not. */
static struct ring_chain use(struct ring *r, uint32_t len, bool publish)
{
	struct ring_seg seg[RING_SEGS_MAX];
	struct ring_chain c;
	uint32_t total;

	assert_true(ring_chain_at(r, 0, false, seg, &total, &c) >= 0);
	ring_chain_use(r, &c, len);
	ring_advance(r, c.n);
	if (publish)
		ring_publish(r);
	return c;
}

static void indirect(uint32_t i, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct vring_packed_desc *t = (struct vring_packed_desc *)(void *)(g.mem + 8192);

	t[i] = (struct vring_packed_desc){ addr, len, 0xffff, flags };
}

static void faults(void **state)
{
	static const struct {
		uint64_t features, addr;
		uint32_t len;
		uint16_t flags;
		enum ring_fault fault;
		int n;
	} cases[] = {
		{ 0, FREE, 60, 0, RING_OK, 1 },
		{ 0, RIG_GPA + 32768 - 16, 60, 0, RING_FAULT_BAD_ADDRESS, -22 },
		{ 0, UINT64_MAX, 60, 0, RING_FAULT_ADDRESS_WRAP, -22 },
		{ 0, FREE, 60, VRING_DESC_F_WRITE, RING_FAULT_DIRECTION, -22 },
		{ 0, FREE, 60, NEXT, RING_FAULT_LOOP, -22 }, /* all entries, see below */
		{ 0, FREE, 16, VRING_DESC_F_INDIRECT, RING_FAULT_INDIRECT_OFF, -22 },
		{ IND, FREE, 0, VRING_DESC_F_INDIRECT, RING_FAULT_INDIRECT_SIZE, -22 },
		{ IND, FREE, 24, VRING_DESC_F_INDIRECT, RING_FAULT_INDIRECT_SIZE, -22 },
		{ IND, FREE, 1u << 20, VRING_DESC_F_INDIRECT, RING_FAULT_INDIRECT_SIZE, -22 },
		{ IND, RIG_GPA + 32760, 16, VRING_DESC_F_INDIRECT, RING_FAULT_BAD_ADDRESS, -22 },
		{ IND, UINT64_MAX - 8, 16, VRING_DESC_F_INDIRECT, RING_FAULT_ADDRESS_WRAP, -22 },
		{ IND, FREE, 16, VRING_DESC_F_INDIRECT | NEXT, RING_FAULT_INDIRECT_NEXT, -22 },
		{ IND, FREE, 48, VRING_DESC_F_INDIRECT, RING_OK, 3 },
		{ IND, FREE, 70 * 16, VRING_DESC_F_INDIRECT, RING_OK, -7 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ring *r = ring_new(cases[i].features, 4 | 0x8000);
		struct vring_packed_desc d = { cases[i].addr, cases[i].len, 0, cases[i].flags };
		struct ring_seg seg[RING_SEGS_MAX];
		struct ring_chain c;
		uint32_t len;
		int n;

		/* Flags in a table mean nothing but for WRITE, and that only where we write. */
		for (uint32_t k = 0; k < 70; k++)
			indirect(k, FREE + 4096, 8, (uint16_t)(k * 0x1111));
		for (uint16_t k = 0; k < (cases[i].flags & NEXT ? SIZE : 1); k++)
			assert_true(pd_add(&drv, &d, 1, 7));
		if (cases[i].fault == RING_FAULT_LOOP)
			for (uint16_t k = 0; k < SIZE; k++)
				r->pdesc[k].flags |= NEXT;
		n = ring_chain_at(r, 0, false, seg, &len, &c);
		assert_int_equal(r->fault, cases[i].fault);
		assert_int_equal(n, cases[i].n);
	}
	for (int writable = 0; writable < 2; writable++) {
		struct ring *r = ring_new(IND, 0x8000);
		struct vring_packed_desc d = { FREE, 32, 0, VRING_DESC_F_INDIRECT };
		struct ring_seg seg[RING_SEGS_MAX];
		struct ring_chain c;
		uint32_t len;

		indirect(0, FREE + 4096, 8, VRING_DESC_F_WRITE);
		indirect(1, FREE + 4096, 8, 0);
		pd_add(&drv, &d, 1, 7);
		assert_int_equal(ring_chain_at(r, 0, writable, seg, &len, &c), writable ? -22 : 2);
		assert_int_equal(r->fault, writable ? RING_FAULT_DIRECTION : RING_OK);
	}
}

/* A frame of too many pieces, the first one of a burst's memory: dropped, for its reason, and what
 * the later passes do arithmetic on is an address. */
static void too_many_pieces(void **state)
{
	static struct dp_burst b;
	struct ring *r = ring_new(IND, 0x8000);
	struct vring_packed_desc d = { FREE, 70 * 16, 0, VRING_DESC_F_INDIRECT };

	for (uint32_t k = 0; k < 70; k++)
		indirect(k, FREE + 4096, 8, 0);
	assert_true(pd_add(&drv, &d, 1, 7));
	assert_int_equal(dp_peek(r, &b), 1);
	assert_int_equal(b.frame[0].len, 0);
	assert_int_equal(b.frame[0].n_segs, 0);
	assert_non_null(b.frame[0].rest);
	assert_int_equal(b.drops[DP_DROP_rx_segments], 1);
	assert_int_equal(r->fault, RING_OK);
}

/* Chains over the ring's end; a chain's entries are all marked; ids come back. */
static void laps(void **state)
{
	struct ring *r = ring_new(0, 7);
	uint32_t len;
	uint16_t id;

	for (uint16_t i = 0; i < 200; i++) {
		uint16_t n = (uint16_t)(1 + i % 4);

		add(n, i);
		assert_true(ring_has_avail(r));
		assert_int_equal(use(r, i, true).n, n);
		assert_false(ring_has_avail(r));
		assert_true(pd_take(&drv, &id, &len));
		assert_int_equal(id, i);
		assert_int_equal(len, i);
		assert_false(pd_take(&drv, &id, &len));
		assert_int_equal(r->avail_next | r->avail_wrap << 15, pd_base(&drv));
	}
}

/* Nothing shows before ring_publish, then all does. */
static void publication(void **state)
{
	struct ring *r = ring_new(0, 6 | 0x8000);
	uint32_t len;
	uint16_t id;

	for (uint16_t i = 0; i < 4; i++)
		add(2, i);
	for (uint16_t i = 0; i < 4; i++) {
		use(r, 5, false);
		assert_false(pd_take(&drv, &id, &len));
	}
	ring_publish(r);
	for (uint16_t i = 0; i < 4; i++) {
		assert_true(pd_take(&drv, &id, &len));
		assert_int_equal(id, i);
	}
	assert_false(pd_take(&drv, &id, &len));
}

/* The driver's wish: always, never, or at one entry, over the wrap too. */
static void notifications(void **state)
{
	for (int event = 0; event < 2; event++) {
		struct ring *r = ring_new(event ? EVENT : 0, 0x8000);
		uint32_t len;
		uint16_t id;

		ring_wants_notify(r); /* told once when it begins */
		for (uint16_t i = 0; i < 60; i++) {
			uint16_t n = (uint16_t)(1 + i % 3), at = drv.used;
			bool wrap = drv.used_wrap, want = i % 4 == 0;

			r->driver_event->flags = want ? VRING_PACKED_EVENT_FLAG_ENABLE
						      : VRING_PACKED_EVENT_FLAG_DISABLE;
			if (event && i % 2) {
				/* The entry n-1 or n behind: within the chain, or just beyond. */
				want = i % 4 == 1;
				pd_move(&at, &wrap, SIZE, want ? n - 1 : n);
				r->driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
				r->driver_event->off_wrap = (uint16_t)(at | wrap << 15);
			}
			add(n, i);
			use(r, 0, true);
			assert_int_equal(ring_wants_notify(r), want);
			assert_true(pd_take(&drv, &id, &len));
		}
	}
}

/* Our wish. */
static void kicks(void **state)
{
	for (int event = 0; event < 2; event++) {
		struct ring *r = ring_new(event ? EVENT : 0, 8 | 0x8000);
		uint32_t len;
		uint16_t id;

		for (uint16_t i = 0; i < 40; i++) {
			ring_arm(r);
			add(3, i);
			assert_true(pd_wants_kick(&drv, event, 3));
			if (event) { /* once is enough */
				add(1, 100);
				assert_false(pd_wants_kick(&drv, event, 1));
				use(r, 0, true);
				pd_take(&drv, &id, &len);
			}
			ring_disarm(r);
			use(r, 0, true);
			pd_take(&drv, &id, &len);
			add(2, i);
			assert_false(pd_wants_kick(&drv, event, 2));
			use(r, 0, true);
			pd_take(&drv, &id, &len);
		}
	}
}

/* A device that starts where the driver's ring already is: told the truth, or that it begins. */
static void start_of(struct ring *r, uint64_t features, uint16_t base, uint16_t at, bool recovered)
{
	uint16_t avail, used;

	rig_guest_rings(&g, SIZE, V1 | PACKED | features, base);
	assert_int_equal(r->fault, RING_OK);
	ring_position(r, &avail, &used);
	assert_int_equal(avail, at);
	assert_int_equal(used, at);
	assert_int_equal(r->recovered, recovered);
}

static void starts(void **state)
{
	for (uint16_t laps = 0; laps < 57; laps++) {
		for (uint16_t posted = 0; posted <= SIZE; posted++) {
			struct ring *r = ring_new(0, 0x8000);
			uint16_t id, at, begin = 0x8000;
			bool other;
			uint32_t len;

			for (uint16_t i = 0; i < laps; i++) {
				add(1 + i % 2, i);
				use(r, 0, true);
				pd_take(&drv, &id, &len);
			}
			for (uint16_t i = 0; i < posted; i++)
				add(1, i);
			at = pd_base(&drv);
			start_of(r, 0, at, at, false);
			/* A front end that says "from the beginning" is believed only there. */
			other = at != begin;
			start_of(r, 0, begin, at, other);
			assert_int_equal(ring_has_history(r), other);
			assert_int_equal(ring_skip(r, 64), posted);
			for (uint16_t i = 0; i < posted; i++) {
				assert_true(pd_take(&drv, &id, &len));
				assert_int_equal(id, i);
			}
		}
	}
}

/* A device dies with used entries written, before it published them. */
static void half_published(void **state)
{
	for (uint16_t base = 0; base < SIZE; base++) {
		for (uint16_t links = 1; links < 4; links++) {
			struct ring *r = ring_new(0, base | 0x8000);
			uint32_t len;
			uint16_t id, at = base | 0x8000;

			add(links, 50);
			add(1, 51);
			add(2, 52);
			add(3, 53);
			for (int i = 0; i < 3; i++)
				use(r, 60, false);
			at = (uint16_t)(r->avail_next | r->avail_wrap << 15);
			/* What its front end says: where the driver is. */
			start_of(r, 0, pd_base(&drv), at, false);
			for (uint16_t i = 50; i < 53; i++) {
				assert_true(pd_take(&drv, &id, &len));
				assert_int_equal(id, i);
				assert_int_equal(len, 0);
			}
			assert_int_equal(use(r, 0, true).id, 53);
			assert_true(pd_take(&drv, &id, &len));
			assert_int_equal(id, 53);
		}
	}
}

static void bases(void **state)
{
	struct ring_config c;
	struct ring r;

	ring_new(0, 0x8000);
	c = rig_ring_config(&g, 0, SIZE, V1 | PACKED);
	c.avail_base = SIZE;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_RING_BASE);
	c.avail_base = 0x8000;
	c.size = 32769;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_SIZE);
	c.size = 0;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_SIZE);
	c.size = SIZE;
	c.avail = (uint8_t *)c.avail + 2;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_MISALIGNED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults),
		cmocka_unit_test(too_many_pieces),
		cmocka_unit_test(laps),
		cmocka_unit_test(publication),
		cmocka_unit_test(notifications),
		cmocka_unit_test(kicks),
		cmocka_unit_test(starts),
		cmocka_unit_test(half_published),
		cmocka_unit_test(bases),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	free(g.mem);
	return ret;
}
