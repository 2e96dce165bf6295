/* SPDX-License-Identifier: Apache-2.0 */
/* Policies from the topology to the switch's request, what differs between two, and in words; the
 * plan's ports and their record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/plan.h"
#include "lab/policy.h"
#include "lab/record.h"

static const char text[] =
	"{'version': 1, 'lab': 's', 'networks': {'lan': {}},"
	"'nodes': {"
	"'a': {'kind': 'vm', 'nics': ["
	"{'network': 'lan', 'mac': '02:00:00:00:00:0a', 'vlan': {'trunk': [10, '20-22', 23, 4094], "
	"'native': 10}, 'isolated': true, 'admin': 'down', 'mac_limit': 5, 'static': "
	"['02:00:00:00:00:01', {'mac': '02:00:00:00:00:02', 'vlan': 21}], 'anti_spoof': {'ipv4': "
	"['10.0.0.1'], 'ipv6': ['fe80::1']}, 'storm': {'broadcast': '1kpps', 'unknown': '2kpps'}, "
	"'police': {'rate': '100Mbps', 'burst': '64K'}, 'offloads': ['csum', 'tso6']},"
	"{'network': 'lan'}]},"
	"'b': {'kind': 'vm', 'nics': [{'network': 'lan', 'vlan': 7, 'anti_spoof': true, 'mac': "
	"'02:00:00:00:00:0b', 'mergeable': false, 'offloads': false}]},"
	"'x': {'kind': 'external', 'nics': [{'network': 'lan', 'mirror': {'from': ['a.0', 'up']}, "
	"'offloads': true}]}},"
	"'ports': {'up': {'network': 'lan', 'tap': 'lan0', 'isolated': true},"
	"'nic': {'network': 'lan', 'pci': '03:00.0', 'queues': 4}}}";

/* JSON with double quotes from one with single ones; malloc'd. */
static char *quoted(const char *s)
{
	char *out = strdup(s);

	for (char *c = out; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return out;
}

static void make_plan(struct plan *p)
{
	static const struct paths paths = { .run = "/run/lanyard" };
	struct host h = { .n_cpus = 2, .cpus = { { 0, 0, 0 }, { 1, 1, 0 } }, .n_nodes = 1 };
	struct topology *t = NULL;
	struct err e = { 0 };
	char *file = quoted(text);

	if (topology_parse("/labs/s.json", file, strlen(file), &t, &e) ||
		plan_make(t, &h, &paths, p, &e))
		fail_msg("%s", e.text);
	topology_free(t);
	free(file);
}

static void expect_policy(const struct plan *p, const char *port, const char *want)
{
	const json_t *policy = plan_find(p, STEP_PORT, port)->policy;
	char *right = quoted(want), *got = json_dumps(policy, JSON_ENCODE_ANY);
	json_t *j = json_loads(right, JSON_DECODE_ANY, NULL);

	assert_non_null(j);
	if (!json_equal(policy, j))
		fail_msg("%s has %s, not %s", port, got, right);
	json_decref(j);
	free(right);
	free(got);
}

static void test_requests(void **state)
{
	struct plan p;

	make_plan(&p);
	expect_policy(&p, "a.0",
		"{'vlan': {'trunk': [10, [20, 23], 4094], 'native': 10}, 'isolated': true, 'admin': "
		"'down', 'mac_limit': 5, 'static': [{'mac': '02:00:00:00:00:01'}, {'mac': "
		"'02:00:00:00:00:02', 'vlan': 21}], 'spoof': {'macs': ['02:00:00:00:00:0a'], "
		"'ipv4': ['10.0.0.1'], 'ipv6': ['fe80::1']}, 'storm': {'broadcast_pps': 1000, "
		"'unknown_pps': 2000}, 'police': {'rate_bps': 100000000, 'burst_bytes': 65536}, "
		"'mirror': {'to': 'x.0', 'direction': 'both'}, 'offloads': ['csum', 'tso6']}");
	expect_policy(&p, "b.0",
		"{'vlan': {'access': 7}, 'spoof': {'macs': ['02:00:00:00:00:0b']}, 'offloads': false}");
	expect_policy(&p, "up", "{'isolated': true, 'mirror': {'to': 'x.0', 'direction': 'both'}}");
	assert_null(plan_find(&p, STEP_PORT, "a.1")->policy);
	assert_null(plan_find(&p, STEP_PORT, "x.0")->policy); /* all offloads is the default */
	assert_true(plan_find(&p, STEP_PORT, "b.0")->unmergeable);
	assert_false(plan_find(&p, STEP_PORT, "a.1")->unmergeable);
	plan_clear(&p);
}

/* Who listens is there before who is mirrored; host ports have neither MAC nor socket; a link
 * that is down by request is not waited for. */
static void test_ports(void **state)
{
	static const char *const order[] = { "a.1", "b.0", "x.0", "nic", "a.0", "up" };
	const struct step *s;
	struct plan p;
	size_t n = 0;

	make_plan(&p);
	for (size_t i = 0; i < p.n_steps; i++)
		if (p.steps[i].kind == STEP_PORT)
			assert_string_equal(p.steps[i].name, order[n++]);
	assert_int_equal(n, 6);
	s = plan_find(&p, STEP_PORT, "up");
	assert_string_equal(s->device, "lan0");
	assert_string_equal(step_port_kind(s), "tap");
	assert_null(s->mac);
	assert_null(s->socket);
	s = plan_find(&p, STEP_PORT, "nic");
	assert_string_equal(s->device, "0000:03:00.0");
	assert_string_equal(step_port_kind(s), "pci");
	assert_int_equal(s->queues, 4);
	assert_string_equal(step_port_kind(plan_find(&p, STEP_PORT, "b.0")), "vhost");
	s = plan_find(&p, STEP_LINKS, NULL);
	assert_int_equal(s->args.n, 2);
	assert_string_equal(s->args.v[0], "a.1");
	plan_clear(&p);
}

static void test_record(void **state)
{
	struct plan p, q;
	struct err e = { 0 };
	json_t *a, *b;

	make_plan(&p);
	a = record_to_json(&p);
	if (record_from_json(a, &q, &e))
		fail_msg("%s", e.text);
	b = record_to_json(&q);
	assert_true(json_equal(a, b));
	assert_true(json_equal(
		plan_find(&p, STEP_PORT, "a.0")->policy, plan_find(&q, STEP_PORT, "a.0")->policy));
	json_decref(b);
	plan_clear(&q);
	/* A port with neither end is no port. */
	json_t *step, *steps = json_object_get(a, "steps");
	size_t i;
	json_array_foreach (steps, i, step)
		if (json_object_get(step, "leads_to"))
			json_object_del(step, "device");
	assert_int_not_equal(record_from_json(a, &q, &e), 0);
	plan_clear(&q);
	json_decref(a);
	plan_clear(&p);
}

static void test_diff(void **state)
{
	static const struct {
		const char *have, *want, *diff;
	} cases[] = {
		{ "null", "null", "null" },
		{ "{'isolated': true}", "{'isolated': true}", "null" },
		{ "null", "{'isolated': true}", "{'isolated': true}" },
		{ "{'isolated': true, 'vlan': {'access': 1}}", "null",
			"{'isolated': null, 'vlan': null}" },
		{ "{'isolated': true, 'vlan': {'access': 1}}",
			"{'vlan': {'access': 2}, 'mac_limit': 3, 'isolated': true}",
			"{'vlan': {'access': 2}, 'mac_limit': 3}" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		json_t *j[4];
		const char *texts[] = { cases[i].have, cases[i].want, cases[i].diff };

		for (int k = 0; k < 3; k++) {
			char *s = quoted(texts[k]);

			j[k] = json_loads(s, JSON_DECODE_ANY, NULL);
			assert_non_null(j[k]);
			free(s);
		}
		j[3] = policy_diff(
			json_is_null(j[0]) ? NULL : j[0], json_is_null(j[1]) ? NULL : j[1]);
		if (json_is_null(j[2]))
			assert_null(j[3]);
		else
			assert_true(json_equal(j[2], j[3]));
		for (int k = 0; k < 4; k++)
			json_decref(j[k]);
	}
}

static void test_words(void **state)
{
	char out[512];
	struct plan p;

	make_plan(&p);
	assert_string_equal(policy_brief(plan_find(&p, STEP_PORT, "a.0")->policy, out, sizeof out),
		"trunk 10,20-23,4094 native 10, isolated, admin down, at most 5 addresses, 2 static, "
		"anti-spoofing, storm control, policed to 100 Mbit/s, mirrored to x.0, offloads "
		"csum+tso6");
	assert_string_equal(policy_brief(plan_find(&p, STEP_PORT, "b.0")->policy, out, sizeof out),
		"VLAN 7, anti-spoofing, no offloads");
	assert_string_equal(policy_brief(NULL, out, sizeof out), "");
	assert_string_equal(step_describe(plan_find(&p, STEP_PORT, "up"), out, sizeof out),
		"port up on lan, tap lan0, isolated, mirrored to x.0");
	assert_string_equal(step_describe(plan_find(&p, STEP_PORT, "nic"), out, sizeof out),
		"port nic on lan, pci 0000:03:00.0");
	/* Cut, never overrun. */
	for (size_t size = 1; size < 64; size++) {
		memset(out, 'z', sizeof out);
		policy_brief(plan_find(&p, STEP_PORT, "a.0")->policy, out, size);
		assert_true(strlen(out) < size);
		assert_int_equal(out[size], 'z');
	}
	plan_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
