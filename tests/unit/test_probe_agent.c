/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's answers, as the host's own JSON library and struct err read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <cmocka.h>

#include "traffic/agent.h"

static struct agent agent;
static struct traffic_engine engine;
static struct traffic_port ports[2];
static char reply[AGENT_REPLY_MAX];

static uint32_t no_slots(struct traffic_port *p, uint32_t n, struct traffic_slot **slots)
{
	return 0;
}

static uint32_t no_frames(struct traffic_port *p, struct traffic_frame *frames, uint32_t n)
{
	return 0;
}

static const struct traffic_port_ops no_ops = { .tx_get = no_slots, .rx_burst = no_frames };

static uint32_t n_nics(void *ctx)
{
	return 2;
}

static void nic(void *ctx, uint32_t i, struct agent_nic *out)
{
	*out = (struct agent_nic){ .mac = ports[i].mac,
		.mtu = 1500,
		.queues = 1,
		.link = i == 0,
		.features = 0x120018028,
		.notifications_sent = 3 + i,
		.interrupts = 4 };
}

static uint64_t halts(void *ctx)
{
	return 17;
}

static void counters(void *ctx, uint32_t i, struct nic_counters *out)
{
	*out = (struct nic_counters){ .rx_packets = 100 + i, .socket_dropped = 5 };
}

static const struct agent_ops ops = { n_nics, nic, halts };
static const struct agent_ops ops_counted = { n_nics, nic, halts, counters };

static int setup(void **state)
{
	memset(&engine, 0, sizeof(engine));
	memset(&agent, 0, sizeof(agent));
	memset(ports, 0, sizeof(ports));
	traffic_engine_init(&engine, 2000000000);
	for (int i = 0; i < 2; i++) {
		ports[i] = (struct traffic_port){
			.ops = &no_ops, .max_len = 1514, .mac = { { 2, 0, 0, 0, 0, (uint8_t)i } }
		};
		traffic_engine_add_port(&engine, &ports[i]);
	}
	agent.ops = &ops;
	agent.engine = &engine;
	agent.guest = "probe";
	return 0;
}

/* The whole reply; NULL if there was none. The caller decrefs. */
static json_t *ask(const char *line)
{
	size_t n = agent_handle(&agent, line, strlen(line), reply, sizeof(reply));
	json_error_t e;
	json_t *r;

	if (!n)
		return NULL;
	assert_int_equal(reply[n - 1], '\n');
	assert_null(memchr(reply, '\n', n - 1));
	r = json_loadb(reply, n - 1, JSON_REJECT_DUPLICATES, &e);
	if (!r)
		fail_msg("the reply is no JSON: %s: %.*s", e.text, (int)n, reply);
	assert_string_equal(json_string_value(json_object_get(r, "jsonrpc")), "2.0");
	return r;
}

static void expect_error(const char *line, int code, const char *field)
{
	json_t *r = ask(line), *e = json_object_get(r, "error"), *data = json_object_get(e, "data");
	const char *f = json_string_value(json_object_get(data, "field"));

	if (json_integer_value(json_object_get(e, "code")) != code)
		fail_msg("expected %d for %s: %s", code, line, reply);
	assert_true(json_string_length(json_object_get(e, "message")) > 10);
	assert_true(json_integer_value(json_object_get(data, "class")) > 0);
	assert_true(json_integer_value(json_object_get(data, "errno")) > 0);
	if (field ? !f || strcmp(f, field) : f != NULL)
		fail_msg("expected field %s for %s: %s", field ? field : "none", line, reply);
	json_decref(r);
}

#define CALL(method, params) \
	"{\"jsonrpc\": \"2.0\", \"id\": 7, \"method\": \"" method "\", \"params\": " params "}"
#define FLOW(rest) "{\"flows\": [{" rest "}]}"
#define GOOD                                                                               \
	"\"id\": 1, \"role\": \"send\", \"nic\": 0, \"peer_mac\": \"02:00:00:00:00:01\", " \
	"\"size\": 64, \"rate_mfps\": 0"

static void test_hello(void **state)
{
	json_t *r = ask(CALL("hello", "{}")), *v = json_object_get(r, "result");
	json_t *n = json_array_get(json_object_get(v, "nics"), 1);

	assert_int_equal(json_integer_value(json_object_get(r, "id")), 7);
	assert_string_equal(json_string_value(json_object_get(v, "guest")), "probe");
	assert_int_equal(json_integer_value(json_object_get(v, "tsc_hz")), 2000000000);
	assert_int_equal(json_array_size(json_object_get(v, "nics")), 2);
	assert_int_equal(json_integer_value(json_object_get(n, "index")), 1);
	assert_string_equal(json_string_value(json_object_get(n, "mac")), "02:00:00:00:00:01");
	assert_int_equal(json_integer_value(json_object_get(n, "mtu")), 1500);
	assert_true(json_is_false(json_object_get(n, "link")));
	assert_string_equal(json_string_value(json_object_get(n, "features")), "0x120018028");
	json_decref(r);
}

static void test_envelope(void **state)
{
	json_t *r;

	expect_error("", -32700, NULL);
	expect_error("{", -32700, NULL);
	expect_error("[]", -32600, NULL);
	expect_error("{\"id\": 1, \"method\": \"hello\"}", -32600, NULL);
	expect_error("{\"jsonrpc\": \"1.0\", \"id\": 1, \"method\": \"hello\"}", -32600, NULL);
	expect_error("{\"jsonrpc\": \"2.0\", \"id\": {}, \"method\": \"hello\"}", -32600, NULL);
	expect_error(CALL("nonsense", "{}"), -32601, NULL);
	expect_error(CALL("hello", "[]"), -32602, NULL);
	expect_error(CALL("hello", "{\"x\": 1}"), -32602, NULL);
	/* Ids come back as they were. */
	r = ask("{\"jsonrpc\": \"2.0\", \"id\": \"a\\u00e9\", \"method\": \"hello\"}");
	assert_string_equal(json_string_value(json_object_get(r, "id")), "a\xc3\xa9");
	json_decref(r);
	r = ask("{\"jsonrpc\": \"2.0\", \"id\": null, \"method\": \"hello\"}");
	assert_true(json_is_null(json_object_get(r, "id")));
	json_decref(r);
	/* A notification is carried out and not answered. */
	assert_null(ask("{\"jsonrpc\": \"2.0\", \"method\": \"shutdown\"}"));
	assert_true(agent.shutdown);
	assert_true(agent_line_too_long(reply, sizeof(reply)) > 0);
}

static void test_start(void **state)
{
	json_t *r = ask(CALL("traffic_start",
		"{\"reset\": true, \"flows\": [{" GOOD ", \"duration_ms\": 1500, \"frames\": 9, "
		"\"l4_flows\": 4}, {\"id\": 2, \"role\": \"receive\", \"nic\": 1, \"peer_mac\": "
		"\"02:00:00:00:00:00\"}]}"));

	assert_true(json_integer_value(json_object_get(json_object_get(r, "result"), "tsc")) > 0);
	json_decref(r);
	assert_int_equal(engine.n_flows, 2);
	assert_true(engine.flow[0].started);
	assert_int_equal(engine.flow[0].spec.duration_tsc, 3000000000ull);
	assert_int_equal(engine.flow[0].spec.frames, 9);
	assert_int_equal(engine.flow[0].spec.l4_flows, 4);
	assert_int_equal(engine.flow[1].spec.role, TRAFFIC_RECEIVE);
	assert_int_equal(engine.flow[1].spec.port, 1);
}

static void test_start_refused(void **state)
{
	expect_error(CALL("traffic_start", "{}"), -32602, "flows");
	expect_error(CALL("traffic_start", "{\"flows\": 1}"), -32602, "flows");
	expect_error(CALL("traffic_start", "{\"flows\": [], \"rest\": 1}"), -32602, "rest");
	expect_error(CALL("traffic_start", "{\"flows\": [], \"reset\": 1}"), -32602, "reset");
	expect_error(CALL("traffic_start", "{\"flows\": [1]}"), -32602, "flows[0]");
	expect_error(CALL("traffic_start", FLOW("\"role\": \"both\"")), -32602, "flows[0].role");
	expect_error(CALL("traffic_start", FLOW(GOOD ", \"x\": 1")), -32602, "flows[0].x");
	expect_error(
		CALL("traffic_start", FLOW(GOOD ", \"frames\": -1")), -32602, "flows[0].frames");
	expect_error(
		CALL("traffic_start", FLOW(GOOD ", \"l4_flows\": 0")), -32602, "flows[0].l4_flows");
	expect_error(CALL("traffic_start",
			     FLOW("\"id\": 1, \"role\": \"send\", \"nic\": 0, \"size\": 64, "
				  "\"rate_mfps\": 0, \"peer_mac\": \"02:00:00:00:00:0\"")),
		-32602, "flows[0].peer_mac");
	expect_error(CALL("traffic_start",
			     FLOW("\"id\": 1, \"role\": \"send\", \"nic\": 2, \"size\": 64, "
				  "\"rate_mfps\": 0, \"peer_mac\": \"02:00:00:00:00:01\"")),
		-32602, "flows[0].nic");
	expect_error(CALL("traffic_start",
			     FLOW("\"id\": 1, \"role\": \"send\", \"nic\": 0, \"size\": 1519, "
				  "\"rate_mfps\": 0, \"peer_mac\": \"02:00:00:00:00:01\"")),
		-32602, "flows[0].size");
	/* One wrong flow: none is added. */
	expect_error(CALL("traffic_start", "{\"flows\": [{" GOOD "}, {" GOOD "}]}"), -32602,
		"flows[1].id");
	assert_int_equal(engine.n_flows, 0);
}

static void test_status(void **state)
{
	json_t *r, *v, *f, *l;

	json_decref(ask(CALL("traffic_start",
		"{\"flows\": [{" GOOD "}, {\"id\": 2, \"role\": \"receive\", \"nic\": 1, "
		"\"peer_mac\": \"02:00:00:00:00:00\"}]}")));
	for (int i = 1; i <= 1000; i++)
		traffic_hist_add(&engine.flow[1].latency, (uint64_t)i * 10);
	engine.flow[1].frames = 1000;
	engine.flow[1].seq.lost = 5;
	r = ask(CALL("traffic_status", "{\"histogram\": true}"));
	v = json_object_get(r, "result");
	assert_int_equal(json_integer_value(json_object_get(v, "halts")), 17);
	assert_int_equal(json_array_size(json_object_get(v, "nics")), 2);
	f = json_array_get(json_object_get(v, "flows"), 0);
	assert_string_equal(json_string_value(json_object_get(f, "role")), "send");
	assert_true(json_is_false(json_object_get(f, "done")));
	assert_int_equal(json_integer_value(json_object_get(f, "ring_full")), 0);
	f = json_array_get(json_object_get(v, "flows"), 1);
	assert_int_equal(json_integer_value(json_object_get(f, "lost")), 5);
	l = json_object_get(f, "latency");
	assert_int_equal(json_integer_value(json_object_get(l, "count")), 1000);
	assert_int_equal(json_integer_value(json_object_get(l, "sum_tsc")), 5005000);
	assert_in_range(json_integer_value(json_object_get(l, "p50_tsc")), 4950, 5050);
	assert_in_range(json_integer_value(json_object_get(l, "p999_tsc")), 9890, 10000);
	assert_true(json_array_size(json_object_get(l, "buckets")) > 100);
	json_decref(r);
	r = ask(CALL("traffic_stop", "{\"flow\": 1}"));
	v = json_object_get(json_object_get(r, "result"), "flows");
	assert_int_equal(json_array_size(v), 1);
	assert_true(json_is_true(json_object_get(json_array_get(v, 0), "done")));
	json_decref(r);
	expect_error(CALL("traffic_status", "{\"histogram\": 1}"), -32602, "histogram");
	expect_error(CALL("traffic_status", "{\"flow\": 0}"), -32602, "flow");
	expect_error(CALL("traffic_status", "{\"hist\": true}"), -32602, "hist");
}

static json_t *counters_of(const char *line)
{
	json_t *r = ask(line);
	const json_t *nics = json_object_get(json_object_get(r, "result"), "nics");
	json_t *c = json_incref(json_object_get(json_array_get(nics, 1), "counters"));

	json_decref(r);
	return c;
}

/* What the system beneath counts: only for who asks, and only where there is one. */
static void test_status_counters(void **state)
{
	static const char line[] = CALL("traffic_status", "{\"counters\": true}");
	json_t *c;

	assert_null(counters_of(line));
	agent.ops = &ops_counted;
	assert_null(counters_of(CALL("traffic_status", "{}")));
	assert_null(counters_of(CALL("traffic_status", "{\"counters\": false}")));
	c = counters_of(line);
	assert_int_equal(json_object_size(c), 8);
	assert_int_equal(json_integer_value(json_object_get(c, "rx_packets")), 101);
	assert_int_equal(json_integer_value(json_object_get(c, "socket_dropped")), 5);
	assert_int_equal(json_integer_value(json_object_get(c, "tx_errors")), 0);
	json_decref(c);
	expect_error(CALL("traffic_status", "{\"counters\": 1}"), -32602, "counters");
}

/* Histograms that don't fit say so, and what to do; one by one they do fit. */
static void test_status_too_long(void **state)
{
	char start[400];

	for (int i = 1; i <= TRAFFIC_FLOWS_MAX; i++) {
		snprintf(start, sizeof(start),
			CALL("traffic_start",
				"{\"flows\": [{\"id\": %d, \"role\": \"receive\", "
				"\"nic\": 0, \"peer_mac\": \"02:00:00:00:00:00\"}]}"),
			i);
		json_decref(ask(start));
		for (int b = 0; b < 2000; b++)
			traffic_hist_add(
				&engine.flow[i - 1].latency, traffic_hist_lower((uint32_t)b));
	}
	expect_error(CALL("traffic_status", "{\"histogram\": true}"), -32000, NULL);
	json_decref(ask(CALL("traffic_status", "{}")));
	for (int i = 0; i < 2; i++) {
		json_t *r = ask(CALL("traffic_status", "{\"histogram\": true, \"flow\": 9}"));

		assert_non_null(json_object_get(r, "result"));
		json_decref(r);
	}
}

/* A reply buffer of any size is never overrun, and a reply is whole or an error or nothing. */
static void test_small_buffers(void **state)
{
	static const char line[] = CALL("traffic_status", "{\"histogram\": true}");

	for (size_t cap = 1; cap < 700; cap++) {
		size_t n;

		memset(reply, 0x55, sizeof(reply));
		n = agent_handle(&agent, line, sizeof(line) - 1, reply, cap);
		assert_true(n <= cap);
		assert_int_equal(reply[cap], 0x55);
		if (n) {
			json_t *r = json_loadb(reply, n, 0, NULL);

			assert_non_null(r);
			json_decref(r);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_hello, setup),
		cmocka_unit_test_setup(test_envelope, setup),
		cmocka_unit_test_setup(test_start, setup),
		cmocka_unit_test_setup(test_start_refused, setup),
		cmocka_unit_test_setup(test_status, setup),
		cmocka_unit_test_setup(test_status_counters, setup),
		cmocka_unit_test_setup(test_status_too_long, setup),
		cmocka_unit_test_setup(test_small_buffers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
