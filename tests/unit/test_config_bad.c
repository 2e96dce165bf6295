/* SPDX-License-Identifier: Apache-2.0 */
/* config/: every sentence (with its place) about a bad topology. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/topology.h"
#include "config_lines.h"

static const struct bad {
	int line;
	const char *with;
	const char *message;
} bad[] = {
	/* not JSON */
	{ 0, "", "t.json:1:1: not valid JSON: '[' or '{' expected; the file is empty" },
	{ 0, "{\n \"version\": 1,\n}",
		"t.json:3:1: not valid JSON: string or '}' expected near '}'; "
		"no comma may stand after the last entry" },
	{ 0, "{ \"version\": 1\n  \"lab\": \"t\" }",
		"t.json:2:3: not valid JSON: '}' expected near '\"lab\"'; "
		"is there a comma missing before it?" },
	{ 0, "{ \"version\": 1,\n  // no\n }",
		"t.json:2:3: not valid JSON: string or '}' expected near '/'; JSON has no comments" },
	{ 0, "{ 'version': 1 }",
		"t.json:1:3: not valid JSON: string or '}' expected near '''; "
		"strings stand in double quotes" },
	{ 0, "{ \"lab\": \"\xff\" }",
		"t.json:1:11: not valid JSON: unable to decode byte 0xff; "
		"the file must be UTF-8" },
	{ 0, "{ \"lab\": ",
		"t.json:1:10: not valid JSON: unexpected token; the file ends too early" },
	{ 0, "{} {}",
		"t.json:1:4: not valid JSON: end of file expected near '{'; "
		"is there a comma missing before it?" },
	{ 0, "[]", "t.json:1:1: an object, { ... } is needed here; found []" },
	{ 0, "{ \"version\": 1, \"lab\": \"t\", \"l\\u0061b\": \"u\" }",
		"t.json:1:29: the key \"lab\" is given twice in one object (first in line 1): keep one" },
	/* the file */
	{ 1, "{ \"version\": 2, \"future\": 1, \"lab\": \"t\",",
		"t.json:1:14: this lanyard reads topology files of version 1; found 2" },
	{ 1, "{ \"lab\": \"t\",", "t.json:1:1: \"version\" is missing" },
	{ 1, "{ \"version\": 1,", "t.json:1:1: \"lab\" is missing" },
	{ 1, "{ \"version\": 1, \"lab\": \"T 1\",",
		"t.json:1:24: a lab's name is made of a-z, 0-9, _ and -, and begins with a letter or "
		"digit; found \"T 1\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"\",",
		"t.json:1:24: a lab's name is made of a-z, 0-9, _ and -, and begins with a letter or "
		"digit; found \"\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"../up\",",
		"t.json:1:24: a lab's name is made of a-z, 0-9, _ and -, and begins with a letter or "
		"digit; found \"../up\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"a23456789012345678901234567890123\",",
		"t.json:1:24: a lab's name has at most 32 characters; "
		"\"a23456789012345678901234567890123\" has 33" },
	{ 1, "{ \"version\": 1, \"lab\": 7,", "t.json:1:24: \"lab\" must be a string; found 7" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"nodse\": {},",
		"t.json:1:29: unknown key \"nodse\"; did you mean \"nodes\"? "
		"(known: version, lab, switch, pfs, networks, nodes, ports, paths, traffic)" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"zebra\": {},",
		"t.json:1:29: unknown key \"zebra\" "
		"(known: version, lab, switch, pfs, networks, nodes, ports, paths, traffic)" },
	/* columns are characters, not bytes */
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"\xc3\xbc\": {}, \"\xc3\xbc\": 1,",
		"t.json:1:38: the key \"\xc3\xbc\" is given twice in one object (first in line 1): "
		"keep one" },
	/* switch */
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": 3,",
		"t.json:1:39: switch: \"switch\" must be an object, { ... }; found 3" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"poll\": \"bsy\" },",
		"t.json:1:49: switch: unknown poll \"bsy\"; did you mean \"busy\"? "
		"(known: adaptive, busy)" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"poll\": 1 },",
		"t.json:1:49: switch: \"poll\" must be a string; found 1" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": \"0;1\" },",
		"t.json:1:49: switch: \"cpus\" must be \"auto\", or CPUs such as \"0,2-3\" or [0, 2, 3]; "
		"found \"0;1\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": \"\" },",
		"t.json:1:49: switch: \"cpus\" must be \"auto\", or CPUs such as \"0,2-3\" or [0, 2, 3]; "
		"found \"\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": \"1,\" },",
		"t.json:1:49: switch: \"cpus\" must be \"auto\", or CPUs such as \"0,2-3\" or [0, 2, 3]; "
		"found \"1,\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": \"3-2\" },",
		"t.json:1:49: switch: CPUs 3-2: the lower number comes first" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": \"0-2,2\" },",
		"t.json:1:49: switch: CPU 2 is named twice" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": \"1024\" },",
		"t.json:1:49: switch: CPUs are numbered 0 to 1023; found 1024" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": [ 0, -1 ] },",
		"t.json:1:54: switch: CPUs are numbered 0 to 1023; found -1" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": [ 0, \"1\" ] },",
		"t.json:1:54: switch: \"cpus\" must be a list of CPU numbers; found \"1\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": [] },",
		"t.json:1:49: switch: \"cpus\" names no CPU: leave it out, or say \"auto\"" },
	{ 1, "{ \"version\": 1, \"lab\": \"t\", \"switch\": { \"cpus\": 1 },",
		"t.json:1:49: switch: \"cpus\" must be \"auto\", or CPUs such as \"0,2-3\" or [0, 2, 3]; "
		"found 1" },
	/* networks */
	{ 2, "  \"networks\": {},", "t.json:2:15: a topology needs one network at least" },
	{ 2, "  \"networks\": [],",
		"t.json:2:15: \"networks\" must be an object of names, { \"NAME\": { ... } }; found []" },
	{ 2, "  \"networks\": { \"Lan\": {} },",
		"t.json:2:17: a network's name is made of a-z, 0-9, _ and -, and begins with a letter or "
		"digit; found \"Lan\"" },
	{ 2, "  \"networks\": { \"lan\": { \"mtu\": 67 }, \"quiet\": {} },",
		"t.json:2:33: network \"lan\": \"mtu\" must be 68 to 9216 bytes; found 67" },
	{ 2, "  \"networks\": { \"lan\": { \"mtu\": 9217 }, \"quiet\": {} },",
		"t.json:2:33: network \"lan\": \"mtu\" must be 68 to 9216 bytes; found 9217" },
	{ 2, "  \"networks\": { \"lan\": { \"mtu\": \"1500\" }, \"quiet\": {} },",
		"t.json:2:33: network \"lan\": \"mtu\" must be an integer; found \"1500\"" },
	{ 2, "  \"networks\": { \"lan\": { \"mtu\": 1500.5 }, \"quiet\": {} },",
		"t.json:2:33: network \"lan\": \"mtu\" must be an integer; found 1500.5" },
	{ 2, "  \"networks\": { \"lan\": { \"ageing_s\": 0 }, \"quiet\": {} },",
		"t.json:2:38: network \"lan\": \"ageing_s\" must be 1 to 86400 seconds; found 0" },
	{ 2, "  \"networks\": { \"lan\": { \"mut\": 1 }, \"quiet\": {} },",
		"t.json:2:26: network \"lan\": unknown key \"mut\"; did you mean \"mtu\"? "
		"(known: kind, mtu, ageing_s)" },
	/* bridges: what only the switch does */
	{ 2, "  \"networks\": { \"lan\": { \"kind\": \"brigde\" }, \"quiet\": {} },",
		"t.json:2:34: network \"lan\": unknown kind \"brigde\"; did you mean \"bridge\"? "
		"(known: switch, bridge)" },
	{ 2, "  \"networks\": { \"lan\": { \"kind\": \"bridge\" }, \"quiet\": {} },",
		"t.json:6:55: node \"x\", NIC 0: network \"lan\" is a bridge of the host's kernel "
		"(line 2), which VMs reach by a tap; a node of kind external has a port at the "
		"switch: name a network of kind \"switch\"" },
	{ 2,
		"  \"networks\": { \"lan\": {}, \"quiet\": { \"kind\": \"bridge\" } }, \"ports\": { "
		"\"up\": { \"network\": \"quiet\", \"tap\": \"t0\" } },",
		"t.json:2:91: port \"up\": host ports are the switch's, but network \"quiet\" is a "
		"bridge of the host's kernel (line 2): name a network of kind \"switch\", or put the "
		"interface into the bridge by hand (lanyard status tells its name)" },
	{ 2, "", "t.json:1:1: \"networks\" is missing" },
	/* nodes */
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lna\" } ]"),
		"t.json:4:49: node \"a\", NIC 0: unknown network \"lna\"; did you mean \"lan\"? "
		"(known: lan, quiet)" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": 1 } ]"),
		"t.json:4:49: node \"a\", NIC 0: \"network\" must be the name of a network; found 1" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { } ]"),
		"t.json:4:36: node \"a\", NIC 0: \"network\" is missing" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ 1 ]"),
		"t.json:4:36: node \"a\", NIC 0: an object, { ... } is needed here; found 1" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": []"),
		"t.json:4:34: node \"a\": a node has 1 to 16 NICs; found 0" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": { }"),
		"t.json:4:34: node \"a\": \"nics\" must be a list of NICs, [ { \"network\": \"NAME\" } ]; "
		"found {}" },
	{ 4, NODE_A("\"kind\": \"vm\""), "t.json:4:10: node \"a\": \"nics\" is missing" },
	{ 4, NODE_A(A_NICS), "t.json:4:10: node \"a\": \"kind\" is missing" },
	{ 4, NODE_A("\"kind\": \"wm\", " A_NICS),
		"t.json:4:20: node \"a\": unknown kind \"wm\"; did you mean \"vm\"? (known: vm, process, external)" },
	{ 4, NODE_A("\"kind\": \"process\", \"vcpus\": 1, " A_NICS),
		"t.json:4:31: node \"a\": \"vcpus\" is for VMs only: leave it out, or change the node's "
		"kind or guest" },
	{ 4, NODE_A("\"kind\": \"process\", \"cpus\": [1, 2], " A_NICS),
		"t.json:4:39: node \"a\": 2 CPUs for 1 thread: name one for each, or say \"auto\"" },
	{ 4, NODE_A("\"kind\": \"process\", \"nics\": [ { \"network\": \"lan\", \"ring\": \"round\" } ]"),
		"t.json:4:69: node \"a\", NIC 0: unknown ring \"round\" (known: split, packed)" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"ring\": \"split\" } ]"),
		"t.json:4:56: node \"a\", NIC 0: \"ring\" is for nodes of kind process (a VM has "
		"\"packed\") only: leave it out, or change the node's kind or guest" },
	{ 4, "    \"A\": {},",
		"t.json:4:5: a node's name is made of a-z, 0-9, _ and -, and begins with a letter or "
		"digit; found \"A\"" },
	{ 4, "    \"switch\": {},",
		"t.json:4:5: a node may not be named \"switch\": in a lab's folder that is the switch "
		"itself" },
	{ 4, "    \"a\": 7,",
		"t.json:4:10: node \"a\": an object, { ... } is needed here; found 7" },
	{ 4, NODE_A("\"kind\": \"external\", \"memory\": \"64M\", " A_NICS),
		"t.json:4:32: node \"a\": \"memory\" is not for a node of this kind: leave it out" },
	{ 4, NODE_A("\"kind\": \"external\", \"memry\": \"64M\", " A_NICS),
		"t.json:4:32: node \"a\": unknown key \"memry\" (known: kind, nics)" },
	{ 4, A_VM("\"memry\": \"64M\""),
		"t.json:4:26: node \"a\": unknown key \"memry\"; did you mean \"memory\"? "
		"(known: kind, guest, vcpus, memory, cpus, nics, cpu, hugepages)" },
	{ 4, A_VM("\"guest\": \"prob\""),
		"t.json:4:35: node \"a\": unknown guest \"prob\"; did you mean \"probe\"? (known: "
		"probe, linux; a file of your own is named with its folder, such as \"./guest.elf\")" },
	{ 4, A_VM("\"guest\": null"),
		"t.json:4:35: node \"a\": \"guest\" must be \"probe\", \"linux\", or the path of an image; found "
		"null" },
	{ 4, A_VM("\"memory\": 64"),
		"t.json:4:36: node \"a\": \"memory\" must be a size with its unit, such as \"64M\"; "
		"found 64" },
	{ 4, A_VM("\"memory\": \"64\""),
		"t.json:4:36: node \"a\": \"memory\": size \"64\" has no unit: add B, K, M, G or T, such "
		"as \"64M\"" },
	{ 4, A_VM("\"memory\": \"64X\""),
		"t.json:4:36: node \"a\": \"memory\": size \"64X\": unknown unit \"X\"; use B, K, M, G or "
		"T" },
	{ 4, A_VM("\"memory\": \"0M\""),
		"t.json:4:36: node \"a\": \"memory\" is 0: a VM needs memory, such as \"64M\"" },
	{ 4, A_VM("\"memory\": \"3M\""),
		"t.json:4:36: node \"a\": \"memory\" must be a multiple of 2M (the size of a huge page); "
		"found \"3M\"" },
	{ 4, A_VM("\"vcpus\": 0"),
		"t.json:4:35: node \"a\": \"vcpus\" must be 1 to 64 vCPUs; found 0" },
	{ 4, A_VM("\"vcpus\": 99999999999999999999"),
		"t.json:4:35: not valid JSON: too big integer near '99999999999999999999'" },
	{ 4, A_VM("\"vcpus\": 2, \"cpus\": \"0\""),
		"t.json:4:46: node \"a\": 1 CPU for 2 vCPUs: name one for each, or say \"auto\"" },
	/* MAC addresses */
	{ 4,
		NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", "
		       "\"mac\": \"03:00:00:00:00:01\" } ]"),
		"t.json:4:63: node \"a\", NIC 0: MAC address \"03:00:00:00:00:01\" is multicast (its first "
		"byte is odd): a NIC's own must be unicast, such as \"02:00:00:00:00:01\"" },
	{ 4,
		NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", "
		       "\"mac\": \"02:00:00:00:00\" } ]"),
		"t.json:4:63: node \"a\", NIC 0: a MAC address is six pairs of hex digits with colons, "
		"such as \"02:00:00:00:00:01\"; found \"02:00:00:00:00\"" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"mac\": 2 } ]"),
		"t.json:4:63: node \"a\", NIC 0: \"mac\" must be a string such as \"02:00:00:00:00:01\"; "
		"found 2" },
	{ 4,
		NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", "
		       "\"mac\": \"00:00:00:00:00:00\" } ]"),
		"t.json:4:63: node \"a\", NIC 0: a NIC's MAC address may not be all zeros" },
	{ 4,
		NODE_A("\"kind\": \"vm\", \"nics\": [ "
		       "{ \"network\": \"lan\", \"mac\": \"02:00:00:00:00:0A\" }, "
		       "{ \"network\": \"lan\", \"mac\": \"02:00:00:00:00:0a\" } ]"),
		"t.json:4:113: node \"a\", NIC 1: MAC address 02:00:00:00:00:0a is node \"a\", NIC 0's "
		"already (line 4)" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"queues\": 17 } ]"),
		"t.json:4:66: node \"a\", NIC 0: \"queues\" must be 1 to 16 queue pairs; found 17" },
	{ 4, NODE_A("\"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"vg\": 17 } ]"),
		"t.json:4:56: node \"a\", NIC 0: unknown key \"vg\" (known: network, mac, queues, "
		"mergeable, vlan, isolated, admin, mac_limit, static, anti_spoof, storm, police, "
		"mirror, offloads)" },
	/* traffic */
	{ 7, "  \"traffic\": {} }",
		"t.json:7:14: \"traffic\" must be a list of entries, [ { ... } ]; found {}" },
	{ 7, TRAFFIC("3"),
		"t.json:7:16: traffic entry 1: an object, { ... } is needed here; found 3" },
	{ 7, TRAFFIC("{ " AB " }"), "t.json:7:16: traffic entry 1: \"name\" is missing" },
	{ 7, TRAFFIC("{ \"name\": \"\", " AB " }"),
		"t.json:7:26: traffic \"\": \"name\" must have 1 to 32 bytes, and no space at its ends" },
	{ 7, TRAFFIC("{ \"name\": \"a\\nb\", " AB " }"),
		"t.json:7:26: traffic \"a\\nb\": \"name\" has a control character at its character 2" },
	{ 7, T("\"rate\": \"max\""),
		"t.json:7:16: traffic \"n\": who sends? Name the ends with \"from\" and \"to\", with "
		"\"all_pairs\", or name \"paths\"" },
	{ 7, T("\"from\": \"a.0\""), "t.json:7:16: traffic \"n\": \"to\" is missing" },
	{ 7, T("\"to\": \"a.0\""), "t.json:7:16: traffic \"n\": \"from\" is missing" },
	{ 7, T("\"from\": \"a\", \"to\": \"b.0\""),
		"t.json:7:39: traffic \"n\": \"from\" must be NODE.NIC, such as \"a.0\" for the first NIC "
		"of \"a\"; found \"a\"" },
	{ 7, T("\"from\": \"a.0x\", \"to\": \"b.0\""),
		"t.json:7:39: traffic \"n\": \"from\" must be NODE.NIC, such as \"a.0\" for the first NIC "
		"of \"a\"; found \"a.0x\"" },
	{ 7, T("\"from\": [], \"to\": \"b.0\""),
		"t.json:7:39: traffic \"n\": \"from\" must name 1 to 64 ends; found 0" },
	{ 7, T("\"from\": 0, \"to\": \"b.0\""),
		"t.json:7:39: traffic \"n\": \"from\" must be an end such as \"a.0\", or a list of them; "
		"found 0" },
	{ 7, T("\"from\": [ 0 ], \"to\": \"b.0\""),
		"t.json:7:41: traffic \"n\": \"from\" must be NODE.NIC, such as \"a.0\" for the first NIC "
		"of \"a\"; found 0" },
	{ 7, T("\"from\": [ \"a.0\", \"a.0\" ], \"to\": \"b.0\""),
		"t.json:7:48: traffic \"n\": \"a.0\" is named twice" },
	{ 7, T("\"from\": \"c.0\", \"to\": \"b.0\""),
		"t.json:7:39: traffic \"n\": unknown node \"c\" (known: a, b, x)" },
	{ 7, T("\"from\": \"a.2\", \"to\": \"b.0\""),
		"t.json:7:39: traffic \"n\": node \"a\" has no NIC 2: its NICs are 0 to 1" },
	{ 7, T("\"from\": \"a.0\", \"to\": \"x.0\""),
		"t.json:7:52: traffic \"n\": node \"x\" is external: Lanyard can make traffic in its own nodes only" },
	{ 7, T("\"from\": \"a.0\", \"to\": \"a.0\""),
		"t.json:7:52: traffic \"n\": \"from\" and \"to\" are the same NIC" },
	{ 7, T("\"from\": \"a.1\", \"to\": \"b.0\""),
		"t.json:7:52: traffic \"n\": a.1 is on network \"quiet\" and b.0 on network \"lan\": no frame gets "
		"across" },
	{ 7, T("\"all_pairs\": [ \"a.0\" ]"),
		"t.json:7:44: traffic \"n\": \"all_pairs\" must be a list of two ends or more, such as "
		"[\"a.0\", \"b.0\", \"c.0\"]; found [\"a.0\"]" },
	{ 7, T("\"all_pairs\": [ \"a.0\", \"b.0\" ], \"to\": \"b.0\""),
		"t.json:7:68: traffic \"n\": \"all_pairs\" names the ends already: leave out \"to\"" },
	{ 7, T("\"all_pairs\": [ \"a.0\", \"b.0\" ], \"both_ways\": true"),
		"t.json:7:75: traffic \"n\": \"all_pairs\" goes both ways already: leave out \"both_ways\"" },
	{ 7, T(AB ", \"both_ways\": 1"),
		"t.json:7:72: traffic \"n\": \"both_ways\" must be true or false; found 1" },
	{ 7, T(AB ", \"frame\": 63"),
		"t.json:7:68: traffic \"n\": a frame has 64 to 9234 bytes (its FCS, 4 bytes, counts); "
		"found 63" },
	{ 7, T(AB ", \"frame\": [ 64, 9235 ]"),
		"t.json:7:74: traffic \"n\": a frame has 64 to 9234 bytes (its FCS, 4 bytes, counts); "
		"found 9235" },
	{ 7, T(AB ", \"frame\": \"64\""),
		"t.json:7:68: traffic \"n\": \"frame\" must be a frame size in bytes, \"imix\", or a list of "
		"them; found \"64\"" },
	{ 7, T(AB ", \"frame\": []"),
		"t.json:7:68: traffic \"n\": \"frame\" must name 1 to 16 sizes; found 0" },
	{ 7, T(AB ", \"frame\": [ 64, 64 ]"),
		"t.json:7:74: traffic \"n\": frame size 64 is named twice" },
	{ 7, T(AB ", \"frame\": [ 64, 1519 ]"),
		"t.json:7:74: traffic \"n\": frames of 1519 bytes don't fit network \"lan\": with its MTU "
		"of 1500 they have at most 1518 (14 of header and 4 of FCS more); raise the MTU to 1501 "
		"or send smaller ones" },
	{ 7, T(AB ", \"rate\": \"10\""),
		"t.json:7:67: traffic \"n\": \"rate\": rate \"10\" has no unit: add pps (frames/s) or bps "
		"(bits/s) with k, M or G, such as \"10kpps\" or \"1Gbps\"" },
	{ 7, T(AB ", \"rate\": 10"),
		"t.json:7:67: traffic \"n\": \"rate\" must be a rate with its unit, such as \"10kpps\" or "
		"\"1Gbps\", or \"max\"; found 10" },
	{ 7, T(AB ", \"seconds\": 0"),
		"t.json:7:70: traffic \"n\": \"seconds\" must be 0.1 to 3600 seconds; found 0" },
	{ 7, T(AB ", \"seconds\": \"5s\""),
		"t.json:7:70: traffic \"n\": \"seconds\" must be a number; found \"5s\"" },
	{ 7, T(AB ", \"max_loss\": 1.5"),
		"t.json:7:71: traffic \"n\": \"max_loss\" must be 0 to 1 (a fraction of the frames sent: 0 "
		"is none, 0.001 one in a thousand); found 1.5" },
	{ 7, T(AB ", \"max_loss\": -0.1"),
		"t.json:7:71: traffic \"n\": \"max_loss\" must be 0 to 1 (a fraction of the frames sent: 0 "
		"is none, 0.001 one in a thousand); found -0.1" },
	{ 7, T(AB ", \"form\": \"a.0\""),
		"t.json:7:59: traffic \"n\": unknown key \"form\"; did you mean \"from\"? (known: name, "
		"from, to, both_ways, all_pairs, paths, frame, flows, rate, method, seconds, max_loss, group)" },
	{ 7, T(AB ", \"frame\": [\"imix\", 64, \"imix\"]"),
		"t.json:7:81: traffic \"n\": frame size \"imix\" is named twice" },
	{ 7, T(AB ", \"flows\": 16385"),
		"t.json:7:68: traffic \"n\": \"flows\" must be 1 to 16384; found 16385" },
	{ 7, T(AB ", \"method\": 1"),
		"t.json:7:69: traffic \"n\": \"method\" must be an object, { ... }; found 1" },
	{ 7, T(AB ", \"method\": {}, \"rate\": \"max\""),
		"t.json:7:81: traffic \"n\": \"method\" searches for the rate: leave out \"rate\"" },
	{ 7, T(AB ", \"method\": {}, \"max_loss\": 0"),
		"t.json:7:85: traffic \"n\": \"method\" has the loss that still passes in its \"loss\": "
		"leave out \"max_loss\"" },
	{ 7, T(AB ", \"group\": \"g\", \"method\": {}"),
		"t.json:7:83: traffic \"n\": a search needs the path for itself: leave out \"group\"" },
	{ 7, T(AB ", \"method\": { \"search\": \"binry\" }"),
		"t.json:7:81: traffic \"n\": unknown search \"binry\"; did you mean \"binary\"? (known: "
		"verified, binary)" },
	{ 7, T(AB ", \"method\": { \"loss\": [] }"),
		"t.json:7:79: traffic \"n\": \"loss\" names what may be lost, such as [0, 0.005]; found "
		"none" },
	{ 7, T(AB ", \"method\": { \"loss\": [0, 0] }"),
		"t.json:7:83: traffic \"n\": \"loss\" is in ascending order, each once: 0 comes after 0" },
	{ 7, T(AB ", \"method\": { \"loss\": [0.6] }"),
		"t.json:7:80: traffic \"n\": \"loss\" must be 0 to 0.5 (a fraction of the frames sent: 0 "
		"is none, 0.001 one in a thousand); found 0.6" },
	{ 7, T(AB ", \"method\": { \"loss\": 0 }"),
		"t.json:7:79: traffic \"n\": \"loss\" must be a list of numbers; found 0" },
	{ 7, T(AB ", \"method\": { \"latency_at\": [1,2,3,4,5,6,7,8,9] }"),
		"t.json:7:85: traffic \"n\": \"latency_at\" may name 8 numbers at most; found 9" },
	{ 7, T(AB ", \"method\": { \"min\": \"max\" }"),
		"t.json:7:78: traffic \"n\": \"min\" of a search is a rate such as \"10kpps\" or "
		"\"1Gbps\"; found \"max\"" },
	{ 7, T(AB ", \"method\": { \"min\": \"2kpps\", \"max\": \"1kpps\" }"),
		"t.json:7:69: traffic \"n\": the search goes from \"min\" by way of \"start\" to "
		"\"max\": these are not in this order" },
	{ 7, T(AB ", \"method\": { \"resolution\": 0 }"),
		"t.json:7:85: traffic \"n\": \"resolution\" must be 0.001 to 0.5 (a fraction of the rate: "
		"0.01 is a hundredth); found 0" },
	{ 7, T(AB ", \"method\": { \"verify\": 11 }"),
		"t.json:7:81: traffic \"n\": \"verify\" must be 1 to 10; found 11" },
	{ 7, T(AB ", \"method\": { \"trials\": 1 }"),
		"t.json:7:71: traffic \"n\": unknown key \"trials\" (known: search, loss, min, max, start, "
		"resolution, verify, latency_at, back_to_back, recovery, tcp)" },
	{ 7, T(AB ", \"method\": { \"tcp\": 1 }"),
		"t.json:7:78: traffic \"n\": \"tcp\" must be an object, { ... }; found 1" },
	{ 7, T(AB ", \"method\": { \"tcp\": { \"streams\": 129 } }"),
		"t.json:7:91: traffic \"n\": \"streams\" must be 1 to 128; found 129" },
	{ 7, T(AB ", \"method\": { \"tcp\": {}, \"verify\": 1 }"),
		"t.json:7:82: traffic \"n\": \"tcp\" measures and searches for nothing: leave out "
		"\"verify\"" },
	{ 7, T(AB ", \"frame\": 64, \"method\": { \"tcp\": {} }"),
		"t.json:7:59: traffic \"n\": TCP cuts its segments itself: leave out \"frame\"" },
	{ 7, T(AB ", \"both_ways\": true, \"method\": { \"tcp\": {} }"),
		"t.json:7:59: traffic \"n\": TCP is measured one way: another entry measures the way "
		"back: leave out \"both_ways\"" },
	{ 7, T(AB ", \"method\": { \"tcp\": {} }"),
		"t.json:7:78: traffic \"n\": TCP is measured between Linux guests, by iperf3 in them; "
		"node \"a\" is a VM with another guest: give it \"guest\": \"linux\"" },
	{ 7, TRAFFIC("{ \"name\": \"n\", " AB " }, { \"name\": \"n\", " AB " }"),
		"t.json:7:61: traffic \"n\": two traffic entries are named \"n\" (the first in line 7)" },
	{ 7,
		TRAFFIC("{ \"name\": \"n\", \"group\": \"g\", " AB " },"
			" { \"name\": \"m\", \"group\": \"g\", \"seconds\": 1, " AB " }"),
		"t.json:7:75: traffic \"m\": group \"g\" runs at once, but this entry takes 1 s and \"n\" "
		"5 s" },
	{ 7,
		TRAFFIC("{ \"name\": \"n\", \"group\": \"g\", \"frame\": [64, 65], " AB " },"
			" { \"name\": \"m\", \"group\": \"g\", \"frame\": [64, 65, 66], " AB " }"),
		"t.json:7:94: traffic \"m\": group \"g\" runs trial by trial, but this entry has 3 frame "
		"sizes and \"n\" 2: give them the same number, or one" },
};

static void test_bad(void **state)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct topology *t = NULL;
		struct err e = { 0 };
		int rc = parse(bad[i].line, bad[i].with, &t, &e);

		if (rc >= 0 || e.class != ERR_REQUEST || strcmp(e.text, bad[i].message) != 0) {
			print_error("line %d: %s\nexpected: %s\nfound %d: %s\n\n", bad[i].line,
				bad[i].with, bad[i].message, rc, e.text);
			wrong++;
		}
		assert_true(rc == 0 || t == NULL);
		topology_free(t);
	}
	assert_int_equal(wrong, 0);
}

/* The key that was wrong is told to programs as well. */
static void test_field(void **state)
{
	struct topology *t;
	struct err e = { 0 };

	assert_true(parse(4, A_VM("\"memory\": \"3M\""), &t, &e) < 0);
	assert_string_equal(e.field, "memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
