/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanyard-traffic: the traffic engine on two vhost-user ports of any switch, from one thread. It
 * is the generator and the sink of the benchmarks, and a foreign client (DPDK's virtio-user) in the
 * tests. The trial's result goes to stdout as JSON; everything else to stderr. With --agent it is a
 * node of a lab instead (node.h).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "traffic/dpdk/device.h"
#include "traffic/dpdk/node.h"
#include "traffic/dpdk/options.h"
#include "traffic/dpdk/report.h"
#include "traffic/dpdk/run.h"

static volatile int stop; /* a signal: w, the poller: r */

static void on_signal(int signo)
{
	stop = 1;
}

static int ports_open(struct tg_trial *t, struct err *e)
{
	const struct tg_options *o = t->options;

	for (uint32_t i = 0; i < TG_PORTS; i++) {
		struct dpdk_port_config c = { .queue_size = o->queue_size,
			.tx_descriptors = o->tx_descriptors,
			.mac = o->mac[i] };
		int ret;

		c.len_max = (o->size > 1518 ? o->size : 1518) - ETHER_FCS_LEN;
		ret = tg_device_make(o, i, &c.ethdev, e);
		if (!ret)
			ret = dpdk_port_open(&t->port[i], &c, e);
		if (!ret)
			ret = traffic_engine_add_port(&t->engine, &t->port[i].port);
		if (ret)
			return ret;
	}
	return 0;
}

static int interfaces_open(struct tg_trial *t, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; i < TG_PORTS && !ret; i++) {
		ret = packet_port_open(&t->packet[i], t->options->socket[i], e);
		if (!ret)
			ret = traffic_engine_add_port(&t->engine, &t->packet[i].port);
	}
	return ret;
}

static int run(const struct tg_options *o, struct err *e)
{
	size_t size = (sizeof(struct tg_trial) + 63) & ~(size_t)63;
	struct tg_trial *t = aligned_alloc(64, size);
	int ret;

	if (!t)
		return err_set(e, -12, "no memory for the traffic engine");
	memset(t, 0, size);
	t->options = o;
	t->stop = &stop;
	for (uint32_t i = 0; i < TG_PORTS; i++)
		t->packet[i].fd = -1;
	/* Interfaces need nothing of DPDK's but its clock, which it has once it is started. */
	ret = o->interfaces ? tg_pin(o, e) : tg_eal_start(o, e);
	if (ret)
		goto out;
	traffic_engine_init(&t->engine, o->interfaces ? tg_tsc_measure() : tg_tsc_hz());
	ret = o->interfaces ? interfaces_open(t, e) : ports_open(t, e);
	if (!ret)
		ret = tg_trial_run(t, e);
	if (!ret) {
		ret = tg_report_print(t, stdout);
		if (ret)
			err_set(e, ret, "the result can't be written: %s", err_str(ret));
	}
	for (uint32_t i = 0; i < TG_PORTS; i++) {
		dpdk_port_close(&t->port[i]);
		packet_port_close(&t->packet[i]);
	}
	if (!o->interfaces)
		tg_eal_stop();
out:
	free(t);
	return ret;
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct tg_options o;
	struct err e = { 0 };
	bool help;

	if (tg_options_parse(argc, argv, &o, &help, &e)) {
		fprintf(stderr, "lanyard-traffic: %s\n%s", e.text, tg_usage);
		return ERR_REQUEST;
	}
	if (help) {
		fputs(tg_usage, stdout);
		return 0;
	}
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (o.agent) {
		if (tg_node_run(&o, &stop, &e) == 0)
			return 0;
		log_error("ended: %s", e.text);
		return e.class ? (int)e.class : ERR_FAILED;
	}
	if (run(&o, &e)) {
		fprintf(stderr, "lanyard-traffic: %s\n", e.text);
		return e.class ? (int)e.class : ERR_FAILED;
	}
	return 0;
}
