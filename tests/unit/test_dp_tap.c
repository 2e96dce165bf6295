/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: the rings of captures, the form of what is kept, and mirrors, on plain memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/dprig.h"
#include "vswitch/dp/tap.h"

#define SIZE 64u
#define MEM  (1u << 20)
#define V1   (1ull << 32)
#define SLOT 2048u
#define AT   (2 * rig_ring_bytes(SIZE)) /* of the slots: SIZE to receive, SIZE to send */
#define HDR  12u

static struct tap_ring *ring_new(uint32_t snaplen)
{
	struct tap_ring *r = aligned_alloc(64, sizeof(*r));

	tap_ring_init(r, malloc(TAP_RING_MIN), TAP_RING_MIN, snaplen);
	return r;
}

static void ring_free(struct tap_ring *r)
{
	free(r->mem);
	free(r);
}

static uint32_t rnd(uint32_t below)
{
	return (uint32_t)random() % below;
}

/* ---- the ring ---- */

#define FRAMES 40000u

/* A frame whose length and bytes follow from its number, in one to three pieces. */
static uint32_t numbered(
	uint32_t no, struct dp_frame *f, uint8_t *bytes, size_t room, struct ring_seg *segs)
{
	uint32_t len = 14 + (no * 7919u) % (uint32_t)(room - 14), left;

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(no + i * 13);
	memset(f, 0, sizeof(*f));
	f->len = len;
	f->hdr_len = len < DP_HDR_COPY ? (uint16_t)len : DP_HDR_COPY;
	memcpy(f->hdr, bytes, f->hdr_len);
	left = len - f->hdr_len;
	if (left < 8 || no % 3 == 0) {
		f->n_segs = left > 0;
		f->rest = bytes + f->hdr_len;
		return len;
	}
	segs[0] = (struct ring_seg){ bytes + f->hdr_len, left / 3 };
	segs[1] = (struct ring_seg){ bytes + f->hdr_len + left / 3, left - left / 3 };
	f->n_segs = 2;
	f->segs = segs;
	return len;
}

/* What was kept is what was given, in order, whole, and the rest was counted. */
static void ring_keeps_or_counts(void **state)
{
	static uint8_t bytes[9000], want[9000];
	struct tap_ring *r = ring_new(0);
	struct ring_seg segs[2], other[2];
	struct dp_frame f, g;
	static uint32_t kept_no[FRAMES];
	uint32_t put = 0, got = 0;
	const uint8_t idx = 0;

	srandom(3);
	for (uint32_t no = 0; no < FRAMES; no++) {
		uint64_t before = r->kept;
		uint32_t read = rnd(2) ? rnd(6) : 0;
		uint64_t head;

		numbered(no, &f, bytes, sizeof(bytes), segs);
		tap_keep(r, &f, &idx, 1, NULL);
		if (r->kept > before)
			kept_no[put++] = no;
		assert_int_equal(r->kept + r->lost, no + 1);
		head = tap_ring_head(r);
		/* For a while the reader is away, then it comes back. */
		while ((no / 1000) % 2 && read--) {
			const struct tap_rec *rec = tap_ring_front(r, head);
			uint32_t len;

			if (!rec)
				break;
			len = numbered(kept_no[got++], &g, want, sizeof(want), other);
			assert_int_equal(rec->len, len);
			assert_int_equal(rec->cap_len, len);
			assert_int_equal(rec->dir, TAP_RX);
			assert_memory_equal(rec->data, want, len);
			tap_ring_take(r, rec);
			if (rnd(3) == 0)
				tap_ring_give_back(r);
		}
	}
	assert_true(got > 1000 && got < put && put < FRAMES);
	for (const struct tap_rec *rec; (rec = tap_ring_front(r, tap_ring_head(r)));) {
		uint32_t len = numbered(kept_no[got++], &g, want, sizeof(want), other);

		assert_int_equal(rec->len, len);
		assert_memory_equal(rec->data, want, len);
		tap_ring_take(r, rec);
	}
	assert_int_equal(got, put);
	assert_int_equal(r->kept, put);
	assert_int_equal(r->lost, FRAMES - put);
	ring_free(r);
}

/* The longest frames: each takes a quarter of the ring, none may be cut at its end. */
static void longest(void **state)
{
	static uint8_t bytes[TAP_SNAPLEN_MAX + 100];
	struct tap_ring *r = ring_new(0);
	const uint8_t idx = 0;
	struct dp_frame f = {
		.len = sizeof(bytes), .hdr_len = DP_HDR_COPY, .n_segs = 1, .rest = bytes + 64
	};
	uint32_t got = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	memcpy(f.hdr, bytes, 64);
	for (int i = 0; i < 20; i++) {
		const struct tap_rec *rec;

		tap_keep(r, &f, &idx, 1, NULL);
		if (i % 3 == 0)
			continue;
		rec = tap_ring_front(r, tap_ring_head(r));
		if (!rec)
			continue;
		assert_int_equal(rec->len, sizeof(bytes));
		assert_int_equal(rec->cap_len, TAP_SNAPLEN_MAX);
		assert_memory_equal(rec->data, bytes, TAP_SNAPLEN_MAX);
		tap_ring_take(r, rec);
		tap_ring_give_back(r);
		got++;
	}
	assert_true(got > 10);
	ring_free(r);
}

/* ---- the form ---- */

/* The plain way to edit a tag: what tap_keep is held against. */
static uint32_t edited(
	uint8_t *out, const uint8_t *in, uint32_t len, uint32_t meta, const struct dp_egress *eg)
{
	uint32_t vid = meta & DP_META_VID, at = 12, from = 12;
	uint8_t priority = 0;

	if (!eg || eg->raw || meta == DP_META_TAGGED) {
		memcpy(out, in, len);
		return len;
	}
	memcpy(out, in, 12);
	if (meta & DP_META_TAGGED) {
		priority = in[14] & 0xf0;
		from = 16;
	}
	if (vid != eg->native) {
		out[at++] = 0x81;
		out[at++] = 0;
		out[at++] = (uint8_t)(priority | vid >> 8);
		out[at++] = (uint8_t)vid;
	}
	memcpy(out + at, in + from, len - from);
	return at + len - from;
}

static void forms(void **state)
{
	static const struct {
		const char *name;
		uint32_t meta;
		struct dp_egress eg;
		bool received;
	} cases[] = {
		{ "received", 0, { 0 }, true },
		{ "received with a tag", DP_META_TAGGED | 5, { 0 }, true },
		{ "untagged to untagged", 7, { .native = 7 } },
		{ "no VLAN", 0, { 0 } },
		{ "gets a tag", 7, { .native = 9 } },
		{ "gets a tag beyond 8 bits", 0xabc, { .native = 0 } },
		{ "loses its tag", DP_META_TAGGED | 5, { .native = 5 } },
		{ "keeps its tag", DP_META_TAGGED | 5, { .native = 0 } },
		{ "another number in its tag", DP_META_TAGGED | 0x123, { .native = 4 } },
		{ "keeps a priority tag", DP_META_TAGGED, { .native = 0 } },
		{ "raw", DP_META_TAGGED | 5, { .native = 5, .raw = true } },
	};
	uint8_t bytes[300], want[304];

	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i + 1);
	memcpy(bytes + 12, "\x81\x00\x60\x05", 4); /* priority 3, VLAN 5 */
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		for (uint32_t len = 18; len <= sizeof(bytes); len++) {
			uint32_t snap = rnd(3) ? 1 + rnd(sizeof(want)) : 0, want_len, cap;
			const struct dp_egress *eg = cases[c].received ? NULL : &cases[c].eg;
			struct tap_ring *r = ring_new(snap);
			struct dp_frame f = { .len = len, .meta = cases[c].meta };
			const struct tap_rec *rec;

			f.hdr_len = len < 64 ? (uint16_t)len : 64;
			memcpy(f.hdr, bytes, f.hdr_len);
			f.n_segs = len > 64;
			f.rest = bytes + 64;
			want_len = edited(want, bytes, len, cases[c].meta, eg);
			cap = snap && snap < want_len ? snap : want_len;
			tap_keep(r, &f, &(const uint8_t){ 0 }, 1, eg);
			rec = tap_ring_front(r, tap_ring_head(r));
			assert_non_null(rec);
			if (rec->len != want_len || rec->cap_len != cap ||
				memcmp(rec->data, want, cap))
				fail_msg("%s, %u bytes, snaplen %u", cases[c].name, len, snap);
			assert_int_equal(rec->dir, eg ? TAP_TX : TAP_RX);
			assert_int_equal(r->kept_bytes, want_len);
			ring_free(r);
		}
	}
}

/* A big frame with a partial checksum is one record, untouched but for its tag. */
static void offloads(void **state)
{
	static uint8_t bytes[60000], want[60004];
	static const struct dp_egress tagging = { .native = 9 };
	struct tap_ring *r = ring_new(0);
	struct ring_seg segs[] = { { bytes + 64, 1000 }, { bytes + 1064, sizeof(bytes) - 1064 } };
	struct dp_frame f = { .len = sizeof(bytes),
		.hdr_len = 64,
		.n_segs = 2,
		.segs = segs,
		.meta = DP_META_OFFLOAD | 7,
		.off = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = 54,
			.gso_size = 1448,
			.csum_start = 34,
			.csum_offset = 16 } };
	const struct tap_rec *rec;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 11 >> 2);
	memcpy(f.hdr, bytes, 64);
	tap_keep(r, &f, &(const uint8_t){ 0 }, 1, NULL);
	tap_keep(r, &f, &(const uint8_t){ 0 }, 1, &tagging);
	rec = tap_ring_front(r, tap_ring_head(r));
	assert_int_equal(rec->len, sizeof(bytes));
	assert_memory_equal(rec->data, bytes, sizeof(bytes));
	tap_ring_take(r, rec);
	rec = tap_ring_front(r, tap_ring_head(r));
	assert_int_equal(rec->len, edited(want, bytes, sizeof(bytes), f.meta, &tagging));
	assert_memory_equal(rec->data, want, rec->len);
	ring_free(r);
}

/* ---- ports ---- */

/* The rings as the guest sees them. */
struct guest_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

static struct guest_ring ring_of(struct rig *r, int port, bool out)
{
	struct ring_config c =
		rig_ring_config(&r->guest[port], out ? rig_ring_bytes(SIZE) : 0, SIZE, V1);

	return (struct guest_ring){ c.desc, c.avail, c.used };
}

static struct rig *rig_new(uint16_t buffers)
{
	struct rig *r = aligned_alloc(64, (sizeof(*r) + 63) & ~(size_t)63);

	memset(r, 0, sizeof(*r));
	for (int p = 0; p < RIG_PORTS; p++) {
		struct guest_ring out;

		rig_guest_init(&r->guest[p], MEM, 1, false);
		rig_guest_rings(&r->guest[p], SIZE, V1, 0);
		out = ring_of(r, p, true);
		for (uint16_t i = 0; i < SIZE; i++) {
			out.desc[i] = (struct vring_desc){ RIG_GPA + AT + i * SLOT, SLOT,
				VRING_DESC_F_WRITE, 0 };
			out.avail->ring[i] = i;
		}
		out.avail->idx = buffers;
	}
	rig_init(r, RIG_PORTS, 1500);
	return r;
}

static void rig_end(struct rig *r)
{
	rig_fini(r);
	free(r);
}

/* Port `from` sends n frames of len bytes; the byte at 20 counts them from `no`. */
static void send(struct rig *r, int from, int dst, int src, uint32_t n, uint32_t len, uint8_t no)
{
	struct guest_ring in = ring_of(r, from, false);
	uint32_t faults = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint16_t d = (in.avail->idx + i) % SIZE;
		size_t off = AT + (SIZE + d) * SLOT;
		uint8_t *at = r->guest[from].mem + off + HDR;

		memset(at, 0x55, len);
		memcpy(at, dst < 0 ? "\xff\xff\xff\xff\xff" : "\x02\0\0\0\0", 5);
		at[5] = (uint8_t)dst;
		memcpy(at + 6, "\x02\0\0\0\0", 5);
		at[11] = (uint8_t)src;
		memcpy(at + 12, "\x88\xb5", 2);
		at[20] = (uint8_t)(no + i);
		in.desc[d] = (struct vring_desc){ RIG_GPA + off, len + HDR, 0, 0 };
		in.avail->ring[d] = d;
	}
	in.avail->idx += (uint16_t)n;
	assert_int_equal(dp_forward(&r->fwd, &r->view, &r->guest[from].in, 1, &faults), n);
	assert_int_equal(faults, 0);
}

static uint32_t received(struct rig *r, int port)
{
	return ring_of(r, port, true).used->idx;
}

/* The byte at 20 of the i-th frame that a port got. */
static uint8_t number_of(struct rig *r, int port, uint32_t i)
{
	struct guest_ring out = ring_of(r, port, true);

	return r->guest[port].mem[AT + out.used->ring[i].id * SLOT + HDR + 20];
}

static void tap_add(struct rig *r, int port, enum tap_dir dir, const struct dp_tap *tap, uint32_t n)
{
	r->ports[port].taps[dir] = (struct dp_view_taps){ tap, n };
}

static void make_target(struct rig *r, uint16_t port)
{
	uint32_t n = 0;

	r->ports[port].mirror_target = true;
	for (uint16_t i = 0; i < r->n; i++)
		if (i != port)
			r->members[n++] = i;
	r->net.n_members = n;
}

static uint32_t take_all(struct tap_ring *c)
{
	uint32_t n = 0;

	for (const struct tap_rec *rec; (rec = tap_ring_front(c, tap_ring_head(c))); n++)
		tap_ring_take(c, rec);
	tap_ring_give_back(c);
	return n;
}

/* rx: all that came, dropped ones too; tx: what the guest got, and no more. */
static void captures(void **state)
{
	struct rig *r = rig_new(8);
	struct tap_ring *rx = ring_new(0), *tx = ring_new(0), *both = ring_new(30);
	const struct dp_tap taps_rx[] = { { .rings = rx }, { .rings = both } };
	const struct dp_tap taps_tx[] = { { .rings = both }, { .rings = tx } };
	const struct tap_rec *rec;

	tap_add(r, 1, TAP_RX, taps_rx, 2);
	tap_add(r, 1, TAP_TX, taps_tx, 2);
	send(r, 1, -1, 1, 2, 60, 0); /* flooded */
	send(r, 0, 1, 0, 5, 100, 10);
	rec = tap_ring_front(both, tap_ring_head(both));
	assert_true(rec->dir == TAP_RX && rec->len == 60 && rec->cap_len == 30);
	assert_int_equal(rec->data[20], 0);
	rec = tap_ring_front(tx, tap_ring_head(tx));
	assert_true(rec->dir == TAP_TX && rec->len == 100 && rec->cap_len == 100);
	assert_int_equal(rec->data[20], 10);
	assert_int_equal(take_all(rx), 2);
	assert_int_equal(take_all(tx), 5);
	assert_int_equal(take_all(both), 7);
	send(r, 0, 1, 0, 5, 100, 10); /* three buffers are left */
	assert_int_equal(take_all(tx), 3);
	assert_int_equal(r->guest[1].port.out[0].drops[DP_DROP_tx_ring_full], 2);
	send(r, 1, 1, 1, 4, 60, 0); /* to itself: dropped */
	assert_int_equal(take_all(rx), 4);
	send(r, 1, 0, 1, 3, 10, 0); /* runts: not even an Ethernet header */
	assert_int_equal(take_all(rx), 3);
	assert_int_equal(r->guest[1].port.in[0].drops[DP_DROP_rx_runt], 3);
	send(r, 2, 0, 2, 3, 60, 0); /* nothing to do with port 1 */
	assert_int_equal(take_all(rx) + take_all(tx) + take_all(both), 3 + 4 + 3);
	assert_int_equal(rx->lost + tx->lost + both->lost, 0);
	rig_end(r);
	ring_free(rx);
	ring_free(tx);
	ring_free(both);
}

static void mirrors(void **state)
{
	const struct dp_tap to3 = { .mirror_to = 3 };

	for (int dirs = 1; dirs < 4; dirs++) { /* rx, tx, both */
		struct rig *r = rig_new(SIZE);
		uint32_t want = 0;

		make_target(r, 3);
		if (dirs & 1)
			tap_add(r, 0, TAP_RX, &to3, 1);
		if (dirs & 2)
			tap_add(r, 0, TAP_TX, &to3, 1);
		send(r, 0, -1, 0, 2, 60, 1); /* floods reach all but the target */
		want += dirs & 1 ? 2 : 0;
		assert_int_equal(received(r, 1), 2);
		assert_int_equal(received(r, 2), 2);
		assert_int_equal(received(r, 3), want);
		send(r, 1, 0, 1, 3, 200, 11);
		want += dirs & 2 ? 3 : 0;
		assert_int_equal(received(r, 0), 3);
		assert_int_equal(received(r, 3), want);
		send(r, 1, 2, 1, 4, 60, 21); /* not known yet: a flood, port 0 gets it too */
		want += dirs & 2 ? 4 : 0;
		send(r, 2, 1, 2, 5, 60, 31); /* between others */
		assert_int_equal(received(r, 3), want);
		assert_int_equal(r->guest[3].port.out[0].traffic.frames, want);
		for (uint32_t i = 0; i < want; i++) {
			static const uint8_t rx[] = { 1, 2 }, tx[] = { 11, 12, 13, 21, 22, 23, 24 };
			uint8_t no = dirs == 2 ? tx[i] : i < 2 ? rx[i] : tx[i - 2];

			assert_int_equal(number_of(r, 3, i), no);
		}
		/* What the target sends reaches nobody, and nobody learns where it lives. */
		send(r, 3, 1, 3, 6, 60, 0);
		send(r, 3, -1, 3, 2, 60, 0);
		assert_int_equal(r->guest[3].port.in[0].drops[DP_DROP_rx_mirror], 8);
		assert_int_equal(received(r, 1), 2 + 5);
		assert_int_equal(received(r, 0), 3 + 4);
		send(r, 1, 3, 1, 1, 60, 41); /* to the target's own address: unknown */
		assert_int_equal(received(r, 2), 2 + 4 + 1);
		assert_int_equal(received(r, 3), want + (dirs & 2 ? 1 : 0));
		rig_end(r);
	}
}

/* A target costs those whose frames it is shown nothing. */
static void mirror_without_room(void **state)
{
	struct rig *r = rig_new(SIZE);
	const struct dp_tap to3 = { .mirror_to = 3 };
	struct tap_ring *c = ring_new(0);
	const struct dp_tap capture = { .rings = c };

	make_target(r, 3);
	ring_of(r, 3, true).avail->idx = 4;
	tap_add(r, 0, TAP_RX, &to3, 1);
	tap_add(r, 3, TAP_TX, &capture, 1); /* the target itself may be captured */
	send(r, 1, 0, 1, 1, 60, 0);
	send(r, 0, 1, 0, 10, 60, 0);
	assert_int_equal(received(r, 1), 10);
	assert_int_equal(received(r, 3), 4);
	assert_int_equal(r->guest[3].port.out[0].drops[DP_DROP_tx_ring_full], 6);
	assert_int_equal(take_all(c), 4);
	r->ports[3].n_outs = 0; /* its guest has gone */
	send(r, 0, 1, 0, 10, 60, 0);
	assert_int_equal(received(r, 1), 20);
	assert_int_equal(r->guest[3].port.drops_down, 10);
	ring_free(c);
	rig_end(r);
}

/* An address that was learnt before the port became a target. */
static void target_was_known(void **state)
{
	struct rig *r = rig_new(SIZE);

	send(r, 3, 0, 3, 1, 60, 0);
	assert_int_equal(received(r, 1), 1);
	make_target(r, 3);
	r->view.generation++;
	send(r, 1, 3, 1, 1, 60, 0);
	assert_int_equal(received(r, 3), 0);
	assert_int_equal(received(r, 2), 2);
	rig_end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_keeps_or_counts),
		cmocka_unit_test(longest),
		cmocka_unit_test(forms),
		cmocka_unit_test(offloads),
		cmocka_unit_test(captures),
		cmocka_unit_test(mirrors),
		cmocka_unit_test(mirror_without_room),
		cmocka_unit_test(target_was_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
