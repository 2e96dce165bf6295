/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four ports of the rig with guests that send and receive single frames: for tests of what is
 * demanded of ports. Include after cmocka.h.
 */
#ifndef LANYARD_TESTS_DPGUESTS_H
#define LANYARD_TESTS_DPGUESTS_H

#include "tests/lib/dprig.h"
#include "vswitch/dp/policy.h"

#define SIZE 64u
#define MEM  (1u << 20)
#define SLOT 2048u
#define HDR  12u
#define HZ   1000000000ull /* of the clock of these tests */

static struct rig rig;
static struct dp_policy policy[RIG_PORTS];
static uint64_t clock_cycles;
static uint16_t posted[RIG_PORTS], sent[RIG_PORTS], taken[RIG_PORTS];
static uint32_t now_s;

static inline uint64_t cycles(void)
{
	return clock_cycles;
}

static inline uint8_t *slot(int g, uint32_t i)
{
	return rig.guest[g].mem + 2 * rig_ring_bytes(SIZE) + (size_t)i * SLOT;
}

static inline uint64_t gpa(int g, const uint8_t *p)
{
	return RIG_GPA + (uint64_t)(p - rig.guest[g].mem);
}

/* Slots 0 to SIZE - 1 are receive buffers, the others frames that are sent. */
static inline void post(int g, uint16_t d)
{
	struct ring *r = &rig.guest[g].out.ring;

	r->desc[d] = (struct vring_desc){ gpa(g, slot(g, d)), SLOT, VRING_DESC_F_WRITE, 0 };
	r->avail->ring[posted[g]++ % SIZE] = d;
	__atomic_store_n(&r->avail->idx, posted[g], __ATOMIC_RELEASE);
}

/* Sends one frame; torn: in a chain of small pieces. */
static inline uint8_t *put(int g, const uint8_t *bytes, uint32_t len, bool torn)
{
	struct ring *r = &rig.guest[g].in.ring;
	uint16_t d = (uint16_t)(sent[g] * 4 % SIZE);
	uint8_t *at = slot(g, SIZE + sent[g] % 16);

	memset(at, 0, HDR);
	memcpy(at + HDR, bytes, len);
	if (torn && len > 30) {
		r->desc[d] = (struct vring_desc){ gpa(g, at), HDR, VRING_DESC_F_NEXT,
			(uint16_t)(d + 1) };
		r->desc[d + 1] = (struct vring_desc){ gpa(g, at) + HDR, 13, VRING_DESC_F_NEXT,
			(uint16_t)(d + 2) };
		r->desc[d + 2] = (struct vring_desc){ gpa(g, at) + HDR + 13, len - 20,
			VRING_DESC_F_NEXT, (uint16_t)(d + 3) };
		r->desc[d + 3] = (struct vring_desc){ gpa(g, at) + HDR + 13 + len - 20, 7, 0, 0 };
	} else {
		r->desc[d] = (struct vring_desc){ gpa(g, at), HDR + len, 0, 0 };
	}
	r->avail->ring[sent[g]++ % SIZE] = d;
	__atomic_store_n(&r->avail->idx, sent[g], __ATOMIC_RELEASE);
	return at + HDR;
}

static inline void turn(int g)
{
	uint32_t faults = 0;

	while (dp_forward(&rig.fwd, &rig.view, &rig.guest[g].in, now_s, &faults))
		;
	assert_int_equal(faults, 0);
}

/* The next frame that guest g received, and its length; 0: none. */
static inline uint32_t take(int g, uint8_t *bytes)
{
	struct ring *r = &rig.guest[g].out.ring;
	struct vring_used_elem e;

	if (taken[g] == r->used->idx)
		return 0;
	e = r->used->ring[taken[g]++ % SIZE];
	memcpy(bytes, slot(g, e.id) + HDR, e.len - HDR);
	post(g, (uint16_t)e.id);
	return e.len - HDR;
}

/* How many frames guest g received, which are forgotten. */
static inline uint32_t received(int g)
{
	uint8_t bytes[SLOT];
	uint32_t n = 0;

	while (take(g, bytes))
		n++;
	return n;
}

static inline uint64_t drops(int g, enum dp_drop why)
{
	return rig.guest[g].port.in[0].drops[why];
}

static inline uint64_t drops_all(int g)
{
	uint64_t n = rig.guest[g].port.drops_down;

	for (int d = 0; d < DP_DROP_MAX; d++)
		n += rig.guest[g].port.in[0].drops[d] + rig.guest[g].port.out[0].drops[d];
	return n;
}

static inline int setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	memset(posted, 0, sizeof(posted));
	memset(sent, 0, sizeof(sent));
	memset(taken, 0, sizeof(taken));
	memset(policy, 0, sizeof(policy));
	for (int g = 0; g < RIG_PORTS; g++) {
		rig_guest_init(&rig.guest[g], MEM, 1, false);
		rig_guest_rings(&rig.guest[g], SIZE, 1ull << 32, 0);
	}
	rig_init(&rig, RIG_PORTS, 1500);
	rig.fwd.cycles = cycles;
	clock_cycles = 1000 * HZ;
	now_s = 10;
	for (int g = 0; g < RIG_PORTS; g++) {
		policy[g].tagged = true;
		policy[g].mac_limit = FDB_NO_LIMIT;
		memset(policy[g].vlans, 0xff, sizeof(policy[g].vlans));
		for (uint16_t d = 0; d < SIZE; d++)
			post(g, d);
	}
	return 0;
}

static inline int teardown(void **state)
{
	rig_fini(&rig);
	return 0;
}

/* As the control side does when it publishes a view. */
static inline void publish(int g)
{
	const struct dp_policy *p = &policy[g];

	policy[g].each = p->admin_down || p->spoof.n_macs || p->police.burst;
	rig.ports[g].policy = p;
	rig.ports[g].isolated = p->isolated;
	rig.ports[g].egress.native = p->untagged;
	rig.view.generation++;
}

static inline void vlans_are(
	int g, bool tagged, uint16_t untagged, const uint16_t *vids, uint32_t n)
{
	policy[g].tagged = tagged;
	policy[g].untagged = untagged;
	memset(policy[g].vlans, 0, sizeof(policy[g].vlans));
	for (uint32_t i = 0; i < n; i++)
		policy[g].vlans[vids[i] / 64] |= 1ull << vids[i] % 64;
	publish(g);
}

/* A frame of 60 bytes from host src to host dst (0xff: broadcast, 0xee: a group). tag: TCI, -1. */
static inline uint32_t frame(uint8_t *b, uint8_t dst, uint8_t src, int tag)
{
	uint32_t n = 12;

	for (int i = 0; i < 64; i++)
		b[i] = (uint8_t)random();
	memcpy(b, "\x02\0\0\0\0\0\x02\0\0\0\0\0", 12);
	b[5] = dst;
	b[11] = src;
	if (dst == 0xff)
		memset(b, 0xff, 6);
	if (dst == 0xee)
		b[0] = 3;
	if (tag >= 0) {
		b[n++] = 0x81;
		b[n++] = 0;
		b[n++] = (uint8_t)(tag >> 8);
		b[n++] = (uint8_t)tag;
	}
	b[n++] = 0x88;
	b[n++] = 0xb5;
	return 60;
}

static inline void say(int g, uint8_t dst, uint8_t src, int tag)
{
	uint8_t b[64];

	put(g, b, frame(b, dst, src, tag), false);
	turn(g);
}

static inline struct dp_rate rate_of(uint64_t a_second, uint64_t burst)
{
	return (struct dp_rate){ burst, HZ / a_second, 1 };
}

#endif
