/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_iperf.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Not iperf3's own, which a guest's user may have a server on. */
#define PORT      "52010"
#define INTERVALS 10 /* samples of a run: more would make a long one's output grow */

static void add(json_t *argv, const char *word)
{
	json_array_append_new(argv, json_string(word));
}

static void add_number(json_t *argv, const char *option, unsigned n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	add(argv, option);
	add(argv, text);
}

/* Without the length of its prefix. */
static void add_address(json_t *argv, const char *option, const struct topo_address *a)
{
	json_array_append_new(argv, json_string(option));
	json_array_append_new(argv, json_stringn(a->text, strcspn(a->text, "/")));
}

static void addresses(const struct topology *t, const struct bench_trial *x,
	const struct topo_address **from, const struct topo_address **to)
{
	const struct topo_flow f = { x->flows[0].from, x->flows[0].to };

	topology_neighbours(t, &f, from, to); /* the decoder saw to it that they are */
}

json_t *iperf_server_argv(const struct topology *t, const struct bench_trial *x, int idle_s)
{
	const struct topo_address *from, *to;
	json_t *argv = json_array();

	addresses(t, x, &from, &to);
	add(argv, "iperf3");
	add(argv, "--server");
	add(argv, "--one-off");
	add_number(argv, "--idle-timeout", (unsigned)idle_s);
	add(argv, "--forceflush");
	add(argv, "--port");
	add(argv, PORT);
	add_address(argv, "--bind", to);
	return argv;
}

json_t *iperf_client_argv(const struct topology *t, const struct bench_trial *x)
{
	const struct topo_address *from, *to;
	unsigned seconds = (unsigned)ceil(x->seconds);
	json_t *argv = json_array();

	addresses(t, x, &from, &to);
	add(argv, "iperf3");
	add_address(argv, "--client", to);
	add_address(argv, "--bind", from);
	add(argv, "--port");
	add(argv, PORT);
	add(argv, "--json");
	add_number(argv, "--time", seconds);
	add_number(argv, "--parallel", x->method->tcp.streams);
	add_number(argv, "--interval", (seconds + INTERVALS - 1) / INTERVALS);
	return argv;
}

static double number(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

static void copy(const json_t *o, const char *key, char *out, size_t size)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(out, size, "%s", s ? s : "");
}

static double mean_rtt(const json_t *streams)
{
	const json_t *one;
	double sum = 0;
	size_t i;

	json_array_foreach (streams, i, one)
		sum += number(json_object_get(one, "sender"), "mean_rtt");
	return i ? sum / (double)i : NAN;
}

int iperf_read(const char *text, struct iperf_result *r, struct err *e)
{
	json_error_t error;
	json_t *doc = json_loads(text, 0, &error);
	const json_t *start = json_object_get(doc, "start"), *end = json_object_get(doc, "end");
	const json_t *received = json_object_get(end, "sum_received");
	const json_t *sent = json_object_get(end, "sum_sent");
	const char *failed = json_string_value(json_object_get(doc, "error"));
	int rc = 0;

	if (!doc)
		return err_set(
			e, -EPROTO, "iperf3 wrote no JSON (%s): \"%.200s\"", error.text, text);
	*r = (struct iperf_result){
		.seconds = number(received, "seconds"),
		.received_bytes = number(received, "bytes"),
		.goodput_bps = number(received, "bits_per_second"),
		.sent_bps = number(sent, "bits_per_second"),
		.retransmits = number(sent, "retransmits"),
		.rtt_us = mean_rtt(json_object_get(end, "streams")),
		.mss = number(start, "tcp_mss_default"),
	};
	copy(start, "version", r->version, sizeof(r->version));
	copy(end, "sender_tcp_congestion", r->congestion, sizeof(r->congestion));
	if (failed)
		rc = err_set(e, -EIO, "iperf3: %.300s", failed);
	else if (isnan(r->goodput_bps) || isnan(r->received_bytes) || isnan(r->seconds))
		rc = err_set(e, -EPROTO,
			"%s did not say what was received: its JSON lacks \"sum_received\"",
			*r->version ? r->version : "iperf3");
	json_decref(doc);
	return rc;
}
