/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trial: warm up, measure, drain. Warming up teaches the switch both addresses and whatever else
 * it learns from frames, with the very traffic that is measured then; it goes on until frames have
 * arrived in each direction. Between the parts, and after, frames on their way are waited for.
 *
 * One thread polls; a signal's handler may set `stop`.
 */
#ifndef LANYARD_TRAFFIC_DPDK_RUN_H
#define LANYARD_TRAFFIC_DPDK_RUN_H

#include <stdint.h>

#include "base/err.h"
#include "traffic/dpdk/options.h"
#include "traffic/dpdk/port.h"
#include "traffic/packet/port.h"

/* Where the generator's own time went. A round that neither received nor sent is empty: it waited
 * for the switch. */
struct tg_load {
	uint64_t polls, empty_polls;
	uint64_t busy_cycles, empty_cycles;
	uint64_t frames; /* sent and received */
};

struct tg_trial {
	const struct tg_options *options;
	struct traffic_engine engine;
	struct dpdk_port port[TG_PORTS];
	/* Instead, where the ports are interfaces of Linux's. */
	struct packet_port packet[TG_PORTS];
	uint32_t n_directions;
	struct tg_load load; /* while sending was measured */
	uint64_t measured_tsc;
	uint64_t unsent[TG_PORTS]; /* counted as sent by the engine, but the ring never had room */
	const volatile int *stop;  /* set by a signal */
};

static inline struct traffic_port *tg_port(struct tg_trial *t, uint32_t i)
{
	return t->options->interfaces ? &t->packet[i].port : &t->port[i].port;
}

/* Measures. Flows of the engine afterwards: 2 * d sends in direction d, 2 * d + 1 receives;
 * direction d is from port d to the other. */
int tg_trial_run(struct tg_trial *t, struct err *e);

#endif
