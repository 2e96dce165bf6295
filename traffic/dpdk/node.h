/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanyard-traffic as a node of a lab: ports at the switch, the traffic engine, and the agent that
 * drives it (docs/control.md), the same as in the probe. Two threads:
 *
 *	poller    the main thread, pinned: polls the engine, and answers the agent's lines between
 *	          two rounds, since the engine is its alone
 *	control   the sockets: NODE.sock (info, stop) and NODE.agent, whose lines it hands to the
 *	          poller, waiting for the answer; the links
 *
 * A node ends when it is asked to, or when the switch has closed a connection: `lanyard up` starts
 * it again.
 */
#ifndef LANYARD_TRAFFIC_DPDK_NODE_H
#define LANYARD_TRAFFIC_DPDK_NODE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "traffic/agent.h"
#include "traffic/dpdk/options.h"
#include "traffic/dpdk/port.h"

struct tg_node {
	const struct tg_options *options;
	const volatile int *signalled; /* by a signal's handler */
	uint64_t started_ns;
	pid_t poller_tid;
	bool huge;
	struct dpdk_port port[TRAFFIC_PORTS_MAX]; /* poller: rw, but for the link */
	struct traffic_engine engine;             /* poller */
	struct agent agent;                       /* poller */

	/* A line for the agent. While `asked`, all of it is the poller's. */
	atomic_bool asked; /* control: w true, poller: w false */
	sem_t answered;    /* posted by the poller */
	const char *line;  /* NULL: one that was too long */
	size_t line_len, reply_len;
	char reply[AGENT_REPLY_MAX];

	atomic_bool link[TRAFFIC_PORTS_MAX]; /* control: w, poller: r */
	atomic_bool stop;                    /* control: w, poller: r */
	struct err why;                      /* control: w before stop; code 0: asked to */
	const char *asked_by;                /* "stop", "shutdown", a signal; as why */

	/* control.c */
	cpu_set_t *cpus; /* where the control thread may run */
	pthread_t control;
	struct loop *loop;
	struct rpc_server *rpc;
	struct lines *lines;
};

/* Runs until it is told to end. The log says what happens; *e why it ended, if nobody asked. */
int tg_node_run(const struct tg_options *o, const volatile int *signalled, struct err *e);

/* control.c: makes the sockets and the thread; takes them away. */
int tg_control_start(struct tg_node *n, struct err *e);
void tg_control_stop(struct tg_node *n);

#endif
