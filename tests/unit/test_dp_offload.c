/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offload requests and VLAN tags on delivery: random frames, requests, layouts and receivers
 * through dp_peek and dp_deliver, compared byte by byte with a plain reference; then requests that
 * lie, for which nothing may come out that the receiver did not negotiate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/lib/dprig.h"
#include "vswitch/dp/offload.h"

#define SIZE      512u
#define MEM       (8u << 20)
#define V1        (1ull << 32)
#define MERGE     (1ull << 15)
#define FRAME_MAX 24000u
#define PKTS_MAX  600u

static uint32_t rnd(uint32_t below)
{
	return (uint32_t)random() % below;
}

static void be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

struct req {
	struct virtio_net_hdr h;
	uint32_t l3, headers; /* of a TCP frame */
	bool tcp;
};

struct pkt {
	struct virtio_net_hdr h;
	uint32_t len;
	uint8_t *bytes;
};

/* --- the reference: whole frames, big-endian sums, nothing incremental --- */

static uint32_t ref_sum(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void ref_add(struct pkt *out, uint32_t *n, const struct virtio_net_hdr *h,
	const uint8_t *bytes, uint32_t len)
{
	assert_true(*n < PKTS_MAX);
	out[*n].h = *h;
	out[*n].len = len;
	out[*n].bytes = malloc(len);
	memcpy(out[*n].bytes, bytes, len);
	++*n;
}

/* One segment of a big frame w: bytes [from, from + len) of its payload. */
static uint32_t ref_segment(uint8_t *o, const uint8_t *w, uint32_t l3, uint32_t l4,
	uint32_t headers, uint32_t from, uint32_t len, uint32_t i, bool last)
{
	uint32_t total = headers + len, seq = get16(w + l4 + 4) << 16 | get16(w + l4 + 6), sum;
	uint8_t tail[2];

	memcpy(o, w, headers);
	memcpy(o + headers, w + headers + from, len);
	be16(o + l4 + 4, (seq + from) >> 16);
	be16(o + l4 + 6, (seq + from) & 0xffff);
	if (!last)
		o[l4 + 13] &= (uint8_t)~0x09;
	if (i)
		o[l4 + 13] &= (uint8_t)~0x80;
	be16(o + l4 + 16, 0);
	be16(tail, total - l4);
	sum = ref_sum(6, tail, 2);
	if (o[l3] >> 4 == 4) {
		be16(o + l3 + 2, total - l3);
		be16(o + l3 + 4, get16(w + l3 + 4) + i);
		be16(o + l3 + 10, 0);
		be16(o + l3 + 10, 0xffff ^ ref_sum(0, o + l3, (o[l3] & 15) * 4));
		sum = ref_sum(sum, o + l3 + 12, 8);
	} else {
		be16(o + l3 + 4, total - l3 - 40);
		sum = ref_sum(sum, o + l3 + 8, 32);
	}
	sum = 0xffff ^ ref_sum(sum, o + l4, total - l4);
	be16(o + l4 + 16, sum ? sum : 0xffff);
	return total;
}

static void ref_tag(uint8_t *w, uint32_t *len, struct req *q, uint32_t vid, bool tagged,
	const struct dp_egress *eg)
{
	bool wants = vid != eg->native;
	int shift = 0;

	if (eg->raw || (tagged && !vid))
		return;
	if (tagged && wants) {
		be16(w + 14, (get16(w + 14) & 0xf000) | vid);
	} else if (tagged) {
		memmove(w + 12, w + 16, *len - 16);
		shift = -4;
	} else if (wants) {
		memmove(w + 16, w + 12, *len - 12);
		be16(w + 12, 0x8100);
		be16(w + 14, vid);
		shift = 4;
	}
	*len += (uint32_t)shift;
	q->h.csum_start += (uint16_t)shift;
	q->l3 += (uint32_t)shift;
	q->headers += (uint32_t)shift;
}

static uint32_t ref_emit(struct pkt *out, const uint8_t *frame, uint32_t len, struct req q,
	uint32_t vid, bool tagged, const struct dp_egress *eg, uint32_t accept)
{
	static uint8_t w[FRAME_MAX + 4], o[FRAME_MAX + 4];
	bool asks = q.h.flags & 1, v6 = (q.h.gso_type & 127) == 4;
	struct virtio_net_hdr none = { 0 };
	uint32_t n = 0, need = 1, sum;

	memcpy(w, frame, len);
	ref_tag(w, &len, &q, vid, tagged, eg);
	if (q.h.gso_type && len - q.headers <= q.h.gso_size)
		q.h.gso_type = 0;
	if (q.h.gso_type)
		need |= (v6 ? 4u : 2u) | (q.h.gso_type & 128 ? 8u : 0u);
	if (!asks) {
		ref_add(out, &n, &none, w, len);
	} else if ((accept & need) == need) {
		struct virtio_net_hdr h = { .flags = 1,
			.gso_type = q.h.gso_type,
			.csum_start = q.h.csum_start,
			.csum_offset = q.h.csum_offset };

		if (q.h.gso_type) {
			h.gso_size = q.h.gso_size;
			h.hdr_len = (uint16_t)q.headers;
		}
		ref_add(out, &n, &h, w, len);
	} else if (!q.h.gso_type) {
		sum = 0xffff ^ ref_sum(0, w + q.h.csum_start, len - q.h.csum_start);
		be16(w + q.h.csum_start + q.h.csum_offset, sum ? sum : 0xffff);
		ref_add(out, &n, &none, w, len);
	} else {
		none.flags = accept & 1 ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
		for (uint32_t at = 0, i = 0; at < len - q.headers; at += q.h.gso_size, i++) {
			uint32_t left = len - q.headers - at;
			uint32_t take = left < q.h.gso_size ? left : q.h.gso_size;

			ref_add(out, &n, &none, o,
				ref_segment(o, w, q.l3, q.h.csum_start, q.headers, at, take, i,
					take == left));
		}
	}
	return n;
}

/* --- random frames --- */

static void fill(uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint8_t)random();
}

static uint32_t ip4_put(uint8_t *p, uint8_t proto)
{
	uint32_t ihl = 20 + 4 * (rnd(3) ? 0 : rnd(11));

	p[0] = (uint8_t)(0x40 | ihl / 4);
	be16(p + 6, 0x4000);
	p[9] = proto;
	return ihl;
}

static uint32_t ip6_put(uint8_t *p, uint8_t proto)
{
	uint32_t at = 40, n = rnd(3) ? 0 : rnd(3);
	uint8_t *next = p + 6;

	p[0] = 0x60;
	for (; n; n--) {
		*next = rnd(2) ? 0 : 60;
		next = p + at;
		p[at + 1] = (uint8_t)rnd(3);
		at += 8 * (p[at + 1] + 1u);
	}
	*next = proto;
	return at;
}

/* A TCP or UDP frame of random addresses and payload, and a request that fits it. */
static uint32_t frame_make(uint8_t *b, struct req *q, bool tagged)
{
	uint32_t len = rnd(4) ? 200 + rnd(1300) : 200 + rnd(FRAME_MAX - 200), at = 14, l4;
	bool v6 = rnd(2);

	memset(q, 0, sizeof(*q));
	fill(b, len);
	b[0] &= 0xfe;
	if (tagged) {
		be16(b + 12, 0x8100);
		at += 4;
	}
	be16(b + at - 2, v6 ? 0x86dd : 0x0800);
	q->l3 = at;
	q->tcp = rnd(3);
	l4 = at + (v6 ? ip6_put(b + at, q->tcp ? 6 : 17) : ip4_put(b + at, q->tcp ? 6 : 17));
	q->headers = l4 + 8;
	if (q->tcp) {
		b[l4 + 12] = (uint8_t)(0x50 + (rnd(2) ? 0 : 0x10 * rnd(11)));
		q->headers = l4 + (b[l4 + 12] >> 4) * 4u;
	}
	if (rnd(5) == 0)
		return len;
	q->h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	q->h.csum_start = (uint16_t)l4;
	q->h.csum_offset = q->tcp ? 16 : 6;
	if (q->tcp && rnd(3) && q->headers < len) {
		q->h.gso_type = (uint8_t)((v6 ? 4 : 1) | (rnd(4) ? 0 : 128));
		q->h.gso_size = (uint16_t)(DP_GSO_SIZE_MIN + rnd(1400));
		q->h.hdr_len = (uint16_t)random(); /* a hint that may lie */
	}
	return len;
}

/* --- the path: a sender's ring, a receiver's ring --- */

struct path {
	struct rig_guest from, to;
	struct dp_burst burst;
	struct dp_queue_stats st;
	uint32_t buf_size;
};

static void path_init(struct path *p, uint32_t accept, bool mergeable)
{
	if (!p->from.mem) {
		rig_guest_init(&p->from, MEM, 1, false);
		rig_guest_init(&p->to, MEM, 1, false);
	}
	memset(p->from.mem, 0, 2 * rig_ring_bytes(SIZE));
	memset(p->to.mem, 0, 2 * rig_ring_bytes(SIZE));
	memset(&p->burst.drops, 0, sizeof(p->burst.drops));
	memset(&p->st, 0, sizeof(p->st));
	rig_guest_rings(&p->from, SIZE, V1 | MERGE, 0);
	rig_guest_rings(&p->to, SIZE, mergeable ? V1 | MERGE : V1, 0);
	p->from.in.ring.may = 15;
	p->to.out.ring.accept = (uint8_t)accept;
	p->buf_size = mergeable ? 200 + rnd(3000) : 12000;
}

static void path_fini(struct path *p)
{
	free(p->from.mem);
	free(p->to.mem);
	p->from.mem = NULL;
}

/* Posts one chain: virtio-net header and frame cut to random pieces. */
static void send(struct path *p, const struct virtio_net_hdr *h, const uint8_t *b, uint32_t len)
{
	struct ring *r = &p->from.in.ring;
	size_t at = 2 * rig_ring_bytes(SIZE) + rnd(64), off = 0;
	struct virtio_net_hdr_mrg_rxbuf full = { .hdr = *h };
	uint32_t total = len + 12, n = 0;

	memcpy(p->from.mem + at, &full, 12);
	memcpy(p->from.mem + at + 12, b, len);
	while (off < total) {
		uint32_t take = n == 20 || rnd(2) ? total - (uint32_t)off : rnd(total) % 100 + 1;

		if (take > total - off)
			take = total - (uint32_t)off;
		r->desc[n] = (struct vring_desc){ .addr = RIG_GPA + at + off,
			.len = take,
			.flags = off + take < total ? VRING_DESC_F_NEXT : 0,
			.next = (uint16_t)(n + 1) };
		off += take;
		n++;
	}
	r->avail->ring[r->avail->idx % SIZE] = 0;
	r->avail->idx++;
}

static void post_buffers(struct path *p)
{
	struct ring *r = &p->to.out.ring;
	size_t at = 2 * rig_ring_bytes(SIZE);

	for (uint32_t i = 0; i < SIZE && at + p->buf_size < MEM; i++, at += p->buf_size) {
		r->desc[i] = (struct vring_desc){ .addr = RIG_GPA + at,
			.len = p->buf_size,
			.flags = VRING_DESC_F_WRITE };
		r->avail->ring[i] = (uint16_t)i;
		r->avail->idx = (uint16_t)(i + 1);
	}
}

/* What the receiver finds. */
static uint32_t receive(struct path *p, struct pkt *out)
{
	struct ring *r = &p->to.out.ring;
	uint32_t n = 0;

	for (uint16_t i = 0; i != r->used->idx;) {
		struct virtio_net_hdr_mrg_rxbuf h;
		uint8_t *bytes = malloc(FRAME_MAX + 64);
		uint32_t len = 0, skip = 12;

		memcpy(&h, p->to.mem + (r->desc[r->used->ring[i].id].addr - RIG_GPA), 12);
		assert_true(h.num_buffers >= 1 && h.num_buffers <= r->used->idx - i);
		for (uint32_t k = 0; k < h.num_buffers; k++, i++, skip = 0) {
			const struct vring_used_elem *u = &r->used->ring[i];

			assert_true(u->len >= skip && u->len <= p->buf_size);
			assert_true(len + u->len <= FRAME_MAX + 64);
			memcpy(bytes + len, p->to.mem + (r->desc[u->id].addr - RIG_GPA) + skip,
				u->len - skip);
			len += u->len - skip;
		}
		assert_true(n < PKTS_MAX);
		out[n++] = (struct pkt){ .h = h.hdr, .len = len, .bytes = bytes };
	}
	return n;
}

static void pkts_free(struct pkt *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		free(p[i].bytes);
}

static void compare(const struct pkt *got, uint32_t n_got, const struct pkt *want, uint32_t n_want)
{
	assert_int_equal(n_got, n_want);
	for (uint32_t i = 0; i < n_got; i++) {
		assert_memory_equal(&got[i].h, &want[i].h, sizeof(got[i].h));
		assert_int_equal(got[i].len, want[i].len);
		assert_memory_equal(got[i].bytes, want[i].bytes, got[i].len);
	}
}

static void one_against_reference(struct path *p)
{
	static uint8_t b[FRAME_MAX + 4];
	struct pkt got[PKTS_MAX], want[PKTS_MAX];
	bool tagged = rnd(3) == 0, big_ok;
	struct dp_egress eg = { .native = rnd(2) ? 0 : 1 + rnd(5), .raw = rnd(8) == 0 };
	uint32_t accept = rnd(2) ? rnd(16) | 1 : 0, vid = tagged ? rnd(6) : rnd(2) ? 0 : rnd(6);
	uint32_t len, n_got, n_want;
	struct dp_frame *f = &p->burst.frame[0];
	uint64_t bytes = 0;
	struct req q;
	uint8_t idx[1] = { 0 };

	len = frame_make(b, &q, tagged);
	if (tagged) /* the tag says the VLAN, or is a priority tag in a VLAN of the port's */
		be16(b + 14, rnd(8) << 13 | (rnd(4) ? vid : 0));
	path_init(p, accept, rnd(3));
	big_ok = p->to.out.ring.mergeable;
	if (!big_ok && len > 11000 && !q.h.gso_type)
		len = 11000; /* what a buffer holds */
	if (!big_ok)
		p->to.out.ring.accept &= DP_OFF_CSUM;
	accept = p->to.out.ring.accept;
	send(p, &q.h, b, len);
	post_buffers(p);
	assert_int_equal(dp_peek(&p->from.in.ring, &p->burst), 1);
	assert_int_equal(p->burst.drops[DP_DROP_rx_bad_offload], 0);
	assert_int_equal(f->len, len);
	/* What the sender does now must not matter to the headers. */
	f->meta |= vid | (tagged ? DP_META_TAGGED : 0);
	n_want = ref_emit(want, b, len, q, vid, tagged, &eg, accept);
	assert_int_equal(
		dp_deliver(&p->to.out.ring, &eg, p->burst.frame, idx, 1, &bytes, &p->st), 1);
	n_got = receive(p, got);
	compare(got, n_got, want, n_want);
	assert_int_equal(p->st.soft_segmented, n_want > 1);
	pkts_free(got, n_got);
	pkts_free(want, n_want);
}

static void test_reference(void **state)
{
	static struct path p;

	srandom(7);
	for (int i = 0; i < 3000; i++)
		one_against_reference(&p);
	path_fini(&p);
}

/* Requests and frames that fit each other only now and then: what comes out is what the receiver
 * takes, lies within the frame, and is no longer than what was asked for. */
static void test_hostile(void **state)
{
	static uint8_t b[FRAME_MAX + 4];
	static struct path p;
	uint32_t passed = 0, dropped = 0;

	srandom(11);
	for (int i = 0; i < 3000; i++) {
		struct pkt got[PKTS_MAX];
		struct dp_egress eg = { .native = rnd(3) };
		uint32_t accept = rnd(16), len, n;
		struct req q;
		uint64_t bytes = 0;
		uint8_t idx[1] = { 0 };

		len = frame_make(b, &q, rnd(2));
		for (uint32_t k = rnd(4); k; k--)
			((uint8_t *)&q.h)[rnd(sizeof(q.h))] = (uint8_t)(rnd(2) ? random() : rnd(8));
		for (uint32_t k = rnd(6); k; k--)
			b[12 + rnd(100)] = (uint8_t)random();
		if (rnd(4) == 0)
			len = 1 + rnd(len);
		path_init(&p, accept, true);
		p.from.in.ring.may = (uint8_t)(rnd(2) ? 15 : rnd(16));
		send(&p, &q.h, b, len);
		post_buffers(&p);
		assert_int_equal(dp_peek(&p.from.in.ring, &p.burst), 1);
		assert_int_equal(p.burst.frame[0].len == 0,
			p.burst.drops[DP_DROP_rx_bad_offload] == 1);
		if (p.burst.frame[0].len == 0) {
			dropped++;
			continue;
		}
		passed++;
		/* The sender rewrites everything: headers must come from our copy. */
		memset(p.from.mem + 2 * rig_ring_bytes(SIZE), 0xff, FRAME_MAX + 100);
		dp_deliver(&p.to.out.ring, &eg, p.burst.frame, idx, 1, &bytes, &p.st);
		n = receive(&p, got);
		for (uint32_t k = 0; k < n; k++) {
			if (got[k].h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
				assert_true(accept & DP_OFF_CSUM);
				assert_true(got[k].h.csum_start + got[k].h.csum_offset + 2u <=
					got[k].len);
			}
			assert_true(!got[k].h.gso_type ||
				dp_offload_accepted(&got[k].h, accept));
			assert_true(got[k].len <= len + 4);
			assert_memory_equal(got[k].bytes, b, len < 12 ? len : 12);
		}
		pkts_free(got, n);
	}
	path_fini(&p);
	/* Both happen, or the test tests nothing. */
	assert_true(passed > 300 && dropped > 300);
}

/* What a sender did not negotiate it can't ask for. */
static void test_not_negotiated(void **state)
{
	static uint8_t b[FRAME_MAX];
	static struct path p;
	uint8_t drops = 0;

	srandom(3);
	for (uint32_t may = 0; may < 16; may++) {
		struct virtio_net_hdr h = { .flags = 1,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.gso_size = 1000,
			.csum_start = 34,
			.csum_offset = 16 };

		fill(b, 5000);
		be16(b + 12, 0x0800);
		b[14] = 0x45;
		be16(b + 20, 0);
		b[23] = 6;
		b[46] = 0x50;
		path_init(&p, 0, true);
		p.from.in.ring.may = (uint8_t)may;
		send(&p, &h, b, 5000);
		dp_peek(&p.from.in.ring, &p.burst);
		if (may == 0) /* the header is not even read: it means nothing */
			assert_int_equal(p.burst.frame[0].meta, 0);
		else
			assert_int_equal(p.burst.frame[0].len == 0, (may & 3) != 3);
		drops = (uint8_t)(drops + (p.burst.frame[0].len == 0));
	}
	path_fini(&p);
	assert_int_equal(drops, 11);
}

/* A receiver without room for all segments: what fits is delivered, the frame counts as dropped. */
static void test_segments_without_room(void **state)
{
	static uint8_t b[FRAME_MAX];
	static struct path p;
	struct pkt got[PKTS_MAX];
	struct dp_egress eg = { 0 };
	uint64_t bytes = 0;
	uint8_t idx[1] = { 0 };
	struct req q;
	uint32_t len, n;

	srandom(5);
	do {
		len = frame_make(b, &q, false);
	} while (!q.h.gso_type || len - q.headers < 4u * q.h.gso_size);
	path_init(&p, 0, false);
	send(&p, &q.h, b, len);
	post_buffers(&p);
	p.to.out.ring.avail->idx = 2;
	assert_int_equal(dp_peek(&p.from.in.ring, &p.burst), 1);
	assert_int_equal(
		dp_deliver(&p.to.out.ring, &eg, p.burst.frame, idx, 1, &bytes, &p.st), 0);
	assert_int_equal(p.st.drops[DP_DROP_tx_ring_full], 1);
	n = receive(&p, got);
	assert_int_equal(n, 2);
	pkts_free(got, n);
	path_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_segments_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
