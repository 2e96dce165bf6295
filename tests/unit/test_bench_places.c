/* SPDX-License-Identifier: Apache-2.0 */
/* lab/bench_places.c: where frames were lost, by made-up counters of NICs, taps, ports and PFs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/bench_parts.h"
#include "bench_topology.h"

#define PATHS                                                                                     \
	"{ 'version': 1, 'lab': 't', 'pfs': { 'pf0': { 'pci': '0000:01:00.0', 'num_vfs': 3 } }, " \
	"'ports': { 'up0': { 'network': 'lan', 'vf': 'pf0' } }, "                                 \
	"'networks': { 'br': { 'kind': 'bridge' }, 'lan': {} }, 'nodes': { %s }, "                \
	"'traffic': [ { 'name': 'n', 'from': 'a.0', 'to': 'b.0', 'frame': 64 } ] }"
#define NODE(name, nic) \
	"'" name "': { 'kind': 'vm', 'guest': 'linux', 'memory': '128M', 'nics': [ " nic " ] }"

/* A trial from a.0 to b.0: 1000 sent, 900 received. */
struct trial_case {
	struct topology *t;
	struct bench_plan p;
	json_t *status[2], *before[2];
	struct bench_raw raw;
	struct bench_round r;
};

static json_t *flow(const char *role, int frames)
{
	return js(
		"{'flows': [{'id': 1, 'role': '%s', 'done': true, 'first_tsc': 1000, 'last_tsc': 2000, "
		"'frames': %d, 'ring_full': 0, 'late_max_tsc': 0, 'duplicated': 0, 'reordered': 0, "
		"'stale': 0, 'corrupt': 0, 'latency': {'count': 0, 'min_tsc': 0, 'max_tsc': 0, "
		"'sum_tsc': 0, 'p50_tsc': 0, 'p90_tsc': 0, 'p99_tsc': 0, 'p999_tsc': 0}}]}",
		role, frames);
}

static json_t *no_stats(void)
{
	return js("{'ports': [], 'workers': []}");
}

static struct trial_case *new_case(const char *nodes)
{
	struct trial_case *c = calloc(1, sizeof(*c));
	struct err e = { 0 };
	char text[2048];

	snprintf(text, sizeof(text), PATHS, nodes);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	c->t = make(text);
	assert_int_equal(bench_plan_make(c->t, &one_round, &c->p, &e), 0);
	c->status[0] = flow("send", 1000);
	c->status[1] = flow("receive", 900);
	c->before[0] = json_object();
	c->before[1] = json_object();
	c->raw = (struct bench_raw){ .status = c->status,
		.counted_before = c->before,
		.stats_before = no_stats(),
		.stats_after = no_stats(),
		.tsc_hz = 1e9 };
	return c;
}

/* What a NIC counts over a trial. */
struct counts {
	int rx, tx, rx_missed, tx_dropped, socket;
};

static json_t *counters(const struct counts *n, int before)
{
	return js(
		"{'rx_packets': %d, 'tx_packets': %d, 'rx_dropped': %d, 'rx_errors': %d, "
		"'rx_missed_errors': %d, 'tx_dropped': %d, 'tx_errors': %d, 'socket_dropped': %d}",
		before + n->rx, before + n->tx, before, before, before + n->rx_missed,
		before + n->tx_dropped, before, before + n->socket);
}

/* What node i's engine counted, and its NIC, which had counted before. n NULL: that one doesn't. */
static void nic_is(struct trial_case *c, int i, int rx, int tx, int other, const struct counts *n)
{
	static const struct counts none;
	json_t *nic = js("{'rx_frames': %d, 'tx_frames': %d, 'rx_other': %d}", rx, tx, other);

	if (n) {
		json_object_set_new(nic, "counters", counters(n, 7000));
		json_object_set_new(c->before[i], "nics",
			json_pack("[{s:o}]", "counters", counters(&none, 7000)));
	}
	json_object_set_new(c->status[i], "nics", json_pack("[o]", nic));
}

static const struct bench_places *run(struct trial_case *c)
{
	struct err e = { 0 };

	if (bench_round_make(c->t, &c->p.trials[0], &c->raw, &c->r, &e))
		fail_msg("%s", e.text);
	return &c->r.places;
}

static void free_case(struct trial_case *c)
{
	for (int i = 0; i < 2; i++) {
		json_decref(c->status[i]);
		json_decref(c->before[i]);
	}
	json_decref(c->raw.stats_before);
	json_decref(c->raw.stats_after);
	bench_round_free(&c->r);
	bench_plan_free(&c->p);
	topology_free(c->t);
	free(c);
}

#define VFS  NODE("a", "{ 'vf': 'pf0' }") ", " NODE("b", "{ 'vf': 'pf0' }")
#define TAPS NODE("a", "{ 'network': 'br' }") ", " NODE("b", "{ 'network': 'br' }")
#define BOTH NODE("a", "{ 'vf': 'pf0' }") ", " NODE("b", "{ 'network': 'lan' }")

/* Of 1000 the NIC dropped 3, never sent 7; of 990, 50 never came to the other NIC, which missed 10;
 * of the 930 that it took, 25 found no room in the socket, and 5 never left it. */
static void test_vfs(void **state)
{
	struct trial_case *c = new_case(VFS);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 990, .tx_dropped = 3 });
	nic_is(c, 1, 900, 0, 0, &(struct counts){ .rx = 930, .rx_missed = 10, .socket = 25 });

	const struct bench_places *at = run(c);

	assert_int_equal(at->nic_tx_dropped, 3);
	assert_int_equal(at->sender_ring, 7);
	assert_int_equal(at->between, 50);
	assert_int_equal(at->nic_rx_missed, 10);
	assert_int_equal(at->socket, 25);
	assert_int_equal(at->receiver_ring, 5);
	assert_int_equal(at->nic + at->of_no_flow, 0);
	assert_int_equal(c->r.unexplained, 0);
	free_case(c);
}

/* The guests' kernels send on the same NICs: 40 frames that are nobody's flow are no flow's. */
static void test_vfs_others_frames(void **state)
{
	struct trial_case *c = new_case(VFS);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 1040 });
	nic_is(c, 1, 940, 0, 40, &(struct counts){ .rx = 940 });

	const struct bench_places *at = run(c);

	assert_int_equal(at->between, 100);
	assert_int_equal(at->sender_ring + at->receiver_ring + at->of_no_flow, 0);
	assert_int_equal(c->r.unexplained, 0);
	free_case(c);
}

/* A guest that counts nothing of its NIC: nobody can tell, and nothing is made up. */
static void test_vfs_not_counted(void **state)
{
	struct trial_case *c = new_case(VFS);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 1000 });
	nic_is(c, 1, 900, 0, 0, NULL);

	const struct bench_places *at = run(c);

	assert_int_equal(at->between + at->receiver_ring + at->nic_rx_missed, 0);
	assert_int_equal(c->r.unexplained, 100);
	free_case(c);
}

/* What the PF counts of a VF's losses and the guest does not; of what both saw, the greater. */
static void test_vfs_by_the_pf(void **state)
{
	struct trial_case *c = new_case(VFS);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 1000 });
	nic_is(c, 1, 900, 0, 0, &(struct counts){ .rx = 900, .rx_missed = 10 });
	json_object_set_new(c->raw.stats_before, "vfs",
		js("{'a.0': {'rx_dropped': 5, 'tx_dropped': 5}, 'b.0': {'rx_dropped': 5, "
		   "'tx_dropped': 5}}"));
	json_object_set_new(c->raw.stats_after, "vfs",
		js("{'a.0': {'rx_dropped': 5, 'tx_dropped': 5}, 'b.0': {'rx_dropped': 85, "
		   "'tx_dropped': 5}}"));

	const struct bench_places *at = run(c);

	assert_int_equal(at->nic_rx_missed, 80);
	assert_int_equal(at->between, 20);
	assert_int_equal(c->r.unexplained, 0);
	free_case(c);
}

static json_t *tap(int from, int to, int dropped)
{
	return js("{'rx_packets': %d, 'tx_packets': %d, 'rx_dropped': 0, 'tx_dropped': %d}", from,
		to, dropped);
}

/* 990 of 1000 came out of the sender's tap; 20 never came through the bridge; of 970, 40 found no
 * room in the receiver's tap; of 930, 30 none in its socket. */
static void test_taps(void **state)
{
	struct trial_case *c = new_case(TAPS);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 1000 });
	nic_is(c, 1, 900, 0, 0, &(struct counts){ .rx = 930, .socket = 30 });
	json_object_set_new(c->raw.stats_before, "taps",
		json_pack("{s:o, s:o}", "a.0", tap(5, 5, 5), "b.0", tap(5, 5, 5)));
	json_object_set_new(c->raw.stats_after, "taps",
		json_pack("{s:o, s:o}", "a.0", tap(995, 5, 5), "b.0", tap(5, 935, 45)));

	const struct bench_places *at = run(c);

	assert_int_equal(at->sender_ring, 10);
	assert_int_equal(at->between, 20);
	assert_int_equal(at->nic, 40);
	assert_int_equal(at->socket, 30);
	assert_int_equal(at->receiver_ring, 0);
	assert_int_equal(c->r.unexplained, 0);
	free_case(c);
}

static json_t *port(const char *name, int rx, int tx, json_t *device)
{
	return json_pack("{s:s, s:{s:i}, s:{s:i}, s:{}, s:i, s:i, s:i, s:o}", "name", name, "rx",
		"frames", rx, "tx", "frames", tx, "drops", "flooded", 0, "notifications_sent", 0,
		"kicks_received", 0, "device", device);
}

/* A port of the host's, by which so many came and some didn't, and b's. */
static json_t *ports(int up_rx, int missed, int to_b)
{
	json_t *nic = json_pack("{s:i, s:i, s:i, s:i}", "rx_missed", missed, "rx_errors", 0,
		"rx_no_memory", 0, "tx_errors", 0);

	return json_pack("{s:[o, o], s:[]}", "ports", port("up0", up_rx, 0, nic),
		port("b.0", 0, to_b, json_null()), "workers");
}

/* From a VF to the switch, by a wire: 60 of 1000 lost on that, 10 missed by the switch's NIC. */
static void test_vf_to_the_switch(void **state)
{
	struct trial_case *c = new_case(BOTH);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 1000 });
	nic_is(c, 1, 900, 0, 0, &(struct counts){ .rx = 912, .socket = 12 });
	json_decref(c->raw.stats_before);
	json_decref(c->raw.stats_after);
	c->raw.stats_before = ports(100, 1, 100);
	c->raw.stats_after = ports(1030, 11, 1030);

	const struct bench_places *at = run(c);

	assert_int_equal(at->between, 60);
	assert_int_equal(at->nic, 10);
	assert_int_equal(at->socket, 12);
	assert_int_equal(at->receiver_ring, 18);
	assert_int_equal(c->r.unexplained, 0);
	free_case(c);
}

/* Counters that say more than was lost do not make it more. */
static void test_no_more_than_lost(void **state)
{
	struct trial_case *c = new_case(VFS);

	nic_is(c, 0, 0, 1000, 0, &(struct counts){ .tx = 1000, .tx_dropped = 30 });
	nic_is(c, 1, 900, 0, 0, &(struct counts){ .rx = 900, .rx_missed = 90, .socket = 50 });

	const struct bench_places *at = run(c);

	assert_int_equal(at->nic_tx_dropped, 30);
	assert_int_equal(at->nic_rx_missed, 70);
	assert_int_equal(at->socket + at->between, 0);
	assert_int_equal(c->r.unexplained, 0);
	free_case(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vfs),
		cmocka_unit_test(test_vfs_others_frames),
		cmocka_unit_test(test_vfs_not_counted),
		cmocka_unit_test(test_vfs_by_the_pf),
		cmocka_unit_test(test_taps),
		cmocka_unit_test(test_vf_to_the_switch),
		cmocka_unit_test(test_no_more_than_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
