/* SPDX-License-Identifier: Apache-2.0 */
/* Who a guest may say it is: MAC, ARP, neighbour discovery, IP sources; and all that could hide
 * them. On plain memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/dpguests.h"

static const uint8_t my_mac[6] = { 2, 0, 0, 0, 0, 1 }, other_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t my_ip4[4] = { 10, 0, 0, 1 }, other_ip4[4] = { 10, 0, 0, 9 }, no_ip4[4];
static const uint8_t my_ip6[16] = { 0xfe, 0x80, [15] = 1 },
		     other_ip6[16] = { 0xfe, 0x80, [15] = 9 }, no_ip6[16];

/* A frame under construction. */
struct build {
	uint8_t b[512];
	uint32_t len;
};

static void add(struct build *f, const void *p, uint32_t n)
{
	memcpy(f->b + f->len, p, n);
	f->len += n;
}

static void add8(struct build *f, uint8_t v)
{
	f->b[f->len++] = v;
}

static void add16(struct build *f, uint16_t v)
{
	add8(f, (uint8_t)(v >> 8));
	add8(f, (uint8_t)v);
}

static void add_zero(struct build *f, uint32_t n)
{
	memset(f->b + f->len, 0, n);
	f->len += n;
}

static struct build eth(const uint8_t *src, int tag, uint16_t type)
{
	struct build f = { .len = 0 };

	add(&f, "\xff\xff\xff\xff\xff\xff", 6);
	add(&f, src, 6);
	if (tag >= 0) {
		add16(&f, 0x8100);
		add16(&f, (uint16_t)tag);
	}
	add16(&f, type);
	return f;
}

static struct build arp(int tag, uint16_t op, const uint8_t *sha, const uint8_t *spa)
{
	struct build f = eth(my_mac, tag, 0x0806);

	add(&f, "\0\1\x08\0\6\4", 6);
	add16(&f, op);
	add(&f, sha, 6);
	add(&f, spa, 4);
	add_zero(&f, 10 + 18);
	return f;
}

static struct build ip4(int tag, const uint8_t *src, uint16_t sport, uint16_t dport, uint16_t frag)
{
	struct build f = eth(my_mac, tag, 0x0800);

	add(&f, "\x45\0\0\x1c\0\0", 6);
	add16(&f, frag);
	add(&f, "\x40\x11\0\0", 4);
	add(&f, src, 4);
	add(&f, "\xff\xff\xff\xff", 4);
	add16(&f, sport);
	add16(&f, dport);
	add_zero(&f, 20);
	return f;
}

/* IPv6 up to where its payload (of n bytes) begins. */
static struct build ip6(int tag, const uint8_t *src, uint8_t next, uint16_t n)
{
	struct build f = eth(my_mac, tag, 0x86dd);

	add(&f, "\x60\0\0\0", 4);
	add16(&f, n);
	add8(&f, next);
	add8(&f, 255);
	add(&f, src, 16);
	add(&f, "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	return f;
}

/* A neighbour discovery message with one link-layer option (mac NULL: none). */
static void add_nd(struct build *f, uint8_t type, uint32_t fixed, const uint8_t *target,
	uint8_t option, const uint8_t *mac)
{
	uint32_t from = f->len;

	add8(f, type);
	add_zero(f, 7);
	if (fixed == 24)
		add(f, target, 16);
	else
		add_zero(f, fixed - 8);
	if (mac) {
		add8(f, option);
		add8(f, 1);
		add(f, mac, 6);
	}
	assert_int_equal(f->len, from + fixed + (mac ? 8 : 0));
}

static struct build nd(int tag, const uint8_t *src, uint8_t type, const uint8_t *target,
	uint8_t option, const uint8_t *mac)
{
	uint32_t fixed = type == 133 ? 8 : type == 134 ? 16 : type == 137 ? 40 : 24;
	struct build f = ip6(tag, src, 58, (uint16_t)(fixed + (mac ? 8 : 0)));

	add_nd(&f, type, fixed, target, option, mac);
	return f;
}

static void spoof_on(bool with_ips)
{
	struct dp_spoof *s = &policy[0].spoof;

	memset(s, 0, sizeof(*s));
	s->n_macs = 1;
	memcpy(&s->macs[0], my_mac, 6);
	if (with_ips) {
		s->n_ip4 = s->n_ip6 = 1;
		memcpy(&s->ip4[0], my_ip4, 4);
		memcpy(s->ip6[0], my_ip6, 16);
	}
	publish(0);
}

/* Sends it whole and torn to pieces, and says whether it arrived; all of it must. */
static bool passes_(struct build f)
{
	uint64_t before = drops(0, DP_DROP_rx_spoofed);
	uint32_t n = 0;

	for (int torn = 0; torn < 2; torn++) {
		uint8_t got[SLOT];
		uint32_t len;

		put(0, f.b, f.len, torn);
		turn(0);
		len = take(1, got);
		if (len) {
			assert_int_equal(len, f.len);
			assert_memory_equal(got, f.b, f.len);
			n++;
		}
		received(2);
		received(3);
	}
	assert_true(n == 0 || n == 2);
	assert_int_equal(drops(0, DP_DROP_rx_spoofed) - before, 2 - n);
	return n;
}

#define passes(f)  assert_true(passes_(f))
#define stopped(f) assert_false(passes_(f))

static void spoof_mac(void **state)
{
	spoof_on(false);
	passes(eth(my_mac, -1, 0x88b5));
	stopped(eth(other_mac, -1, 0x88b5));
	stopped(eth(other_mac, 10, 0x88b5));
	passes(eth(my_mac, 10, 0x88b5));
	/* Stacked tags hide what is in them. */
	stopped(eth(my_mac, 10, 0x8100));
	stopped(eth(my_mac, -1, 0x88a8));
	stopped(eth(my_mac, 10, 0x88a8));
	/* Other people's IP is nobody's business here, but not their MAC. */
	passes(ip4(-1, other_ip4, 1, 2, 0));
	passes(arp(-1, 1, my_mac, other_ip4));
	stopped(arp(-1, 1, other_mac, my_ip4));
	passes(nd(-1, other_ip6, 136, other_ip6, 2, my_mac));
	stopped(nd(-1, other_ip6, 136, other_ip6, 2, other_mac));
	stopped(nd(-1, no_ip6, 134, NULL, 1, my_mac));
}

static void spoof_llc(void **state)
{
	struct build f;

	spoof_on(true);
	f = eth(my_mac, -1, 38); /* spanning tree's: LLC */
	add(&f, "\x42\x42\3", 3);
	add_zero(&f, 43);
	passes(f);
	f = eth(my_mac, -1, 50); /* ARP in SNAP */
	add(&f, "\xaa\xaa\3\0\0\0\x08\x06", 8);
	add_zero(&f, 46);
	stopped(f);
}

static void spoof_arp(void **state)
{
	spoof_on(true);
	for (int tag = -1; tag <= 10; tag += 11) {
		struct build f = arp(tag, 1, my_mac, my_ip4);

		passes(f);
		passes(arp(tag, 2, my_mac, my_ip4));
		stopped(arp(tag, 1, other_mac, my_ip4));
		stopped(arp(tag, 2, other_mac, my_ip4));
		stopped(arp(tag, 1, my_mac, other_ip4));
		stopped(arp(tag, 2, my_mac, other_ip4));
		passes(arp(tag, 1, my_mac, no_ip4)); /* a probe */
		stopped(arp(tag, 2, my_mac, no_ip4));
		/* Short ones, and of other kinds. */
		for (uint32_t cut = 19; cut < f.len; cut += 3) {
			struct build g = f;

			g.len -= cut;
			if (g.len >= 31)
				stopped(g);
		}
		for (int i = 0; i < 6; i++) {
			struct build g = f;

			g.b[(tag >= 0 ? 18 : 14) + i] ^= 1;
			stopped(g);
		}
		f = arp(tag, 3, my_mac, other_ip4); /* reverse: only the MAC says something */
		f.b[tag >= 0 ? 16 : 12] = 0x80;
		f.b[tag >= 0 ? 17 : 13] = 0x35;
		passes(f);
		f.b[(tag >= 0 ? 18 : 14) + 13] ^= 8;
		stopped(f);
	}
}

static void spoof_ip(void **state)
{
	struct build f;

	spoof_on(true);
	for (int tag = -1; tag <= 10; tag += 11) {
		passes(ip4(tag, my_ip4, 1, 2, 0));
		stopped(ip4(tag, other_ip4, 1, 2, 0));
		passes(ip4(tag, no_ip4, 68, 67, 0)); /* DHCP */
		stopped(ip4(tag, no_ip4, 67, 68, 0));
		stopped(ip4(tag, no_ip4, 68, 67, 0x2000));
		stopped(ip4(tag, no_ip4, 68, 67, 5));
		f = ip4(tag, my_ip4, 1, 2, 0);
		f.b[tag >= 0 ? 18 : 14] = 0x65;
		stopped(f);
		f = ip4(tag, my_ip4, 1, 2, 0);
		f.len = (tag >= 0 ? 18 : 14) + 19;
		stopped(f);
		f = ip6(tag, my_ip6, 17, 20);
		add_zero(&f, 20);
		passes(f);
		f = ip6(tag, other_ip6, 17, 20);
		add_zero(&f, 20);
		stopped(f);
		f = ip6(tag, no_ip6, 17, 20);
		add_zero(&f, 20);
		stopped(f);
		f.len = (tag >= 0 ? 18 : 14) + 39;
		stopped(f);
	}
}

static void spoof_nd(void **state)
{
	spoof_on(true);
	for (int tag = -1; tag <= 10; tag += 11) {
		passes(nd(tag, my_ip6, 133, NULL, 1, my_mac));
		passes(nd(tag, no_ip6, 133, NULL, 0, NULL));
		stopped(nd(tag, my_ip6, 133, NULL, 1, other_mac));
		stopped(nd(tag, other_ip6, 133, NULL, 1, my_mac));
		stopped(nd(tag, my_ip6, 134, NULL, 1, my_mac));
		stopped(nd(tag, my_ip6, 137, NULL, 0, NULL));
		passes(nd(tag, my_ip6, 135, other_ip6, 1, my_mac));
		stopped(nd(tag, my_ip6, 135, other_ip6, 1, other_mac));
		stopped(nd(tag, other_ip6, 135, other_ip6, 1, my_mac));
		passes(nd(tag, no_ip6, 135, my_ip6, 0, NULL)); /* is my address free? */
		stopped(nd(tag, no_ip6, 135, other_ip6, 0, NULL));
		passes(nd(tag, my_ip6, 136, my_ip6, 2, my_mac));
		stopped(nd(tag, my_ip6, 136, other_ip6, 2, my_mac));
		stopped(nd(tag, my_ip6, 136, my_ip6, 2, other_mac));
		stopped(nd(tag, my_ip6, 141, my_ip6, 1, my_mac));
		stopped(nd(tag, my_ip6, 142, my_ip6, 1, my_mac));
	}
	policy[0].spoof.router = true;
	publish(0);
	passes(nd(-1, my_ip6, 134, NULL, 1, my_mac));
	stopped(nd(-1, my_ip6, 134, NULL, 1, other_mac));
	passes(nd(-1, my_ip6, 137, NULL, 0, NULL));
}

/* What is cut short, in fragments, or behind more headers than we look at does not pass. */
static void spoof_nd_hidden(void **state)
{
	static const uint8_t pad[] = { 58, 0, 1, 4, 0, 0, 0, 0 };
	struct build f, whole = nd(-1, my_ip6, 136, my_ip6, 2, my_mac);

	spoof_on(true);
	passes(whole);
	for (uint32_t len = 54; len < whole.len; len++) {
		f = whole;
		f.len = len;
		stopped(f);
	}
	/* Padding behind it is fine; a payload that ends early is not. */
	f = whole;
	add_zero(&f, 300);
	passes(f);
	f.b[19]--;
	stopped(f);
	f.b[19] += 2;
	stopped(f);
	/* Options of no length, that run over, or a long link-layer address. */
	for (uint32_t n = 0; n < 4; n++) {
		f = whole;
		f.b[f.len - 7] = (uint8_t)n;
		if (n != 1)
			stopped(f);
	}
	f = whole;
	f.b[f.len - 7] = 2; /* mine, and more that somebody might read */
	add(&f, other_mac, 6);
	add_zero(&f, 2);
	f.b[19] += 8;
	stopped(f);
	/* Behind a hop-by-hop, or destination options header. */
	f = ip6(-1, my_ip6, 0, 8 + 32);
	add(&f, pad, 8);
	add_nd(&f, 136, 24, my_ip6, 2, my_mac);
	passes(f);
	f = ip6(-1, my_ip6, 60, 8 + 32);
	add(&f, pad, 8);
	add_nd(&f, 136, 24, other_ip6, 2, my_mac);
	stopped(f);
	/* In fragments: RFC 6980. */
	f = ip6(-1, my_ip6, 44, 8 + 32);
	add(&f, "\x3a\0\0\1\0\0\0\1", 8);
	add_nd(&f, 136, 24, my_ip6, 2, my_mac);
	stopped(f);
	f = ip6(-1, my_ip6, 44, 8 + 32); /* an atomic one */
	add(&f, "\x3a\0\0\0\0\0\0\1", 8);
	add_nd(&f, 136, 24, my_ip6, 2, my_mac);
	stopped(f);
	f = ip6(-1, my_ip6, 44, 8 + 8); /* the first, with headers cut off */
	add(&f, "\x3c\0\0\1\0\0\0\1", 8);
	add(&f, "\x3a\4\0\0\0\0\0\0", 8);
	stopped(f);
	f = ip6(-1, my_ip6, 44, 8 + 32); /* of something else; and a later one */
	add(&f, "\x11\0\0\1\0\0\0\1", 8);
	add_zero(&f, 32);
	passes(f);
	f = ip6(-1, my_ip6, 44, 8 + 32);
	add(&f, "\x3a\0\1\0\0\0\0\1", 8);
	add_zero(&f, 32);
	passes(f);
	/* Far behind: 16 headers of 8 bytes. */
	f = ip6(-1, my_ip6, 60, 16 * 8 + 32);
	for (int i = 0; i < 16; i++)
		add(&f, i < 15 ? (const uint8_t *)"\x3c\0\1\4\0\0\0\0" : pad, 8);
	add_nd(&f, 136, 24, my_ip6, 2, my_mac);
	stopped(f);
	f = ip6(-1, my_ip6, 60, 8); /* a header that says it is longer than the frame */
	add(&f, "\x3a\x20\1\4\0\0\0\0", 8);
	stopped(f);
}

/* Bytes at random, and true messages with one byte changed: nothing reads beyond what is there (a
 * sanitizer sees), and what passes names nobody else. */
static void spoof_random(void **state)
{
	static const uint8_t types[] = { 133, 134, 135, 136, 137, 141 };

	srandom(23);
	spoof_on(true);
	for (int k = 0; k < 30000; k++) {
		int tag = random() % 2 ? 10 : -1;
		struct build f = nd(tag, random() % 2 ? my_ip6 : no_ip6,
			types[random() % sizeof(types)], random() % 2 ? my_ip6 : other_ip6,
			(uint8_t)(1 + random() % 2), random() % 2 ? my_mac : NULL);
		uint32_t l3 = tag >= 0 ? 18 : 14;

		if (random() % 4 == 0)
			f = arp(tag, (uint16_t)(random() % 4), my_mac, my_ip4);
		for (int i = (int)(random() % 4); i > 0; i--)
			f.b[l3 + (uint32_t)random() % (f.len - l3)] = (uint8_t)random();
		if (random() % 4 == 0)
			f.len = l3 + (uint32_t)random() % (f.len - l3 + 1);
		put(0, f.b, f.len, random() % 2);
		turn(0);
		received(1);
		received(2);
		received(3);
	}
	assert_true(drops(0, DP_DROP_rx_spoofed) > 1000);
	assert_true(drops(0, DP_DROP_rx_spoofed) < 29000);
}

/* A guest that rewrites its buffer after it was looked at changes nothing of what was looked at. */
static void spoof_checked_is_delivered(void **state)
{
	struct build f = nd(10, my_ip6, 136, my_ip6, 2, my_mac);

	spoof_on(true);
	add_zero(&f, 150);
	for (int torn = 0; torn < 2; torn++) {
		struct dp_burst *b = &rig.fwd.burst;
		struct dp_egress eg = { .native = 0 };
		uint8_t idx = 0, *mem = put(0, f.b, f.len, torn), got[SLOT];
		uint64_t bytes = 0;

		assert_int_equal(dp_peek(&rig.guest[0].in.ring, b), 1);
		assert_true(dp_spoof_passes(&policy[0].spoof, b, &b->frame[0]));
		memset(mem, 0xee, f.len);
		b->frame[0].meta |= 10 | DP_META_TAGGED;
		assert_int_equal(dp_deliver(&rig.guest[1].out.ring, &eg, b->frame, &idx, 1, &bytes,
					 rig.guest[1].out.stats),
			1);
		assert_int_equal(take(1, got), f.len);
		assert_memory_equal(got, f.b, 18 + 40 + 32);
		dp_release(&rig.guest[0].in.ring, b);
	}
}

/* The order: what may not pass takes nothing from the others. */
static void spoofed_takes_no_tokens(void **state)
{
	struct build f = eth(other_mac, -1, 0x88b5), mine = eth(my_mac, -1, 0x88b5);

	add_zero(&f, 46);
	add_zero(&mine, 46);
	policy[0].police = rate_of(1000, 600);
	spoof_on(false);
	for (int i = 0; i < 15; i++)
		put(0, f.b, f.len, false);
	turn(0);
	for (int i = 0; i < 12; i++)
		put(0, mine.b, mine.len, false);
	turn(0);
	assert_int_equal(drops(0, DP_DROP_rx_spoofed), 15);
	assert_int_equal(received(1), 10);
	assert_int_equal(drops(0, DP_DROP_rx_policed), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(spoof_mac),
		T(spoof_llc),
		T(spoof_arp),
		T(spoof_ip),
		T(spoof_nd),
		T(spoof_nd_hidden),
		T(spoof_random),
		T(spoof_checked_is_delivered),
		T(spoofed_takes_no_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
