/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bench will do: the topology's traffic as a list of trials, and the requests that carry
 * one out. Pure: no root, no process, no clock.
 *
 *	traffic entries -> sections (an entry on its own, or a group) -> a trial for each frame size
 *
 * In a trial every flow has an id of its own, 1..n, by which sender and receiver know it.
 */
#ifndef LANYARD_LAB_BENCH_PLAN_H
#define LANYARD_LAB_BENCH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/err.h"
#include "config/topology.h"

#define BENCH_ROUNDS_MAX 100
/* One would do for the switch to learn an address. */
#define BENCH_LEARN_FRAMES 4

struct bench_opts {
	unsigned rounds;  /* of each trial */
	const char *only; /* name of a traffic entry or group; NULL: all */
	double seconds;   /* instead of the topology's; 0: as it says */
};

struct bench_flow {
	unsigned id;
	size_t entry; /* index in the topology's traffic */
	struct topo_end from, to;
	uint32_t size;      /* bytes with FCS; of a mix the mean */
	bool imix;          /* a mix: 64, 594 and 1518 bytes */
	uint32_t l4_flows;  /* UDP source ports */
	uint64_t rate_mfps; /* frames per 1000 s; 0: flat out */
	uint64_t frames;    /* to stop after; 0: none */
	double seconds;     /* 0: the trial's */
	double delay_s;     /* from the trial's beginning on */
	double max_loss;    /* as in struct topo_traffic */
};

#define BENCH_IMIX_MEAN 362 /* (7 * 64 + 4 * 594 + 1518) / 12 */

struct bench_trial {
	size_t section;    /* trials of one section stand together */
	const char *title; /* of the section; the topology's string */
	bool group;
	bool flat_out; /* a flow of it at least has no rate */
	const struct topo_method
		*method; /* its rate is searched for: not a trial but many; or NULL */
	double seconds;
	size_t n_flows;
	struct bench_flow *flows;
	unsigned id_base; /* its frames carry flow.id + id_base: bench_run_trial's to set */
};

struct bench_plan {
	size_t n_sections, n_trials;
	struct bench_trial *trials;
};

/* ERR_REQUEST: no traffic, or no entry of the name in o->only (the nearest is named). */
int bench_plan_make(
	const struct topology *t, const struct bench_opts *o, struct bench_plan *p, struct err *e);
void bench_plan_free(struct bench_plan *p);

/* The rate of a flow in frames per 1000 s: at least 1 unless it is flat out (0). */
uint64_t bench_rate_mfps(const struct rate *r, uint32_t size);

/* Whether it is no traffic of the engine's, but TCP of Linux guests. */
bool bench_is_tcp(const struct bench_trial *trial);

/* Whether the node sends or receives in the trial. */
bool bench_node_sends(const struct bench_trial *trial, size_t node);
bool bench_node_receives(const struct bench_trial *trial, size_t node);
/* The other end of the first flow that the NIC takes part in, or NULL. */
const struct topo_end *bench_peer(const struct bench_trial *trial, size_t node, size_t nic);
bool bench_nic_takes_part(const struct bench_trial *trial, size_t node, size_t nic);

/*
 * Parameters of the agents' `traffic_start` (docs/control.md), new references.
 * receive: the node's receivers, all counters forgotten. send: its senders, for the trial's time.
 * learn: all forgotten, and a few small frames from each of the node's NICs in the trial, so that
 * the switch knows their addresses and no frame of the trial is flooded.
 */
json_t *bench_params_receive(const struct topology *t, const struct bench_trial *x, size_t node);
json_t *bench_params_send(const struct topology *t, const struct bench_trial *x, size_t node);
json_t *bench_params_counters(const struct topology *t, const struct bench_trial *x, size_t node);
json_t *bench_params_learn(const struct topology *t, const struct bench_trial *x, size_t node);

#endif
