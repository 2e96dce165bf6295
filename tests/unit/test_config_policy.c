/* SPDX-License-Identifier: Apache-2.0 */
/* config/: policies of ports and host ports: what good ones become, and every sentence (with its
 * place) about a bad one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/topology.h"
#include "config_dump.h"

/* Lines of a topology: 3 is NIC a.0, 4 is b.0, 5 is x.0 (external), 6 the host ports, 7 traffic. */
static const char *const base_lines[] = {
	"{ \"version\": 1, \"lab\": \"t\", \"networks\": { \"lan\": {}, \"dmz\": {} },",
	"  \"nodes\": {",
	"  \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" } ] },",
	"  \"b\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" } ] },",
	"  \"x\": { \"kind\": \"external\", \"nics\": [ { \"network\": \"lan\" } ] } },",
	"  \"ports\": {},",
	"  \"traffic\": [] }",
};
#define N_LINES (sizeof(base_lines) / sizeof(base_lines[0]))

#define A(rest) "  \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", " rest " } ] },"
#define B(rest) "  \"b\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", " rest " } ] },"
#define X(rest) \
	"  \"x\": { \"kind\": \"external\", \"nics\": [ { \"network\": \"lan\", " rest " } ] } },"
#define P(rest) "  \"ports\": { " rest " },"
#define T(rest) \
	"  \"traffic\": [ { \"name\": \"n\", \"from\": \"a.0\", \"to\": \"b.0\"" rest " } ] }"
#define MAC1 "\"02:00:00:00:00:01\""
#define MAC2 "\"02:00:00:00:00:02\""
#define AT_A "t.json:3:62: node \"a\", NIC 0: "

/* Up to three lines are replaced. */
struct lines {
	int line;
	const char *with;
};

static int parse(const struct lines *l, size_t n, struct topology **t, struct err *e)
{
	char *text = calloc(1, 16384);
	int rc;

	for (size_t i = 0; i < N_LINES; i++) {
		const char *line = base_lines[i];

		for (size_t k = 0; k < n; k++)
			if (l[k].line == (int)i + 1)
				line = l[k].with;
		strcat(text, line);
		strcat(text, "\n");
	}
	rc = parse_dumped(text, t, e);
	free(text);
	return rc;
}

static const struct bad {
	struct lines l[3];
	const char *message;
} bad[] = {
	/* vlan */
	{ { { 3, A("\"vlan\": 0") } },
		AT_A "VLANs are numbered 1 to 4094 (0 and 4095 are no VLANs); found 0" },
	{ { { 3, A("\"vlan\": 4095") } },
		AT_A "VLANs are numbered 1 to 4094 (0 and 4095 are no VLANs); found 4095" },
	{ { { 3, A("\"vlan\": \"10\"") } },
		AT_A "\"vlan\" must be a VLAN such as 10, or { \"trunk\": [10, \"20-30\"], "
		     "\"native\": 10 }; found \"10\"" },
	{ { { 3, A("\"vlan\": {}") } }, AT_A "\"trunk\" is missing" },
	{ { { 3, A("\"vlan\": { \"trunk\": [] }") } },
		"t.json:3:73: node \"a\", NIC 0: \"trunk\" must be a list of VLANs, such as [10, "
		"\"20-30\"]; found []" },
	{ { { 3, A("\"vlan\": { \"trunk\": [10, \"30-20\"] }") } },
		"t.json:3:78: node \"a\", NIC 0: a range of VLANs goes from the lower number to the "
		"higher, within 1 to 4094; found \"30-20\"" },
	{ { { 3, A("\"vlan\": { \"trunk\": [\"4000-4095\"] }") } },
		"t.json:3:74: node \"a\", NIC 0: a range of VLANs goes from the lower number to the "
		"higher, within 1 to 4094; found \"4000-4095\"" },
	{ { { 3, A("\"vlan\": { \"trunk\": [\"7\"] }") } },
		"t.json:3:74: node \"a\", NIC 0: a trunk is a list of VLANs such as 10, and of ranges "
		"such as \"20-30\"; found \"7\"" },
	{ { { 3, A("\"vlan\": { \"trunk\": [25, \"20-30\"] }") } },
		"t.json:3:78: node \"a\", NIC 0: VLAN 25 is named twice" },
	{ { { 3, A("\"vlan\": { \"trunk\": [10], \"native\": 20 }") } },
		"t.json:3:89: node \"a\", NIC 0: the native VLAN 20 is not in \"trunk\": add it "
		"there, or leave it out" },
	{ { { 3, A("\"vlan\": { \"trunk\": [10], \"access\": 10 }") } },
		"t.json:3:79: node \"a\", NIC 0: unknown key \"access\" (known: trunk, native)" },
	/* isolated, admin, mac_limit */
	{ { { 3, A("\"isolated\": 1") } },
		"t.json:3:66: node \"a\", NIC 0: \"isolated\" must be true or false; found 1" },
	{ { { 3, A("\"admin\": \"off\"") } },
		"t.json:3:63: node \"a\", NIC 0: unknown admin \"off\" (known: up, down)" },
	{ { { 3, A("\"mac_limit\": -1") } },
		"t.json:3:67: node \"a\", NIC 0: \"mac_limit\" must be 0 to 1048576 addresses; found "
		"-1" },
	/* static */
	{ { { 3, A("\"static\": " MAC1) } },
		"t.json:3:64: node \"a\", NIC 0: \"static\" must be a list of addresses, such as [ "
		"\"02:00:00:00:00:01\", { \"mac\": \"02:00:00:00:00:02\", \"vlan\": 10 } ]; found "
		"\"02:00:00:00:00:01\"" },
	{ { { 3, A("\"static\": [ \"01:00:00:00:00:01\" ]") } },
		"t.json:3:66: node \"a\", NIC 0: MAC address \"01:00:00:00:00:01\" is multicast (its "
		"first byte is odd): a NIC's own must be unicast, such as \"02:00:00:00:00:01\"" },
	{ { { 3, A("\"static\": [ " MAC1 ", " MAC1 " ]") } },
		"t.json:3:87: node \"a\", NIC 0: static address 02:00:00:00:00:01 is port a.0's "
		"already in this network and VLAN (line 3)" },
	{ { { 3, A("\"vlan\": 7, \"static\": [ " MAC1 " ]") },
		  { 4, B("\"static\": [ { \"mac\": " MAC1 ", \"vlan\": 7 } ]") } },
		"t.json:4:66: node \"b\", NIC 0: static address 02:00:00:00:00:01 is port a.0's "
		"already in this network and VLAN (line 3)" },
	{ { { 3, A("\"vlan\": 7, \"static\": [ { \"mac\": " MAC1 ", \"vlan\": 8 } ]") } },
		"t.json:3:77: node \"a\", NIC 0: VLAN 8 does not get to this port (\"vlan\", line 3)" },
	{ { { 3, A("\"vlan\": { \"trunk\": [7] }, \"static\": [ " MAC1 " ]") } },
		"t.json:3:92: node \"a\", NIC 0: of which VLAN is this address? The port's trunk has "
		"no native one: say { \"mac\": .., \"vlan\": .. }" },
	/* anti-spoofing */
	{ { { 3, A("\"anti_spoof\": { \"ipv4\": [ \"10.0.0.1/8\" ] }") } },
		"t.json:3:80: node \"a\", NIC 0: an IPv4 address is written as \"10.0.0.1\" (no mask, "
		"no name); found \"10.0.0.1/8\"" },
	{ { { 3, A("\"anti_spoof\": { \"ipv6\": [ \"fe80::1\", \"fe80:0::1\" ] }") } },
		"t.json:3:91: node \"a\", NIC 0: fe80::1 is named twice" },
	{ { { 3, A("\"anti_spoof\": { \"ipv6\": \"fe80::1\" }") } },
		"t.json:3:78: node \"a\", NIC 0: \"ipv6\" must be a list of addresses, such as [ "
		"\"fe80::1\" ]; found \"fe80::1\"" },
	{ { { 5, X("\"anti_spoof\": true") } },
		"t.json:5:74: node \"x\", NIC 0: say with \"mac\" which address the client will have: "
		"Lanyard doesn't give it one" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"tap\": \"t0\", \"anti_spoof\": true }") } },
		"t.json:6:67: port \"up\": a host port stands for many stations: anti-spoofing is for "
		"NICs" },
	/* rates */
	{ { { 3, A("\"storm\": { \"broadcast\": \"0pps\" }") } },
		"t.json:3:78: node \"a\", NIC 0: \"broadcast\": rate \"0pps\" is 0: nothing would be "
		"sent" },
	{ { { 3, A("\"storm\": { \"unknown\": \"1Mbps\" }") } },
		"t.json:3:76: node \"a\", NIC 0: \"unknown\" must be a rate with its unit, such as "
		"\"1kpps\"; found \"1Mbps\"" },
	{ { { 3, A("\"storm\": { \"unicast\": \"1kpps\" }") } },
		"t.json:3:65: node \"a\", NIC 0: unknown key \"unicast\"; did you mean \"multicast\"? "
		"(known: broadcast, multicast, unknown)" },
	{ { { 3, A("\"police\": { \"rate\": \"1kpps\" }") } },
		"t.json:3:74: node \"a\", NIC 0: \"rate\" must be a rate with its unit, such as "
		"\"100Mbps\"; found \"1kpps\"" },
	{ { { 3, A("\"police\": { \"rate\": \"max\" }") } },
		"t.json:3:74: node \"a\", NIC 0: \"rate\" must be a rate with its unit, such as "
		"\"100Mbps\"; found \"max\"" },
	{ { { 3, A("\"police\": { \"rate\": \"0bps\" }") } },
		"t.json:3:74: node \"a\", NIC 0: \"rate\": rate \"0bps\" is 0: nothing would be sent" },
	{ { { 3, A("\"police\": { \"burst\": \"64K\" }") } },
		"t.json:3:64: node \"a\", NIC 0: \"rate\" is missing" },
	{ { { 3, A("\"police\": { \"rate\": \"1Mbps\", \"burst\": \"9K\" }") } },
		"t.json:3:92: node \"a\", NIC 0: a burst has 9234 bytes, the longest frame, to 1G; found "
		"\"9K\" (with offloads a guest sends frames of up to 64K)" },
	{ { { 3, A("\"police\": { \"rate\": \"7999bps\" }") } },
		"t.json:3:74: node \"a\", NIC 0: the least rate is 8kbps, a kilobyte a second; found "
		"\"7999bps\"" },
	{ { { 3, A("\"anti_spoof\": { \"ipv4\": [] }") } },
		"t.json:3:78: node \"a\", NIC 0: \"ipv4\" must name 1 to 64 addresses; found 0" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"tap\": \"t0\", \"offloads\": true }") } },
		"t.json:6:65: port \"up\": a host port's offloads are those of its device: this is for "
		"NICs" },
	/* mirrors */
	{ { { 3, A("\"mirror\": { \"direction\": \"rx\" }") } },
		"t.json:3:64: node \"a\", NIC 0: \"from\" is missing" },
	{ { { 3, A("\"mirror\": { \"from\": \"b.0\", \"direction\": \"in\" }") } },
		"t.json:3:94: node \"a\", NIC 0: unknown direction \"in\" (known: rx, tx, both)" },
	{ { { 3, A("\"mirror\": { \"from\": \"a.0\" }") } },
		"t.json:3:74: node \"a\", NIC 0: a port can't mirror itself" },
	{ { { 3, A("\"mirror\": { \"from\": \"c.0\" }") } },
		"t.json:3:74: node \"a\", NIC 0: unknown port \"c.0\"; did you mean \"a.0\"? (known: "
		"a.0, b.0, x.0)" },
	{ { { 3, A("\"mirror\": { \"from\": [\"b.0\", \"b.0\"] }") } },
		"t.json:3:82: node \"a\", NIC 0: \"b.0\" is named twice" },
	{ { { 3, A("\"mirror\": { \"from\": [] }") } },
		"t.json:3:74: node \"a\", NIC 0: \"from\" must name 1 to 64 ports; found 0" },
	{ { { 3, A("\"mirror\": { \"from\": \"b.0\" }") },
		  { 4, B("\"mirror\": { \"from\": \"a.0\" }") } },
		"t.json:3:74: node \"a\", NIC 0: b.0 listens to a mirror itself (line 4): a mirror of "
		"a mirror is not possible" },
	{ { { 3, A("\"mirror\": { \"from\": \"x.0\" }") },
		  { 4, B("\"mirror\": { \"from\": \"x.0\" }") } },
		"t.json:4:74: node \"b\", NIC 0: x.0 is mirrored to a.0 already (line 3), and a port "
		"has one mirror" },
	/* offloads, mergeable */
	{ { { 3, A("\"offloads\": \"csum\"") } },
		"t.json:3:66: node \"a\", NIC 0: \"offloads\" must be true, false, or a list such as "
		"[\"csum\", \"tso4\"]; found \"csum\"" },
	{ { { 3, A("\"offloads\": [\"tso5\"]") } },
		"t.json:3:67: node \"a\", NIC 0: unknown offload \"tso5\"; did you mean \"tso4\"? "
		"(known: csum, tso4, tso6)" },
	{ { { 3, A("\"offloads\": [\"tso6\"]") } },
		"t.json:3:66: node \"a\", NIC 0: segmentation needs checksums: add \"csum\" (virtio's "
		"TSO depends on it)" },
	{ { { 3, A("\"mergeable\": 0") } },
		"t.json:3:67: node \"a\", NIC 0: \"mergeable\" must be true or false; found 0" },
	/* host ports */
	{ { { 6, "  \"ports\": []," } },
		"t.json:6:12: \"ports\" must be an object of names, { \"NAME\": { ... } }; found []" },
	{ { { 6, P("\"a.0\": {}") } },
		"t.json:6:14: a port's name is made of a-z, 0-9, _ and -, and begins with a letter or "
		"digit; found \"a.0\"" },
	{ { { 6, P("\"up\": { \"network\": \"lan\" }") } },
		"t.json:6:20: port \"up\": a host port is a \"tap\" of the kernel's, a physical NIC, "
		"\"pci\", a virtual device of DPDK's, \"vdev\", a \"vf\" or all of a \"pf\" of the "
		"lab's: name one of them" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"tap\": \"t\", \"pci\": \"03:00.0\" }") } },
		"t.json:6:59: port \"up\": a host port leads to one thing: \"tap\" is there already" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"vdev\": \"tap0,iface=a\" }") } },
		"t.json:6:48: port \"up\": a virtual device is written as DPDK does, with its "
		"arguments: \"net_tap0,iface=lab0\" (at most 255 bytes); found \"tap0,iface=a\"" },
	{ { { 6,
		  P("\"u\": { \"network\": \"lan\", \"vdev\": \"net_null0\" }, "
		    "\"v\": { \"network\": \"lan\", \"vdev\": \"net_null0,size=64\" }") } },
		"t.json:6:95: port \"v\": DPDK device net_null0,size=64 is port \"u\"'s already (line "
		"6)" },
	{ { { 6, P("\"up\": { \"tap\": \"t0\" }") } },
		"t.json:6:20: port \"up\": \"network\" is missing" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"tap\": \"a234567890123456\" }") } },
		"t.json:6:47: port \"up\": an interface's name has at most 15 characters in Linux; "
		"\"a234567890123456\" has 16" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"tap\": \"a/b\" }") } },
		"t.json:6:47: port \"up\": an interface's name has letters, digits and . _ - only; "
		"found \"a/b\"" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"tap\": \"\" }") } },
		"t.json:6:47: port \"up\": an interface's name has letters, digits and . _ - only; "
		"found \"\"" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"pci\": \"3:0.0\" }") } },
		"t.json:6:47: port \"up\": a PCI address is written as \"0000:03:00.0\" (lspci -D "
		"lists them); found \"3:0.0\"" },
	{ { { 6, P("\"up\": { \"network\": \"lan\", \"pci\": \"0000:03:00.8\" }") } },
		"t.json:6:47: port \"up\": a PCI address is written as \"0000:03:00.0\" (lspci -D "
		"lists them); found \"0000:03:00.8\"" },
	{ { { 6,
		  P("\"u\": { \"network\": \"lan\", \"pci\": \"0000:0A:00.0\" }, "
		    "\"v\": { \"network\": \"lan\", \"pci\": \"0a:00.0\" }") } },
		"t.json:6:96: port \"v\": PCI device 0000:0a:00.0 is port \"u\"'s already (line 6)" },
	{ { { 6,
		  P("\"u\": { \"network\": \"lan\", \"tap\": \"t0\" }, "
		    "\"v\": { \"network\": \"dmz\", \"tap\": \"t0\" }") } },
		"t.json:6:86: port \"v\": interface t0 is port \"u\"'s already (line 6)" },
	/* traffic that can't get there */
	{ { { 3, A("\"vlan\": 10") }, { 4, B("\"vlan\": 20") }, { 7, T("") } },
		"t.json:7:52: traffic \"n\": nothing of this gets from a.0 to b.0: untagged frames are "
		"in VLAN 10 at the sender and in VLAN 20 at the receiver; if it is meant so, say "
		"\"max_loss\": 1" },
	{ { { 3, A("\"vlan\": { \"trunk\": [10] }") }, { 4, B("\"vlan\": { \"trunk\": [10] }") },
		  { 7, T("") } },
		"t.json:7:52: traffic \"n\": nothing of this gets from a.0 to b.0: untagged frames are "
		"in no VLAN at the sender and in no VLAN at the receiver; if it is meant so, say "
		"\"max_loss\": 1" },
	{ { { 3, A("\"isolated\": true") }, { 4, B("\"isolated\": true") }, { 7, T("") } },
		"t.json:7:52: traffic \"n\": nothing of this gets from a.0 to b.0: both are isolated; "
		"if it is meant so, say \"max_loss\": 1" },
	{ { { 4, B("\"admin\": \"down\"") }, { 7, T(", \"max_loss\": 0.5") } },
		"t.json:7:52: traffic \"n\": nothing of this gets from a.0 to b.0: the receiver's "
		"\"admin\" is \"down\"; if it is meant so, say \"max_loss\": 1" },
	{ { { 4, B("\"mirror\": { \"from\": \"a.0\" }") }, { 7, T("") } },
		"t.json:7:52: traffic \"n\": nothing of this gets from a.0 to b.0: the receiver "
		"listens to a mirror, and gets nothing else; if it is meant so, say \"max_loss\": 1" },
};

static void test_bad(void **state)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct topology *t;
		struct err e = { 0 };
		int rc = parse(bad[i].l, 3, &t, &e);

		if (rc != -EINVAL || e.class != ERR_REQUEST ||
			strcmp(e.text, bad[i].message) != 0) {
			print_error("%s\n  gave: %s\n  not:  %s\n", bad[i].l[0].with,
				rc ? e.text : "no error", bad[i].message);
			wrong++;
		}
		topology_free(t);
	}
	assert_int_equal(wrong, 0);
}

/* What holds when nothing is said. */
static void test_defaults(void **state)
{
	struct topology *t;
	struct err e = { 0 };
	const struct topo_nic *nic;

	assert_int_equal(parse(NULL, 0, &t, &e), 0);
	nic = &t->nodes[0].nics[0];
	assert_int_equal(nic->policy.vlan.mode, TOPO_VLAN_ALL);
	assert_int_equal(nic->policy.vlan.untagged, 0);
	assert_true(nic->mergeable);
	assert_false(nic->policy.offloads_given);
	assert_false(nic->policy.isolated || nic->policy.admin || nic->policy.anti_spoof);
	assert_false(nic->policy.mac_limited);
	assert_int_equal(t->n_ports, 0);
	topology_free(t);
}

static void test_values(void **state)
{
	static const struct lines l[] = {
		{ 3,
			A("\"mac\": " MAC1 ", \"vlan\": { \"trunk\": [10, \"20-22\", \"63-64\"], "
			  "\"native\": 10 }, \"admin\": \"down\", \"mac_limit\": 100, \"mergeable\": "
			  "false, \"static\": [ " MAC1 ", { \"mac\": " MAC2 ", \"vlan\": 21 } ], "
			  "\"anti_spoof\": { \"ipv4\": [ \"10.0.0.1\" ], \"ipv6\": [ \"FE80:0::1\" ] }, "
			  "\"storm\": { \"broadcast\": \"1kpps\", \"unknown\": \"2.5kpps\" }, "
			  "\"police\": { \"rate\": \"100Mbps\", \"burst\": \"64K\" }, "
			  "\"offloads\": [\"csum\", \"tso6\"]") },
		{ 4,
			B("\"isolated\": true, \"vlan\": 4094, \"anti_spoof\": false, "
			  "\"offloads\": false") },
		{ 6,
			P("\"up0\": { \"network\": \"dmz\", \"tap\": \"a23456789012345\", \"vlan\": 7, "
			  "\"mirror\": { \"from\": [\"a.0\", \"up1\"], \"direction\": \"rx\" } }, "
			  "\"up1\": { \"network\": \"lan\", \"pci\": \"1A:00.7\", \"queues\": 4 }") },
	};
	struct topology *t;
	struct err e = { 0 };
	const struct topo_policy *p;

	if (parse(l, 3, &t, &e))
		fail_msg("%s", e.text);
	p = &t->nodes[0].nics[0].policy;
	assert_int_equal(p->vlan.mode, TOPO_VLAN_TRUNK);
	assert_int_equal(p->vlan.untagged, 10);
	assert_int_equal(p->vlan.has[0], 1ull << 10 | 7ull << 20 | 1ull << 63);
	assert_int_equal(p->vlan.has[1], 1);
	assert_int_equal(p->admin, 1);
	assert_true(p->mac_limited && p->mac_limit == 100);
	assert_int_equal(p->n_statics, 2);
	assert_int_equal(p->statics[0].vlan, 0);
	assert_int_equal(p->statics[1].vlan, 21);
	assert_int_equal(p->statics[1].mac.b[5], 2);
	assert_true(p->anti_spoof);
	assert_int_equal(p->n_ipv4, 1);
	assert_string_equal(p->ipv6[0], "fe80::1");
	assert_int_equal(p->storm_pps[TOPO_STORM_BROADCAST], 1000);
	assert_int_equal(p->storm_pps[TOPO_STORM_MULTICAST], 0);
	assert_int_equal(p->storm_pps[TOPO_STORM_UNKNOWN], 2500);
	assert_int_equal(p->police_bps, 100000000);
	assert_int_equal(p->police_burst, 65536);
	assert_int_equal(p->offloads, TOPO_CSUM | TOPO_TSO6);
	assert_false(t->nodes[0].nics[0].mergeable);
	p = &t->nodes[1].nics[0].policy;
	assert_true(p->isolated && p->offloads_given);
	assert_int_equal(p->offloads, 0);
	assert_int_equal(p->vlan.untagged, 4094);
	assert_false(p->anti_spoof);
	assert_int_equal(t->n_ports, 2);
	assert_string_equal(t->ports[0].device, "a23456789012345");
	assert_int_equal(t->ports[0].network, 1);
	assert_int_equal(t->ports[0].policy.mirror.n, 2);
	assert_string_equal(t->ports[0].policy.mirror.from[1].port, "up1");
	assert_int_equal(t->ports[0].policy.mirror.direction, TOPO_DIR_RX);
	assert_string_equal(t->ports[1].device, "0000:1a:00.7");
	assert_int_equal(t->ports[1].queues, 4);
	topology_free(t);
}

/* Traffic between ports that policy keeps apart is allowed if all may be lost; one VLAN joins an
 * access port and a trunk that has it as its native one; addresses may be alike in two VLANs. */
static void test_allowed(void **state)
{
	static const struct lines ok[][3] = {
		{ { 3, A("\"vlan\": 10") }, { 4, B("\"vlan\": 20") },
			{ 7, T(", \"max_loss\": 1") } },
		{ { 3, A("\"vlan\": 10") },
			{ 4, B("\"vlan\": { \"trunk\": [\"10-20\"], \"native\": 10 }") },
			{ 7, T("") } },
		{ { 3, A("\"isolated\": true") }, { 7, T("") } },
		{ { 3, A("\"vlan\": 10, \"static\": [ " MAC1 " ]") },
			{ 4, B("\"vlan\": 20, \"static\": [ " MAC1 " ]") } },
		{ { 5, X("\"mac\": " MAC1 ", \"anti_spoof\": true, \"mergeable\": false") } },
	};

	for (size_t i = 0; i < sizeof(ok) / sizeof(ok[0]); i++) {
		struct topology *t;
		struct err e = { 0 };

		if (parse(ok[i], 3, &t, &e))
			fail_msg("%s\n  gave: %s", ok[i][0].with, e.text);
		topology_free(t);
	}
}

/* Cut anywhere, closed or not: an error or a topology, and nothing leaks (under ASan). */
static void test_cut(void **state)
{
	static const char policy[] =
		"\"vlan\": { \"trunk\": [10, \"20-22\"], \"native\": 10 }, \"static\": [ " MAC1
		", { \"mac\": " MAC2
		", \"vlan\": 21 } ], \"anti_spoof\": { \"ipv4\": [ \"10.0.0.1\" "
		"], \"ipv6\": [ \"fe80::1\" ] }, \"storm\": { \"broadcast\": \"1kpps\" }, \"police\": "
		"{ \"rate\": \"1Mbps\", \"burst\": \"64K\" }, \"mirror\": { \"from\": [\"b.0\"] }";

	for (size_t len = 0; len < sizeof(policy); len++) {
		struct topology *t = NULL;
		struct err e = { 0 };
		char line[2048], *text;

		/* Closed after a whole key at times, so that what comes later is looked at too. */
		snprintf(line, sizeof(line),
			"  \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", %.*s } ] },",
			(int)len, policy);
		if (parse((struct lines[]){ { 3, line } }, 1, &t, &e))
			assert_int_equal(strncmp(e.text, "t.json:", 7), 0);
		topology_free(t);
		text = calloc(1, sizeof(line));
		snprintf(text, sizeof(line),
			"{ \"version\": 1, \"lab\": \"t\", \"networks\": { \"lan\": {} }, \"nodes\": "
			"{ \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", %.*s",
			(int)len, policy);
		assert_int_equal(topology_parse("t.json", text, strlen(text), &t, &e), -EINVAL);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
