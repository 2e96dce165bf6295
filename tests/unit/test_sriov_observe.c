/* SPDX-License-Identifier: Apache-2.0 */
/* What is seen of a host: rtnetlink messages, recorded and made up, and a sysfs of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sriov/own.h"
#include "sriov/vfmsg.h"
#include "tests/unit/sriov_fake.h"
#include "tests/unit/sriov_igb.h"

/* ---- messages ---- */

static void test_recorded(void **state)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)igb_7_vfs;
	struct vfmsg_link link;

	assert_int_equal(sizeof(igb_7_vfs), h->nlmsg_len);
	assert_int_equal(0, vfmsg_parse(h, &link));
	assert_int_equal(2, link.ifindex);
	assert_int_equal(7, link.num_vfs);
	assert_int_equal(7, link.n);
	for (uint32_t i = 0; i < 7; i++) {
		const struct vf_attrs *a = &link.vfs[i].attrs;

		assert_int_equal(i, link.vfs[i].index);
		assert_int_equal(BIT(VF_DRIVER) - 1, a->has);
		assert_int_equal(i ? 0 : 0x020000000100, ether_mac_u64(a->mac));
		assert_int_equal(i ? 7 : 100, a->vlan);
		assert_int_equal(i ? 0 : 3, a->qos);
		assert_int_equal(0x8100, a->vlan_proto);
		assert_int_equal(0, a->min_rate);
		assert_int_equal(i ? 50 : 100, a->max_rate);
		assert_int_equal(i != 0, a->spoofchk);
		assert_int_equal(i == 0, a->trust);
		assert_int_equal(VF_LINK_AUTO, a->link_state);
		assert_true(link.vfs[i].has_stats);
	}
	free(link.vfs);
}

/* Cut anywhere, or with any byte changed, a message is parsed or refused, never overrun (ASan). */
static void test_broken(void **state)
{
	unsigned char *copy = malloc(sizeof(igb_7_vfs));
	struct vfmsg_link link;

	for (size_t len = sizeof(struct nlmsghdr); len <= sizeof(igb_7_vfs); len += 3) {
		unsigned char *cut = malloc(len);

		memcpy(cut, igb_7_vfs, len);
		((struct nlmsghdr *)cut)->nlmsg_len = (uint32_t)len;
		vfmsg_parse((struct nlmsghdr *)cut, &link);
		assert_true(link.n <= 7);
		free(link.vfs);
		free(cut);
	}
	for (size_t i = sizeof(struct nlmsghdr); i < sizeof(igb_7_vfs); i++) {
		memcpy(copy, igb_7_vfs, sizeof(igb_7_vfs));
		copy[i] ^= (unsigned char)(1 + i % 255);
		vfmsg_parse((struct nlmsghdr *)copy, &link);
		free(link.vfs);
	}
	free(copy);
}

/* Each request sets one attribute of one VF, in the lengths that the kernel wants. */
static void test_requests(void **state)
{
	static const struct {
		enum vf_attr attr;
		int type, len;
	} rows[] = {
		{ VF_MAC, IFLA_VF_MAC, sizeof(struct ifla_vf_mac) },
		{ VF_VLAN, IFLA_VF_VLAN_LIST, NLA_HDRLEN + (int)sizeof(struct ifla_vf_vlan_info) },
		{ VF_MIN_RATE, IFLA_VF_RATE, sizeof(struct ifla_vf_rate) },
		{ VF_MAX_RATE, IFLA_VF_RATE, sizeof(struct ifla_vf_rate) },
		{ VF_SPOOFCHK, IFLA_VF_SPOOFCHK, sizeof(struct ifla_vf_spoofchk) },
		{ VF_TRUST, IFLA_VF_TRUST, sizeof(struct ifla_vf_trust) },
		{ VF_LINK_STATE, IFLA_VF_LINK_STATE, sizeof(struct ifla_vf_link_state) },
	};
	const struct vf_attrs a = { .vlan = 5, .min_rate = 10, .max_rate = 20 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nl_msg *msg = vfmsg_set(3, 6, rows[i].attr, &a);
		struct nlattr *list, *vf, *one;

		assert_non_null(msg);
		list = nlmsg_find_attr(nlmsg_hdr(msg), sizeof(struct ifinfomsg), IFLA_VFINFO_LIST);
		assert_non_null(list);
		vf = nla_data(list);
		assert_int_equal(IFLA_VF_INFO, nla_type(vf));
		assert_int_equal(nla_len(list), nla_total_size(nla_len(vf)));
		one = nla_data(vf);
		assert_int_equal(rows[i].type, nla_type(one));
		assert_int_equal(rows[i].len, nla_len(one));
		assert_int_equal(nla_len(vf), nla_total_size(nla_len(one)));
		if (rows[i].attr == VF_MIN_RATE) { /* one clears the other: both are said */
			const struct ifla_vf_rate *rate = nla_data(one);

			assert_int_equal(6, rate->vf);
			assert_int_equal(10, rate->min_tx_rate);
			assert_int_equal(20, rate->max_tx_rate);
		}
		nlmsg_free(msg);
	}
	assert_null(vfmsg_set(3, 6, VF_DRIVER, &a));
}

/* Answers of any length: 200 KB, through a socket. */
static void test_long_answers(void **state)
{
	const size_t len = 200000;
	int s[2], big = 1 << 20;
	char *sent = malloc(len), *buf = NULL;
	size_t size = 0;

	for (size_t i = 0; i < len; i++)
		sent[i] = (char)(i * 7 + i / 251);
	assert_int_equal(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	assert_int_equal(-ETIMEDOUT, sriov_nl_receive(s[1], 10, &buf, &size));
	for (size_t n = 1; n <= len; n = n < len && n * 9 > len ? len : n * 9) {
		if (send(s[0], sent, n, 0) < 0)
			fail_msg("%zu bytes: %s", n, strerror(errno));
		assert_int_equal(n, sriov_nl_receive(s[1], 1000, &buf, &size));
		assert_true(size >= n);
		assert_memory_equal(sent, buf, n);
		if (n == len)
			break;
	}
	free(sent);
	free(buf);
	close(s[0]);
	close(s[1]);
}

/* 64 VFs whose statistics do not fit: read without them. */
static void test_without_statistics(void **state)
{
	struct fake k;
	struct sriov_state s;
	struct sriov_pf pf;
	struct err e = { 0 };

	fake_open(&k, 1, FAKE_VFS);
	fake_make_vfs(&k, 0, FAKE_VFS);
	k.pfs[0].vfs[63].attrs.vlan = 9;
	for (int i = 0; i < 3; i++) {
		k.pfs[0].stats_too_long = i == 1;
		k.pfs[0].list_wraps = i == 2;
		assert_int_equal(0, sriov_observe(&k.w, &s, &e));
		assert_int_equal(FAKE_VFS, s.pfs[0].n_vfs);
		assert_int_equal(9, s.pfs[0].vfs[63].attrs.vlan);
		assert_int_equal(i == 0, s.pfs[0].vfs[63].has_stats);
		if (i == 0)
			assert_int_equal(
				63000 + IFLA_VF_STATS_TX_BYTES, s.pfs[0].vfs[63].stats.tx_bytes);
		/* The short way says the same. */
		assert_int_equal(0, sriov_count(&k.w, s.pfs[0].fn.addr, &pf, &e));
		assert_int_equal(FAKE_VFS, pf.n_vfs);
		assert_int_equal(s.pfs[0].vfs[63].has_stats, pf.vfs[63].has_stats);
		assert_memory_equal(&s.pfs[0].vfs[63].stats, &pf.vfs[63].stats,
			sizeof(struct sriov_stats));
		free(pf.vfs);
		sriov_state_free(&s);
	}
	fake_close(&k);
}

/* ---- sysfs ---- */

static void test_order(void **state)
{
	struct fake k;
	struct sriov_state s;
	struct err e = { 0 };

	fake_open(&k, 3, 20);
	fake_make_vfs(&k, 1, 20);
	assert_int_equal(0, sriov_observe(&k.w, &s, &e));
	assert_int_equal(3, s.n_pfs);
	assert_string_equal("0000:02:00.0", s.pfs[1].fn.addr);
	assert_int_equal(20, s.pfs[1].n_vfs);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(i, s.pfs[1].vfs[i].index);
		assert_string_equal(k.pfs[1].vfs[i].addr, s.pfs[1].vfs[i].fn.addr);
		assert_string_equal("igbvf", s.pfs[1].vfs[i].attrs.driver);
		assert_string_equal("", s.pfs[1].vfs[i].attrs.override); /* not "(null)" */
	}
	assert_true(strcmp(s.pfs[1].vfs[0].fn.addr, s.pfs[1].vfs[1].fn.addr) > 0);
	assert_ptr_equal(&s.pfs[1].vfs[7], sriov_vf_find(&s.pfs[1], 7));
	assert_null(sriov_vf_find(&s.pfs[1], 20));
	sriov_state_free(&s);
	fake_close(&k);
}

static void put_config(struct fake *k, const char *addr, const uint8_t *config, size_t len)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", k->root, addr);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_int_equal(len, write(fd, config, len));
	close(fd);
}

/* The port above has ACS after another capability; a list that leads nowhere ends. */
static void test_acs(void **state)
{
	uint8_t config[4096] = { 0 };
	struct fake k;
	struct sriov_state s;

	fake_open(&k, 1, 7);
	fake_sh(&k,
		"mkdir -p sys/devices/pci/0000:00:01.0 && "
		"ln -s ../../../devices/pci/0000:00:01.0 sys/bus/pci/devices/0000:00:01.0");
	for (int i = 0; i < 4; i++) {
		memset(config, 0, sizeof(config));
		config[0x100] = 1; /* AER, then ACS at 0x148: control 0x1d */
		config[0x102] = 0x01;
		config[0x103] = 0x14;
		config[0x102] |= 0x80;
		if (i == 2)
			config[0x102] = 0x01, config[0x103] = 0x10; /* leads to itself */
		config[0x148] = 0x0d;
		config[0x14c] = 0x5f;
		config[0x14e] = 0x1d;
		put_config(&k, "0000:00:01.0", config,
			i == 1           ? 64
				: i == 3 ? 0x149
					 : sizeof(config));
		assert_int_equal(0, sriov_observe(&k.w, &s, NULL));
		assert_int_equal(i ? -1 : 0x1d, s.pfs[0].acs);
		sriov_state_free(&s);
	}
	fake_close(&k);
}

static void uses(struct fake *k, const char *expected)
{
	struct sriov_state s;

	assert_int_equal(0, sriov_observe(&k->w, &s, NULL));
	assert_string_equal(expected, s.pfs[0].uses);
	sriov_state_free(&s);
}

static void test_uses(void **state)
{
	struct fake k;

	fake_open(&k, 1, 7);
	uses(&k, "");
	/* What is there as soon as an interface is up is no use of it. */
	fake_sh(&k,
		"echo 'fe800000000000000000000000000000 40 00000000000000000000000000000000 00 "
		"00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
		"ff000000000000000000000000000000 08 00000000000000000000000000000000 00 "
		"00000000000000000000000000000000 00000100 00000003 00000000 00000001     eth0\n"
		"20010db8000000000000000000000001 80 00000000000000000000000000000000 00 "
		"00000000000000000000000000000000 00000000 00000002 00000000 80200001     eth0' "
		">proc/net/ipv6_route");
	uses(&k, "");
	fake_sh(&k,
		"echo '20010db8000000000000000000000000 40 00000000000000000000000000000000 00 "
		"00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0' "
		">>proc/net/ipv6_route");
	uses(&k, "an IPv6 route (2001:0db8:.../64)");
	fake_sh(&k,
		"echo 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
		"eth9\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
		"eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0' >proc/net/route");
	uses(&k, "a route (172.17.0.0/16)");
	fake_sh(&k, "mkdir sys/class/net/eth0/upper_vlan7");
	uses(&k, "interface vlan7 on top of it");
	fake_sh(&k,
		"mkdir -p sys/class/net/br0/bridge && ln -s ../../br0 sys/class/net/eth0/master");
	uses(&k, "bridge br0");
	fake_close(&k);
}

static void found(struct fake *k, const char *name, const char *addr)
{
	char out[PFS_ADDR_LEN];

	assert_int_equal(0, sriov_find(&k->w, name, out, NULL));
	assert_string_equal(addr, out);
}

static void test_find(void **state)
{
	static const struct {
		const char *name, *says;
	} rows[] = {
		{ "0000:09:00.0",
			"there is no PCI device 0000:09:00.0; here: 0000:01:00.0 (eth0, 7 VFs" },
		{ "eth7", "there is no interface eth7; here: " },
		{ "../x", "there is no PCI device or interface ../x" },
		{ "", "there is no PCI device or interface " },
	};
	char out[PFS_ADDR_LEN];
	struct fake k;

	fake_open(&k, 1, 7);
	found(&k, "0000:01:00.0", "0000:01:00.0");
	found(&k, "1:00.0", "0000:01:00.0");
	found(&k, "eth0", "0000:01:00.0");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { 0 };

		assert_int_equal(-ENODEV, sriov_find(&k.w, rows[i].name, out, &e));
		assert_int_equal(ERR_REQUEST, e.class);
		if (!strstr(e.text, rows[i].says))
			fail_msg("expected: %s\nsays:     %s", rows[i].says, e.text);
	}
	fake_close(&k);
}

/* A group's members and who holds it. */
static void test_groups(void **state)
{
	struct fake k;
	struct sriov_state s;
	const struct sriov_group *g;

	fake_open(&k, 1, 7);
	k.pfs[0].shared_group = true;
	fake_make_vfs(&k, 0, 2);
	fake_sh(&k,
		"mkdir -p proc/77/fd proc/78/fd proc/self && echo vmm >proc/77/comm && "
		"ln -s /dev/vfio/10 proc/77/fd/3 && ln -s /dev/vfio/10 proc/77/fd/4 && "
		"ln -s /dev/vfio/9 proc/78/fd/3");
	assert_int_equal(0, sriov_observe(&k.w, &s, NULL));
	g = sriov_group_find(&s, s.pfs[0].vfs[1].fn.group);
	assert_ptr_equal(g, sriov_group_find(&s, s.pfs[0].fn.group));
	assert_int_equal(3, g->n_members);
	assert_string_equal("0000:01:00.0", g->members[0].addr);
	assert_string_equal("nic", g->members[0].driver);
	assert_int_equal(0, g->n_holders); /* nobody can, while no member is VFIO's */
	sriov_state_free(&s);
	strcpy(k.pfs[0].vfs[0].attrs.driver, "vfio-pci");
	fake_show(&k);
	assert_int_equal(0, sriov_observe(&k.w, &s, NULL));
	g = sriov_group_find(&s, s.pfs[0].fn.group);
	assert_int_equal(1, g->n_holders);
	assert_int_equal(77, g->holders[0].pid);
	assert_string_equal("vmm", g->holders[0].comm);
	json_t *j = sriov_state_json(&s);
	json_t *pf = json_array_get(json_object_get(j, "pfs"), 0);
	assert_int_equal(2, json_array_size(json_object_get(pf, "shares_group_with")));
	assert_int_equal(77,
		json_integer_value(
			json_object_get(json_array_get(json_object_get(pf, "held_by"), 0), "pid")));
	json_decref(j);
	sriov_state_free(&s);
	fake_close(&k);
}

/* ---- events ---- */

static int collect(void *arg, const char *text, json_t *j)
{
	char *all = arg;

	assert_non_null(json_object_get(j, "pf"));
	strcat(all, text);
	strcat(all, "\n");
	return 0;
}

static json_t *look(struct fake *k)
{
	struct sriov_state s;
	json_t *j;

	fake_show(k);
	assert_int_equal(0, sriov_observe(&k->w, &s, NULL));
	j = sriov_state_json(&s);
	sriov_state_free(&s);
	return j;
}

static void test_events(void **state)
{
	char all[4096] = "";
	struct fake k;
	json_t *before, *now;

	fake_open(&k, 2, 7);
	fake_make_vfs(&k, 0, 2);
	before = look(&k);
	assert_int_equal(0, monitor_compare(before, before, collect, all));
	assert_string_equal("", all);
	k.pfs[0].carrier = false;
	k.pfs[0].vfs[1].attrs.mac = (struct ether_mac){ { 2, 0, 0, 0, 0, 1 } };
	k.pfs[0].vfs[1].attrs.trust = true;
	k.pfs[0].vfs[0].attrs.driver[0] = '\0';
	fake_make_vfs(&k, 1, 3);
	now = look(&k);
	assert_int_equal(0, monitor_compare(before, now, collect, all));
	assert_string_equal("0000:01:00.0: carrier on -> off\n"
			    "0000:01:00.0: speed_mbps 1000 -> none\n"
			    "0000:01:00.0 VF 0: driver igbvf -> none\n"
			    "0000:01:00.0 VF 1: mac 00:00:00:00:00:00 -> 02:00:00:00:00:01\n"
			    "0000:01:00.0 VF 1: trust off -> on\n"
			    "0000:02:00.0: num_vfs 0 -> 3\n",
		all);
	json_decref(before);
	json_decref(now);
	fake_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_long_answers),
		cmocka_unit_test(test_without_statistics),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_acs),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
