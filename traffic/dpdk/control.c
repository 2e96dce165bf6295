/* SPDX-License-Identifier: Apache-2.0 */
/* See node.h. Here: the control thread. */
#include <errno.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#undef NS_PER_S /* DPDK has one of its own; ours is the same number */
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/rpc.h"
#include "traffic/dpdk/lines.h"
#include "traffic/dpdk/node.h"

#define LOOK_MS 100 /* at the links, and for a signal */

static void end(struct tg_node *n, const char *asked_by)
{
	n->asked_by = asked_by;
	atomic_store(&n->stop, true);
	loop_stop(n->loop);
}

/* ---- NODE.sock ---- */

static json_t *nic_info(struct tg_node *n, uint32_t i)
{
	const struct tg_options *o = n->options;
	char mac[ETHER_MAC_STR];
	bool link = atomic_load(&n->link[i]);

	return json_pack("{s:s, s:s, s:i, s:s, s:b, s:i, s:[], s:i, s:b}", "mac",
		ether_mac_str(o->mac[i], mac), "socket", o->socket[i], "mtu", (int)o->mtu[i],
		"link", link ? "up" : "down", "connected", link, "reconnects", 0, "features",
		"queues", 1, "needs_reset", 0);
}

static int method_info(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct tg_node *n = ctx;
	const struct tg_options *o = n->options;
	json_t *nics = json_array();

	for (uint32_t i = 0; i < o->n_ports; i++)
		json_array_append_new(nics, nic_info(n, i));
	*result = json_pack(
		"{s:s, s:s, s:i, s:s, s:s, s:n, s:I, s:b, s:[{s:o, s:i}], s:{}, s:i, s:f, s:o}",
		"name", "lanyard-traffic", "version", LANYARD_VERSION, "pid", (int)getpid(), "node",
		o->name, "state", "running", "reason", "memory_bytes",
		(json_int_t)o->memory_mb << 20, "huge", (int)n->huge, "vcpus", "cpu",
		o->cpu >= 0 ? json_integer(o->cpu) : json_null(), "tid", (int)n->poller_tid,
		"exits", "resets", 0, "uptime_s",
		(double)(clock_now_ns() - n->started_ns) / (double)NS_PER_S, "nics", nics);
	return 0;
}

static int method_stop(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct tg_node *n = ctx;

	n->asked_by = "stop"; /* once the reply has left: on_look */
	*result = json_object();
	return 0;
}

static const struct rpc_method methods[] = {
	{ "info", method_info, NULL },
	{ "stop", method_stop, NULL },
	{ 0 },
};

/* ---- NODE.agent ---- */

static size_t on_line(void *ctx, const char *line, size_t len, const char **reply)
{
	struct tg_node *n = ctx;

	n->line = line;
	n->line_len = len;
	atomic_store_explicit(&n->asked, true, memory_order_release);
	while (sem_wait(&n->answered) && errno == EINTR) {
	}
	if (n->agent.shutdown)
		n->asked_by = "shutdown";
	*reply = n->reply;
	return n->reply_len;
}

static const struct lines_ops lines_ops = {
	.line_max = AGENT_LINE_MAX,
	.line = on_line,
	.busy = "{\"jsonrpc\": \"2.0\", \"id\": null, \"error\": {\"code\": -32000, \"message\": "
		"\"this agent is taken by another client\", \"data\": {\"class\": 1, \"errno\": "
		"16}}}\n",
};

/* ---- the links ---- */

static void on_look(void *arg, uint32_t periods)
{
	struct tg_node *n = arg;

	if (*n->signalled)
		n->asked_by = "a signal";
	if (n->asked_by) {
		end(n, n->asked_by);
		return;
	}
	for (uint32_t i = 0; i < n->options->n_ports; i++) {
		struct rte_eth_link link = { 0 };

		if (rte_eth_link_get_nowait(n->port[i].ethdev, &link) == 0 &&
			link.link_status != RTE_ETH_LINK_DOWN)
			continue;
		atomic_store(&n->link[i], false);
		err_set(&n->why, -EPIPE, "the switch closed the connection of NIC %u (%s)", i,
			n->options->socket[i]);
		end(n, NULL);
		return;
	}
}

static void *control_main(void *arg)
{
	struct tg_node *n = arg;

	if (n->cpus)
		pthread_setaffinity_np(pthread_self(), sizeof(*n->cpus), n->cpus);
	loop_run(n->loop);
	return NULL;
}

static void sockets_free(struct tg_node *n)
{
	lines_free(n->lines);
	if (n->rpc)
		rpc_server_free(n->rpc);
	if (n->loop)
		loop_free(n->loop);
}

int tg_control_start(struct tg_node *n, struct err *e)
{
	const struct tg_options *o = n->options;
	int ret = 0;

	n->loop = loop_new(e);
	if (n->loop)
		n->rpc = rpc_server_new(n->loop, o->control, methods, n, e);
	if (n->rpc)
		n->lines = lines_new(n->loop, o->agent, &lines_ops, n, e);
	if (!n->lines)
		ret = e->code ? e->code : -EIO;
	else if (!loop_add_timer(n->loop, LOOK_MS * NS_PER_MS, LOOK_MS * NS_PER_MS, on_look, n))
		ret = err_set(e, -ENOMEM, "no memory for a timer");
	if (!ret) {
		ret = -pthread_create(&n->control, NULL, control_main, n);
		if (ret)
			err_set(e, ret, "no thread for the control sockets: %s", err_str(ret));
	}
	if (ret)
		sockets_free(n);
	return ret;
}

void tg_control_stop(struct tg_node *n)
{
	pthread_join(n->control, NULL);
	sockets_free(n);
}
