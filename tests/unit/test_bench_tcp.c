/* SPDX-License-Identifier: Apache-2.0 */
/* TCP by iperf3: its command lines, what it says, figures out of rounds. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench_topology.h"
#include "lab/bench_iperf.h"
#include "lab/compare_text.h"
#include "lab/report_tcp.h"

#define LINUX(name, address)                                                                     \
	"\"" name "\": { \"kind\": \"vm\", \"guest\": \"linux\", \"root\": \"host\", \"nics\": " \
	"[ { \"network\": \"lan\", \"addresses\": [ \"" address "\" ] } ] }"
#define TOPOLOGY(a, b, entry)                                                                    \
	"{ \"version\": 1, \"lab\": \"t\", \"networks\": { \"lan\": {} }, \"nodes\": { " LINUX(  \
		"a", a) ", " LINUX("b", b) " }, \"traffic\": [ { \"name\": \"bulk\", \"from\": " \
					   "\"a.0\", \"to\": \"b.0\", " entry " } ] }"

static struct topology *t;
static struct bench_plan plan;

static const struct bench_trial *trial(const char *text, double seconds)
{
	const struct bench_opts o = { .rounds = 1, .seconds = seconds };
	struct err e = { 0 };

	t = make(text);
	if (bench_plan_make(t, &o, &plan, &e))
		fail_msg("%s", e.text);
	assert_int_equal(plan.n_trials, 1);
	assert_true(bench_is_tcp(&plan.trials[0]));
	return &plan.trials[0];
}

static void drop(void)
{
	bench_plan_free(&plan);
	topology_free(t);
}

static void test_command_lines(void **state)
{
	const struct bench_trial *x = trial(TOPOLOGY("10.0.0.1/24", "10.0.0.2/24",
						    "\"method\": { \"tcp\": { \"streams\": 4 } }"),
		0);

	assert_json(iperf_server_argv(t, x, 60),
		"[\"iperf3\",\"--server\",\"--one-off\",\"--idle-timeout\",\"60\",\"--forceflush\","
		"\"--port\",\"52010\",\"--bind\",\"10.0.0.2\"]");
	assert_json(iperf_client_argv(t, x),
		"[\"iperf3\",\"--client\",\"10.0.0.2\",\"--bind\",\"10.0.0.1\",\"--port\",\"52010\","
		"\"--json\",\"--time\",\"5\",\"--parallel\",\"4\",\"--interval\",\"1\"]");
	drop();
	/* Whole seconds, ten samples. */
	x = trial(TOPOLOGY("fd00::1/64", "fd00::2/64", "\"method\": { \"tcp\": {} }"), 60.2);
	assert_true(x->seconds == 61);
	assert_json(iperf_client_argv(t, x),
		"[\"iperf3\",\"--client\",\"fd00::2\",\"--bind\",\"fd00::1\",\"--port\",\"52010\","
		"\"--json\",\"--time\",\"61\",\"--parallel\",\"1\",\"--interval\",\"7\"]");
	drop();
}

/* As iperf 3.12 wrote it of two streams over lo, less what is not read. */
static const char recorded[] =
	"{\"start\":{\"connected\":[{\"socket\":5,\"local_host\":\"127.0.0.1\",\"local_port\":47935,"
	"\"remote_host\":\"127.0.0.1\",\"remote_port\":5999}],\"version\":\"iperf 3.12\","
	"\"timestamp\":{\"time\":\"Mon, 30 Nov 2026 20:45:45 GMT\",\"timesecs\":1796071545},"
	"\"tcp_mss_default\":32768,\"test_start\":{\"protocol\":\"TCP\",\"num_streams\":2,"
	"\"blksize\":131072,\"omit\":0,\"duration\":1}},\"intervals\":[{\"streams\":[],\"sum\":"
	"{\"start\":0,\"end\":1.001112,\"bytes\":887357440,\"retransmits\":15}}],\"end\":{\"streams\":"
	"[{\"sender\":{\"socket\":5,\"start\":0,\"end\":1.001112,\"seconds\":1.001112,\"bytes\":"
	"445644800,\"bits_per_second\":3561198347.4376493,\"retransmits\":4,\"max_snd_cwnd\":1702558,"
	"\"max_rtt\":319,\"min_rtt\":319,\"mean_rtt\":319,\"sender\":true},\"receiver\":{\"bytes\":"
	"445382656}},{\"sender\":{\"socket\":7,\"bytes\":441712640,\"retransmits\":11,\"mean_rtt\":309,"
	"\"sender\":true},\"receiver\":{\"bytes\":441450496}}],\"sum_sent\":{\"start\":0,\"end\":"
	"1.001112,\"seconds\":1.001112,\"bytes\":887357440,\"bits_per_second\":7090974356.515554,"
	"\"retransmits\":15,\"sender\":true},\"sum_received\":{\"start\":0,\"end\":1.002768,"
	"\"seconds\":1.002768,\"bytes\":886833152,\"bits_per_second\":7075081390.710512,\"sender\":true},"
	"\"cpu_utilization_percent\":{\"host_total\":25.01709326222801,\"remote_total\":"
	"43.98880729480373},\"sender_tcp_congestion\":\"bbr\",\"receiver_tcp_congestion\":\"bbr\"}}";

static void test_read(void **state)
{
	struct iperf_result r;
	struct err e = { 0 };

	assert_int_equal(iperf_read(recorded, &r, &e), 0);
	assert_true(r.goodput_bps == 7075081390.710512 && r.received_bytes == 886833152);
	assert_true(r.seconds == 1.002768 && r.sent_bps == 7090974356.515554);
	assert_true(r.retransmits == 15 && r.rtt_us == 314 && r.mss == 32768);
	assert_string_equal(r.version, "iperf 3.12");
	assert_string_equal(r.congestion, "bbr");
}

static void refused(const char *text, int code, const char *said)
{
	struct iperf_result r;
	struct err e = { 0 };

	assert_int_equal(iperf_read(text, &r, &e), code);
	assert_string_equal(e.text, said);
}

static void test_refused(void **state)
{
	struct iperf_result r;

	/* As iperf 3.12 has it, with exit status 0. */
	refused("{\"start\":{\"connected\":[],\"version\":\"iperf 3.12\"},\"intervals\":[],\"end\":{},"
		"\"error\":\"unable to connect to server: Connection refused\"}",
		-EIO, "iperf3: unable to connect to server: Connection refused");
	refused("{\"start\":{\"version\":\"iperf 3.99\"},\"end\":{}}", -EPROTO,
		"iperf 3.99 did not say what was received: its JSON lacks \"sum_received\"");
	refused("[]", -EPROTO,
		"iperf3 did not say what was received: its JSON lacks \"sum_received\"");
	refused("no", -EPROTO, "iperf3 wrote no JSON ('[' or '{' expected near 'no'): \"no\"");
	/* What a kernel doesn't tell is not known. */
	assert_int_equal(
		iperf_read("{\"start\":{},\"end\":{\"streams\":[{\"sender\":{}}],\"sum_received\":"
			   "{\"bytes\":1,\"seconds\":1,\"bits_per_second\":8}}}",
			&r, NULL),
		0);
	assert_true(isnan(r.retransmits) && isnan(r.rtt_us) && isnan(r.mss));
}

static double figure(const json_t *j, const char *key)
{
	return compare_number(json_object_get(json_object_get(j, "figures"), key), "median");
}

static void test_figures(void **state)
{
	const struct bench_trial *x =
		trial(TOPOLOGY("10.0.0.1/24", "10.0.0.2/24", "\"method\": { \"tcp\": {} }"), 2);
	struct bench_tcp_round r[2] = { 0 };
	json_t *j;

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(iperf_read(recorded, &r[i].tcp, NULL), 0);
		r[i].tcp.received_bytes = 1e9;
		r[i].round.cost = (struct bench_cost){ 1, 2, 0.5, 0.25, 4000 };
		r[i].round.sw.busy_cycles = 500000000;
		r[i].round.sw.n_drops = 1;
		r[i].round.sw.drop[0] = (struct bench_drop){ "tx_ring_full", 5 };
		assert_int_equal(bench_round_warn(&r[i].round, BENCH_GUEST_WAITED, 1, "noise"), 0);
	}
	j = report_tcp_trial_json(t, x, r, 2, 2e9);
	assert_true(figure(j, "cycles_per_byte_switch") == 2);
	assert_true(figure(j, "cycles_per_byte_switch_busy") == 0.5);
	assert_true(figure(j, "cycles_per_byte_nodes") == 4);
	assert_true(figure(j, "cycles_per_byte_vhost") == 1);
	assert_true(figure(j, "cycles_per_byte_interrupts") == 0.5);
	assert_true(figure(j, "cycles_per_byte_total") == 7.5);
	assert_true(figure(j, "exits_per_megabyte") == 4);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(j, "drops"), "tx_ring_full")),
		10);
	assert_int_equal(json_array_size(json_object_get(j, "warnings")), 1);
	json_decref(j);
	/* A path that does without the switch is not charged for it; what is not known is null. */
	r[0].round.cost = (struct bench_cost){ 0, 2, 0, 0, NAN };
	j = report_tcp_trial_json(t, x, r, 1, 2e9);
	assert_true(figure(j, "cycles_per_byte_switch_busy") == 0);
	assert_true(isnan(figure(j, "exits_per_megabyte")));
	json_decref(j);
	for (size_t i = 0; i < 2; i++)
		bench_tcp_round_free(&r[i]);
	drop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
