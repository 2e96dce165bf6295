/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings, frames and copies on plain memory: random layouts against a plain reference, and each way
 * to break a ring.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/lib/dprig.h"
#include "vswitch/dp/copy.h"

#define SIZE  128u
#define MEM   (4u << 20)
#define V1    (1ull << 32)
#define MERGE (1ull << 15)
#define IND   (1ull << 28)
#define EVENT (1ull << 29)

/* A guest's allocator: guest memory is handed out once, from a place behind the rings. */
struct arena {
	struct rig_guest *g;
	size_t at;
	uint16_t next_desc;
};

static uint64_t gpa_of(const struct rig_guest *g, size_t off)
{
	for (uint32_t i = 0; i < g->table.n_regions; i++) {
		const struct dp_region *r = &g->table.region[i];

		if (g->mem + off >= r->host && g->mem + off < r->host + r->size)
			return r->gpa + (uint64_t)(g->mem + off - r->host);
	}
	abort();
}

static uint32_t rnd(uint32_t below)
{
	return (uint32_t)random() % below;
}

static size_t arena_take(struct arena *a, uint32_t len)
{
	size_t at = a->at;

	a->at += len;
	assert_true(a->at <= a->g->mem_size);
	return at;
}

static struct vring_desc *ring_table(struct ring *r)
{
	return r->desc;
}

/* Cuts len bytes at off into at most max random pieces in d[]; returns how many. */
static uint16_t cut(const struct rig_guest *g, struct vring_desc *d, size_t off, uint32_t len,
	uint16_t max, uint16_t flags)
{
	uint16_t n = 0;

	while (len || n == 0) {
		uint32_t take = n + 1 == max ? len : rnd(4) ? rnd(len + 1) : rnd(20);

		if (take > len)
			take = len;
		d[n].addr = gpa_of(g, off);
		d[n].len = take;
		d[n].flags = flags;
		off += take;
		len -= take;
		n++;
	}
	return n;
}

static void avail_add(struct ring *r, uint16_t head)
{
	r->avail->ring[r->avail->idx & r->mask] = head;
	r->avail->idx++;
}

/* Makes a chain of pieces over [off, off + len) of the guest's memory: direct, indirect, or first
 * direct and then indirect. Returns its head. */
static uint16_t chain(struct arena *a, struct ring *r, size_t off, uint32_t len, bool write)
{
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0, max = (uint16_t)(1 + rnd(5)), n;
	struct vring_desc d[8] = { 0 }, *table;
	uint16_t head = a->next_desc;
	size_t at;

	n = cut(a->g, d, off, len, max, flags);
	if (!r->indirect || rnd(3)) {
		for (uint16_t i = 0; i < n; i++) {
			d[i].flags |= i + 1 < n ? VRING_DESC_F_NEXT : 0;
			d[i].next = (uint16_t)(a->next_desc + 1);
			ring_table(r)[a->next_desc++] = d[i];
		}
		return head;
	}
	at = arena_take(a, 8 * sizeof(d[0]));
	/* The table must lie in one region. */
	while (!dp_mem_host(&a->g->table, &(uint32_t){ 0 }, gpa_of(a->g, at), 8 * sizeof(d[0])))
		at = arena_take(a, 8 * sizeof(d[0]));
	table = (struct vring_desc *)(void *)(a->g->mem + at);
	for (uint16_t i = 0; i < n; i++) {
		uint16_t place = (uint16_t)(i == 0 ? 0 : 8 - i); /* backwards through the table */

		d[i].flags |= i + 1 < n ? VRING_DESC_F_NEXT : 0;
		d[i].next = (uint16_t)(8 - (i + 1));
		memcpy(&table[place], &d[i], sizeof(d[i]));
	}
	ring_table(r)[a->next_desc++] =
		(struct vring_desc){ gpa_of(a->g, at), 8 * sizeof(d[0]), VRING_DESC_F_INDIRECT, 0 };
	return head;
}

struct sent {
	uint32_t len;
	uint8_t bytes[9300];
};

static uint32_t random_len(void)
{
	static const uint32_t edges[] = { 14, 15, 16, 60, 63, 64, 65, 66, 127, 128, 129, 1514 };

	return rnd(2) ? edges[rnd(sizeof(edges) / sizeof(edges[0]))] : 14 + rnd(9000);
}

/* One random exchange from guest 0 to guest 1, in 1 to 20 frames; checks every byte. */
static void exchange(uint64_t features0, uint64_t features1)
{
	static struct sent sent[20];
	static struct rig r;
	struct arena a, b;
	uint32_t n = 1 + rnd(20), faults = 0, got = 0;
	uint16_t base = (uint16_t)random(), posted = 0;
	size_t slot[SIZE], slot_len[SIZE];
	uint32_t hdr0, hdr1;

	memset(&r, 0, sizeof(r));
	for (int i = 0; i < 2; i++) {
		struct rig_guest *g = &r.guest[i];

		rig_guest_init(g, MEM, 1 + rnd(4), false);
		rig_guest_rings(g, SIZE, i ? features1 : features0, 0);
		/* Rings that begin anywhere in the index space. */
		g->in.ring.used->idx = g->out.ring.used->idx = base;
		g->in.ring.avail->idx = g->out.ring.avail->idx = base;
		rig_guest_rings(g, SIZE, i ? features1 : features0, base);
		assert_int_equal(g->port.fault, RING_OK);
	}
	rig_init(&r, 2, 9200);
	hdr0 = r.guest[0].in.ring.hdr_len;
	hdr1 = r.guest[1].out.ring.hdr_len;
	a = (struct arena){ .g = &r.guest[0], .at = 2 * rig_ring_bytes(SIZE) + rnd(64) };
	b = (struct arena){ .g = &r.guest[1], .at = 2 * rig_ring_bytes(SIZE) + rnd(64) };
	for (uint32_t i = 0; i < n; i++) {
		size_t off;

		sent[i].len = random_len();
		for (uint32_t j = 0; j < sent[i].len; j++)
			sent[i].bytes[j] = (uint8_t)random();
		memcpy(sent[i].bytes, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\xb5", 14);
		off = arena_take(&a, sent[i].len + hdr0);
		memcpy(a.g->mem + off + hdr0, sent[i].bytes, sent[i].len);
		avail_add(&a.g->in.ring, chain(&a, &a.g->in.ring, off, sent[i].len + hdr0, false));
	}
	for (uint32_t i = 0; i < 22 && b.next_desc + 8u < SIZE; i++) {
		struct ring *ring = &b.g->out.ring;
		uint32_t len = ring->mergeable && i < 6 ? 64 + rnd(2000) : 9100 + rnd(300);
		size_t off = arena_take(&b, len + 1);
		uint16_t head;

		memset(b.g->mem + off, 0xee, len + 1);
		head = chain(&b, ring, off, len, true);
		slot[head] = off;
		slot_len[head] = len;
		avail_add(ring, head);
		posted++;
	}
	assert_int_equal(dp_forward(&r.fwd, &r.view, &a.g->in, 1, &faults), n);
	assert_int_equal(faults, 0);
	assert_int_equal((uint16_t)(a.g->in.ring.used->idx - base), n);
	for (uint16_t u = base; u != b.g->out.ring.used->idx; got++) {
		uint8_t frame[16384];
		uint32_t len = 0;
		uint16_t want = 1;

		for (uint16_t k = 0; k < want; k++, u++) {
			struct vring_used_elem e = b.g->out.ring.used->ring[u % SIZE];

			assert_true(e.id < SIZE && e.len <= slot_len[e.id] && e.len > 0);
			memcpy(frame + len, b.g->mem + slot[e.id], e.len);
			for (size_t x = e.len; x <= slot_len[e.id]; x++)
				assert_int_equal(b.g->mem[slot[e.id] + x], 0xee);
			len += e.len;
			if (k == 0 && hdr1 == 12)
				memcpy(&want, frame + 10, 2);
		}
		assert_int_equal(len - hdr1, sent[got].len);
		assert_memory_equal(frame, "\0\0\0\0\0\0\0\0\0\0", 10);
		assert_memory_equal(frame + hdr1, sent[got].bytes, sent[got].len);
	}
	/* What did not fit was counted. */
	assert_int_equal(got + b.g->port.out[0].drops[DP_DROP_tx_ring_full] +
			b.g->port.out[0].drops[DP_DROP_tx_buffer_small],
		n);
	assert_int_equal(b.g->port.out[0].traffic.frames, got);
	if (posted > n + 8)
		assert_int_equal(got, n);
	rig_fini(&r);
}

static void random_layouts(void **state)
{
	srandom(2);
	for (int i = 0; i < 400; i++)
		exchange(V1 | (i & 1 ? IND : 0) | (i & 4 ? EVENT : 0),
			(i & 8 ? V1 : 0) | (i & 2 ? MERGE : 0) | (i & 16 ? IND : 0));
}

static void copies_are_exact(void **state)
{
	uint8_t src[512], dst[512];

	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 7 + 1);
	for (unsigned len = 0; len <= 300; len++) {
		memset(dst, 0, sizeof(dst));
		copy_bytes(dst + 3, src + 5, len);
		assert_memory_equal(dst + 3, src + 5, len);
		assert_true(dst[2] == 0 && dst[3 + len] == 0);
	}
}

/* One ring with one available chain at descriptor 0, made by fn; what does the walk say? */
static enum ring_fault walked(void (*fn)(struct rig_guest *g, struct vring_desc *d), int *n)
{
	struct rig_guest *g = aligned_alloc(_Alignof(struct rig_guest), sizeof(*g));
	struct ring_seg seg[RING_SEGS_MAX];
	enum ring_fault f;
	uint32_t len;

	assert_non_null(g);
	memset(g, 0, sizeof(*g));
	rig_guest_init(g, 65536, 2, true);
	rig_guest_rings(g, 16, V1 | IND, 0);
	fn(g, g->in.ring.desc);
	*n = ring_walk(&g->in.ring, 0, false, seg, &len);
	f = g->in.ring.fault;
	free(g->mem);
	free(g);
	return f;
}

#define FREE (RIG_GPA + 8192)

static void w_good(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ FREE, 12, VRING_DESC_F_NEXT, 5 };
	d[5] = (struct vring_desc){ FREE + 50, 60, 0, 99 };
}

static void w_loop(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ FREE, 12, VRING_DESC_F_NEXT, 1 };
	d[1] = (struct vring_desc){ FREE, 12, VRING_DESC_F_NEXT, 0 };
}

static void w_next(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ FREE, 12, VRING_DESC_F_NEXT, 16 };
}

static void w_hole(struct rig_guest *g, struct vring_desc *d)
{
	/* Starts in the first region, runs into the hole behind it. */
	d[0] = (struct vring_desc){ RIG_GPA + 32768 - 16, 60, 0, 0 };
}

static void w_wrap(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ UINT64_MAX, 60, 0, 0 };
}

static void w_direction(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ FREE, 60, VRING_DESC_F_WRITE, 0 };
}

static void w_indirect_zero(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ FREE, 0, VRING_DESC_F_INDIRECT, 0 };
}

static void w_indirect_hole(struct rig_guest *g, struct vring_desc *d)
{
	d[0] = (struct vring_desc){ RIG_GPA + 32768 - 16, 32, VRING_DESC_F_INDIRECT, 0 };
}

static void w_many(struct rig_guest *g, struct vring_desc *d)
{
	struct vring_desc *t = (struct vring_desc *)(void *)(g->mem + 8192);

	for (uint16_t i = 0; i < 100; i++)
		t[i] = (struct vring_desc){ FREE, 8, i < 99 ? VRING_DESC_F_NEXT : 0,
			(uint16_t)(i + 1) };
	d[0] = (struct vring_desc){ FREE, 1600, VRING_DESC_F_INDIRECT, 0 };
}

static void w_huge(struct rig_guest *g, struct vring_desc *d)
{
	for (uint16_t i = 0; i < 4; i++)
		d[i] = (struct vring_desc){ FREE, 0x7fffffff, VRING_DESC_F_NEXT,
			(uint16_t)(i + 1) };
}

static void faults(void **state)
{
	static const struct {
		void (*fn)(struct rig_guest *g, struct vring_desc *d);
		enum ring_fault fault;
		int n;
	} cases[] = {
		{ w_good, RING_OK, 2 },
		{ w_loop, RING_FAULT_LOOP, -22 },
		{ w_next, RING_FAULT_BAD_NEXT, -22 },
		{ w_hole, RING_FAULT_BAD_ADDRESS, -22 },
		{ w_wrap, RING_FAULT_ADDRESS_WRAP, -22 },
		{ w_direction, RING_FAULT_DIRECTION, -22 },
		{ w_indirect_zero, RING_FAULT_INDIRECT_SIZE, -22 },
		{ w_indirect_hole, RING_FAULT_BAD_ADDRESS, -22 },
		{ w_huge, RING_FAULT_BAD_ADDRESS, -22 },
		{ w_many, RING_OK, -7 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n;

		assert_int_equal(walked(cases[i].fn, &n), cases[i].fault);
		assert_int_equal(n, cases[i].n);
		assert_true(strlen(ring_fault_text(cases[i].fault)) > 5);
	}
}

static void ring_bases(void **state)
{
	struct rig_guest g;
	struct ring r;
	struct ring_config c;

	rig_guest_init(&g, 65536, 1, false);
	c = rig_ring_config(&g, 0, 16, V1);
	((struct vring_used *)c.used)->idx = 65530;
	((struct vring_avail *)c.avail)->idx = 4; /* ten in flight, over the wrap */
	c.avail_base = 65530;
	assert_int_equal(ring_init(&r, &c), RING_OK);
	assert_int_equal(ring_avail(&r, 1), 10);
	c.avail_base = 65529; /* behind the used index */
	assert_int_equal(ring_init(&r, &c), RING_FAULT_RING_BASE);
	c.avail_base = 5; /* beyond the available index */
	assert_int_equal(ring_init(&r, &c), RING_FAULT_RING_BASE);
	c.avail_base = 4;
	assert_int_equal(ring_init(&r, &c), RING_OK);
	c.size = 12;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_MISALIGNED);
	c.size = 16;
	c.desc = (uint8_t *)c.desc + 8;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_MISALIGNED);
	free(g.mem);
}

/* Both schemes of section 2.7.7 and 2.7.10: told when asked, and only then. */
static void notifications(void **state)
{
	for (int event = 0; event < 2; event++) {
		struct rig_guest g;
		struct ring *r = &g.in.ring;

		rig_guest_init(&g, 65536, 1, false);
		rig_guest_rings(&g, 16, V1 | (event ? EVENT : 0), 0);
		for (uint16_t i = 0; i < 40; i++) {
			bool wants = i % 3 == 0;

			if (event)
				*ring_used_event(r) = (uint16_t)(wants ? r->used_done : i + 0x8000);
			else
				r->avail->flags = wants ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
			ring_use(r, 0, 0);
			ring_publish(r);
			assert_int_equal(ring_wants_notify(r), wants);
			assert_int_equal(r->used->idx, i + 1);
		}
		r->avail_next = r->avail_seen = r->avail->idx = 7;
		ring_arm(r);
		if (event)
			assert_int_equal(*ring_avail_event(r), 7);
		assert_int_equal(r->used->flags, 0);
		ring_disarm(r);
		assert_int_equal(r->used->flags, event ? 0 : VRING_USED_F_NO_NOTIFY);
		free(g.mem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_exact),
		cmocka_unit_test(random_layouts),
		cmocka_unit_test(faults),
		cmocka_unit_test(ring_bases),
		cmocka_unit_test(notifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
