/* SPDX-License-Identifier: Apache-2.0 */
/* lab/bench_*: plans, requests, whose limit a rate is. Figures: test_bench_round.c; what the host
 * says: test_bench_host.c. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/bench_clock.h"
#include "lab/bench_plan.h"
#include "lab/bench_search.h"
#include "bench_topology.h"

static void test_plan(void **state)
{
	struct topology *t = make(HEAD PAIR "," FLAT "," STAR "," MIX TAIL);
	struct bench_plan p;
	struct err e = { 0 };

	assert_int_equal(bench_plan_make(t, &one_round, &p, &e), 0);
	assert_int_equal(p.n_sections, 4);
	assert_int_equal(p.n_trials, 6);
	assert_string_equal(p.trials[0].title, "paced");
	assert_int_equal(p.trials[0].n_flows, 2);
	assert_int_equal(p.trials[0].flows[0].id, 1);
	assert_int_equal(p.trials[0].flows[1].id, 2);
	assert_int_equal(p.trials[0].flows[1].from.node, 1);
	assert_int_equal(p.trials[0].flows[0].rate_mfps, 10000000);
	assert_int_equal(p.trials[0].flows[0].size, 64);
	assert_int_equal(p.trials[1].flows[0].size, 1518);
	assert_false(p.trials[0].flat_out);
	assert_true(p.trials[2].flat_out);
	assert_true(p.trials[2].flows[0].max_loss < 0);
	assert_int_equal(p.trials[3].n_flows, 6);
	/* The group's two trials: the one size of "big" runs with each of "small"'s. */
	assert_string_equal(p.trials[4].title, "mix");
	assert_true(p.trials[4].group);
	assert_int_equal(p.trials[4].n_flows, 2);
	assert_int_equal(p.trials[4].flows[0].size, 1518);
	assert_int_equal(p.trials[5].flows[0].size, 1518);
	assert_int_equal(p.trials[5].flows[1].size, 128);
	/* 1 Gbps of 1518 B frames */
	assert_int_equal(p.trials[4].flows[0].rate_mfps, 82345191);
	assert_true(bench_node_sends(&p.trials[2], 0));
	assert_false(bench_node_sends(&p.trials[2], 1));
	assert_true(bench_node_receives(&p.trials[2], 1));
	assert_true(bench_nic_takes_part(&p.trials[2], 0, 0));
	assert_false(bench_nic_takes_part(&p.trials[2], 0, 1));
	bench_plan_free(&p);
	topology_free(t);
}

static void test_only(void **state)
{
	struct topology *t = make(HEAD PAIR "," FLAT "," MIX TAIL), *none = make(HEAD TAIL);
	struct bench_opts o = { .rounds = 1, .only = "small", .seconds = 0.5 };
	struct bench_plan p;
	struct err e = { 0 };

	assert_int_equal(bench_plan_make(t, &o, &p, &e), 0);
	assert_int_equal(p.n_trials, 2);
	assert_int_equal(p.trials[0].n_flows, 1);
	assert_false(p.trials[0].group);
	assert_true(p.trials[0].seconds == 0.5);
	bench_plan_free(&p);
	o.only = "mix";
	assert_int_equal(bench_plan_make(t, &o, &p, &e), 0);
	assert_int_equal(p.n_trials, 2);
	assert_int_equal(p.trials[0].n_flows, 2);
	bench_plan_free(&p);
	o.only = "flatout";
	assert_int_equal(bench_plan_make(t, &o, &p, &e), -ENOENT);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_string_equal(
		e.text, "t.json: no traffic is named \"flatout\"; did you mean \"flat out\"?");
	assert_int_equal(bench_plan_make(none, &one_round, &p, &e), -ENOENT);
	assert_string_equal(e.text, "t.json has no \"traffic\": there is nothing to measure");
	topology_free(t);
	topology_free(none);
}

static void test_rates(void **state)
{
	assert_int_equal(bench_rate_mfps(&(struct rate){ RATE_MAX, 0 }, 64), 0);
	assert_int_equal(bench_rate_mfps(&(struct rate){ RATE_PPS, 3 }, 64), 3000);
	assert_int_equal(bench_rate_mfps(&(struct rate){ RATE_BPS, 512 }, 64), 1000);
	/* Too slow for a frame in 1000 s is still not "flat out". */
	assert_int_equal(bench_rate_mfps(&(struct rate){ RATE_BPS, 1 }, 9234), 1);
}

static void test_requests(void **state)
{
	struct topology *t = make(HEAD PAIR "," STAR TAIL);
	struct bench_plan p;
	struct err e = { 0 };

	assert_int_equal(bench_plan_make(t, &one_round, &p, &e), 0);
	assert_json(bench_params_receive(t, &p.trials[0], 1),
		"{\"flows\":[{\"id\":1,\"role\":\"receive\",\"nic\":0,\"peer_mac\":\"02:00:00:00:00:0a\"}],"
		"\"reset\":true}");
	assert_json(bench_params_send(t, &p.trials[0], 0),
		"{\"flows\":[{\"id\":1,\"role\":\"send\",\"nic\":0,\"peer_mac\":\"02:00:00:00:00:0b\","
		"\"size\":64,\"rate_mfps\":10000000,\"duration_ms\":2000}],\"reset\":false}");
	/* One learning flow a NIC, with an id behind those of the trial. */
	assert_json(bench_params_learn(t, &p.trials[0], 1),
		"{\"flows\":[{\"id\":3,\"role\":\"send\",\"nic\":0,\"peer_mac\":\"02:00:00:00:00:0a\","
		"\"size\":64,\"rate_mfps\":1000000,\"frames\":4}],\"reset\":true}");
	/* Later on, ids are others: frames of an earlier trial may be on their way yet. */
	p.trials[0].id_base = 65000;
	assert_json(bench_params_receive(t, &p.trials[0], 0),
		"{\"flows\":[{\"id\":65002,\"role\":\"receive\",\"nic\":0,"
		"\"peer_mac\":\"02:00:00:00:00:0b\"}],\"reset\":true}");
	assert_json(bench_params_learn(t, &p.trials[0], 1),
		"{\"flows\":[{\"id\":65003,\"role\":\"send\",\"nic\":0,\"peer_mac\":\"02:00:00:00:00:0a\","
		"\"size\":64,\"rate_mfps\":1000000,\"frames\":4}],\"reset\":true}");
	assert_json(bench_params_receive(t, &p.trials[0], 2), "{\"flows\":[],\"reset\":true}");
	json_t *star = bench_params_send(t, &p.trials[2], 2);
	assert_int_equal(json_array_size(json_object_get(star, "flows")), 2);
	json_decref(star);
	bench_plan_free(&p);
	topology_free(t);
}

/* What a search adds to a flow. */
static void test_request_of_a_search(void **state)
{
	struct topology *t = make(HEAD "{ \"name\": \"s\", \"from\": \"a.0\", \"to\": \"b.0\", "
				       "\"frame\": \"imix\", \"flows\": 7, \"method\": {} }" TAIL);
	struct bench_plan p;
	struct err e = { 0 };

	assert_int_equal(bench_plan_make(t, &one_round, &p, &e), 0);
	assert_ptr_equal(p.trials[0].method, t->traffic[0].method);
	p.trials[0].flows[0].frames = 1000;
	p.trials[0].flows[0].delay_s = 0.5;
	p.trials[0].flows[0].seconds = 1.5;
	assert_json(bench_params_send(t, &p.trials[0], 0),
		"{\"flows\":[{\"id\":1,\"role\":\"send\",\"nic\":0,\"peer_mac\":\"02:00:00:00:00:0b\","
		"\"size\":362,\"rate_mfps\":0,\"duration_ms\":1500,\"delay_ms\":500,\"frames\":1000,"
		"\"l4_flows\":7,\"imix\":true}],\"reset\":false}");
	bench_plan_free(&p);
	topology_free(t);
}

/* As many flows as a guest takes still make a line that it takes: 8192 bytes, envelope included. */
static void test_request_fits(void **state)
{
	char text[16384], *p = text;

	p += sprintf(p, "%s", HEAD);
	for (int i = 0; i < TOPO_NODE_FLOWS_MAX; i++)
		p += sprintf(p,
			"%s{ \"name\": \"n%d\", \"group\": \"g\", \"from\": \"a.0\", \"to\": \"b.0\", "
			"\"frame\": \"imix\", \"flows\": 16384, \"rate\": \"%s\", \"seconds\": 3600 }",
			i ? "," : "", i, "999999kpps");
	sprintf(p, TAIL);
	struct topology *t = make(text);
	struct bench_plan plan;
	struct err e = { 0 };

	assert_int_equal(bench_plan_make(t, &one_round, &plan, &e), 0);
	plan.trials[0].id_base = 65000;
	json_t *j = bench_params_send(t, &plan.trials[0], 0);
	char *line = json_dumps(j, JSON_COMPACT);
	assert_in_range(strlen(line), 1, 8192 - 100);
	free(line);
	json_decref(j);
	bench_plan_free(&plan);
	topology_free(t);
}

static void test_clock(void **state)
{
	const struct bench_clock from = { 1000, 5 }, to = { 2000001000, 1000000005 };
	struct err e = { 0 };

	assert_int_equal(bench_clock_rate(&from, &to, 2e9, &e), 0);
	assert_int_equal(bench_clock_rate(&from, &to, 2.03e9, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "it ran at 2000000000 Hz"));
	/* Too short a time to say anything. */
	assert_int_equal(bench_clock_rate(&from, &(struct bench_clock){ 1, 1000 }, 2e9, &e), 0);
	assert_int_equal(bench_clock_shared("a", 1000, 1500, 2000, 1e6, &e), 0);
	assert_int_equal(bench_clock_shared("a", 100000, 1500, 200000, 1e6, &e), -ENOTSUP);
	assert_non_null(
		strstr(e.text, "guest a has another TSC than the host: it read 98500 us before"));
	assert_int_equal(bench_clock_shared("a", 1000, 5000, 2000, 1e6, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "3000 us after it had answered"));
}

/* A figure within a tenth of what a generator can do is marked as its own. */
static void test_generators(void **state)
{
	struct topology *t = make(HEAD "{ \"name\": \"s\", \"from\": \"a.0\", \"to\": \"b.0\", "
				       "\"both_ways\": true, \"method\": {} }" TAIL);
	struct bench_load load[3] = { { 5000, 4e6 }, { 5000, 2.2e6 }, { 0, NAN } };
	struct bench_search s = { .flat = { .load = load } };
	struct bench_search_goal g = { .fps = 1e6 };
	struct bench_plan p;
	struct err e = { 0 };

	assert_int_equal(bench_plan_make(t, &one_round, &p, &e), 0);
	s.x = &p.trials[0];
	/* Each sends and receives a million a second. */
	bench_search_judge(&s, 3, &g);
	assert_int_equal(g.generator, 1);
	assert_true(fabs(g.generator_share - 2e6 / 2.2e6) < 1e-9);
	assert_true(bench_search_is_generators(&g));
	g.fps = 0.98e6;
	bench_search_judge(&s, 3, &g);
	assert_false(bench_search_is_generators(&g));
	/* Too few full rounds: not known, and not claimed. */
	load[0].frames = load[1].frames = 999;
	bench_search_judge(&s, 3, &g);
	assert_true(isnan(g.generator_share) && isnan(bench_search_limit(&s, 0)));
	assert_false(bench_search_is_generators(&g));
	bench_plan_free(&p);
	topology_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_only),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_request_of_a_search),
		cmocka_unit_test(test_request_fits),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_generators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
