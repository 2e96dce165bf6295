/* SPDX-License-Identifier: Apache-2.0 */
/* traffic/engine over a wire made of memory that loses, doubles, swaps and harms at will. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "traffic/engine.h"

#define RING  128
#define WIRE  1024
#define FRAME 2048

/* A port whose transmitted frames appear on its peer's wire. */
struct fake {
	struct traffic_port port; /* first */
	struct fake *peer;
	struct traffic_slot slots[RING];
	uint8_t mem[RING][FRAME];
	unsigned at;   /* next slot */
	unsigned room; /* slots given out at most */
	unsigned sets; /* calls of set_len */
	/* frames on the way to this port */
	uint8_t wire[WIRE][FRAME];
	uint32_t wire_len[WIRE];
	unsigned head, tail;
	/* what the wire does, by the number of the frame sent; NULL: delivers */
	void (*deliver)(struct fake *to, const uint8_t *data, uint32_t len, uint64_t n);
	uint64_t sent;
	unsigned bursts, released;
};

static struct fake a, b;
static struct traffic_engine e;

static void put(struct fake *to, const uint8_t *data, uint32_t len)
{
	assert_true(to->head - to->tail < WIRE);
	memcpy(to->wire[to->head % WIRE], data, len);
	to->wire_len[to->head++ % WIRE] = len;
}

static uint32_t fake_tx_get(struct traffic_port *p, uint32_t n, struct traffic_slot **slots)
{
	struct fake *f = (struct fake *)p;

	if (n > f->room)
		n = f->room;
	if (n > RING - f->at % RING)
		n = RING - f->at % RING;
	if (n > WIRE / 2 - (f->peer->head - f->peer->tail))
		n = WIRE / 2 - (f->peer->head - f->peer->tail); /* bad wires double frames */
	*slots = &f->slots[f->at % RING];
	return n;
}

static void fake_set_len(struct traffic_port *p, struct traffic_slot *s, uint32_t len)
{
	s->len = len;
	((struct fake *)p)->sets++;
}

static void fake_tx_commit(struct traffic_port *p, uint32_t n)
{
	struct fake *f = (struct fake *)p;

	for (uint32_t i = 0; i < n; i++, f->at++, f->sent++) {
		struct traffic_slot *s = &f->slots[f->at % RING];

		if (f->deliver)
			f->deliver(f->peer, s->frame, s->len, f->sent);
		else
			put(f->peer, s->frame, s->len);
	}
}

static uint32_t fake_rx_burst(struct traffic_port *p, struct traffic_frame *frames, uint32_t n)
{
	struct fake *f = (struct fake *)p;
	uint32_t k = 0;

	for (; k < n && f->tail != f->head; k++, f->tail++)
		frames[k] = (struct traffic_frame){ f->wire[f->tail % WIRE],
			f->wire_len[f->tail % WIRE] };
	f->bursts += k > 0;
	return k;
}

static void fake_rx_release(struct traffic_port *p)
{
	((struct fake *)p)->released++;
}

static const struct traffic_port_ops fake_ops = { fake_tx_get, fake_set_len, fake_tx_commit,
	fake_rx_burst, fake_rx_release };

static void fake_init(struct fake *f, struct fake *peer, uint8_t mac)
{
	memset(f, 0, sizeof(*f));
	f->port.ops = &fake_ops;
	f->port.mac = (struct ether_mac){ { 2, 0, 0, 0, 0, mac } };
	f->port.max_len = 1514;
	f->peer = peer;
	f->room = RING;
	for (int i = 0; i < RING; i++)
		f->slots[i].frame = f->mem[i];
}

static int setup(void **state)
{
	fake_init(&a, &b, 1);
	fake_init(&b, &a, 2);
	memset(&e, 0, sizeof(e));
	traffic_engine_init(&e, 1000000000);
	assert_int_equal(traffic_engine_add_port(&e, &a.port), 0);
	assert_int_equal(traffic_engine_add_port(&e, &b.port), 0);
	return 0;
}

static struct traffic_flow_spec spec(enum traffic_role role, uint16_t id, uint32_t size)
{
	struct traffic_flow_spec s = { .role = role, .id = id, .size = size, .l4_flows = 1 };

	s.port = role == TRAFFIC_RECEIVE;
	s.peer = role == TRAFFIC_RECEIVE ? a.port.mac : b.port.mac;
	return s;
}

static struct traffic_flow *add(struct traffic_flow_spec s)
{
	const char *why;

	assert_null(traffic_engine_check(&e, &s, &why));
	traffic_engine_add(&e, &s);
	return &e.flow[e.n_flows - 1];
}

/* One flow of n frames from a to b, until nothing moves any more. */
static void run(uint32_t size, uint64_t n, struct traffic_flow **tx, struct traffic_flow **rx)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 5, size);

	s.frames = n;
	*rx = add(spec(TRAFFIC_RECEIVE, 5, 0));
	*tx = add(s);
	traffic_engine_start(&e, traffic_tsc());
	while (traffic_engine_poll(&e) || !(*tx)->done)
		;
	assert_int_equal((*tx)->frames, n);
	assert_int_equal((*tx)->bytes, n * size);
	assert_int_equal(b.bursts, b.released);
	assert_int_equal((*rx)->latency.count, (*rx)->frames);
}

static void test_clean(void **state)
{
	static const uint32_t sizes[] = { 64, 65, 79, 80, 128, 1518 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct traffic_flow *tx, *rx;

		setup(NULL);
		run(sizes[i], 10000, &tx, &rx);
		assert_int_equal(rx->frames, 10000);
		assert_int_equal(rx->bytes, 10000ull * sizes[i]);
		assert_int_equal(rx->seq.lost + rx->seq.duplicated + rx->seq.reordered, 0);
		assert_int_equal(rx->corrupt + b.port.rx_other, 0);
		/* The length of a slot is set once: slots stay filled. */
		assert_int_equal(a.sets, RING);
	}
}

/* Of 100 frames: 1 lost, 1 doubled, 2 swapped, 1 harmed, 1 of another flow, 1 runt added. */
static void bad_wire(struct fake *to, const uint8_t *data, uint32_t len, uint64_t n)
{
	static uint8_t held[FRAME];
	uint8_t copy[FRAME];

	memcpy(copy, data, len);
	switch (n % 100) {
	case 10:
		return;
	case 20:
		put(to, data, len);
		break;
	case 30:
		memcpy(held, data, len);
		return;
	case 31:
		put(to, data, len);
		put(to, held, len);
		return;
	case 40:
		copy[len - 20] ^= 0x40;
		break;
	case 50:
		copy[TRAFFIC_OFF_WORD] ^= 1;
		put(to, copy, len);
		put(to, data, 59);
		return;
	}
	put(to, copy, len);
}

static void test_bad_wire(void **state)
{
	struct traffic_flow *tx, *rx;

	a.deliver = bad_wire;
	run(512, 10000, &tx, &rx);
	assert_int_equal(rx->seq.lost, 300); /* lost, harmed, and gone to another flow */
	assert_int_equal(rx->seq.duplicated, 100);
	assert_int_equal(rx->seq.reordered, 100);
	assert_int_equal(rx->corrupt, 100);
	assert_int_equal(b.port.rx_other, 200);
	assert_int_equal(rx->frames, 10000 - 300 + 100);
	assert_int_equal(b.port.rx_frames, rx->frames + rx->corrupt + b.port.rx_other);
}

/* Flows that share a ring, of different sizes, both ways. */
static void test_many_flows(void **state)
{
	struct traffic_flow *rx[8], *tx[8];

	for (unsigned i = 0; i < 8; i++) {
		struct traffic_flow_spec s = spec(TRAFFIC_SEND, (uint16_t)(i + 1), 64 + 100 * i);
		struct traffic_flow_spec r = spec(TRAFFIC_RECEIVE, (uint16_t)(i + 1), 0);

		s.frames = 3000;
		s.l4_flows = i + 1;
		if (i % 2) {
			s.port = 1;
			s.peer = a.port.mac;
			r.port = 0;
			r.peer = b.port.mac;
		}
		tx[i] = add(s);
		rx[i] = add(r);
	}
	traffic_engine_start(&e, traffic_tsc());
	while (traffic_engine_poll(&e))
		;
	for (unsigned i = 0; i < 8; i++) {
		assert_true(tx[i]->done);
		assert_int_equal(rx[i]->frames, 3000);
		assert_int_equal(rx[i]->seq.lost + rx[i]->corrupt, 0);
	}
	assert_int_equal(a.port.rx_other + b.port.rx_other, 0);
}

/* A sender that finds no room says so and makes up for it: the rate is not lowered. */
/* How many frames of each size came over the wire. */
static uint64_t by_size[FRAME];

static void counting_wire(struct fake *to, const uint8_t *data, uint32_t len, uint64_t n)
{
	by_size[len + ETHER_FCS_LEN]++;
	put(to, data, len);
}

/* Addresses that came over the wire, by the number in their bytes 1 to 3. */
static uint32_t by_mac[2][1000];

static void mac_wire(struct fake *to, const uint8_t *data, uint32_t len, uint64_t n)
{
	for (int end = 0; end < 2; end++) {
		const uint8_t *m = data + 6 * end;
		uint32_t k = m[1] | (uint32_t)m[2] << 8 | (uint32_t)m[3] << 16;

		assert_int_equal(2, m[0]);
		assert_int_equal(end ? 1 : 2, m[5]);
		assert_true(k < 1000);
		by_mac[end][k]++;
	}
	put(to, data, len);
}

/* Many addresses of each end, with several ports as well, and a flow of one address beside it. */
static void test_macs(void **state)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 1, 300), r = spec(TRAFFIC_RECEIVE, 1, 0);
	struct traffic_flow *rx[2];

	s.frames = 5000;
	s.l4_flows = 7;
	s.n_macs = r.n_macs = 1000;
	a.deliver = mac_wire;
	add(s);
	rx[0] = add(r);
	s.id = r.id = 2;
	s.n_macs = r.n_macs = 1;
	add(s);
	rx[1] = add(r);
	traffic_engine_start(&e, traffic_tsc());
	while (traffic_engine_poll(&e))
		;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rx[i]->frames, 5000);
		assert_int_equal(rx[i]->seq.lost + rx[i]->corrupt, 0);
	}
	for (int k = 0; k < 1000; k++)
		for (int end = 0; end < 2; end++)
			assert_int_equal(by_mac[end][k], k ? 5 : 5005);
}

static void test_mix(void **state)
{
	static const uint16_t mix[] = { 64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64 };
	static const uint32_t sizes[] = { 64, 594, 1518 };
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 5, 0);
	const uint64_t n = RING * 1000;
	struct traffic_flow *tx, *rx;
	uint64_t bytes = 0;

	s.n_mix = 12;
	memcpy(s.mix, mix, sizeof(mix));
	s.frames = n;
	rx = add(spec(TRAFFIC_RECEIVE, 5, 0));
	tx = add(s);
	memset(by_size, 0, sizeof(by_size));
	a.deliver = counting_wire;
	traffic_engine_start(&e, traffic_tsc());
	while (traffic_engine_poll(&e) || !tx->done)
		;
	assert_int_equal(rx->frames, n);
	assert_int_equal(rx->corrupt + rx->seq.lost + rx->seq.reordered, 0);
	/* Slots get the sizes in turn and keep them, also where their pattern is renewed. */
	for (int k = 0; k < 3; k++) {
		uint64_t slots = 0;

		for (int i = 0; i < RING; i++)
			slots += mix[i % 12] == sizes[k];
		assert_int_equal(by_size[sizes[k]], slots * 1000);
		bytes += by_size[sizes[k]] * sizes[k];
	}
	assert_int_equal(tx->bytes, bytes);
	assert_int_equal(rx->bytes, bytes);
	assert_int_equal(a.sets, RING);

	/* Another flow on the port: its marks are of its own. */
	traffic_engine_reset(&e);
	a.deliver = NULL;
	run(128, 1000, &tx, &rx);
	assert_int_equal(rx->frames, 1000);
	assert_int_equal(rx->corrupt, 0);
}

/* Harms the body of each frame but the first; of each tenth the head as well. */
static void harming_wire(struct fake *to, const uint8_t *data, uint32_t len, uint64_t n)
{
	uint8_t copy[FRAME];

	memcpy(copy, data, len);
	copy[len / 2] ^= n > 0;
	if (n % 10 == 9)
		copy[TRAFFIC_OFF_TSC] ^= 1;
	put(to, copy, len);
}

/* Bodies that are not verified may be harmed; heads may not. */
static void test_bodies(void **state)
{
	struct traffic_flow *tx, *rx;

	a.deliver = harming_wire;
	run(256, 1000, &tx, &rx);
	assert_int_equal(rx->corrupt, 999);

	setup(NULL);
	e.body_mask = 1023;
	a.deliver = harming_wire;
	run(256, 1000, &tx, &rx);
	assert_int_equal(rx->corrupt, 100);
	assert_int_equal(rx->frames, 900);
}

static void test_ring_full(void **state)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 1, 64);
	struct traffic_flow *f;

	s.rate_mfps = 1000000000; /* 1 M/s: a frame each 1000 ticks */
	f = add(s);
	a.room = 0;
	traffic_engine_start(&e, traffic_tsc() - 500000);
	assert_int_equal(traffic_engine_next(&e) <= traffic_tsc(), 1);
	for (int i = 0; i < 10; i++)
		traffic_engine_poll(&e);
	assert_int_equal(f->ring_full, 10);
	assert_int_equal(f->frames, 0);
	a.room = RING;
	b.tail = b.head;
	for (int i = 0; i < 40; i++) {
		traffic_engine_poll(&e);
		b.tail = b.head;
	}
	assert_true(f->frames >= 500);
	assert_true(f->late_max_tsc >= 500000);
	traffic_engine_stop(&e);
	assert_true(f->done);
	assert_true(traffic_engine_next(&e) == UINT64_MAX);
}

/* A paced flow sends all frames that were due in its time, and then says that it is done. */
static void test_paced_end(void **state)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 1, 64);
	struct traffic_flow *f;

	/* Slow seconds: whoever runs this test may be away for a while and still catch up. */
	e.tsc_hz = 100000000000;
	s.rate_mfps = 100000000; /* a frame each 10^6 ticks */
	s.duration_tsc = 20000000;
	f = add(s);
	traffic_engine_start(&e, traffic_tsc());
	while (!f->done) {
		traffic_engine_poll(&e);
		b.tail = b.head;
	}
	assert_int_equal(f->frames, 20);
	assert_true(f->last_tsc + f->late_max_tsc >= f->first_tsc + 19000000);
}

/* A flow that begins later, and where in time frames were last missing. */
static void test_delay(void **state)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 1, 64);
	uint64_t now = traffic_tsc();

	s.delay_tsc = 1ull << 62;
	s.duration_tsc = 1000;
	struct traffic_flow *paced, *flat = add(s);
	s.id = 2;
	s.rate_mfps = 1000000;
	paced = add(s);
	traffic_engine_start(&e, now);
	assert_int_equal(traffic_engine_poll(&e), 0);
	assert_int_equal(traffic_engine_next(&e), now + s.delay_tsc);
	assert_int_equal(flat->frames + paced->frames, 0);
	assert_false(flat->done || paced->done);
	traffic_engine_reset(&e);
	s.delay_tsc = 20000;
	flat = add(s);
	traffic_engine_start(&e, traffic_tsc());
	while (traffic_tsc() < flat->end_tsc)
		traffic_engine_poll(&e);
	traffic_engine_poll(&e);
	assert_true(flat->frames > 0 && flat->first_tsc >= flat->begin_tsc);
}

static void lose_some(struct fake *to, const uint8_t *data, uint32_t len, uint64_t n)
{
	if (n != 10 && n != 500)
		put(to, data, len);
}

static void test_gap_and_load(void **state)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 1, 64);
	uint64_t before;

	s.frames = 1000;
	a.deliver = lose_some;
	add(s);
	struct traffic_flow *r = add(spec(TRAFFIC_RECEIVE, 1, 0));
	traffic_engine_start(&e, traffic_tsc());
	while (r->seq.next < 400)
		traffic_engine_poll(&e);
	assert_in_range(r->last_gap_tsc, r->first_tsc, r->last_tsc);
	before = r->last_gap_tsc;
	while (r->seq.next < 1000)
		traffic_engine_poll(&e);
	assert_true(r->last_gap_tsc > before);
	/* Full rounds, but perhaps some that something interrupted. */
	assert_in_range(e.load.frames, 1, 1998);
	assert_true(e.load.tsc >= e.load.frames);
	traffic_engine_reset(&e);
	assert_int_equal(e.load.frames + e.load.tsc, 0);
}

static void test_refusals(void **state)
{
	struct traffic_flow_spec s = spec(TRAFFIC_SEND, 1, 64);
	const char *why;

#define REFUSED(member, value, key)                                           \
	do {                                                                  \
		struct traffic_flow_spec t = s;                               \
		t.member = value;                                             \
		assert_string_equal(traffic_engine_check(&e, &t, &why), key); \
		assert_non_null(why);                                         \
	} while (0)
	REFUSED(port, 2, "nic");
	REFUSED(id, 0, "id");
	REFUSED(size, 63, "size");
	REFUSED(size, 1519, "size");
	REFUSED(size, 9235, "size");
	REFUSED(n_macs, TRAFFIC_MACS_MAX + 1, "n_macs");
	REFUSED(l4_flows, 0, "l4_flows");
	REFUSED(l4_flows, TRAFFIC_L4_MAX + 1, "l4_flows");
	REFUSED(rate_mfps, TRAFFIC_RATE_MAX + 1, "rate_mfps");
	REFUSED(peer, ((struct ether_mac){ { 0 } }), "peer_mac");
	add(s);
	REFUSED(id, 1, "id");
	for (uint16_t i = 2; i <= TRAFFIC_FLOWS_MAX; i++) {
		s.id = i;
		add(s);
	}
	REFUSED(id, 1000, "flows");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_clean, setup),
		cmocka_unit_test_setup(test_bad_wire, setup),
		cmocka_unit_test_setup(test_many_flows, setup),
		cmocka_unit_test_setup(test_macs, setup),
		cmocka_unit_test_setup(test_mix, setup),
		cmocka_unit_test_setup(test_bodies, setup),
		cmocka_unit_test_setup(test_ring_full, setup),
		cmocka_unit_test_setup(test_paced_end, setup),
		cmocka_unit_test_setup(test_delay, setup),
		cmocka_unit_test_setup(test_gap_and_load, setup),
		cmocka_unit_test_setup(test_refusals, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
