/* SPDX-License-Identifier: Apache-2.0 */
/* PFs and VFs in plans: which steps there are, how who has a VF refers to it, what changes with
 * what, and where guests run. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/diff.h"
#include "lab/record.h"
#include "lab/sysroot.h"
#include "lab/vf.h"

#define LAB(pfs, rest)   "{'version': 1, 'lab': 's', 'pfs': {" pfs "}, " rest "}"
#define PF0              "'pf0': {'pci': '0000:01:00.0', 'num_vfs': 4}"
#define LINUX(name, nic) "'" name "': {'kind': 'vm', 'guest': 'linux', 'nics': [" nic "]}"
#define VF(more)         "{'vf': 'pf0'" more "}"
#define ONE(more)        LAB(PF0, "'nodes': {" LINUX("a", VF(more)) "}")

static struct host host = { .n_cpus = 4,
	.cpus = { { 0, 0, 0, 0 }, { 1, 1, 0, 0 }, { 2, 2, 1, 0 }, { 3, 3, 1, 0 } },
	.n_nodes = 2,
	.kernel = "/boot/vmlinuz-6.1" };

static struct topology *load(const char *text)
{
	char *file = strdup(text);
	struct topology *t = NULL;
	struct err e = { 0 };

	for (char *c = file; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	if (topology_parse("/labs/s.json", file, strlen(file), &t, &e))
		fail_msg("%s", e.text);
	free(file);
	return t;
}

static void make_plan(const char *text, const struct placement *keep, struct plan *p)
{
	static const struct paths paths = { .run = "/run/lanyard",
		.sw = "/p/lanyard-switch",
		.vmm = "/p/lanyard-vmm",
		.init = "/p/lanyard-init" };
	struct topology *t = load(text);
	struct err e = { 0 };

	if (plan_make_beside(t, &host, &paths, keep, p, &e))
		fail_msg("%s", e.text);
	topology_free(t);
}

/* "folder hugepages pf:pf0 ..." */
static void show_plan(const struct plan *p, char *out)
{
	for (size_t i = 0; i < p->n_steps; i++)
		out += sprintf(out, "%s%s%s%s", i ? " " : "", step_kind_name(p->steps[i].kind),
			p->steps[i].name ? ":" : "", p->steps[i].name ? p->steps[i].name : "");
}

static void expect_steps(const char *text, const char *want)
{
	struct plan p;
	char got[1024];

	make_plan(text, NULL, &p);
	show_plan(&p, got);
	assert_string_equal(got, want);
	plan_clear(&p);
}

/* A lab all of whose NICs are VFs has no switch, no port and no link to wait for. */
static void test_steps(void **state)
{
	struct plan p;
	char text[512];

	expect_steps(ONE(""), "folder hugepages pf:pf0 image:a vm:a guest:a");
	expect_steps(LAB(PF0 ", 'pf1': {'interface': 'eth1'}",
			     "'networks': {'lan': {}}, 'nodes': {" LINUX("a",
				     VF("") ", {'network': 'lan'}") "}, 'ports': {'u': {'network': "
								    "'lan', 'vf': 'pf0'}, 'w': "
								    "{'network': 'lan', 'pf': "
								    "'pf1'}}"),
		"folder hugepages pf:pf0 pf:pf1 switch network:lan port:a.1 port:u port:w image:a "
		"vm:a guest:a links");
	make_plan(ONE(", 'vlan': 5, 'max_rate': '200Mbps', 'trust': true"), NULL, &p);
	assert_int_equal(p.place.n, 1);
	assert_int_equal(plan_find(&p, STEP_HUGEPAGES, NULL)->pages, 128);
	assert_int_equal(plan_find(&p, STEP_PF, "pf0")->pages, 256 << 20);
	assert_string_equal(step_describe(plan_find(&p, STEP_PF, NULL), text, sizeof text),
		"PF pf0, 0000:01:00.0, 4 VFs");
	assert_string_equal(step_describe_undo(plan_find(&p, STEP_PF, NULL), text, sizeof text),
		"PF pf0 put back as it was");
	plan_clear(&p);
}

/* Who has a VF refers to it; the address comes when it is there. */
static void test_references(void **state)
{
	struct plan p;
	const struct step *vm;
	char said[128];

	make_plan(
		LAB(PF0,
			"'networks': {'lan': {}}, 'nodes': {" LINUX("a",
				"{'vf': 'pf0', 'index': 3, 'mac': '02:00:00:00:00:01'}") "}, 'ports': "
											 "{'u': "
											 "{'network'"
											 ": 'lan', "
											 "'vf': "
											 "'pf0'}}"),
		NULL, &p);
	vm = plan_find(&p, STEP_VM, "a");
	assert_string_equal(step_option(vm, "--vfio"), "pci=@VF(pf0,3,02:00:00:00:00:01)@");
	assert_string_equal(step_option(vm, "--nic"), "");
	assert_true(vf_uses(vm, "pf0"));
	assert_false(vf_uses(vm, "pf"));
	assert_true(vf_uses(plan_find(&p, STEP_PORT, "u"), "pf0"));
	assert_string_equal(plan_find(&p, STEP_PORT, "u")->leads_to, "pci");
	vf_say(plan_find(&p, STEP_PORT, "u")->device, said, sizeof said);
	assert_string_equal(said, "VF 0 of pf0");
	assert_int_equal(json_array_size(json_object_get(
				 plan_find(&p, STEP_IMAGE, "a")->policy, "functions")),
		1);
	plan_clear(&p);
}

static char root[] = "/tmp/lanyard-vf-XXXXXX";

static void make_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/sys/bus/pci/devices/%s", root, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_root(void **state)
{
	char command[256];

	if (!mkdtemp(root))
		return -1;
	setenv("LANYARD_SRIOV_ROOT", root, 1);
	snprintf(command, sizeof command,
		"cd %s && mkdir -p sys/bus/pci/devices/0000:01:00.0 "
		"sys/bus/pci/devices/0000:01:10.6 && ln -s ../0000:01:10.6 "
		"sys/bus/pci/devices/0000:01:00.0/virtfn3",
		root);
	return system(command);
}

static int remove_root(void **state)
{
	char command[64];

	unsetenv("LANYARD_SRIOV_ROOT");
	snprintf(command, sizeof command, "rm -r %s", root);
	return system(command);
}

static void test_fill(void **state)
{
	static const struct {
		const char *text, *filled;
	} rows[] = {
		{ "pci=@VF(pf0,3,02:00:00:00:00:01)@", "pci=0000:01:10.6" },
		{ "@PF(pf0)@", "0000:01:00.0" },
		{ "x @VF(pf0,3,02:00:00:00:00:01)@@PF(pf0)@ y", "x 0000:01:10.60000:01:00.0 y" },
		{ "a@b.c @VF( @PF()@ @VF(pf0,x,1)@", "a@b.c @VF( @PF()@ @VF(pf0,x,1)@" },
		{ "", "" },
		{ "@VF(pf0,2,02:00:00:00:00:01)@", NULL },
		{ "@VF(pf9,3,02:00:00:00:00:01)@", NULL },
	};
	struct plan p = { 0 };
	struct step *s = plan_add(&p, STEP_PF);
	char text[64];

	s->name = strdup("pf0");
	s->path = strdup("0000:01:00.0");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct err e = { 0 };
		char *got = vf_fill(&p, rows[i].text, &e);

		if (rows[i].filled)
			assert_string_equal(got, rows[i].filled);
		else
			assert_null(got);
		assert_int_equal(e.code, rows[i].filled ? 0 : -ENODEV);
		free(got);
	}
	make_file("0000:01:10.6/modalias", "pci:v00008086d000010CAsv0\n");
	assert_int_equal(sysroot_modalias("0000:01:10.6", text, sizeof text), 0);
	assert_string_equal(text, "pci:v00008086d000010CAsv0");
	make_file("0000:01:00.0/numa_node", "1\n");
	assert_int_equal(sysroot_numa_node("0000:01:00.0", ""), 1);
	assert_int_equal(sysroot_numa_node("", "eth7"), -1);
	plan_clear(&p);
}

/* What the record keeps is all that was wanted. */
static void test_want(void **state)
{
	struct topology *t = load(LAB(
		"'pf0': {'interface': 'eth0', 'num_vfs': 4, 'mtu': 9000, 'up': true, 'autoprobe': "
		"false, 'driver': 'igb', 'vfs': {'2': {'vlan': 0, 'driver': 'none'}}}",
		"'nodes': {" LINUX("a",
			VF(", 'index': 3, 'mac': '02:00:00:00:00:01', 'vlan': 7, 'qos': 3, "
			   "'vlan_protocol': '802.1ad', 'min_rate': '1Mbps', 'max_rate': 'none', "
			   "'spoofchk': false, 'trust': true, 'link_state': 'down'")) "}"));
	const struct pf_want *a = &t->pfs->v[0];
	struct plan p = { 0 };
	struct pfs back;
	struct err e = { 0 };

	vf_add_pfs(&p, t);
	assert_int_equal(p.n_steps, 1);
	assert_int_equal(vf_want_of(&p.steps[0], &back, &e), 0);
	assert_int_equal(back.n, 1);
	assert_string_equal(back.v[0].interface, "eth0");
	assert_memory_equal(&back.v[0].attrs, &a->attrs, sizeof a->attrs);
	assert_int_equal(back.v[0].n_vfs, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(back.v[0].vfs[i].index, a->vfs[i].index);
		assert_memory_equal(
			&back.v[0].vfs[i].attrs, &a->vfs[i].attrs, sizeof a->vfs[i].attrs);
	}
	pfs_free(&back);
	plan_clear(&p);
	topology_free(t);
}

/* ---- changes ---- */

static void make_up(const char *text, struct plan *p)
{
	make_plan(text, NULL, p);
	for (size_t i = 0; i < p->n_steps; i++)
		p->steps[i].state = STEP_DONE;
	p->up_since_s = 1;
}

/* "-vm:a +pf:pf0": in order; "~": goes over what is there. */
static void show(const struct diff *d, char *out)
{
	*out = '\0';
	for (size_t i = 0; i < d->n; i++) {
		const struct step *s = &d->merged.steps[d->changes[i].step];

		out += sprintf(out, "%s%c%s%s%s", i ? " " : "",
			d->changes[i].undo               ? '-'
				: s->state == STEP_BEGUN ? '~'
							 : '+',
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
	if (diff_plans(&have, &wanted, &d, &e))
		snprintf(got, sizeof got, "%s", e.text);
	else
		show(&d, got);
	assert_string_equal(got, want);
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

#define PAIR(a, b) LAB(PF0, "'nodes': {" LINUX("a", VF(a)) ", " LINUX("b", VF(b)) "}")
#define AT(i, mac) ", 'index': " i ", 'mac': '02:00:00:00:00:0" mac "'"
#define FIXED(what, key, from, to, more)                                                        \
	"the " what " of PF pf0 (\"" key "\", from " from " to " to ") can't change while the " \
	"lab runs" more ": lanyard down s, then up; or leave it as it was"

static void test_changes(void **state)
{
	expect(PAIR("", ""), PAIR("", ""), "");
	/* What a VF may have otherwise while its guest runs. */
	expect(PAIR("", ""), PAIR(", 'vlan': 5", ", 'trust': false"), "~pf:pf0");
	/* An address is learnt at the guest's start, when the PF knows it. */
	expect(PAIR(AT("0", "1"), ""), PAIR(AT("0", "2"), ""),
		"-vm:a -image:a ~pf:pf0 +image:a +vm:a +guest:a");
	/* Two that change places: both let go first. */
	expect(PAIR(AT("0", "1"), AT("1", "2")), PAIR(AT("1", "1"), AT("0", "2")),
		"-vm:b -vm:a -image:b -image:a ~pf:pf0 +image:a +image:b +vm:a +vm:b +guest:a "
		"+guest:b");
	/* One that goes gives its VF to another. */
	expect(PAIR(AT("0", "1"), ""),
		LAB(PF0,
			"'nodes': {" LINUX("c", VF(AT("0", "3"))) ", " LINUX(
				"b", VF(AT("1", "4"))) "}"),
		"-vm:b -vm:a -image:b ~pf:pf0 +image:c +image:b +vm:c +vm:b +guest:c +guest:b "
		"-image:a");
}

static void test_fixed(void **state)
{
	static const char whose[] =
		": all its VFs would go, and come anew, and with them the NICs of guests that "
		"have one";
	char text[512];

	snprintf(text, sizeof text,
		"the number of VFs of PF pf0 (\"num_vfs\", from 4 to 7) can't change while the lab "
		"runs%s: lanyard down s, then up; or leave it as it was",
		whose);
	expect(ONE(""),
		LAB("'pf0': {'pci': '0000:01:00.0', 'num_vfs': 7}",
			"'nodes': {" LINUX("a", VF("")) "}"),
		text);
	expect(ONE(""),
		LAB("'pf0': {'pci': '0000:02:00.0', 'num_vfs': 4}",
			"'nodes': {" LINUX("a", VF("")) "}"),
		FIXED("device", "pci", "\"0000:01:00.0\"", "\"0000:02:00.0\"", ""));
	expect(ONE(""),
		LAB("'pf0': {'pci': '0000:01:00.0', 'num_vfs': 4, 'driver': 'none'}",
			"'nodes': {" LINUX("a", VF("")) "}"),
		FIXED("driver", "driver", "none", "\"none\"", ""));
}

/* PFs that come and go with their users. */
static void test_pfs(void **state)
{
	expect(ONE(""),
		LAB(PF0 ", 'pf1': {'interface': 'eth1', 'num_vfs': 1}",
			"'nodes': {" LINUX("a", VF("")) ", " LINUX("b", "{'vf': 'pf1'}") "}"),
		"+hugepages +pf:pf1 +image:b +vm:b +guest:b");
	expect(LAB(PF0 ", 'pf1': {'interface': 'eth1', 'num_vfs': 1}",
		       "'nodes': {" LINUX("a", VF("")) ", " LINUX("b", "{'vf': 'pf1'}") "}"),
		ONE(""), "-vm:b -image:b -pf:pf1 +hugepages");
}

/* The record of an `up` that was cut off in a PF: it is gone over again. */
static void test_cut_off(void **state)
{
	struct plan have, wanted;
	struct diff d;
	struct err e = { 0 };
	char got[256];

	make_up(ONE(""), &have);
	plan_find(&have, STEP_PF, NULL)->state = STEP_BEGUN;
	plan_find(&have, STEP_PF, NULL)->path = strdup("0000:01:00.0");
	make_plan(ONE(""), &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), 0);
	show(&d, got);
	assert_string_equal(got, "~pf:pf0");
	assert_int_equal(d.n_shaping, 0);
	assert_string_equal(plan_find(&d.merged, STEP_PF, NULL)->path, "0000:01:00.0");
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

/* ---- where guests run ---- */

static void test_numa(void **state)
{
	struct plan p;

	host.n_pfs = 1;
	host.pf_node[0] = 1;
	make_plan(ONE(""), NULL, &p);
	assert_int_equal(p.place.home, 1);
	assert_int_equal(p.place.cpus[0].cpu, 2);
	assert_int_equal(p.warnings.n, 0);
	plan_clear(&p);
	make_plan(
		LAB(PF0,
			"'nodes': {'a': {'kind': 'vm', 'guest': 'linux', 'cpus': [0], 'nics': [" VF(
				"") "]}}"),
		NULL, &p);
	assert_int_equal(p.warnings.n, 1);
	assert_string_equal(p.warnings.v[0],
		"a/vcpu0 runs on CPU 0 of NUMA node 0, but PF pf0 is on node 1: CPUs of that node "
		"would be faster");
	plan_clear(&p);
	host.n_pfs = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_references),
		cmocka_unit_test_setup_teardown(test_fill, make_root, remove_root),
		cmocka_unit_test(test_want),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_pfs),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_numa),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
