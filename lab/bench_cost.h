/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What traffic costs the host: CPU time of all that has to do with it, while it is sent, so that a
 * vNIC pays for its switch as a tap pays for its vhost thread and a VF for its interrupts.
 *
 *	switch	all threads of lanyard-switch
 *	nodes	of the nodes that take part: vCPUs and the VMM's own threads, or a process
 *	vhost	kernel threads of vhost-net that serve these nodes
 *	irq	interrupts and softirqs of the whole host (/proc/stat): nobody can tell whose
 *
 * CPU times of threads are the scheduler's (schedstat), in ns. Interrupts are in ticks, 10 ms on
 * most kernels; one that does not account for interrupts by themselves has part of their time in
 * the threads that they interrupted, too.
 */
#ifndef LANYARD_LAB_BENCH_COST_H
#define LANYARD_LAB_BENCH_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_cost_sample {
	bool known; /* all of the processes were there */
	uint64_t switch_ns, nodes_ns, vhost_ns;
	bool irq_known;
	uint64_t irq_ns;
	bool exits_known;
	uint64_t exits; /* of the nodes that are VMs: the caller's to fill in */
};

/* CPU seconds between two samples; NaN: not known. exits: n. */
struct bench_cost {
	double switch_s, nodes_s, vhost_s, irq_s, exits;
};

/* All CPU seconds of it: all cores charged. */
static inline double bench_cost_total(const struct bench_cost *c)
{
	return c->switch_s + c->nodes_s + c->vhost_s + c->irq_s;
}

/* proc: "/proc", or a test's folder; hz: ticks a second in its stat; switch_pid 0: there is none;
 * a node's 0: not known. */
struct bench_cost_sample bench_cost_read(
	const char *proc, long hz, pid_t switch_pid, const pid_t *nodes, size_t n_nodes);

struct bench_cost bench_cost_diff(
	const struct bench_cost_sample *before, const struct bench_cost_sample *after);

#endif
