/* SPDX-License-Identifier: Apache-2.0 */
/* config/: PFs, NICs and ports that are VFs: what their keys become, and every sentence about a
 * wrong one, with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/pfs.h"
#include "tests/unit/config_dump.h"

/* Single quotes stand for double ones. pfs is line 2, the nodes' are line 3, ports are line 4. */
static int parse(
	const char *pfs, const char *nodes, const char *ports, struct topology **t, struct err *e)
{
	char text[16384];

	snprintf(text, sizeof text,
		"{'version': 1, 'lab': 't', 'networks': {'lan': {}, 'far': {}}, 'pfs': {\n%s},\n"
		"'nodes': {%s},\n'ports': {%s}}",
		pfs, nodes, ports);
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return parse_dumped(text, t, e);
}

#define PF0       "'pf0': {'pci': '0000:01:00.0'}"
#define PF4       "'pf0': {'pci': '0000:01:00.0', 'num_vfs': 4}"
#define NICS(n)   "'a': {'kind': 'vm', 'guest': 'linux', 'nics': [" n "]}"
#define VF(more)  NICS("{'vf': 'pf0'" more "}")
#define NONE      "'a': {'kind': 'vm', 'nics': [{'network': 'lan'}]}"
#define PORT(key) "'up0': {'network': 'lan', " key "}"

static const struct bad {
	const char *pfs, *nodes, *ports, *message;
} bad[] = {
	/* Keys of PFs and of their VFs are test_config_pfs.c's. */
	{ "'pf0': {}", NONE, "",
		"t.json:2:8: PF \"pf0\": which PF is it? \"pci\" or \"interface\" says so, such as "
		"\"pci\": \"0000:03:00.0\"" },
	/* which VF */
	{ PF0, NICS("{'vf': 'pf1'}"), "",
		"t.json:3:65: node \"a\", NIC 0: unknown PF \"pf1\"; did you mean \"pf0\"? (known: "
		"pf0)" },
	{ "", NICS("{'vf': 'pf1'}"), "",
		"t.json:3:65: node \"a\", NIC 0: unknown PF \"pf1\" (known: none)" },
	{ PF0, NICS("{'vf': 1}"), "",
		"t.json:3:65: node \"a\", NIC 0: \"vf\" must be the name of a PF in \"pfs\"; found "
		"1" },
	{ PF4, VF(", 'index': 4"), "",
		"t.json:3:81: node \"a\", NIC 0: PF \"pf0\" has 4 VFs, counted from 0 (\"num_vfs\", "
		"line 2); found 4" },
	{ PF4, VF(", 'index': -1"), "",
		"t.json:3:81: node \"a\", NIC 0: \"index\" must be 0 to 1023; found -1" },
	{ PF4, NICS("{'vf': 'pf0', 'index': 2},\n{'vf': 'pf0', 'index': 2}"), "",
		"t.json:4:24: node \"a\", NIC 1: VF 2 of PF \"pf0\" is a.0's already (line 3)" },
	{ PF0, VF(", 'index': 2"), PORT("'vf': 'pf0', 'index': 2"),
		"t.json:4:59: port \"up0\": VF 2 of PF \"pf0\" is a.0's already (line 3)" },
	{ "'pf0': {'interface': 'eth0', 'num_vfs': 1}", NICS("{'vf': 'pf0'}, {'vf': 'pf0'}"), "",
		"t.json:3:80: node \"a\", NIC 1: PF \"pf0\" has no VF left: its 1 is given out "
		"already (\"num_vfs\", line 2)" },
	/* who */
	{ PF0, "'a': {'kind': 'vm', 'nics': [{'vf': 'pf0'}]}", "",
		"t.json:3:41: node \"a\", NIC 0: a VF needs a guest that can drive it: a VM whose "
		"guest is \"linux\" or an image's file, not our probe" },
	{ PF0, "'a': {'kind': 'process', 'nics': [{'vf': 'pf0'}]}", "",
		"t.json:3:46: node \"a\", NIC 0: a VF needs a guest that can drive it: a VM whose "
		"guest is \"linux\" or an image's file, not a node of kind process" },
	{ PF0, "'a': {'kind': 'external', 'nics': [{'vf': 'pf0'}]}", "",
		"t.json:3:47: node \"a\", NIC 0: a VF needs a guest that can drive it: a VM whose "
		"guest is \"linux\" or an image's file, not a client that isn't ours" },
	/* keys of the other kind of NIC */
	{ PF0, NICS("{'network': 'lan',\n'vf': 'pf0'}"), "",
		"t.json:3:59: node \"a\", NIC 0: a NIC is on a network or is a VF, not both: leave "
		"\"network\" or \"vf\" (line 4) out" },
	{ PF0, VF(", 'queues': 2"), "",
		"t.json:3:72: node \"a\", NIC 0: \"queues\" is for NICs on a network: the switch "
		"never sees the frames of a VF" },
	{ PF0, VF(", 'police': {}"), "",
		"t.json:3:72: node \"a\", NIC 0: \"police\" is for NICs on a network: the switch "
		"never sees the frames of a VF" },
	{ PF0, NICS("{'network': 'lan', 'trust': true}"), "",
		"t.json:3:77: node \"a\", NIC 0: \"trust\" is for NICs that are VFs, \"vf\" only: "
		"leave it out, or name a PF in \"vf\" instead of a network" },
	{ PF0, "'a': {'kind': 'vm', 'guest': './x', 'nics': [{'vf': 'pf0', 'addresses': []}]}", "",
		"t.json:3:70: node \"a\", NIC 0: \"addresses\" is for VMs whose guest is \"linux\" "
		"only: leave it out, or change the node's kind or guest" },
	/* attributes */
	{ PF0, VF(", 'vlan': 4095"), "",
		"t.json:3:80: node \"a\", NIC 0: \"vlan\" must be 0 to 4094 (0: none); found 4095" },
	{ PF0, VF(", 'min_rate': '200Mbps',\n'max_rate': '100Mbps'"), "",
		"t.json:4:13: node \"a\", NIC 0: min_rate 200Mbps is above max_rate 100Mbps: what "
		"is promised may not be more than what is allowed" },
	{ PF0, VF(", 'max_rate': '10kpps'"), "",
		"t.json:3:84: node \"a\", NIC 0: \"max_rate\" must be whole Mbps, at most 1000Gbps, "
		"such as \"500Mbps\", or \"none\"; found \"10kpps\"" },
	{ "'pf0': {'pci': '01:00.0', 'vfs': {'1': {'trust': true}}}",
		VF(", 'index': 1, 'trust': true"), "",
		"t.json:3:93: node \"a\", NIC 0: \"trust\" of VF 1 is said in line 2 already: leave "
		"one of the two out" },
	/* addresses */
	{ PF0,
		NICS("{'vf': 'pf0', 'mac': '02:00:00:00:00:01'},\n{'vf': 'pf0', 'mac': "
		     "'02:00:00:00:00:01'}"),
		"",
		"t.json:4:22: node \"a\", NIC 1: MAC address 02:00:00:00:00:01 is node \"a\", NIC "
		"0's already (line 3)" },
	{ PF0, VF(", 'mac': '02:00:00:00:00:01'"), PORT("'vf': 'pf0', 'mac': '02:00:00:00:00:01'"),
		"t.json:4:57: port \"up0\": MAC address 02:00:00:00:00:01 is node \"a\", NIC 0's "
		"already (line 3)" },
	{ "'pf0': {'pci': '01:00.0', 'vfs': {'1': {'mac': '02:00:00:00:00:01'}}}",
		VF(", 'mac': '02:00:00:00:00:01'"), "",
		"t.json:3:79: node \"a\", NIC 0: MAC address 02:00:00:00:00:01 is VF 1 of "
		"\"pf0\"'s already (line 2)" },
	{ PF0,
		NICS("{'vf': 'pf0', 'addresses': ['10.0.0.1/24']},\n{'vf': 'pf0', 'addresses': "
		     "['10.0.0.1/24']}"),
		"",
		"t.json:4:29: node \"a\", NIC 1: address 10.0.0.1/24 is a.0's already at PF "
		"\"pf0\" (line 3)" },
	/* traffic to a network whose ports lead to no wire (by a VF: test_bench_places.c) */
	{ PF0, NICS("{'vf': 'pf0'}, {'network': 'lan'}"),
		PORT("'tap': 't0'") "}, 'traffic': [{'name': 'n', 'from': 'a.0', 'to': 'a.1'}], "
				    "'paths': {",
		"t.json:4:99: traffic \"n\": a.0 is on a PF's wire and a.1 on network \"lan\": no "
		"frame gets across" },
	/* ports */
	{ PF0, NONE, PORT("'vf': 'pf9'"),
		"t.json:4:43: port \"up0\": unknown PF \"pf9\"; did you mean \"pf0\"? (known: "
		"pf0)" },
	{ PF0, NONE, PORT("'vf': 'pf0', 'tap': 't0'"),
		"t.json:4:43: port \"up0\": a host port leads to one thing: \"tap\" is there "
		"already" },
	{ PF0, NONE, PORT("'tap': 't0', 'trust': true"),
		"t.json:4:50: port \"up0\": \"trust\" is for ports that are VFs, \"vf\" only: leave "
		"it out, or name a PF in \"vf\"" },
	{ PF0, NONE, PORT("'pf': 'pf0', 'mac': '02:00:00:00:00:01'"),
		"t.json:4:50: port \"up0\": \"mac\" is for ports that are VFs, \"vf\" only: leave "
		"it out, or name a PF in \"vf\"" },
	{ PF4, NONE, PORT("'pf': 'pf0'"),
		"t.json:2:43: PF \"pf0\" is given to the switch whole (port \"up0\", line 4), and "
		"then has no VFs: leave them out, or make the port a \"vf\"" },
	{ PF0, VF(""), PORT("'pf': 'pf0'"),
		"t.json:3:65: a.0 can't have a VF of \"pf0\": port \"up0\" takes that PF whole "
		"(line 4); make that a \"vf\" as well" },
	{ PF0, NONE, PORT("'pf': 'pf0'") ", 'up1': {'network': 'far', 'pf': 'pf0'}",
		"t.json:4:83: port \"up1\": PF pf0 is port \"up0\"'s already (line 4)" },
	{ PF0, NONE, PORT("'vf': 'pf0', 'min_rate': '2Mbps', 'max_rate': '1Mbps'"),
		"t.json:4:83: port \"up0\": min_rate 2Mbps is above max_rate 1Mbps: what is "
		"promised may not be more than what is allowed" },
	{ PF0, NONE, "'up0': {'network': 'lan'}",
		"t.json:4:18: port \"up0\": a host port is a \"tap\" of the kernel's, a physical "
		"NIC, \"pci\", a virtual device of DPDK's, \"vdev\", a \"vf\" or all of a \"pf\" of "
		"the lab's: name one of them" },
};

static void test_bad(void **state)
{
	size_t wrong = 0;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct topology *t;
		struct err e = { 0 };

		assert_int_not_equal(parse(bad[i].pfs, bad[i].nodes, bad[i].ports, &t, &e), 0);
		assert_null(t);
		assert_int_equal(e.class, ERR_REQUEST);
		if (strcmp(e.text, bad[i].message) == 0)
			continue;
		print_message("expected: %s\nfound:    %s\n", bad[i].message, e.text);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static struct topology *good(const char *pfs, const char *nodes, const char *ports)
{
	struct topology *t = NULL;
	struct err e = { 0 };

	if (parse(pfs, nodes, ports, &t, &e))
		fail_msg("%s", e.text);
	return t;
}

/* All that is wanted of a VF is found with its PF, wherever it was said. */
static void test_attributes(void **state)
{
	struct topology *t = good(
		"'pf0': {'pci': '01:00.0', 'num_vfs': 7, 'mtu': 9000, 'vfs': {'3': {'trust': true}, "
		"'1': {'vlan': 9}}}, 'pf1': {'interface': 'eth5'}",
		NICS("{'vf': 'pf0', 'index': 3, 'mac': '02:00:00:00:00:01', 'vlan': 100, "
		     "'qos': 5, 'vlan_protocol': '802.1ad', 'min_rate': '10Mbps', 'max_rate': "
		     "'2Gbps', 'spoofchk': false, 'link_state': 'up', 'addresses': "
		     "['10.0.0.1/24']}, {'vf': 'pf0', 'vlan': 7}, {'network': 'far'}"),
		"");
	const struct topo_nic *nic = &t->nodes[0].nics[0];
	const struct pf_want *pf = &t->pfs->v[0];
	const struct vf_attrs *a;

	assert_string_equal(pf->pci, "0000:01:00.0");
	assert_string_equal(t->pfs->v[1].interface, "eth5");
	assert_int_equal(t->pfs->v[1].attrs.has, 0);
	assert_non_null(nic->vf.want);
	assert_true(nic->network == TOPO_NO_NETWORK);
	assert_null(t->nodes[0].nics[2].vf.want);
	/* 0 for a.1, 1 described and nobody's, 3 for a.0 */
	assert_int_equal(pf->n_vfs, 3);
	assert_int_equal(pf->vfs[0].index, 0);
	assert_int_equal(pf->vfs[0].attrs.vlan, 7);
	assert_memory_equal(&pf->vfs[0].attrs.mac, &t->nodes[0].nics[1].mac, 6);
	assert_int_equal(pf->vfs[1].index, 1);
	assert_int_equal(pf->vfs[1].attrs.has, 1 << VF_VLAN);
	a = &pf->vfs[2].attrs;
	assert_int_equal(a->has, (1 << VF_ATTRS_N) - 1);
	assert_int_equal(ether_mac_u64(a->mac), 0x020000000001);
	assert_int_equal(a->vlan, 100);
	assert_int_equal(a->qos, 5);
	assert_int_equal(a->vlan_proto, 0x88a8);
	assert_int_equal(a->min_rate, 10);
	assert_int_equal(a->max_rate, 2000);
	assert_false(a->spoofchk);
	assert_true(a->trust);
	assert_int_equal(a->link_state, VF_LINK_UP);
	assert_string_equal(a->driver, "vfio-pci");
	topology_free(t);
}

/* Given ones first; the others take what is left, NICs before ports; as many VFs as that makes. */
static void test_given_out(void **state)
{
	struct topology *t = good(PF0 ", 'pf1': {'interface': 'eth1', 'num_vfs': 5}, 'pf2': "
				      "{'interface': 'eth2'}",
		NICS("{'vf': 'pf0'}, {'vf': 'pf0', 'index': 0}, {'vf': 'pf1'}") ", 'b': {'kind': "
										"'vm', 'guest': './x', 'nics': [{'vf': 'pf0'}, {'vf': 'pf0', 'index': 3}]}",
		PORT("'vf': 'pf0'") ", 'up1': {'network': 'lan', 'vf': 'pf1', 'index': 0}");
	const struct pf_want *pf = t->pfs->v;
	char name[TOPO_NAME_MAX + 12];

	assert_int_equal(t->nodes[0].nics[0].vf.index, 1);
	assert_int_equal(t->nodes[1].nics[0].vf.index, 2);
	assert_int_equal(t->ports[0].vf.index, 4);
	assert_int_equal(t->nodes[0].nics[2].vf.index, 1);
	assert_int_equal(pf[0].attrs.num_vfs, 5);
	assert_int_equal(pf[1].attrs.num_vfs, 5);
	assert_int_equal(pf[2].attrs.has, 0);
	assert_ptr_equal(topology_vf_user(t, 0, 2, name), &t->nodes[1].nics[0].vf);
	assert_string_equal(name, "b.0");
	assert_ptr_equal(topology_vf_user(t, 0, 4, name), &t->ports[0].vf);
	assert_string_equal(name, "up0");
	assert_null(topology_vf_user(t, 1, 4, name));
	/* Made addresses are all different, and never zero. */
	assert_int_equal(t->ports[0].mac.b[0], 2);
	assert_memory_not_equal(&t->ports[0].mac, &t->ports[1].mac, sizeof t->ports[0].mac);
	assert_memory_not_equal(&t->ports[0].mac, &t->nodes[0].nics[0].mac, sizeof t->ports[0].mac);
	topology_free(t);
}

/* What is no clash: a port that has the address of a NIC behind it, one IP address in two VLANs. */
static void test_no_clash(void **state)
{
	struct topology *t = good(PF0,
		NICS("{'network': 'lan', 'mac': '02:00:00:00:00:01', 'addresses': "
		     "['10.0.0.1/24']}, {'vf': 'pf0', 'vlan': 5, 'addresses': ['10.0.0.1/24']}, "
		     "{'vf': 'pf0', 'addresses': ['10.0.0.1/24']}"),
		PORT("'vf': 'pf0', 'mac': '02:00:00:00:00:01', 'vlan': {'trunk': [5]}"));
	const struct vf_attrs *a = &t->pfs->v[0].vfs[2].attrs;

	/* The VLANs of a port are the switch's, and its VF sends what it likes. */
	assert_int_equal(t->ports[0].policy.vlan.mode, TOPO_VLAN_TRUNK);
	assert_int_equal(t->ports[0].vf.index, 2);
	assert_false(a->has & 1 << VF_VLAN);
	assert_true(a->has & 1 << VF_SPOOFCHK && !a->spoofchk);
	assert_true(a->has & 1 << VF_TRUST && a->trust);
	assert_string_equal(a->driver, "vfio-pci");
	topology_free(t);
}

/* A PF that the switch has whole is bound, and its number of VFs left alone. */
static void test_whole(void **state)
{
	struct topology *t = good(PF0 ", 'pf1': {'interface': 'eth1', 'driver': 'mlx5_core'}", NONE,
		PORT("'pf': 'pf0'") ", 'up1': {'network': 'far', 'pf': 'pf1'}");

	assert_int_equal(t->pfs->v[0].attrs.has, 1 << PF_DRIVER);
	assert_string_equal(t->pfs->v[0].attrs.driver, "vfio-pci");
	assert_string_equal(t->pfs->v[1].attrs.driver, "mlx5_core");
	assert_int_equal(t->ports[1].kind, TOPO_PORT_PF);
	topology_free(t);
}

static int parse_text(const char *given, struct topology **t, struct err *e)
{
	char text[1024];

	snprintf(text, sizeof text, "%s", given);
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return parse_dumped(text, t, e);
}

/* A lab all of whose NICs are VFs needs no network; without PFs one is needed as ever. */
static void test_no_network(void **state)
{
	static const char vfs[] =
		"{'version': 1, 'lab': 't', 'pfs': {" PF0 "}, 'nodes': {" VF("") "}}";
	static const char none[] = "{'version': 1, 'lab': 't', 'nodes': {" NONE "}}";
	static const char empty[] =
		"{'version': 1, 'lab': 't', 'networks': {}, 'nodes': {" NONE "}}";
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(parse_text(vfs, &t, &e), 0);
	assert_int_equal(t->n_networks, 0);
	topology_free(t);
	assert_int_not_equal(parse_text(none, &t, &e), 0);
	assert_string_equal(e.text, "t.json:1:1: \"networks\" is missing");
	assert_int_not_equal(parse_text(empty, &t, &e), 0);
	assert_string_equal(e.text, "t.json:1:40: a topology needs one network at least");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_given_out),
		cmocka_unit_test(test_no_clash),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
