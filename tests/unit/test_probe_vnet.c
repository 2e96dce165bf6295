/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe's virtio-net rings against a device made here: it takes and returns buffers in order
 * or not, spreads frames over buffers, asks for kicks as the specification says, and breaks the
 * rules. The driver's memory is laid out as vnet.c does it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "guest/probe/vnet.h"
#include "guest/probe/vnet_ring.h"

#define SIZE    64
#define ROOM    192 /* bytes of frame in a receive buffer */
#define STRIDE  256
#define NO_KICK 0xdead

static struct {
	struct vnet v;
	struct vring_desc desc[2][SIZE];
	uint16_t avail[2][3 + SIZE];
	uint32_t used[2][2 + 2 * SIZE];
	struct traffic_slot slots[SIZE];
	uint8_t done[SIZE];
	uint16_t notify[2];
	_Alignas(64) uint8_t mem[2][SIZE * STRIDE + 64];
	uint8_t joined[VNET_JOINED_MAX];
	/* the device's side */
	uint16_t seen[2]; /* available entries taken */
	uint16_t used_idx[2];
	bool holds; /* one receive buffer: this one */
	uint16_t held;
} t;

static uint64_t rng_state;

static unsigned rng(unsigned n)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(rng_state >> 33) % n;
}

static void queue_init(struct vnet_queue *q, int i)
{
	*q = (struct vnet_queue){ .desc = t.desc[i],
		.avail = (void *)t.avail[i],
		.used = (void *)t.used[i],
		.notify = &t.notify[i],
		.index = (uint16_t)i,
		.size = SIZE,
		.mask = SIZE - 1 };
	for (uint16_t k = 0; k < SIZE; k++) {
		uint8_t *frame = &t.mem[i][64 + k * STRIDE];

		q->desc[k] = (struct vring_desc){ (uintptr_t)frame - VNET_HDR_LEN,
			i ? 0 : ROOM + VNET_HDR_LEN, i ? 0 : VRING_DESC_F_WRITE, 0 };
		q->avail->ring[k] = k;
		if (i)
			t.slots[k].frame = frame;
	}
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.v.features = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MRG_RXBUF;
	t.v.event_idx = true;
	t.v.port.ops = &vnet_ring_ops;
	t.v.stride = STRIDE;
	t.v.rx_room = ROOM;
	t.v.rx_mem = &t.mem[0][64];
	t.v.rx_joined = t.joined;
	t.v.slots = t.slots;
	t.v.tx_done = t.done;
	queue_init(&t.v.rx, 0);
	queue_init(&t.v.tx, 1);
	vnet_ring_restart(&t.v);
	t.notify[0] = t.notify[1] = NO_KICK;
	rng_state = 1;
	return 0;
}

/* --- the device --- */

static struct vnet_queue *queue(int i)
{
	return i ? &t.v.tx : &t.v.rx;
}

static uint16_t device_waiting(int i)
{
	return queue(i)->avail->idx - t.seen[i];
}

static uint16_t device_take(int i)
{
	uint16_t id = queue(i)->avail->ring[t.seen[i]++ % SIZE];

	assert_true(id < SIZE);
	assert_false(!i && t.holds && id == t.held); /* it was not given back */
	return id;
}

static void device_return(int i, uint32_t id, uint32_t len)
{
	queue(i)->used->ring[t.used_idx[i] % SIZE] = (struct vring_used_elem){ id, len };
	t.used_idx[i]++;
	queue(i)->used->idx = t.used_idx[i];
}

static void device_want_kick(int i, uint16_t at)
{
	*(uint16_t *)&queue(i)->used->ring[SIZE] = at;
}

static uint16_t driver_event(int i)
{
	return queue(i)->avail->ring[SIZE];
}

/* Writes a frame of len bytes into buffers of the receive ring, and returns them. */
static void device_deliver(uint8_t fill, uint32_t len)
{
	uint32_t total = len + VNET_HDR_LEN, at = 0;
	uint16_t n = (uint16_t)((total + ROOM + VNET_HDR_LEN - 1) / (ROOM + VNET_HDR_LEN));
	struct vring_used_elem e[SIZE];

	assert_true(device_waiting(0) >= n);
	for (uint16_t k = 0; k < n; k++) {
		uint16_t id = device_take(0);
		struct vring_desc *d = &t.v.rx.desc[id];
		uint32_t part = total - at < d->len ? total - at : d->len;
		uint8_t *p = (uint8_t *)(uintptr_t)d->addr;

		assert_int_equal(d->flags, VRING_DESC_F_WRITE);
		memset(p, fill, part);
		if (!k) {
			struct virtio_net_hdr h = { .num_buffers = n };

			memcpy(p, &h, sizeof(h));
		}
		at += part;
		e[k] = (struct vring_used_elem){ id, part };
	}
	for (uint16_t k = 0; k < n; k++)
		device_return(0, e[k].id, e[k].len);
}

/* Takes a buffer and keeps it for long: others are returned before it. */
static void device_hold(void)
{
	t.held = device_take(0);
	t.holds = true;
}

static void device_deliver_held(uint8_t fill, uint32_t len)
{
	uint8_t *p = (uint8_t *)(uintptr_t)t.v.rx.desc[t.held].addr;

	memset(p, fill, len + VNET_HDR_LEN);
	memcpy(p, &(struct virtio_net_hdr){ .num_buffers = 1 }, VNET_HDR_LEN);
	t.holds = false;
	device_return(0, t.held, len + VNET_HDR_LEN);
}

/* --- transmit --- */

static uint32_t send(uint32_t n, uint8_t mark)
{
	struct traffic_slot *s;
	uint32_t k = vnet_ring_ops.tx_get(&t.v.port, n, &s);

	for (uint32_t i = 0; i < k; i++) {
		if (s[i].len != 60u + mark % 4)
			vnet_ring_ops.tx_set_len(&t.v.port, &s[i], 60u + mark % 4);
		s[i].frame[0] = mark;
	}
	if (k)
		vnet_ring_ops.tx_commit(&t.v.port, k);
	return k;
}

/* The device takes every frame once, in order, whole, and in whatever order it returns them no
 * slot is used again before. */
static void tx_run(unsigned shuffle)
{
	uint8_t next_mark = 0, want_mark = 0;
	uint16_t held[SIZE], n_held = 0;
	bool busy[SIZE] = { 0 };
	uint64_t sent = 0, taken = 0;

	for (int round = 0; round < 20000; round++) {
		if (send(1, next_mark)) {
			next_mark++;
			sent++;
		}
		for (unsigned k = rng(4); k-- && device_waiting(1);) {
			uint16_t id = device_take(1);
			struct vring_desc *d = &t.v.tx.desc[id];

			assert_false(busy[id]);
			busy[id] = true;
			assert_int_equal(((uint8_t *)(uintptr_t)d->addr)[VNET_HDR_LEN], want_mark);
			assert_int_equal(d->len, VNET_HDR_LEN + 60 + want_mark % 4);
			want_mark++;
			taken++;
			held[n_held++] = id;
		}
		for (unsigned k = rng(4); k-- && n_held;) {
			unsigned which = shuffle ? rng(n_held < shuffle ? n_held : shuffle) : 0;
			uint16_t id = held[which];

			memmove(held + which, held + which + 1, (n_held - which - 1u) * 2);
			n_held--;
			busy[id] = false;
			device_return(1, id, 0);
		}
		assert_false(t.v.broken);
	}
	assert_int_equal(sent - taken, device_waiting(1));
	assert_true(sent > 15000);
}

static void test_tx_in_order(void **state)
{
	tx_run(0);
	assert_false(t.v.tx_unordered);
}

static void test_tx_any_order(void **state)
{
	tx_run(8);
	assert_true(t.v.tx_unordered);
	setup(NULL);
	tx_run(SIZE);
}

static void test_tx_full(void **state)
{
	struct traffic_slot *s;
	uint32_t n = 0;

	while (n < SIZE)
		n += send(16, 0);
	assert_int_equal(n, SIZE);
	assert_int_equal(send(16, 0), 0);
	/* A few free slots are not worth a burst; half a burst is. */
	for (int i = 0; i < 7; i++)
		device_return(1, device_take(1), 0);
	assert_int_equal(vnet_ring_ops.tx_get(&t.v.port, 16, &s), 0);
	device_return(1, device_take(1), 0);
	assert_int_equal(vnet_ring_ops.tx_get(&t.v.port, 16, &s), 8);
	assert_int_equal(vnet_ring_ops.tx_get(&t.v.port, 1, &s), 1);
	/* Not committed, not sent. */
	assert_int_equal(t.v.tx.avail->idx, SIZE);
}

static void test_tx_broken(void **state)
{
	struct traffic_slot *s;

	send(16, 0);
	t.v.tx.used->idx = 17; /* more than was sent */
	assert_int_equal(vnet_ring_ops.tx_get(&t.v.port, SIZE, &s), 0);
	assert_true(t.v.broken);
	setup(NULL);
	send(16, 0);
	device_return(1, SIZE, 0); /* no such descriptor */
	vnet_ring_ops.tx_get(&t.v.port, SIZE, &s);
	assert_true(t.v.broken);
}

/* --- receive --- */

static void test_rx(void **state)
{
	uint8_t fill = 0, want = 0;
	uint32_t lens[256];

	for (int round = 0; round < 20000; round++) {
		struct traffic_frame f[16];
		uint32_t n;

		/* From tiny to ones that take up to 8 buffers; full ones, and just over. */
		for (unsigned k = rng(4); k--;) {
			static const uint32_t edge[] = { ROOM - 1, ROOM, ROOM + 1,
				2 * ROOM + VNET_HDR_LEN, 2 * ROOM + VNET_HDR_LEN + 1 };
			uint32_t len = rng(3) ? 60 + rng(120) : rng(2) ? edge[rng(5)] : rng(1500);

			if (device_waiting(0) < 9)
				break;
			lens[fill] = len;
			if (!t.holds && rng(8) == 0)
				device_hold();
			if (t.holds && len < ROOM && rng(100) == 0) {
				device_deliver_held(fill++, len);
				continue;
			}
			device_deliver(fill++, len);
		}
		n = vnet_ring_ops.rx_burst(&t.v.port, f, 1 + rng(16));
		for (uint32_t i = 0; i < n; i++, want++) {
			assert_int_equal(f[i].len, lens[want]);
			for (uint32_t b = 0; b < f[i].len; b++)
				assert_int_equal(f[i].data[b], want);
		}
		if (n)
			vnet_ring_ops.rx_release(&t.v.port);
		assert_false(t.v.broken);
		assert_true((uint8_t)(fill - want) <= SIZE);
	}
	while (want != fill) {
		struct traffic_frame f[16];
		uint32_t n = vnet_ring_ops.rx_burst(&t.v.port, f, 16);

		assert_true(n > 0);
		want += (uint8_t)n;
		vnet_ring_ops.rx_release(&t.v.port);
	}
	/* An empty poll gives everything back. */
	assert_int_equal(vnet_ring_ops.rx_burst(&t.v.port, &(struct traffic_frame){ 0 }, 1), 0);
	assert_int_equal(device_waiting(0), SIZE - t.holds);
}

static void rx_expect_broken(uint32_t id, uint32_t len, uint16_t num_buffers)
{
	struct traffic_frame f[4];
	struct virtio_net_hdr h = { .num_buffers = num_buffers };

	setup(NULL);
	memcpy(&t.mem[0][64 - VNET_HDR_LEN], &h, sizeof(h));
	device_return(0, id, len);
	assert_int_equal(vnet_ring_ops.rx_burst(&t.v.port, f, 4), 0);
	assert_true(t.v.broken);
}

static void test_rx_broken(void **state)
{
	struct traffic_frame f[4];

	rx_expect_broken(SIZE, 72, 1);
	rx_expect_broken(0xffffffff, 72, 1);
	rx_expect_broken(0, VNET_HDR_LEN - 1, 1);
	rx_expect_broken(0, ROOM + VNET_HDR_LEN + 1, 1);
	rx_expect_broken(0, ROOM + VNET_HDR_LEN, VNET_RX_TAKE + 1);
	setup(NULL);
	t.v.rx.used->idx = SIZE + 1;
	assert_int_equal(vnet_ring_ops.rx_burst(&t.v.port, f, 4), 0);
	assert_true(t.v.broken);
	/* The rest of a frame has not been returned yet: wait, it is no fault. */
	setup(NULL);
	memcpy(&t.mem[0][64 - VNET_HDR_LEN], &(struct virtio_net_hdr){ .num_buffers = 2 }, 12);
	device_return(0, 0, ROOM + VNET_HDR_LEN);
	assert_int_equal(vnet_ring_ops.rx_burst(&t.v.port, f, 4), 0);
	assert_false(t.v.broken);
	device_return(0, 1, 10);
	assert_int_equal(vnet_ring_ops.rx_burst(&t.v.port, f, 4), 1);
	assert_int_equal(f[0].len, ROOM + 10);
}

/* --- notifications --- */

static void test_kicks(void **state)
{
	/* At the start the device asks to hear of the first frame. */
	send(1, 0);
	assert_int_equal(t.notify[1], 1);
	t.notify[1] = NO_KICK;
	send(4, 0);
	assert_int_equal(t.notify[1], NO_KICK);
	device_want_kick(1, 7);
	send(2, 0);
	assert_int_equal(t.notify[1], NO_KICK);
	send(2, 0);
	assert_int_equal(t.notify[1], 1);
	assert_int_equal(t.v.tx.kicks, 2);
	/* Without EVENT_IDX: by the flag. */
	t.v.event_idx = false;
	t.notify[1] = NO_KICK;
	t.v.tx.used->flags = VRING_USED_F_NO_NOTIFY;
	send(1, 0);
	assert_int_equal(t.notify[1], NO_KICK);
	t.v.tx.used->flags = 0;
	send(1, 0);
	assert_int_equal(t.notify[1], 1);
}

/* Interrupts are asked for only when armed, and however long traffic runs none slips through. */
static void test_quiet(void **state)
{
	for (uint32_t i = 0; i < 300000; i++) {
		struct traffic_frame f;
		uint16_t before = t.used_idx[0];

		device_deliver(0, 60);
		assert_false(vring_need_event(driver_event(0), t.used_idx[0], before));
		assert_int_equal(vnet_ring_ops.rx_burst(&t.v.port, &f, 1), 1);
		vnet_ring_ops.rx_release(&t.v.port);
		send(1, 0);
		before = t.used_idx[1];
		device_return(1, device_take(1), 0);
		assert_false(vring_need_event(driver_event(1), t.used_idx[1], before));
	}
}

static void test_arm(void **state)
{
	uint16_t before;

	assert_true(vnet_arm(&t.v, false));
	before = t.used_idx[0];
	device_deliver(0, 60);
	assert_true(vring_need_event(driver_event(0), t.used_idx[0], before));
	/* Something is there already: no sleep. */
	assert_false(vnet_arm(&t.v, false));
	vnet_disarm(&t.v);
	before = t.used_idx[0];
	device_deliver(0, 60);
	assert_false(vring_need_event(driver_event(0), t.used_idx[0], before));

	/* Transmit: when half of what is in the ring has gone. */
	setup(NULL);
	send(32, 0);
	assert_true(vnet_arm(&t.v, true));
	for (int i = 0; i < 16; i++)
		device_return(1, device_take(1), 0);
	assert_false(vring_need_event(driver_event(1), 16, 0));
	device_return(1, device_take(1), 0);
	assert_true(vring_need_event(driver_event(1), 17, 16));
	assert_false(vnet_arm(&t.v, true));

	/* Without EVENT_IDX: flags. */
	setup(NULL);
	t.v.event_idx = false;
	vnet_ring_restart(&t.v);
	assert_int_equal(t.v.rx.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	assert_true(vnet_arm(&t.v, false));
	assert_int_equal(t.v.rx.avail->flags, 0);
	assert_int_equal(t.v.tx.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	vnet_disarm(&t.v);
	assert_int_equal(t.v.rx.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_tx_in_order, setup),
		cmocka_unit_test_setup(test_tx_any_order, setup),
		cmocka_unit_test_setup(test_tx_full, setup),
		cmocka_unit_test_setup(test_tx_broken, setup),
		cmocka_unit_test_setup(test_rx, setup),
		cmocka_unit_test_setup(test_rx_broken, setup),
		cmocka_unit_test_setup(test_kicks, setup),
		cmocka_unit_test_setup(test_quiet, setup),
		cmocka_unit_test_setup(test_arm, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
