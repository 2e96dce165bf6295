/* SPDX-License-Identifier: Apache-2.0 */
/* See node.h. Here: the poller. */
#include "traffic/dpdk/node.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#undef NS_PER_S /* DPDK has one of its own; ours is the same number */
#include "base/clock.h"
#include "base/hugepages.h"
#include "base/log.h"
#include "traffic/dpdk/device.h"

#define MEMORY_MB    64
#define YIELD_ROUNDS 64      /* empty ones, after which who shares the CPU may have it */
#define QUIET_S      5       /* with no frame and none due, after which the poller naps */
#define NAP_NS       1000000 /* shorter than what a ring holds at rates that a VM can send */

static uint32_t agent_n_nics(void *ctx)
{
	return ((struct tg_node *)ctx)->options->n_ports;
}

static void agent_nic(void *ctx, uint32_t i, struct agent_nic *out)
{
	struct tg_node *n = ctx;

	*out = (struct agent_nic){
		.mac = n->options->mac[i],
		.mtu = n->options->mtu[i],
		.queues = 1,
		.link = atomic_load_explicit(&n->link[i], memory_order_relaxed),
	};
}

static uint64_t agent_halts(void *ctx)
{
	return 0;
}

static const struct agent_ops agent_ops = { agent_n_nics, agent_nic, agent_halts };

static void answer(struct tg_node *n)
{
	if (!atomic_load_explicit(&n->asked, memory_order_acquire))
		return;
	n->reply_len = n->line
		? agent_handle(&n->agent, n->line, n->line_len, n->reply, sizeof(n->reply))
		: agent_line_too_long(n->reply, sizeof(n->reply));
	atomic_store_explicit(&n->asked, false, memory_order_release);
	sem_post(&n->answered);
}

/* Nothing came and nothing was due in this round. */
static void idle(struct tg_node *n, uint64_t rounds, uint64_t since_tsc)
{
	static const struct timespec nap = { .tv_nsec = NAP_NS };

	if (rounds % YIELD_ROUNDS) {
		rte_pause();
		return;
	}
	if (traffic_engine_next(&n->engine) == UINT64_MAX &&
		traffic_tsc() - since_tsc > QUIET_S * n->engine.tsc_hz)
		nanosleep(&nap, NULL);
	else
		sched_yield();
}

static void poll_for_ever(struct tg_node *n)
{
	uint64_t rounds = 0, since = traffic_tsc();

	while (!atomic_load_explicit(&n->stop, memory_order_relaxed)) {
		uint32_t moved = traffic_engine_poll(&n->engine);

		for (uint32_t i = 0; i < n->options->n_ports; i++)
			if (n->port[i].tx_done < n->port[i].tx_committed)
				moved += dpdk_port_flush(&n->port[i]) == 0;
		answer(n);
		if (moved) {
			rounds = 0;
			continue;
		}
		if (rounds++ == 0)
			since = traffic_tsc();
		idle(n, rounds, since);
	}
}

static int ports_open(struct tg_node *n, struct err *e)
{
	const struct tg_options *o = n->options;

	for (uint32_t i = 0; i < o->n_ports; i++) {
		struct dpdk_port_config c = { .queue_size = o->queue_size,
			.tx_descriptors = o->tx_descriptors,
			.mac = o->mac[i] };
		int ret = tg_device_make(o, i, &c.ethdev, e);

		c.len_max = o->mtu[i] + ETHER_HDR_LEN;
		if (!ret)
			ret = dpdk_port_open(&n->port[i], &c, e);
		if (ret)
			return err_prefix(e, "port %s", o->socket[i]);
		traffic_engine_add_port(&n->engine, &n->port[i].port);
		atomic_store(&n->link[i], true);
	}
	return 0;
}

static int serve(struct tg_node *n, struct err *e)
{
	int ret = tg_control_start(n, e);

	if (ret)
		return ret;
	log_info("ready: %u port%s, CPU %d", n->options->n_ports,
		n->options->n_ports == 1 ? "" : "s", n->options->cpu);
	poll_for_ever(n);
	tg_control_stop(n);
	if (n->why.code) {
		*e = n->why;
		return n->why.code;
	}
	log_info("ended: asked by %s", n->asked_by);
	return 0;
}

/* What isn't given is as a lab's node needs it. */
static struct tg_options settle(const struct tg_options *o)
{
	struct tg_options s = *o;

	s.memory_mb = s.memory_mb ? s.memory_mb : MEMORY_MB;
	for (uint32_t i = 0; i < s.n_ports; i++)
		s.mtu[i] = s.mtu[i] ? s.mtu[i] : 1500;
	if (!s.no_huge && !hugepages_free(s.memory_mb)) {
		log_warn("no %u MiB of hugepages are free: ordinary memory, slower", s.memory_mb);
		s.no_huge = true;
	}
	return s;
}

int tg_node_run(const struct tg_options *given, const volatile int *signalled, struct err *e)
{
	size_t size = (sizeof(struct tg_node) + 63) & ~(size_t)63;
	struct tg_node *n = aligned_alloc(64, size);
	struct tg_options o = settle(given);
	cpu_set_t cpus;
	int ret;

	if (!n)
		return err_set(e, -ENOMEM, "no memory for the traffic engine");
	memset(n, 0, size);
	n->options = &o;
	n->signalled = signalled;
	n->started_ns = clock_now_ns();
	n->poller_tid = gettid();
	n->huge = !o.no_huge;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n->cpus = &cpus; /* before we are pinned */
	sem_init(&n->answered, 0, 0);
	ret = tg_eal_start(&o, e);
	if (ret)
		goto out;
	traffic_engine_init(&n->engine, o.tsc_hz ? o.tsc_hz : tg_tsc_hz());
	traffic_engine_seed(&n->engine, ether_mac_u64(o.mac[0]));
	n->agent = (struct agent){
		.ops = &agent_ops, .ctx = n, .engine = &n->engine, .guest = "process"
	};
	ret = ports_open(n, e);
	if (!ret)
		ret = serve(n, e);
	for (uint32_t i = 0; i < o.n_ports; i++)
		dpdk_port_close(&n->port[i]);
	tg_eal_stop();
out:
	sem_destroy(&n->answered);
	free(n);
	return ret;
}
