/* SPDX-License-Identifier: Apache-2.0 */
/* What is demanded of ports, frame by frame, on plain memory: VLANs against a plain reference, who
 * may talk to whom, how many addresses, how much. Who may say that it is whom: test_dp_spoof.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/dpguests.h"

/* ---- VLANs: a plain reference, by the words of docs/switch.md ---- */

struct ref_port {
	bool all, tagged;
	uint16_t untagged; /* DP_NO_VLAN: none */
	bool member[4096];
};

static struct ref_port ref[RIG_PORTS];
static int ref_fdb[4096][8]; /* port, by VLAN and host; -1: unknown */

static const uint16_t some_vids[] = { 1, 2, 10, 20, 4094 };

static void ref_port_choose(int g)
{
	struct ref_port *p = &ref[g];
	uint16_t vids[5];
	uint32_t n = 0, kind = (uint32_t)random() % 4;

	memset(p, 0, sizeof(*p));
	for (uint32_t i = 0; i < 5; i++)
		if (kind == 0 || random() % 2)
			vids[n++] = some_vids[i];
	if (kind == 0 || !n) { /* plain */
		rig.ports[g].policy = NULL;
		rig.ports[g].egress.native = 0;
		rig.view.generation++;
		p->all = p->tagged = true;
		memset(p->member, 1, sizeof(p->member));
		return;
	}
	if (kind == 1)
		n = 1;
	p->tagged = kind != 1;
	p->untagged = kind == 3 ? DP_NO_VLAN : vids[(uint32_t)random() % n];
	for (uint32_t i = 0; i < n; i++)
		p->member[vids[i]] = true;
	vlans_are(g, p->tagged, p->untagged, vids, n);
}

/* What port `to` gets of a frame that is in VLAN vid. */
static uint32_t ref_leaves(int to, uint16_t vid, const uint8_t *b, uint32_t len, uint8_t *out)
{
	bool has = b[12] == 0x81 && b[13] == 0, wants = vid != ref[to].untagged;
	uint32_t n = 12;
	uint8_t priority = has ? b[14] & 0xf0 : 0;

	if (vid == 0)
		wants = has; /* of no VLAN: as it came */
	memcpy(out, b, 12);
	if (wants) {
		out[n++] = 0x81;
		out[n++] = 0;
		out[n++] = priority | (uint8_t)(vid >> 8);
		out[n++] = (uint8_t)vid;
	}
	memcpy(out + n, b + (has ? 16 : 12), len - (has ? 16 : 12));
	return n + len - (has ? 16 : 12);
}

/* The reason why a frame is dropped, or DP_DROP_MAX; to[]: who gets it. */
static enum dp_drop ref_decide(int g, const uint8_t *b, bool *to, uint16_t *vid)
{
	bool has = b[12] == 0x81 && b[13] == 0;
	uint16_t id = has ? (uint16_t)((b[14] << 8 | b[15]) & 0xfff) : 0;
	int at;
	uint32_t n = 0;

	memset(to, 0, RIG_PORTS);
	*vid = id;
	if (id == 0)
		*vid = ref[g].untagged;
	else if (!ref[g].tagged || !ref[g].member[id] || id == 4095)
		return DP_DROP_rx_vlan;
	if (*vid == DP_NO_VLAN)
		return DP_DROP_rx_vlan;
	ref_fdb[*vid][b[11]] = g;
	at = b[0] & 1 ? -1 : ref_fdb[*vid][b[5]];
	if (at == g)
		return DP_DROP_rx_same_port;
	if (at >= 0 && ref[at].member[*vid]) {
		to[at] = true;
		return DP_DROP_MAX;
	}
	for (int p = 0; p < RIG_PORTS; p++)
		if (p != g && ref[p].member[*vid]) {
			to[p] = true;
			n++;
		}
	return n ? DP_DROP_MAX : DP_DROP_rx_no_receiver;
}

static void ref_check(int g, const uint8_t *b, uint32_t len, uint64_t *dropped)
{
	enum dp_drop why;
	bool to[RIG_PORTS];
	uint16_t vid;

	why = ref_decide(g, b, to, &vid);
	for (int p = 0; p < RIG_PORTS; p++) {
		uint8_t want[SLOT], got[SLOT];
		uint32_t n = to[p] ? ref_leaves(p, vid, b, len, want) : 0;

		assert_int_equal(take(p, got), n);
		assert_memory_equal(got, want, n);
	}
	if (why != DP_DROP_MAX)
		dropped[why]++;
	for (int d = 0; d < DP_DROP_MAX; d++)
		assert_int_equal(drops(g, (enum dp_drop)d), dropped[d]);
}

static void vlans_as_the_reference(void **state)
{
	static uint64_t dropped[RIG_PORTS][DP_DROP_MAX];
	uint32_t no_drop = 0;

	memset(dropped, 0, sizeof(dropped));
	srandom(11);
	for (int round = 0; round < 300; round++) {
		/* As the control side does: who changes his VLANs is forgotten. */
		fdb_fini(&rig.fdb);
		assert_int_equal(fdb_init(&rig.fdb, 256, RIG_PORTS, (uint64_t)round), 0);
		memset(ref_fdb, 0xff, sizeof(ref_fdb));
		for (int g = 0; g < RIG_PORTS; g++)
			ref_port_choose(g);
		for (int k = 0; k < 300; k++) {
			int g = (int)(random() % RIG_PORTS), vid = -1;
			uint8_t b[64], host = (uint8_t)(random() % 8);
			uint32_t len;

			if (random() % 3)
				vid = random() % 12 == 0    ? 4095
					: random() % 6 == 0 ? 0
							    : some_vids[random() % 5];
			if (vid >= 0 && random() % 2)
				vid |= (int)(random() % 16) << 12;
			len = frame(b, random() % 8 ? host : 0xff, (uint8_t)(random() % 8), vid);
			for (int again = random() % 3 ? 0 : 2; again >= 0; again--) {
				put(g, b, len, random() % 4 == 0);
				turn(g);
				no_drop++;
				ref_check(g, b, len, dropped[g]);
			}
		}
	}
	for (int g = 0; g < RIG_PORTS; g++) {
		assert_true(dropped[g][DP_DROP_rx_vlan] > 1000);
		assert_true(dropped[g][DP_DROP_rx_same_port] > 100);
		assert_true(dropped[g][DP_DROP_rx_no_receiver] > 10);
	}
	assert_true(no_drop > 90000);
}

/* The tag's four bytes are free; a frame that ends in its tag is a runt. */
static void vlan_lengths(void **state)
{
	uint8_t b[SLOT];

	memset(b, 0, sizeof(b));
	frame(b, 0xff, 1, 10);
	put(0, b, 1518, false);
	turn(0);
	assert_int_equal(received(1), 1);
	put(0, b, 1519, false);
	turn(0);
	assert_int_equal(drops(0, DP_DROP_rx_oversize), 1);
	for (uint32_t len = 14; len < 18; len++) {
		put(0, b, len, false);
		turn(0);
	}
	assert_int_equal(drops(0, DP_DROP_rx_runt), 4);
	frame(b, 0xff, 1, -1);
	put(0, b, 1515, false);
	turn(0);
	assert_int_equal(drops(0, DP_DROP_rx_oversize), 2);
	assert_int_equal(received(1), 0);
}

/* The other way out: an entry that no longer holds, or a port that left the VLAN. */
static void vlan_left_behind(void **state)
{
	static const uint16_t ten[] = { 10 }, twenty[] = { 20 };

	say(1, 0xff, 2, 10);
	received(0);
	received(2);
	received(3);
	say(0, 2, 1, 10);
	assert_int_equal(received(1), 1);
	assert_int_equal(received(2) + received(3), 0);
	vlans_are(1, true, DP_NO_VLAN, twenty, 1);
	vlans_are(2, false, 10, ten, 1);
	say(0, 2, 1, 10);
	assert_int_equal(received(1), 0);
	assert_int_equal(received(2), 1);
	assert_int_equal(received(3), 1);
}

/* ---- who may talk to whom ---- */

static void isolation(void **state)
{
	policy[0].isolated = policy[1].isolated = true;
	publish(0);
	publish(1);
	say(1, 0xff, 2, -1);
	assert_int_equal(received(0), 0);
	assert_int_equal(received(2) + received(3), 2);
	say(0, 2, 1, -1);
	assert_int_equal(drops(0, DP_DROP_rx_isolated), 1);
	assert_int_equal(received(1) + received(2) + received(3), 0);
	say(2, 2, 3, -1);
	assert_int_equal(received(1), 1);
	say(1, 3, 2, -1);
	assert_int_equal(received(2), 1);
	say(1, 3, 2, -1);
	assert_int_equal(received(2), 1);
	/* With nobody else there, a broadcast has nobody to go to. */
	rig.ports[2].n_outs = rig.ports[3].n_outs = 0;
	rig.view.generation++;
	say(0, 0xff, 1, -1);
	assert_int_equal(drops(0, DP_DROP_rx_isolated), 2);
	assert_int_equal(received(1), 0);
}

/* A VF's NIC gives the VF its own broadcasts back: they teach nothing and go nowhere. */
static void reflection(void **state)
{
	rig.ports[3].reflects = true;
	rig.view.generation++;
	say(1, 0xff, 2, -1);
	assert_int_equal(received(0) + received(2) + received(3), 3);
	say(3, 0xff, 2, -1);
	assert_int_equal(received(0) + received(1) + received(2), 0);
	assert_int_equal(drops(3, DP_DROP_rx_reflected), 1);
	say(3, 2, 7, -1); /* an answer from behind the VF */
	assert_int_equal(received(1), 1);
	say(1, 7, 2, -1);
	assert_int_equal(received(3), 1);
	assert_int_equal(received(0) + received(2), 0);
	/* Who comes from behind it to a port of ours moves. */
	say(0, 0xff, 7, -1);
	received(1);
	received(2);
	received(3);
	say(1, 7, 2, -1);
	assert_int_equal(received(0), 1);
	/* And the other way once nothing is heard of him here, or the port is down. */
	say(0, 0xff, 1, -1);
	received(1);
	received(2);
	received(3);
	now_s += 18;
	say(3, 0xff, 1, -1);
	assert_int_equal(drops(3, DP_DROP_rx_reflected), 2);
	now_s += 2;
	say(3, 0xff, 1, -1);
	assert_int_equal(drops(3, DP_DROP_rx_reflected), 2);
	assert_int_equal(received(0) + received(1) + received(2), 3);
	say(0, 0xff, 7, -1);
	received(1);
	received(2);
	received(3);
	rig.ports[0].n_outs = 0;
	rig.view.generation++;
	say(3, 2, 7, -1);
	assert_int_equal(received(1), 1);
	say(1, 7, 2, -1);
	assert_int_equal(received(3), 1);
	assert_int_equal(drops(3, DP_DROP_rx_reflected), 2);
}

static void admin_state(void **state)
{
	say(1, 0xff, 2, -1);
	say(0, 2, 1, -1);
	assert_int_equal(received(0), 1);
	assert_int_equal(received(1), 1);
	received(2);
	received(3);
	policy[1].admin_down = true;
	publish(1);
	rig.ports[1].n_outs = 0; /* so the control side has it */
	say(1, 1, 2, -1);
	assert_int_equal(drops(1, DP_DROP_rx_admin_down), 1);
	assert_int_equal(rig.guest[1].port.in[0].traffic.frames, 2);
	assert_int_equal(rig.guest[1].port.in[0].traffic.bytes, 120);
	assert_int_equal(received(0), 0);
	say(0, 2, 1, -1);
	assert_int_equal(rig.guest[1].port.drops_down, 1);
	say(0, 0xff, 1, -1);
	assert_int_equal(received(1), 0);
	assert_int_equal(received(2) + received(3), 2);
	policy[1].admin_down = false;
	publish(1);
	rig.ports[1].n_outs = 1;
	say(0, 2, 1, -1);
	assert_int_equal(received(1), 1);
}

static void limit_of_addresses(void **state)
{
	policy[0].mac_limit = 2;
	publish(0);
	for (uint8_t i = 1; i <= 4; i++)
		say(0, 0xff, i, -1);
	assert_int_equal(received(1), 4); /* they pass, they are not learnt */
	assert_int_equal(rig.fdb.port_entries[0], 2);
	assert_int_equal(rig.guest[0].port.unlearned, 2);
	assert_int_equal(drops_all(0), 0);
	received(2);
	say(1, 1, 9, -1);
	assert_int_equal(received(2), 0);
	say(1, 4, 9, -1);
	assert_int_equal(received(2), 1); /* flooded */
}

static void static_addresses(void **state)
{
	uint8_t mac[8] = { 2, 0, 0, 0, 0, 7 };
	struct fdb_addr a;
	uint64_t raw;

	memcpy(&raw, mac, 8);
	a = fdb_addr(&rig.fdb, fdb_key(1, raw), 0);
	assert_int_equal(fdb_static_add(&rig.fdb, &a, 3), 0);
	say(0, 7, 1, -1);
	assert_int_equal(received(3), 1);
	assert_int_equal(received(1) + received(2), 0);
	say(1, 0xff, 7, -1); /* somebody else takes its name: passes, and changes nothing */
	received(3);
	say(0, 7, 1, -1);
	assert_int_equal(received(3), 1);
	assert_int_equal(received(1), 0);
}

/* ---- how much ---- */

/* Over 10 s of virtual time, offered ten times what is allowed, in bursts. */
static void storm_of(uint8_t dst, enum dp_storm kind)
{
	uint64_t passed = 0, others = 0;

	memset(policy[0].storm, 0, sizeof(policy[0].storm));
	policy[0].storm[kind] = rate_of(1000, 100);
	publish(0);
	received(1);
	received(2);
	received(3);
	for (int ms = 0; ms < 10000; ms++) {
		uint8_t b[64];
		uint32_t len = frame(b, dst, 1, -1);

		clock_cycles += HZ / 1000;
		for (int i = 0; i < 10; i++)
			put(0, b, len, false);
		turn(0);
		passed += received(1);
		others += received(2) + received(3);
	}
	/* A thousand a second, and the bucket that was full in the beginning. */
	assert_in_range(passed, 10000 + 100 - 2, 10000 + 100 + 2);
	assert_int_equal(others, 2 * passed);
}

static void storms(void **state)
{
	uint64_t before;

	storm_of(0xff, DP_STORM_BROADCAST);
	assert_int_equal(drops(0, DP_DROP_rx_storm), drops_all(0));
	storm_of(0xee, DP_STORM_MULTICAST);
	storm_of(77, DP_STORM_UNKNOWN);
	/* Others pass meanwhile: of other kinds, from other ports, to known addresses. */
	before = drops(0, DP_DROP_rx_storm);
	say(1, 0xff, 2, -1);
	received(0);
	for (int i = 0; i < 500; i++) {
		say(0, i % 3 == 0 ? 0xff : i % 3 == 1 ? 0xee : 2, 1, -1);
		assert_int_equal(received(1), 1);
		received(2);
		received(3);
		say(1, 77, 2, -1);
		assert_int_equal(received(0), 1);
	}
	received(2);
	assert_int_equal(drops(0, DP_DROP_rx_storm), before);
	assert_int_equal(drops_all(1), 0);
}

/* Bytes, whatever the sizes and however they come. */
static void police_of(uint64_t bytes_s, uint32_t burst, uint32_t step)
{
	uint64_t passed = 0, n_passed = 0, offered = 0,
		 began = rig.guest[0].port.in[0].traffic.frames;
	uint64_t dropped = drops(0, DP_DROP_rx_policed);

	policy[0].police = rate_of(bytes_s, burst);
	publish(0);
	received(1);
	for (uint32_t t = 0; t < 4000; t += step) {
		uint8_t b[SLOT];

		memset(b, 0, sizeof(b));
		frame(b, 0xff, 1, -1);
		clock_cycles += HZ / 1000 * step;
		for (int i = 0; i < 15; i++) {
			uint32_t len = 60 + (uint32_t)random() % 1400;

			put(0, b, len, i % 5 == 0);
			offered += len;
		}
		turn(0);
		for (uint32_t len; (len = take(1, b)); n_passed++)
			passed += len;
		received(2);
		received(3);
	}
	assert_true(offered > bytes_s * 5);
	assert_in_range(passed, bytes_s * 4 * 98 / 100, bytes_s * 4 * 101 / 100 + burst);
	/* Each frame was one or the other. */
	assert_int_equal(drops(0, DP_DROP_rx_policed) - dropped + n_passed,
		rig.guest[0].port.in[0].traffic.frames - began);
}

static void policing(void **state)
{
	srandom(31);
	police_of(100000, 9234, 1);
	police_of(1000000, 65536, 1);
	police_of(250000, 20000, 8);
	/* Below the rate nothing is dropped. */
	policy[0].police = rate_of(1000000, 9234);
	publish(0);
	for (int i = 0; i < 1000; i++) {
		uint64_t before = drops(0, DP_DROP_rx_policed);

		clock_cycles += HZ / 1000;
		say(0, 0xff, 1, -1);
		assert_int_equal(drops(0, DP_DROP_rx_policed), before);
	}
}

/* A clock that another worker read a moment later, and one that stood for a year. */
static void meter_clocks(void **state)
{
	struct dp_rate r = rate_of(1000, 10);
	struct dp_bucket b = { 0 };

	for (int i = 0; i < 10; i++)
		assert_true(dp_meter_take(&b, &r, 1ull << 60, 1));
	assert_false(dp_meter_take(&b, &r, (1ull << 60) - HZ, 1));
	assert_false(dp_meter_take(&b, &r, 1ull << 60, 1));
	assert_true(dp_meter_take(&b, &r, (1ull << 60) + HZ / 1000, 1));
	assert_false(dp_meter_take(&b, &r, (1ull << 60) + HZ / 1000, 1));
	/* More than the bucket holds never passes. */
	assert_false(dp_meter_take(&b, &r, (1ull << 60) + HZ * 1000, 11));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(vlans_as_the_reference),
		T(vlan_lengths),
		T(vlan_left_behind),
		T(isolation),
		T(reflection),
		T(admin_state),
		T(limit_of_addresses),
		T(static_addresses),
		T(storms),
		T(policing),
		T(meter_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
