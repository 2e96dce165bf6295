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
#include "tests/lib/packed_driver.h"
#include "vswitch/dp/copy.h"

#define SIZE   128u
#define MEM    (4u << 20)
#define V1     (1ull << 32)
#define MERGE  (1ull << 15)
#define IND    (1ull << 28)
#define EVENT  (1ull << 29)
#define PACKED (1ull << 34)

/* A guest's allocator: guest memory is handed out once, from a place behind the rings. */
struct arena {
	struct rig_guest *g;
	size_t at;
	uint16_t next_desc;
	struct packed_driver pd; /* of its one ring, if that is packed */
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

/* The same in a packed ring: direct, or indirect with odd flags that mean nothing there. False: no
 * room. */
static bool post_packed(
	struct arena *a, bool indirect, size_t off, uint32_t len, bool write, uint16_t id)
{
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0, n;
	struct vring_packed_desc p[8] = { 0 };
	struct vring_desc d[8] = { 0 };
	size_t at;

	n = cut(a->g, d, off, len, (uint16_t)(1 + rnd(5)), flags);
	for (uint16_t i = 0; i < n; i++)
		p[i] = (struct vring_packed_desc){ d[i].addr, d[i].len, (uint16_t)random(), flags };
	if (!indirect || rnd(3))
		return pd_add(&a->pd, p, n, id);
	do
		at = arena_take(a, 8 * sizeof(p[0]) + rnd(3));
	while (!dp_mem_host(&a->g->table, &(uint32_t){ 0 }, gpa_of(a->g, at), n * sizeof(p[0])));
	for (uint16_t i = 0; i < n; i++)
		p[i].flags |= (uint16_t)random();
	memcpy(a->g->mem + at, p, n * sizeof(p[0]));
	p[0] = (struct vring_packed_desc){ gpa_of(a->g, at), n * (uint32_t)sizeof(p[0]), 0,
		VRING_DESC_F_INDIRECT | flags };
	return pd_add(&a->pd, p, 1, id);
}

/* Makes [off, off + len) available as a buffer, in any layout. Its id, or -1: no room. */
static int post(struct arena *a, struct ring *r, size_t off, uint32_t len, bool write)
{
	uint16_t id = a->next_desc;

	if (!r->packed) {
		if (id + 8u >= SIZE)
			return -1;
		id = chain(a, r, off, len, write);
		avail_add(r, id);
		return id;
	}
	a->next_desc++;
	return post_packed(a, r->indirect, off, len, write, id) ? id : -1;
}

/* The next used buffer of a ring whose driver has seen *used. */
static bool take(struct arena *a, struct ring *r, uint16_t *used, uint16_t *id, uint32_t *len)
{
	struct vring_used_elem *e;

	if (r->packed)
		return pd_take(&a->pd, id, len);
	if (*used == r->used->idx)
		return false;
	e = &r->used->ring[(*used)++ % SIZE];
	*id = (uint16_t)e->id;
	*len = e->len;
	return true;
}

/* Rings that begin anywhere in the index space. */
static void start_anywhere(struct arena *a, struct rig_guest *g, struct ring *r, uint64_t features)
{
	uint16_t base = (uint16_t)random(), size = SIZE;

	a->g = g;
	a->at = 2 * rig_ring_bytes(SIZE) + rnd(64);
	if (features & PACKED) {
		size = (uint16_t)(60 + rnd(SIZE - 60));
		base = (uint16_t)(base % size | (base & 0x8000));
		rig_guest_rings(g, size, features, 0x8000);
		pd_init(&a->pd, g->in.ring.pdesc, g->in.ring.driver_event, g->in.ring.device_event,
			size, base);
		pd_init(&a->pd, g->out.ring.pdesc, g->out.ring.driver_event,
			g->out.ring.device_event, size, base);
		pd_init(&a->pd, r->pdesc, r->driver_event, r->device_event, size, base);
	} else {
		rig_guest_rings(g, size, features, 0);
		g->in.ring.used->idx = g->out.ring.used->idx = base;
		g->in.ring.avail->idx = g->out.ring.avail->idx = base;
	}
	rig_guest_rings(g, size, features, base);
	assert_int_equal(g->port.fault, RING_OK);
	assert_false(r->recovered);
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

/* What guest 1 received, byte by byte, against what was sent. Returns frames. */
static uint32_t received_check(struct arena *b, uint16_t used, const size_t *slot,
	const size_t *slot_len, const struct sent *sent)
{
	struct ring *r = &b->g->out.ring;
	uint32_t got = 0, e_len, n_slots = b->next_desc;
	uint16_t id;

	for (; take(b, r, &used, &id, &e_len); got++) {
		static uint8_t frame[16384];
		uint32_t len = 0;
		uint16_t want = 1;

		for (uint16_t k = 0; k < want; k++) {
			if (k)
				assert_true(take(b, r, &used, &id, &e_len));
			assert_true(id < n_slots && e_len <= slot_len[id] && e_len > 0);
			memcpy(frame + len, b->g->mem + slot[id], e_len);
			for (size_t x = e_len; x <= slot_len[id]; x++)
				assert_int_equal(b->g->mem[slot[id] + x], 0xee);
			len += e_len;
			if (k == 0 && r->hdr_len == 12)
				memcpy(&want, frame + 10, 2);
		}
		assert_int_equal(len - r->hdr_len, sent[got].len);
		assert_memory_equal(frame, "\0\0\0\0\0\0\0\0\0\0", 10);
		assert_memory_equal(frame + r->hdr_len, sent[got].bytes, sent[got].len);
	}
	return got;
}

/* One random exchange from guest 0 to guest 1, in 1 to 20 frames; checks every byte. */
static void exchange(uint64_t features0, uint64_t features1)
{
	static struct sent sent[20];
	static struct rig r;
	static struct arena a, b;
	uint32_t n = 1 + rnd(20), faults = 0, got, len;
	uint16_t a_used, b_used, id, posted = 0;
	size_t slot[SIZE], slot_len[SIZE];

	memset(&r, 0, sizeof(r));
	a.next_desc = b.next_desc = 0;
	for (int i = 0; i < 2; i++)
		rig_guest_init(&r.guest[i], MEM, 1 + rnd(4), false);
	start_anywhere(&a, &r.guest[0], &r.guest[0].in.ring, features0);
	start_anywhere(&b, &r.guest[1], &r.guest[1].out.ring, features1);
	a_used = a.g->in.ring.used_next;
	b_used = b.g->out.ring.used_next;
	rig_init(&r, 2, 9200);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t hdr = a.g->in.ring.hdr_len;
		size_t off;

		sent[i].len = random_len();
		for (uint32_t j = 0; j < sent[i].len; j++)
			sent[i].bytes[j] = (uint8_t)random();
		memcpy(sent[i].bytes, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\xb5", 14);
		off = arena_take(&a, sent[i].len + hdr);
		memcpy(a.g->mem + off + hdr, sent[i].bytes, sent[i].len);
		if (post(&a, &a.g->in.ring, off, sent[i].len + hdr, false) < 0)
			n = i;
	}
	for (uint32_t i = 0; i < 22; i++) {
		struct ring *ring = &b.g->out.ring;
		size_t off;
		int buf;

		len = ring->mergeable && i < 6 ? 64 + rnd(2000) : 9100 + rnd(300);
		off = arena_take(&b, len + 1);
		memset(b.g->mem + off, 0xee, len + 1);
		buf = post(&b, ring, off, len, true);
		if (buf < 0)
			break;
		slot[buf] = off;
		slot_len[buf] = len;
		posted++;
	}
	assert_int_equal(dp_forward(&r.fwd, &r.view, &a.g->in, 1, &faults), n);
	assert_int_equal(faults, 0);
	for (got = 0; take(&a, &a.g->in.ring, &a_used, &id, &len); got++)
		assert_int_equal(len, 0);
	assert_int_equal(got, n);
	got = received_check(&b, b_used, slot, slot_len, sent);
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
	for (int i = 0; i < 800; i++)
		exchange(V1 | (i & 1 ? IND : 0) | (i & 4 ? EVENT : 0) | (i & 32 ? PACKED : 0),
			(i & 8 ? V1 : 0) | (i & 2 ? MERGE : 0) | (i & 16 ? IND : 0) |
				(i & 64 ? V1 | PACKED : 0));
}

/* A switch delivers a burst and dies before it gives it back; the next one doesn't send it again.
 * The sender's and the receiver's drivers see nothing odd. */
static void death_after_delivery(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		static struct rig r;
		static struct arena a, b;
		uint64_t features = V1 | (packed ? PACKED : 0), bytes = 0;
		uint16_t id, at, used, a_used, b_used;
		uint8_t idx[DP_BURST];
		uint32_t len, n;

		memset(&r, 0, sizeof(r));
		a.next_desc = b.next_desc = 0;
		for (int i = 0; i < 2; i++)
			rig_guest_init(&r.guest[i], MEM, 1, false);
		start_anywhere(&a, &r.guest[0], &r.guest[0].in.ring, features);
		start_anywhere(&b, &r.guest[1], &r.guest[1].out.ring, features);
		a_used = a.g->in.ring.used_next;
		b_used = b.g->out.ring.used_next;
		rig_init(&r, 2, 1500);
		for (int i = 0; i < 10; i++) {
			assert_true(post(&a, &a.g->in.ring, arena_take(&a, 100), 100, false) >= 0);
			assert_true(post(&b, &b.g->out.ring, arena_take(&b, 200), 200, true) >= 0);
		}
		n = dp_peek(&a.g->in.ring, &r.fwd.burst);
		assert_int_equal(n, 10);
		for (uint8_t i = 0; i < n; i++)
			idx[i] = i;
		assert_int_equal(dp_deliver(&b.g->out.ring, &r.ports[1].egress, r.fwd.burst.frame,
					 idx, n, &bytes, b.g->out.stats),
			n);
		/* The next one starts where the rings say. */
		ring_position(&a.g->in.ring, &at, &used);
		rig_guest_rings(a.g, a.g->in.ring.size, features, at);
		ring_position(&b.g->out.ring, &at, &used);
		rig_guest_rings(b.g, b.g->out.ring.size, features, at);
		if (ring_has_history(&a.g->in.ring))
			assert_int_equal(ring_skip(&a.g->in.ring, DP_BURST), n);
		assert_int_equal(dp_peek(&a.g->in.ring, &r.fwd.burst), 0);
		for (n = 0; take(&a, &a.g->in.ring, &a_used, &id, &len); n++)
			;
		assert_int_equal(n, 10);
		for (n = 0; take(&b, &b.g->out.ring, &b_used, &id, &len); n++)
			assert_int_equal(len, 100);
		assert_int_equal(n, 10);
		rig_fini(&r);
	}
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
	assert_int_equal(ring_split_avail(&r, 1), 10);
	c.avail_base = 65529; /* behind the used index */
	assert_int_equal(ring_init(&r, &c), RING_FAULT_RING_BASE);
	c.avail_base = 5; /* beyond the available index */
	assert_int_equal(ring_init(&r, &c), RING_FAULT_RING_BASE);
	c.avail_base = 4;
	assert_int_equal(ring_init(&r, &c), RING_OK);
	c.size = 12;
	assert_int_equal(ring_init(&r, &c), RING_FAULT_SIZE);
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
		cmocka_unit_test(death_after_delivery),
		cmocka_unit_test(faults),
		cmocka_unit_test(ring_bases),
		cmocka_unit_test(notifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
