/* SPDX-License-Identifier: Apache-2.0 */
/* config/: guests that are Linux or an image: what their keys become, and every sentence about a
 * wrong one, with its place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "config/topology.h"
#include "config_dump.h"

/* Single quotes stand for double ones. Line 2 is the node's. */
static int parse(const char *node, struct topology **t, struct err *e)
{
	char text[8192];

	snprintf(text, sizeof text,
		"{'version': 1, 'lab': 't', 'networks': {'lan': {}, 'far': {}}, 'nodes': {\n%s\n}}",
		node);
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return parse_dumped(text, t, e);
}

#define NODE(rest)  "'a': {'kind': 'vm', " rest ", 'nics': [{'network': 'lan'}]}"
#define LINUX(rest) NODE("'guest': 'linux', " rest)
#define NICS(nics)  "'a': {'kind': 'vm', 'guest': 'linux', 'nics': [" nics "]}"
#define ADDR(list)  NICS("{'network': 'lan', 'addresses': [" list "]}")
#define ROUTE(list)                                                                       \
	"'a': {'kind': 'vm', 'guest': 'linux', 'nics': [{'network': 'lan', 'addresses': " \
	"['10.0.0.1/24', 'fd00::1/64']}], 'routes': [" list "]}"

/* Two of them with traffic: `b`'s keys, its NIC's, the entry's. */
#define TCP(b, nic, entry)                                                                   \
	"'a': {'kind': 'vm', 'guest': 'linux', 'root': 'host', 'nics': [{'network': 'lan', " \
	"'addresses': ['fd00::1/64', '10.0.0.1/24']}, {'network': 'far', 'addresses': "      \
	"['10.1.0.1/24', 'fd00::9/127']}]}, 'b': {'kind': 'vm', 'guest': 'linux', " b        \
	", 'nics': [{'network': 'lan', " nic "}]}}, 'traffic': [{'name': 'n', " entry        \
	", 'method': {'tcp': {}}}], 'switch': {"
#define TCP_AB "'from': 'a.0', 'to': 'b.0'"

static const struct bad {
	const char *node, *message;
} bad[] = {
#include "config_guest_bad.h"
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct topology *t;
		struct err e = { 0 };

		assert_int_equal(parse(bad[i].node, &t, &e), -EINVAL);
		assert_null(t);
		assert_int_equal(e.class, ERR_REQUEST);
		assert_string_equal(e.text, bad[i].message);
	}
}

static struct topology *good(const char *node)
{
	struct topology *t = NULL;
	struct err e = { 0 };

	if (parse(node, &t, &e))
		fail_msg("%s: %s", node, e.text);
	return t;
}

/* By the first pair of addresses that are neighbours, one stream. */
static void test_tcp(void **state)
{
	struct topology *t =
		good(TCP("'files': ['/usr/bin/iperf3']", "'addresses': ['10.0.0.2/24']", TCP_AB));
	const struct topo_traffic *x = &t->traffic[0];
	const struct topo_address *from, *to;

	assert_int_equal(x->method->tcp.streams, 1);
	assert_true(topology_neighbours(t, &x->flows[0], &from, &to));
	assert_string_equal(from->text, "10.0.0.1/24");
	assert_string_equal(to->text, "10.0.0.2/24");
	topology_free(t);
	t = good(TCP("'root': 'disk', 'disks': [{'file': 'd'}]",
		"'addresses': ['10.0.0.2/24', 'fd00::2/64']", TCP_AB));
	assert_true(topology_neighbours(t, &t->traffic[0].flows[0], &from, &to));
	assert_string_equal(to->text, "fd00::2/64");
	topology_free(t);
}

static void test_defaults(void **state)
{
	struct topology *t = good(LINUX("'vcpus': 1"));
	const struct topo_node *n = &t->nodes[0];

	assert_int_equal(n->guest_kind, TOPO_GUEST_LINUX);
	assert_string_equal(n->guest, "linux");
	assert_int_equal(n->memory, 256 << 20);
	assert_null(n->kernel);
	assert_null(n->modules);
	assert_null(n->cmdline);
	assert_int_equal(n->root, TOPO_ROOT_NONE);
	assert_int_equal(n->hugepages, TOPO_HUGE_AUTO);
	assert_int_equal(n->n_disks + n->n_shares + n->n_files + n->n_routes, 0);
	assert_false(n->forward);
	assert_true(n->nics[0].packed);
	topology_free(t);
	t = good(NODE("'vcpus': 1"));
	assert_int_equal(t->nodes[0].guest_kind, TOPO_GUEST_PROBE);
	assert_int_equal(t->nodes[0].memory, 64 << 20);
	topology_free(t);
	t = good(NODE("'guest': './k.elf'"));
	assert_int_equal(t->nodes[0].guest_kind, TOPO_GUEST_FILE);
	assert_int_equal(t->nodes[0].memory, 64 << 20);
	topology_free(t);
}

static void test_values(void **state)
{
	struct topology *t = good(
		"'a': {'kind': 'vm', 'guest': 'linux', 'kernel': '/k', 'modules': 'm', 'memory': '1G', "
		"'hugepages': '1G', 'vcpus': 8, 'cpu': {'without': ['cx16', 'avx2'], 'sockets': 2, "
		"'threads': 2}, 'cmdline': 'quiet x=1,2', 'root': 'none', 'forward': true, 'files': "
		"['/bin/ls', {'from': 'x', 'to': '/y/z'}], 'disks': [{'file': 'a.img', 'serial': 'S-1'}, {'file': 'b', "
		"'format': 'vhd', 'readonly': true, 'queues': 4}], 'shares': "
		"[{'path': '/srv', 'tag': 'srv', 'readonly': true}], 'nics': [{'network': 'lan', "
		"'packed': false, 'addresses': ['10.0.0.1/24', 'FD00:0::1/64']}], 'routes': [{'to': "
		"'default', 'via': '10.0.0.254'}, {'to': 'fd01::/16', 'via': 'fd00::2'}]}");
	const struct topo_node *n = &t->nodes[0];

	assert_string_equal(n->kernel, "/k");
	assert_string_equal(n->modules, "m");
	assert_int_equal(n->hugepages, TOPO_HUGE_1G);
	assert_int_equal(n->cpu.n_without, 2);
	assert_string_equal(n->cpu.without[1], "avx2");
	assert_int_equal(n->cpu.cores, 2); /* what is left of 8 */
	assert_string_equal(n->cmdline, "quiet x=1,2");
	assert_int_equal(n->root, TOPO_ROOT_NONE);
	assert_true(n->forward);
	assert_string_equal(n->files[0].to, "/bin/ls");
	assert_string_equal(n->files[1].from, "x");
	assert_int_equal(n->disks[0].format, TOPO_RAW);
	assert_int_equal(n->disks[1].format, TOPO_VHD);
	assert_true(n->disks[1].readonly);
	assert_int_equal(n->disks[1].queues, 4);
	assert_string_equal(n->shares[0].tag, "srv");
	assert_int_equal(n->nics[0].packed, 0);
	assert_string_equal(n->disks[0].serial, "S-1");
	assert_string_equal(n->nics[0].addresses[1].text, "fd00::1/64");
	assert_int_equal(n->nics[0].addresses[1].family, AF_INET6);
	assert_int_equal(n->nics[0].addresses[0].prefix, 24);
	assert_true(n->routes[0].all);
	assert_string_equal(n->routes[0].to.text, "default");
	assert_string_equal(n->routes[1].to.text, "fd01::/16");
	assert_string_equal(n->routes[1].via.text, "fd00::2");
	topology_free(t);
}

/* What looks wrong and is not. */
static void test_allowed(void **state)
{
	static const char *const nodes[] = {
		ADDR("'10.0.0.0/31', '10.0.0.1/31', '10.9.9.9/32', 'fe80::1/64', '::2/128'"),
		NICS("{'network': 'lan', 'addresses': ['10.0.0.1/24']}, {'network': 'far', "
		     "'addresses': ['10.0.0.1/24']}"),
		ROUTE("{'to': '0.0.0.0/0', 'via': '10.0.0.2'}, {'to': 'default', 'via': 'fd00::2'}, "
		      "{'to': 'default', 'via': '10.0.0.2'}"),
		LINUX("'disks': [{'file': 'x', 'readonly': true}, {'file': 'x', 'readonly': true}]"),
		LINUX("'modules': 'none'"),
		NODE("'guest': './bz', 'initramfs': './i', 'cmdline': 'x', 'disks': [{'file': 'd'}]"),
		NODE("'cpu': {'without': ['cx16']}, 'hugepages': 'none'"),
		LINUX("'vcpus': 6, 'cpu': {'threads': 2}"),
	};

	for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
		topology_free(good(nodes[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
