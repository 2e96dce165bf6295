/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The topology model: what a topology file (docs/topology.md) says, typed and validated.
 *
 *	file -> topology_load (decode: shapes, units, unknown keys; then validate: names that must
 *	exist, uniqueness, sizes against MTUs) -> struct topology -> lab/ makes a plan of it.
 *
 * Every error has a place, "FILE:LINE:COL: ...", and class ERR_REQUEST. The model owns all its
 * strings. Nothing here looks at the host: what depends on it (memory, CPUs, the guest's file) is
 * checked by lab/ with the places kept here.
 */
#ifndef LANYARD_CONFIG_TOPOLOGY_H
#define LANYARD_CONFIG_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ether.h"
#include "base/units.h"

#define TOPO_NAME_MAX       32 /* bytes of a lab's, network's, node's name, NUL not counted */
#define TOPO_NICS_MAX       16 /* per node */
#define TOPO_QUEUES_MAX     16 /* queue pairs per NIC */
#define TOPO_VCPUS_MAX      64
#define TOPO_CPUS_MAX       1024
#define TOPO_FRAME_MIN      64   /* bytes with FCS */
#define TOPO_FRAME_MAX      9234 /* MTU 9216 + 14 + 4 */
#define TOPO_MTU_MIN        68
#define TOPO_MTU_MAX        9216
#define TOPO_SIZES_MAX      16 /* frame sizes per traffic entry */
#define TOPO_SECONDS_MAX    3600
#define TOPO_NODE_FLOWS_MAX 32  /* of one trial, sent and received, that a guest's agent takes */
#define TOPO_ITEMS_MAX      256 /* networks; nodes; traffic entries */
#define TOPO_FILE_MAX       (1u << 20) /* bytes */

struct topo_place {
	int line, col; /* from 1; 0: not in the file (a default) */
};

/* A list of CPUs, or automatic (n == 0). Sorted, unique. */
struct topo_cpus {
	size_t n;
	int *cpu;
	struct topo_place place;
};

enum topo_poll { TOPO_POLL_ADAPTIVE, TOPO_POLL_BUSY };

struct topo_switch {
	struct topo_cpus cpus; /* of workers: one worker each; automatic: lab/ decides */
	enum topo_poll poll;
	struct topo_place place;
};

struct topo_network {
	char *name;
	uint32_t mtu;      /* 1500 unless given */
	uint32_t ageing_s; /* of learnt addresses; 300 unless given */
	struct topo_place place;
};

enum topo_node_kind { TOPO_VM, TOPO_PROCESS, TOPO_EXTERNAL };

struct topo_nic {
	size_t network;       /* index in networks */
	struct ether_mac mac; /* given, or made from lab, node and NIC index: 02:... */
	bool mac_given;
	uint32_t queues; /* queue pairs offered; 1 unless given */
	struct topo_place place, mac_place;
};

struct topo_node {
	char *name;
	enum topo_node_kind kind;
	char *guest; /* VM: "probe", or the path of an ELF with a PVH note, relative to the file */
	uint32_t vcpus;
	uint64_t memory; /* bytes, a multiple of 2 MiB */
	struct topo_cpus cpus;
	size_t n_nics;
	struct topo_nic *nics;
	struct topo_place place, guest_place, memory_place, vcpus_place;
};

struct topo_end {
	size_t node, nic; /* indexes */
};

/* One direction: "both_ways" makes two, "all_pairs" of n ends n * (n - 1). */
struct topo_flow {
	struct topo_end from, to;
};

struct topo_traffic {
	char *name;
	size_t n_flows; /* they run at once */
	struct topo_flow *flows;
	size_t n_sizes;
	uint32_t size[TOPO_SIZES_MAX]; /* bytes with FCS; one trial each */
	struct rate rate;              /* of each flow */
	double seconds;                /* of a trial */
	double max_loss;               /* lost / sent that is still a pass; < 0: nothing demanded */
	char *group;                   /* entries of one group run at once; NULL: on its own */
	uint32_t group_id;             /* 1, 2, ... in the order of the file; 0: none */
	struct topo_place place;
};

struct topology {
	char *file; /* as given */
	char *lab;
	struct topo_switch sw;
	size_t n_networks, n_nodes, n_traffic;
	struct topo_network *networks;
	struct topo_node *nodes;
	struct topo_traffic *traffic;
};

/* file: shown in messages. Returns 0 and a model to be freed, or -errno. */
int topology_load(const char *file, struct topology **out, struct err *e);
int topology_parse(
	const char *file, const char *text, size_t len, struct topology **out, struct err *e);
void topology_free(struct topology *t);

/*
 * "FILE:LINE:COL: sentence" (no place: "FILE: sentence") for what is found wrong with the topology
 * after it was loaded, such as more memory than the host has. Returns code.
 */
int topology_error(const struct topology *t, struct topo_place place, enum err_class class,
	int code, struct err *e, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* The name of a NIC's port: "NODE.INDEX", to out[TOPO_NAME_MAX + 12]; returns out. */
char *topology_port_name(const struct topology *t, size_t node, size_t nic, char *out);

#endif
