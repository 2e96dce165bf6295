/* SPDX-License-Identifier: Apache-2.0 */
/* What makes one plan into another: which changes, in which order, and what is not touched. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/diff.h"

#define LAB(sw, networks, nodes, ports)                                         \
	"{'version': 1, 'lab': 's', 'switch': {" sw "}, 'networks': {" networks \
	"}, 'nodes': {" nodes "}, 'ports': {" ports "}}"
#define LAN      "'lan': {}"
#define NIC(x)   "{'network': 'lan'" x "}"
#define VM(n, x) "'" n "': {'kind': 'vm', 'nics': [" NIC(x) "]}"
#define PAIR     LAB("", LAN, VM("a", "") ", " VM("b", ""), "")

static char *quoted(const char *s)
{
	char *out = strdup(s);

	for (char *c = out; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return out;
}

static void make_plan(const char *text, const struct placement *keep, struct plan *p)
{
	static const struct paths paths = { .run = "/run/lanyard",
		.sw = "/p/lanyard-switch",
		.vmm = "/p/lanyard-vmm",
		.probe = "/p/probe.elf" };
	struct host h = { .n_cpus = 4,
		.cpus = { { 0, 0, 0, 0 }, { 1, 1, 0, 0 }, { 2, 2, 0, 0 }, { 3, 3, 0, 0 } },
		.n_nodes = 1 };
	struct topology *t = NULL;
	struct err e = { 0 };
	char *file = quoted(text);

	if (topology_parse("/labs/s.json", file, strlen(file), &t, &e) ||
		plan_make_beside(t, &h, &paths, keep, p, &e))
		fail_msg("%s", e.text);
	topology_free(t);
	free(file);
}

/* A lab that is up: every step done. */
static void make_up(const char *text, struct plan *p)
{
	make_plan(text, NULL, p);
	for (size_t i = 0; i < p->n_steps; i++)
		p->steps[i].state = STEP_DONE;
	p->up_since_s = 1;
}

/* "+port c.0 -vm b ~configure": in order. */
static void show(const struct diff *d, char *out)
{
	*out = '\0';
	for (size_t i = 0; i < d->n; i++) {
		const struct step *s = &d->merged.steps[d->changes[i].step];

		out += sprintf(out, "%s%c%s%s%s", i ? " " : "", d->changes[i].undo ? '-' : '+',
			step_kind_name(s->kind), s->name ? ":" : "", s->name ? s->name : "");
	}
}

static void expect(const char *from, const char *to, const char *want)
{
	struct plan have, wanted;
	struct diff d;
	struct err e = { 0 };
	char got[2048];

	make_up(from, &have);
	make_plan(to, &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), 0);
	show(&d, got);
	assert_string_equal(got, want);
	/* Whatever is not said to change is done, in both directions of time. */
	for (size_t i = 0; i < d.n_wanted; i++) {
		bool said = false;

		for (size_t k = 0; k < d.n; k++)
			said |= d.changes[k].step == i && !d.changes[k].undo;
		if (!said)
			assert_int_equal(d.merged.steps[i].state, STEP_DONE);
	}
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

static void test_same(void **state)
{
	expect(PAIR, PAIR, "");
	/* What is a default, said. */
	expect(PAIR,
		LAB("'poll': 'adaptive'", "'lan': {'mtu': 1500}",
			VM("a", ", 'queues': 1") ", " VM("b", ", 'admin': 'up', 'offloads': true"),
			""),
		"");
}

static void test_settings(void **state)
{
	expect(PAIR, LAB("", LAN, VM("a", ", 'vlan': 1") ", " VM("b", ", 'vlan': 1"), ""),
		"+configure");
	expect(PAIR, LAB("", "'lan': {'ageing_s': 10}", VM("a", "") ", " VM("b", ""), ""),
		"+configure");
	/* The MTU is told to guests when they start. */
	expect(PAIR, LAB("", "'lan': {'mtu': 9000}", VM("a", "") ", " VM("b", ""), ""),
		"-vm:b -vm:a +configure +vm:a +vm:b +guest:a +guest:b +links");
}

static void test_nodes(void **state)
{
	expect(PAIR, LAB("", LAN, VM("a", "") ", " VM("b", "") ", " VM("c", ""), ""),
		"+hugepages +port:c.0 +vm:c +guest:c +links");
	expect(LAB("", LAN, VM("a", "") ", " VM("b", "") ", " VM("c", ""), ""), PAIR,
		"-vm:c -port:c.0 +hugepages");
	expect(PAIR,
		LAB("", LAN ", 'dmz': {}",
			VM("a", "") ", 'b': {'kind': 'vm', 'nics': [" NIC(
				"") ", {'network': 'dmz'}]}",
			""),
		"-vm:b +network:dmz +port:b.1 +vm:b +guest:b +links");
	expect(PAIR,
		LAB("", LAN,
			VM("a", "") ", 'b': {'kind': 'vm', 'memory': '32M', 'nics': [" NIC("") "]}",
			""),
		"-vm:b +vm:b +guest:b +links +hugepages");
	/* An external client takes a VM's place: its port stays. */
	expect(PAIR,
		LAB("", LAN, VM("a", "") ", 'b': {'kind': 'external', 'nics': [" NIC("") "]}", ""),
		"-vm:b +hugepages");
	/* Another port, and a policy: together, and the new port comes shut. */
	expect(PAIR,
		LAB("", LAN, VM("a", ", 'isolated': true") ", " VM("b", ""),
			"'u': {'network': 'lan', 'tap': 't', 'vlan': 3}"),
		"+port:u +configure +links");
}

static void test_ports(void **state)
{
#define TWO          LAN ", 'dmz': {}"
#define TAP(n, t, x) "'" n "': {'network': 'lan', 'tap': '" t "'" x "}"
#define AB           VM("a", "") ", " VM("b", "")
	expect(LAB("", TWO, AB, ""),
		LAB("", TWO, VM("a", "") ", 'b': {'kind': 'vm', 'nics': [{'network': 'dmz'}]}", ""),
		"-port:b.0 +port:b.0 +links");
	/* An interface goes to another port: it is free before. */
	expect(LAB("", LAN, AB, TAP("u", "t", "")), LAB("", LAN, AB, TAP("v", "t", "")),
		"-port:u +port:v +links");
	expect(LAB("", LAN, AB, TAP("u", "t", "")), LAB("", LAN, AB, TAP("v", "t2", "")),
		"+port:v +links -port:u");
	/* Who is mirrored to a port that comes back comes back as well; else it is configured. */
	expect(LAB("", LAN, AB, TAP("u", "t", ", 'mirror': {'from': 'a.0'}")),
		LAB("", LAN, AB, TAP("u", "t2", ", 'mirror': {'from': 'a.0'}")),
		"-port:a.0 -port:u +port:u +port:a.0 +links");
	expect(LAB("", LAN, AB, TAP("u", "t", ", 'mirror': {'from': 'a.0'}")),
		LAB("", LAN, AB, TAP("v", "t2", ", 'mirror': {'from': 'a.0'}")),
		"+port:v +configure +links -port:u");
}

/* A process lives and dies with its connections; a VM takes its place, one after the other. */
/* Taps are a VM's for as long as it lives; a bridge is changed by nobody's leave. */
static void test_taps(void **state)
{
#define BR(x)       "'lan': {}, 'br': {'kind': 'bridge'" x "}"
#define TAPVM(n, x) "'" n "': {'kind': 'vm', 'nics': [{'network': 'br'" x "}]}"
#define TAPS(x, y)  LAB("", BR(x), y, "")
	struct plan have, wanted;
	struct diff d;
	struct err e = { 0 };

	expect(TAPS("", TAPVM("a", "")), TAPS("", TAPVM("a", "")), "");
	expect(TAPS("", TAPVM("a", "")), TAPS("", TAPVM("a", "") ", " TAPVM("b", "")),
		"+hugepages +tap:b.0 +vm:b +guest:b");
	expect(TAPS("", TAPVM("a", "") ", " TAPVM("b", "")), TAPS("", TAPVM("a", "")),
		"-vm:b -tap:b.0 +hugepages");
	expect(TAPS("", TAPVM("a", "")), TAPS("", TAPVM("a", ", 'queues': 2")),
		"-vm:a -tap:a.0 +tap:a.0 +vm:a +guest:a");
	/* From the bridge to the switch. */
	expect(TAPS("", TAPVM("a", "")), TAPS("", VM("a", "")),
		"-vm:a +port:a.0 +vm:a +guest:a +links -tap:a.0");
	make_up(TAPS("", TAPVM("a", "")), &have);
	make_plan(TAPS(", 'mtu': 9000", TAPVM("a", "")), &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), -EBUSY);
	assert_string_equal(e.text,
		"network br is a bridge, whose MTU and ageing can't change while lab s runs: lanyard "
		"down s, then up; or leave them as they were");
	diff_clear(&d);
	plan_clear(&wanted);
	/* One that is not as it was left is gone over again, and stays the lab's meanwhile. */
	plan_find(&have, STEP_TAP, NULL)->state = STEP_BEGUN;
	make_plan(TAPS("", TAPVM("a", "")), &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), 0);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.n_shaping, 0);
	assert_int_equal(d.changes[0].what, CHANGE_REPAIRED);
	assert_int_equal(d.merged.steps[d.changes[0].step].state, STEP_BEGUN);
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

static void test_processes(void **state)
{
#define PROC(net, more) "'p': {'kind': 'process', 'nics': [{'network': '" net "'" more "}]}"
	expect(LAB("", TWO, PROC("lan", "") ", " VM("a", ""), ""),
		LAB("", TWO, PROC("dmz", "") ", " VM("a", ""), ""),
		"-process:p -port:p.0 +port:p.0 +process:p +guest:p +links");
	expect(LAB("", LAN, PROC("lan", "") ", " VM("a", ""), ""),
		LAB("", LAN, PROC("lan", ", 'vlan': 5") ", " VM("a", ""), ""), "+configure");
	expect(LAB("", LAN, PROC("lan", "") ", " VM("a", ""), ""),
		LAB("", LAN, PROC("lan", ", 'ring': 'packed'") ", " VM("a", ""), ""),
		"-process:p +process:p +guest:p +links");
	expect(LAB("", LAN, PROC("lan", "") ", " VM("a", ""), ""),
		LAB("", LAN, VM("p", "") ", " VM("a", ""), ""), "-process:p +vm:p +guest:p +links");
}

static void expect_json(const json_t *got, const char *want)
{
	char *right = quoted(want), *text = json_dumps(got, 0);
	json_t *j = json_loads(right, 0, NULL);

	assert_non_null(j);
	if (!json_equal(got, j))
		fail_msg("%s, not %s", text, right);
	json_decref(j);
	free(right);
	free(text);
}

/* One request, and the one that takes it back: new ports are not in the latter. */
static void test_requests(void **state)
{
	struct plan have, wanted;
	const struct step *s;
	struct diff d;

	make_up(LAB("", LAN, VM("a", ", 'vlan': 7, 'isolated': true") ", " VM("b", ""),
			TAP("u", "t", ", 'static': ['02:00:00:00:00:01']")),
		&have);
	make_plan(LAB("", "'lan': {'ageing_s': 9}", VM("a", ", 'vlan': 8") ", " VM("b", ""),
			  TAP("v", "t2", ", 'static': ['02:00:00:00:00:01']")),
		&have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, NULL), 0);
	s = plan_find(&d.merged, STEP_CONFIGURE, NULL);
	expect_json(s->policy,
		"{'networks': {'lan': {'mtu': 1500, 'ageing_s': 9}}, 'ports': {'a.0': {'vlan': "
		"{'access': 8}, 'isolated': null}, 'u': {'static': null}, 'v': {'static': [{'mac': "
		"'02:00:00:00:00:01'}], 'admin': null}}}");
	expect_json(s->back,
		"{'networks': {'lan': {'mtu': 1500, 'ageing_s': 300}}, 'ports': {'a.0': {'vlan': "
		"{'access': 7}, 'isolated': true}, 'u': {'static': [{'mac': "
		"'02:00:00:00:00:01'}]}}}");
	assert_true(plan_find(&d.merged, STEP_PORT, "v")->bare);
	struct strs said = { 0 };
	diff_list(&d, &said);
	assert_int_equal(said.n, 4);
	assert_string_equal(said.v[0], "added port v on lan, tap t2, 1 static");
	assert_string_equal(said.v[1], "changed network lan: MTU 1500, ageing 9 s");
	assert_string_equal(said.v[2], "changed port a.0: VLAN 8 (was: VLAN 7, isolated)");
	assert_string_equal(said.v[3], "removed port u");
	strs_free(&said);
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

static void test_switch(void **state)
{
	struct plan have, wanted;
	struct diff d;
	struct err e = { 0 };

	make_up(PAIR, &have);
	make_plan(LAB("'cpus': [2]", LAN, AB, ""), &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), -EBUSY);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_string_equal(e.text,
		"the switch of lab s runs with --cpus 1 --poll adaptive, and can't change to --cpus "
		"2 --poll adaptive while it runs: lanyard down s, then up; or leave \"switch\" as it "
		"was");
	diff_clear(&d);
	plan_clear(&wanted);
	/* One that died comes back as wanted, with all that lived in it. */
	for (size_t i = 0; i < have.n_steps; i++)
		if (have.steps[i].kind == STEP_SWITCH || have.steps[i].kind == STEP_NETWORK ||
			have.steps[i].kind == STEP_PORT)
			have.steps[i].state = STEP_PLANNED;
	make_plan(LAB("'cpus': [2]", LAN, VM("a", ", 'vlan': 4") ", " VM("b", ""), ""), &have.place,
		&wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), 0);
	char got[2048];
	show(&d, got);
	assert_string_equal(got, "+switch +network:lan +port:a.0 +port:b.0 +links");
	assert_false(plan_find(&d.merged, STEP_PORT, "a.0")->bare);
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

/* Who runs keeps its CPU, whatever comes; what comes gets the best one left. */
static void test_cpus(void **state)
{
	struct plan have, wanted;

	make_up(PAIR, &have);
	make_plan(LAB("", LAN, VM("0", "") ", " AB, ""), &have.place, &wanted);
	for (size_t i = 0; i < have.place.n; i++) {
		const struct lab_cpu *old = &have.place.cpus[i], *new = NULL;

		for (size_t k = 0; k < wanted.place.n; k++)
			if (strcmp(wanted.place.cpus[k].who, old->who) == 0)
				new = &wanted.place.cpus[k];
		assert_non_null(new);
		assert_int_equal(new->cpu, old->cpu);
	}
	assert_int_equal(wanted.place.cpus[1].cpu, 0); /* worker 1, a 2, b 3 */
	plan_clear(&wanted);
	plan_clear(&have);
}

/* An `up` that was cut off while it configured: everything is set, whatever holds now. */
static void test_unsure(void **state)
{
	struct plan have, wanted;
	const struct step *s;
	struct diff d;

	make_up(LAB("", LAN, VM("a", ", 'vlan': 7"), ""), &have);
	plan_add(&have, STEP_CONFIGURE)->state = STEP_BEGUN;
	make_plan(LAB("", LAN, VM("a", ", 'vlan': 7"), ""), &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, NULL), 0);
	s = plan_find(&d.merged, STEP_CONFIGURE, NULL);
	expect_json(s->policy,
		"{'networks': {'lan': {'mtu': 1500, 'ageing_s': 300}}, 'ports': {'a.0': {'vlan': "
		"{'access': 7}, 'isolated': null, 'admin': null, 'mac_limit': null, 'static': null, "
		"'spoof': null, 'storm': null, 'police': null, 'mirror': null, 'offloads': null}}}");
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

/* ... and while a VM started anew: the old one's step and the new one's are both there. */
static void test_twins(void **state)
{
	struct plan have, wanted;
	struct diff d;
	struct step *s;
	char got[2048];

	make_up(PAIR, &have);
	s = plan_add(&have, STEP_VM);
	s->name = strdup("b");
	s->socket = strdup("/b.sock");
	s->log = strdup("/b.log");
	strs_add(&s->args, "/p/lanyard-vmm");
	make_plan(PAIR, &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, NULL), 0);
	show(&d, got);
	assert_string_equal(got, "");
	diff_clear(&d);
	plan_clear(&wanted);
	plan_drop_twins(&have);
	assert_int_equal(plan_find(&have, STEP_VM, "b")->state, STEP_DONE);
	assert_int_not_equal(have.steps[have.n_steps - 1].kind, STEP_VM);
	plan_clear(&have);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_taps),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_unsure),
		cmocka_unit_test(test_twins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
