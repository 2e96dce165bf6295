/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of lanyard-traffic. */
#ifndef LANYARD_TRAFFIC_DPDK_OPTIONS_H
#define LANYARD_TRAFFIC_DPDK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ether.h"
#include "base/units.h"
#include "traffic/engine.h"

#define TG_PORTS 2 /* of a trial; a node has up to TRAFFIC_PORTS_MAX */

struct tg_options {
	const char *socket[TRAFFIC_PORTS_MAX];
	struct ether_mac mac[TRAFFIC_PORTS_MAX];
	uint32_t mtu[TRAFFIC_PORTS_MAX]; /* 0: as the trial's frames need it */
	bool port_packed[TRAFFIC_PORTS_MAX], port_unmergeable[TRAFFIC_PORTS_MAX];
	uint32_t n_ports;
	uint32_t n_port_options; /* --port among them */
	bool interfaces;         /* the sockets are names of Linux's interfaces */
	/* A node of a lab, driven by its agent, instead of a trial: all three, or none. */
	const char *agent, *control, *name;
	uint64_t tsc_hz; /* 0: as DPDK measures it */
	bool server;     /* listen on the sockets: the switch connects */
	bool packed, mergeable, in_order, vectorized;
	uint32_t queue_size;
	uint32_t tx_descriptors; /* of queue_size; 0: all */
	int cpu;                 /* -1: wherever we may run */
	uint32_t memory_mb;
	bool no_huge;

	const char *size_name; /* as it was given */
	uint32_t size;         /* one size, or 0 for a mix */
	uint32_t n_mix;
	uint16_t mix[TRAFFIC_MIX_MAX];
	uint32_t flows;
	uint32_t macs; /* of each port */
	struct rate rate;
	uint64_t frames; /* of each direction; 0: no limit */
	double seconds, warmup_s;
	bool one_way;
	uint32_t body_every; /* verify every so many-th received frame to its end; a power of 2 */
};

extern const char tg_usage[];

/* Texts stay argv's. *help: only the usage is asked for. */
int tg_options_parse(int argc, char **argv, struct tg_options *o, bool *help, struct err *e);

/* Of a mix the mean, with FCS. */
double tg_mean_size(const struct tg_options *o);

#endif
