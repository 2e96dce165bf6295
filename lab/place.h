/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs on which CPU. Pure: topology and host in, placement out.
 *
 * CPUs that the topology names are taken as they are. The rest are given out one at a time, first
 * to the workers (every frame passes through them), then to vCPUs in the topology's order, each
 * time the best CPU by these rules, in this order:
 *
 *	1. no worker of ours on it
 *	2. fewest vCPUs, and takers of other labs, on it
 *	3. on the home NUMA node
 *	4. no worker, 5. fewest vCPUs on its core
 *	6. not the host's first CPU, if CPUs are to spare
 *	7. lowest number
 *
 * The home node is that of the first CPU named for a worker, or of the lab's first PF, or the one
 * with most CPUs unnamed.
 */
#ifndef LANYARD_LAB_PLACE_H
#define LANYARD_LAB_PLACE_H

#include "base/err.h"
#include "config/topology.h"
#include "lab/host.h"
#include "lab/lab.h"
#include "lab/strs.h"

struct placement {
	size_t n; /* workers first, then vCPUs */
	struct lab_cpu *cpus;
	int home; /* NUMA node */
};

/* Returns 0, or -EINVAL (ERR_REQUEST, with the place in the file) if a CPU that the topology
 * names isn't there or not allowed. Warnings, which name who shares a CPU, are added to *w. */
int place_cpus(const struct topology *t, const struct host *h, struct placement *p, struct strs *w,
	struct err *e);
/* The same for a lab that is up: who is in keep (may be NULL; by name) and named no CPU stays
 * where it is, if that CPU is still there. */
int place_cpus_beside(const struct topology *t, const struct host *h, const struct placement *keep,
	struct placement *p, struct strs *w, struct err *e);
void place_free(struct placement *p);

/* The CPUs of node (-1: the workers) as "0,2", in order; "" if it has none. Returns out. */
char *place_list(const struct placement *p, int node, char *out, size_t size);

#endif
