/* SPDX-License-Identifier: Apache-2.0 */
/* Desired-state files of PFs: what they mean, and what is said of those that mean nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/pfs.h"

static void test_good(void **state)
{
	static const char text[] =
		"{ \"version\": 1, \"pfs\": {\n"
		"  \"pf0\": { \"pci\": \"3:00.0\", \"num_vfs\": 7, \"autoprobe\": false, \"mtu\": 9000,\n"
		"    \"up\": true, \"vfs\": {\n"
		"    \"2-3\": { \"trust\": true, \"driver\": \"none\" },\n"
		"    \"0\": { \"mac\": \"02:00:00:00:00:01\", \"vlan\": 100, \"qos\": 3,\n"
		"             \"vlan_protocol\": \"802.1ad\", \"min_rate\": \"none\",\n"
		"             \"max_rate\": \"1Gbps\", \"spoofchk\": false, \"link_state\": \"down\",\n"
		"             \"driver\": \"vfio-pci\" },\n"
		"    \"6\": { \"vlan\": 0 } } },\n"
		"  \"pf1\": { \"interface\": \"eth4\", \"driver\": \"vfio-pci\" } } }\n";
	struct err e = { 0 };
	struct pfs p;

	if (pfs_parse("f", text, strlen(text), &p, &e))
		fail_msg("%s", e.text);
	assert_int_equal(2, p.n);
	const struct pf_want *pf = pfs_find(&p, "pf0");
	assert_string_equal("0000:03:00.0", pf->pci);
	assert_int_equal(0xf, pf->attrs.has); /* all but the driver */
	assert_int_equal(7, pf->attrs.num_vfs);
	assert_int_equal(9000, pf->attrs.mtu);
	assert_true(pf->attrs.up && !pf->attrs.autoprobe);
	assert_int_equal(4, pf->n_vfs);
	const struct vf_want *v = pf->vfs;
	assert_int_equal(0, v[0].index);
	assert_int_equal(0xff & ~(1u << VF_TRUST), v[0].attrs.has);
	assert_int_equal(0x020000000001, ether_mac_u64(v[0].attrs.mac));
	assert_int_equal(100, v[0].attrs.vlan);
	assert_int_equal(3, v[0].attrs.qos);
	assert_int_equal(0x88a8, v[0].attrs.vlan_proto);
	assert_int_equal(0, v[0].attrs.min_rate);
	assert_int_equal(1000, v[0].attrs.max_rate);
	assert_int_equal(VF_LINK_DOWN, v[0].attrs.link_state);
	assert_string_equal("vfio-pci", v[0].attrs.driver);
	assert_int_equal(5, v[0].places[VF_MAC].line);
	assert_int_equal(19, v[0].places[VF_MAC].col);
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(i + 1, v[i].index);
		assert_int_equal(1u << VF_TRUST | 1u << VF_DRIVER, v[i].attrs.has);
		assert_true(v[i].attrs.trust);
		assert_string_equal("", v[i].attrs.driver);
	}
	assert_int_equal(6, v[3].index);
	assert_int_equal(0x8100, v[3].attrs.vlan_proto);
	pf = pfs_find(&p, "pf1");
	assert_string_equal("eth4", pf->interface);
	assert_int_equal(1u << PF_DRIVER, pf->attrs.has);
	assert_null(pfs_find(&p, "pf2"));
	pfs_free(&p);
}

#define PF(rest)  "{ \"version\": 1,\n \"pfs\": { \"a\": { \"pci\": \"0000:01:00.0\",\n" rest "} } }"
#define VFS(rest) PF("\"vfs\": {\n" rest "}")
#define VF(rest)  VFS("\"0\": { " rest " }")

static const struct bad {
	const char *text, *says;
} bads[] = {
	{ "", "f:1:1: not valid JSON" },
	{ "{ \"version\": 2 }", "f:1:14: this lanyard knows version 1 of the file; found 2" },
	{ "{ \"version\": 1 }", "f:1:1: \"pfs\" is missing" },
	{ "{ \"version\": 1, \"pf\": {} }", "f:1:17: unknown key \"pf\"; did you mean \"pfs\"?" },
	{ "{ \"version\": 1, \"pfs\": [] }", "\"pfs\" must be an object of PFs" },
	{ "{ \"version\": 1, \"pfs\": { \"A\": {} } }", "a PF's name is made of a-z" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": {} } }", "PF \"a\": which PF is it? \"pci\" or" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"eth0\" } } }",
		"f:1:40: PF \"a\": a PCI address looks like \"0000:03:00.0\"" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"01:20.0\" } } }", "looks like" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"01:00.8\" } } }", "looks like" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"01:00.0 \" } } }", "looks like" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": { \"interface\": \"a/b\" } } }",
		"an interface's name has 1 to 15 characters" },
	{ PF("\"interface\": \"eth0\""), "\"pci\" names the PF already" },
	{ PF("\"num_vfs\": -1"), "f:3:12: PF \"a\": \"num_vfs\" must be 0 to 1024; found -1" },
	{ PF("\"num_vfs\": 1, \"num_vf\": 1"), "did you mean \"num_vfs\"?" },
	{ PF("\"mtu\": 67"), "\"mtu\" must be 68 to 65535; found 67" },
	{ PF("\"up\": 1"), "\"up\" must be true or false; found 1" },
	{ PF("\"driver\": \"../x\""), "a driver's name has 1 to 31 letters" },
	{ PF("\"vfs\": []"), "\"vfs\" must be an object of VFs" },
	{ VFS("\"x\": {}"), "f:4:1: PF \"a\": VFs are named by their index, \"0\", or a range" },
	{ VFS("\"-1\": {}"), "named by their index" },
	{ VFS("\"1-\": {}"), "named by their index" },
	{ VFS("\"3-1\": {}"), "VFs 3-1: the lower index comes first" },
	{ VFS("\"1024\": {}"), "VFs are numbered 0 to 1023; found 1024" },
	{ VFS("\"0-3\": {},\n\"2\": {}"), "f:5:1: PF \"a\", VF 2: VF 2 is described in line 4" },
	{ PF("\"num_vfs\": 2, \"vfs\": {\n\"2\": {}}"),
		"f:4:1: PF \"a\": there is no VF 2 with \"num_vfs\" 2: they are counted from 0" },
	{ VF("\"vlan\": 4095"),
		"f:4:16: PF \"a\", VF 0: \"vlan\" must be 0 to 4094 (0: none); found 4095" },
	{ VF("\"vlan\": -1"), "\"vlan\" must be 0 to 4094" },
	{ VF("\"qos\": 1"), "\"qos\" is of a VLAN: give \"vlan\" as well" },
	{ VF("\"vlan\": 0, \"qos\": 1"), "\"qos\" is of a VLAN" },
	{ VF("\"vlan\": 1, \"qos\": 8"), "\"qos\" must be 0 to 7; found 8" },
	{ VF("\"vlan\": 1, \"vlan_protocol\": \"802.1q\""), "did you mean \"802.1Q\"?" },
	{ VF("\"vlan_protocol\": \"802.1Q\""), "is of a VLAN" },
	{ VF("\"mac\": \"x\""), "a MAC address is six pairs" },
	{ VF("\"mac\": \"01:00:00:00:00:01\""), "is multicast" },
	{ VF("\"mac\": \"00:00:00:00:00:00\""), "may not be all zeros" },
	{ VFS("\"0-1\": { \"mac\": \"02:00:00:00:00:01\" }"), "can't be that of 2 VFs" },
	{ VFS("\"0\": { \"mac\": \"02:00:00:00:00:01\" },\n\"1\": { \"mac\": \"02:00:00:00:00:01\" }"),
		"f:5:15: MAC address 02:00:00:00:00:01 is given to VF 0 of \"a\" already (line 4)" },
	{ VF("\"max_rate\": 100"), "\"max_rate\" must be a rate such as \"500Mbps\", or \"none\"" },
	{ VF("\"max_rate\": \"100\""), "\"max_rate\": " },
	{ VF("\"max_rate\": \"10kpps\""), "must be whole Mbps" },
	{ VF("\"max_rate\": \"1500kbps\""), "must be whole Mbps" },
	{ VF("\"max_rate\": \"1001Gbps\""), "at most 1000Gbps" },
	{ VF("\"min_rate\": \"2Gbps\", \"max_rate\": \"1Gbps\""),
		"min_rate 2000Mbps is above max_rate 1000Mbps" },
	{ VF("\"link_state\": \"on\""), "unknown link state \"on\" (known: auto, up, down)" },
	{ VF("\"trust\": \"on\""), "\"trust\" must be true or false" },
	{ VF("\"spoof\": true"), "unknown key \"spoof\"" },
	{ "{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"1:00.0\" },\n\"b\": { \"pci\": \"01:00.0\" } } }",
		"f:2:15: PF \"a\" is that one already (line 1)" },
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		struct err e = { 0 };
		struct pfs p;

		if (!pfs_parse("f", bads[i].text, strlen(bads[i].text), &p, &e))
			fail_msg("taken: %s", bads[i].text);
		assert_int_equal(ERR_REQUEST, e.class);
		if (!strstr(e.text, bads[i].says))
			fail_msg("%s\nexpected: %s\nsays:     %s", bads[i].text, bads[i].says,
				e.text);
	}
}

static void test_load(void **state)
{
	char path[] = "/tmp/lanyard-pfs-XXXXXX";
	static const char text[] = "{ \"version\": 1, \"pfs\": {} }";
	struct err e = { 0 };
	struct pfs p;
	int fd = mkstemp(path);

	assert_int_equal(sizeof(text) - 1, write(fd, text, sizeof(text) - 1));
	close(fd);
	assert_int_equal(0, pfs_load(path, &p, &e));
	pfs_error(&p, (struct topo_place){ 3, 4 }, ERR_HOST, -EBUSY, &e, "so %s", "what");
	assert_int_equal(ERR_HOST, e.class);
	assert_non_null(strstr(e.text, ":3:4: so what"));
	pfs_free(&p);
	unlink(path);
	assert_int_equal(-ENOENT, pfs_load(path, &p, &e));
	assert_non_null(strstr(e.text, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
