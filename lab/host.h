/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host has: CPUs that we may use, memory, hugepages, KVM. Read once by a command and
 * handed to pure functions (place, plan, check), so that tests hand in any host they like.
 */
#ifndef LANYARD_LAB_HOST_H
#define LANYARD_LAB_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/pfs.h"
#include "config/topology.h"

#define HOST_HUGE_SIZE (2ull << 20) /* bytes of the hugepages that guests' memory is made of */

struct host_cpu {
	int cpu;
	int core;  /* the lowest CPU of its SMT siblings */
	int node;  /* NUMA node */
	int taken; /* by how many workers and vCPUs of other labs (lab_mark_taken) */
};

struct host {
	size_t n_cpus; /* those that sched_getaffinity allows, ascending */
	struct host_cpu cpus[TOPO_CPUS_MAX];
	uint64_t mem_total, mem_available; /* bytes; hugepages are not in mem_available */
	uint64_t huge_total, huge_free;    /* hugepages of 2 MiB */
	int n_nodes;                       /* NUMA nodes with memory, at least 1 */
	bool root;
	int kvm;               /* 0: /dev/kvm opens; -ENOENT, -EACCES...: why not */
	uint64_t huge_1g_free; /* hugepages of 1 GiB */
	char kernel[512];      /* that a Linux guest boots unless it names one; "": none */
	struct err kernel_why; /* why there is none */
	size_t n_pfs;          /* of the topology (host_see_pfs) */
	int pf_node[PFS_PFS_MAX]; /* their NUMA nodes; -1: not known */
};

/* root: "" for this host, or a folder that has proc/, sys/ and dev/ like it (tests); then all
 * CPUs found there are allowed. What can't be read is 0. LANYARD_KVM: a file to open in the place
 * of this host's /dev/kvm, for VMMs that are none. */
void host_read(const char *root, struct host *h);

/* Where the PFs of a topology are. */
void host_see_pfs(struct host *h, const struct topology *t);

/* The folder of this host's kernels: /boot, or LANYARD_BOOT. */
const char *host_boot(void);

/* The CPU's entry, or NULL if it is not there or not allowed. */
const struct host_cpu *host_find_cpu(const struct host *h, int cpu);

/* "0-3,8" of the allowed CPUs, to out; returns out. */
char *host_cpus_text(const struct host *h, char *out, size_t size);

/* The file that says how many 2 MiB hugepages there are: of one node, or of the host (node < 0).
 * To out[size]; returns out. */
char *host_hugepages_path(int node, char *out, size_t size);

/* A decimal number from a small file; -errno. */
int host_read_u64(const char *path, uint64_t *out);

#endif
