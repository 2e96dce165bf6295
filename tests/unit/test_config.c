/* SPDX-License-Identifier: Apache-2.0 */
/* config/: what a good topology becomes, and how files are read. Sentences about bad ones:
 * test_config_bad.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "config/suggest.h"
#include "config/topology.h"
#include "config_lines.h"

/* On a bridge a NIC has what the kernel's bridge can do, and no more. */
static void test_bridge(void **state)
{
	static const char *const keys[] = { "vlan\": 10", "mergeable\": true", "isolated\": true",
		"mac_limit\": 1", "ring\": \"split\"", "addresses\": [ \"10.0.0.1/24\" ]" };
	char text[512], want[256];
	struct topology *t;
	struct err e;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text),
			"{ \"version\": 1, \"lab\": \"x\", \"networks\": { \"br\": { \"kind\": "
			"\"bridge\" } },\n\"nodes\": { \"a\": { \"kind\": \"vm\", \"nics\": [\n"
			"{ \"network\": \"br\", \"%s } ] } } }",
			keys[i]);
		assert_int_equal(topology_parse("t.json", text, strlen(text), &t, &e), -EINVAL);
		snprintf(want, sizeof(want), "\"%.*s\" is ", (int)strcspn(keys[i], "\""), keys[i]);
		assert_memory_equal(e.text, "t.json:3:20: node \"a\", NIC 0: ", 30);
		assert_non_null(strstr(e.text, want));
		if (i < 4)
			assert_non_null(strstr(e.text,
				"is for NICs on the switch, but network \"br\" is a bridge of the "
				"host's kernel (line 1): there are network, mac, queues and addresses"));
	}
	snprintf(text, sizeof(text),
		"{ \"version\": 1, \"lab\": \"x\", \"networks\": { \"br\": { \"kind\": \"bridge\", "
		"\"mtu\": 9000 } }, \"nodes\": { \"a\": { \"kind\": \"vm\", \"nics\": [ "
		"{ \"network\": \"br\", \"mac\": \"02:00:00:00:00:01\", \"queues\": 4 } ] } } }");
	assert_int_equal(topology_parse("t.json", text, strlen(text), &t, &e), 0);
	assert_false(topology_has_switch(t));
	assert_true(topology_nic_is_tap(t, &t->nodes[0].nics[0]));
	topology_free(t);
}

static void test_defaults(void **state)
{
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(parse(7, T(AB), &t, &e), 0);
	assert_string_equal(t->file, "t.json");
	assert_string_equal(t->lab, "t");
	assert_int_equal(t->sw.cpus.n, 0);
	assert_int_equal(t->sw.poll, TOPO_POLL_ADAPTIVE);
	assert_int_equal(t->n_networks, 2);
	assert_int_equal(t->networks[1].mtu, 1500);
	assert_int_equal(t->networks[1].ageing_s, 300);
	assert_int_equal(t->networks[1].place.col, 41);
	assert_int_equal(t->n_nodes, 3);
	const struct topo_node *a = &t->nodes[0];
	assert_string_equal(a->guest, "probe");
	assert_int_equal(a->guest_place.line, 0);
	assert_int_equal(a->memory, 64u << 20);
	assert_int_equal(a->vcpus, 1);
	assert_int_equal(a->cpus.n, 0);
	assert_int_equal(a->n_nics, 2);
	assert_int_equal(a->nics[1].network, 1);
	assert_int_equal(a->nics[1].queues, 1);
	assert_false(a->nics[1].mac_given);
	assert_null(t->nodes[2].guest);
	assert_int_equal(t->nodes[2].kind, TOPO_EXTERNAL);
	const struct topo_traffic *x = &t->traffic[0];
	assert_int_equal(x->n_flows, 1);
	assert_int_equal(x->flows[0].to.node, 1);
	assert_int_equal(x->n_sizes, 1);
	assert_int_equal(x->size[0], 64);
	assert_int_equal(x->rate.kind, RATE_MAX);
	assert_true(x->seconds == 5);
	assert_true(x->max_loss < 0);
	assert_null(x->group);
	assert_int_equal(x->group_id, 0);
	char name[TOPO_NAME_MAX + 12];
	assert_string_equal(topology_port_name(t, 0, 1, name), "a.1");
	topology_error(t, a->place, ERR_HOST, -ENOMEM, &e, "node \"%s\" wants too much", a->name);
	assert_string_equal(e.text, "t.json:4:5: node \"a\" wants too much");
	assert_int_equal(e.class, ERR_HOST);
	assert_int_equal(topology_error(t, a->guest_place, ERR_HOST, -ENOENT, &e, "x"), -ENOENT);
	assert_string_equal(e.text, "t.json: x");
	topology_free(t);
}

static void test_values(void **state)
{
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(parse(1,
				 "{ \"version\": 1, \"lab\": \"t-1_x\", \"switch\": { \"cpus\": "
				 "\"4,0-1\", \"poll\": \"busy\" },",
				 &t, &e),
		0);
	assert_int_equal(t->sw.cpus.n, 3);
	assert_int_equal(t->sw.cpus.cpu[2], 4);
	assert_int_equal(t->sw.poll, TOPO_POLL_BUSY);
	topology_free(t);
	assert_int_equal(parse(4,
				 A_VM("\"guest\": \"./g.elf\", \"vcpus\": 2, \"cpus\": [3, 1], "
				      "\"memory\": \"1G\""),
				 &t, &e),
		0);
	assert_string_equal(t->nodes[0].guest, "./g.elf");
	assert_int_equal(t->nodes[0].guest_place.col, 35);
	assert_int_equal(t->nodes[0].memory, 1u << 30);
	assert_int_equal(t->nodes[0].cpus.cpu[0], 1);
	topology_free(t);
	/* A byte order mark is passed over, and is no column. */
	char *text = make_text(0, ""), *marked = calloc(1, 8192);
	snprintf(marked, 8192, "\xef\xbb\xbf%s", text);
	assert_int_equal(topology_parse("t.json", marked, strlen(marked), &t, &e), 0);
	topology_free(t);
	free(text);
	free(marked);
}

static void test_flows(void **state)
{
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(parse(7, T(AB ", \"both_ways\": true"), &t, &e), 0);
	assert_int_equal(t->traffic[0].n_flows, 2);
	assert_int_equal(t->traffic[0].flows[1].from.node, 1);
	assert_int_equal(t->traffic[0].flows[1].to.node, 0);
	topology_free(t);

	const char *three =
		"    \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" }, "
		"{ \"network\": \"lan\" } ] }, \"c\": { \"kind\": \"vm\", \"nics\": [ { "
		"\"network\": \"lan\" } ] },";
	static const struct {
		const char *traffic;
		size_t n;
	} cases[] = {
		{ "\"all_pairs\": [ \"a.0\", \"a.1\", \"b.0\", \"c.0\" ]", 12 },
		{ "\"from\": [ \"a.0\", \"b.0\" ], \"to\": \"c.0\"", 2 },
		{ "\"from\": [ \"a.0\", \"b.0\" ], \"to\": \"c.0\", \"both_ways\": true", 4 },
		{ "\"from\": [ \"a.0\", \"b.0\" ], \"to\": [ \"a.0\", \"b.0\" ], \"both_ways\": true",
			2 },
		{ "\"from\": \"a.0\", \"to\": \"a.1\"", 1 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line7[512], text[8192];

		snprintf(line7, sizeof(line7), "  \"traffic\": [ { \"name\": \"n\", %s } ] }",
			cases[i].traffic);
		snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s\n%s\n%s\n", base_lines[0],
			base_lines[1], base_lines[2], three, base_lines[4], base_lines[5], line7);
		assert_int_equal(topology_parse("t.json", text, strlen(text), &t, &e), 0);
		assert_int_equal(t->traffic[0].n_flows, cases[i].n);
		topology_free(t);
	}
}

static void test_method(void **state)
{
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(
		parse(7, T(AB ", \"frame\": [64, \"imix\"], \"flows\": 9, \"method\": {}"), &t, &e),
		0);
	const struct topo_traffic *x = &t->traffic[0];
	assert_int_equal(x->size[1], TOPO_FRAME_IMIX);
	assert_int_equal(x->l4_flows, 9);
	const struct topo_method *m = x->method;
	assert_int_equal(m->search, TOPO_SEARCH_VERIFIED);
	assert_int_equal(m->n_losses, 2);
	assert_true(m->loss[0] == 0 && m->loss[1] == 0.005);
	assert_int_equal(m->n_latency_at, 3);
	assert_true(m->latency_at[2] == 90);
	assert_true(m->resolution == 0.02 && m->verify == 2);
	assert_true(!m->min.value && !m->max.value && !m->start.value);
	assert_false(m->back_to_back || m->recovery);
	topology_free(t);
	assert_int_equal(parse(7,
				 T(AB ", \"method\": { \"search\": \"binary\", \"loss\": [0.001], "
				      "\"min\": \"1kpps\", \"start\": \"1Mbps\", \"max\": "
				      "\"2kpps\", \"latency_at\": [], \"recovery\": true }"),
				 &t, &e),
		0);
	m = t->traffic[0].method;
	assert_int_equal(m->search, TOPO_SEARCH_BINARY);
	assert_int_equal(m->min.value, 1000);
	assert_int_equal(m->start.kind, RATE_BPS);
	assert_int_equal(m->n_latency_at, 0);
	assert_true(m->recovery);
	topology_free(t);
}

static void test_groups(void **state)
{
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(
		parse(7,
			TRAFFIC("{ \"name\": \"alone\", " AB " },"
				"{ \"name\": \"big\", \"group\": \"mix\", \"frame\": [64, 1518], " AB
				" },"
				"{ \"name\": \"other\", \"group\": \"g2\", " AB " },"
				"{ \"name\": \"small\", \"group\": \"mix\", \"frame\": 64, " AB
				" }"),
			&t, &e),
		0);
	assert_int_equal(t->traffic[0].group_id, 0);
	assert_int_equal(t->traffic[1].group_id, 1);
	assert_int_equal(t->traffic[2].group_id, 2);
	assert_int_equal(t->traffic[3].group_id, 1);
	topology_free(t);
}

/* 33 entries in a group between the same two guests are too many at once; 32 are not. */
static void test_too_many_flows(void **state)
{
	for (int n = 32; n <= 33; n++) {
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);
		struct topology *t;
		struct err e = { 0 };

		for (size_t i = 0; i + 1 < N_LINES; i++)
			fprintf(f, "%s\n", base_lines[i]);
		fprintf(f, "\"traffic\": [\n");
		for (int i = 0; i < n; i++)
			fprintf(f, "%s{ \"name\": \"n%d\", \"group\": \"g\", " AB " }\n",
				i ? "," : " ", i);
		fprintf(f, "] }");
		fclose(f);
		assert_int_equal(topology_parse("t.json", text, strlen(text), &t, &e),
			n == 32 ? 0 : -EINVAL);
		if (n == 33)
			assert_string_equal(e.text,
				"t.json:40:2: traffic \"n32\": node \"a\" would send and receive 33 "
				"flows at once; a guest has 32 at most");
		free(text);
		topology_free(t);
	}
}

/* Made addresses: the same in each run, local unicast, of this lab; given ones go first. */
static void test_macs(void **state)
{
	struct topology *t, *u;
	struct err e = { 0 };
	char mac[ETHER_MAC_STR], line4[256];

	assert_int_equal(parse(7, base_lines[6], &t, &e), 0);
	assert_int_equal(parse(7, base_lines[6], &u, &e), 0);
	for (size_t i = 0; i < t->n_nodes; i++) {
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			struct ether_mac m = t->nodes[i].nics[j].mac;

			assert_int_equal(m.b[0], 2);
			assert_memory_equal(&m, &u->nodes[i].nics[j].mac, sizeof(m));
		}
	}
	/* They may never change: a lab's switch and captures remember them. */
	assert_string_equal(ether_mac_str(t->nodes[0].nics[0].mac, mac), "02:f8:a2:09:ed:16");
	topology_free(u);
	/* a.0 takes the address that b.0 would have been given: b.0 gets another. */
	struct ether_mac taken = t->nodes[1].nics[0].mac;
	snprintf(line4, sizeof(line4),
		"    \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"mac\": \"%s\" } ] },",
		ether_mac_str(taken, mac));
	assert_int_equal(parse(4, line4, &u, &e), 0);
	assert_memory_equal(&u->nodes[0].nics[0].mac, &taken, sizeof(taken));
	assert_true(u->nodes[0].nics[0].mac_given);
	assert_memory_not_equal(&u->nodes[1].nics[0].mac, &taken, sizeof(taken));
	topology_free(u);
	topology_free(t);
	/* Another lab, other addresses. */
	assert_int_equal(parse(1, "{ \"version\": 1, \"lab\": \"u\",", &u, &e), 0);
	assert_string_not_equal(ether_mac_str(u->nodes[0].nics[0].mac, mac), "02:f8:a2:09:ed:16");
	topology_free(u);
}

static void test_load(void **state)
{
	char path[] = "/tmp/lanyard-test-XXXXXX", expected[256];
	struct topology *t = (void *)1;
	struct err e = { 0 };
	int fd = mkstemp(path);
	char *big = calloc(1, TOPO_FILE_MAX + 2), *text = make_text(0, "");

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(topology_load(path, &t, &e), 0);
	assert_string_equal(t->file, path);
	topology_free(t);
	memset(big, ' ', TOPO_FILE_MAX + 1);
	assert_int_equal(pwrite(fd, big, TOPO_FILE_MAX + 1, 0), TOPO_FILE_MAX + 1);
	assert_true(topology_load(path, &t, &e) < 0);
	snprintf(expected, sizeof(expected), "%s is larger than the 1048576 bytes allowed", path);
	assert_string_equal(e.text, expected);
	assert_int_equal(e.class, ERR_REQUEST);
	unlink(path);
	assert_int_equal(topology_load(path, &t, &e), -ENOENT);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_non_null(strstr(e.text, path));
	assert_null(t);
	assert_true(topology_load("/tmp", &t, &e) < 0);
	assert_int_equal(e.class, ERR_REQUEST);
	close(fd);
	free(big);
	free(text);
}

/* jansson refuses what is nested too deep; up to there nothing of ours overflows. */
static void test_deep(void **state)
{
	enum { DEPTH = 100000 };
	char *text = malloc(2 * DEPTH);
	struct topology *t;
	struct err e = { 0 };

	for (int depth = 1000; depth <= DEPTH; depth *= 10) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		assert_int_equal(
			topology_parse("t.json", text, 2 * (size_t)depth, &t, &e), -EINVAL);
		assert_null(t);
	}
	free(text);
}

/* The labs that come with Lanyard. */
static void test_shipped(void **state)
{
	static const struct {
		const char *name;
		size_t nodes, flows;
	} labs[] = { { "pair", 2, 2 }, { "loop", 1, 1 }, { "star", 4, 12 } };

	for (size_t i = 0; i < sizeof(labs) / sizeof(labs[0]); i++) {
		struct topology *t;
		struct err e = { 0 };
		char path[512];

		snprintf(path, sizeof(path), TOPOLOGIES "/%s.json", labs[i].name);
		if (topology_load(path, &t, &e))
			fail_msg("%s", e.text);
		assert_string_equal(t->lab, labs[i].name);
		assert_int_equal(t->n_nodes, labs[i].nodes);
		assert_int_equal(t->traffic[0].n_flows, labs[i].flows);
		assert_true(t->traffic[0].max_loss == 0);
		topology_free(t);
	}
}

/* Any cut of a good file is an error with a place, and leaks nothing (under ASan). */
static void test_cut(void **state)
{
	char *text = make_text(7, T(AB ", \"both_ways\": true, \"group\": \"g\""));

	for (size_t len = 0; len + 2 < strlen(text); len++) {
		struct topology *t;
		struct err e = { 0 };

		assert_int_equal(topology_parse("t.json", text, len, &t, &e), -EINVAL);
		assert_int_equal(strncmp(e.text, "t.json:", 7), 0);
	}
	free(text);
}

static const char *word(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

static void test_suggest(void **state)
{
	static const char *const words[] = { "up", "down", "status", "bench", "validate" };

	assert_int_equal(suggest_distance("", ""), 0);
	assert_int_equal(suggest_distance("abc", ""), 3);
	assert_int_equal(suggest_distance("lan", "lna"), 1);
	assert_int_equal(suggest_distance("memry", "memory"), 1);
	assert_int_equal(suggest_distance("kitten", "sitting"), 3);
	assert_string_equal(suggest_nearest("statsu", 5, word, words), "status");
	assert_string_equal(suggest_nearest("valid", 5, word, words) ?: "none", "none");
	assert_string_equal(suggest_nearest("validat", 5, word, words), "validate");
	assert_null(suggest_nearest("xyz", 5, word, words));
	assert_null(suggest_nearest("", 5, word, words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_method),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_too_many_flows),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_shipped),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_suggest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
