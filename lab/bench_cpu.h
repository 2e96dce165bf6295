/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the processes of a lab had the CPU when they wanted it. The kernel counts for every
 * thread how long it ran and how long it waited in a run queue (/proc/PID/task/TID/schedstat): a
 * figure of a switch that waited a third of its time is no figure of the switch.
 */
#ifndef LANYARD_LAB_BENCH_CPU_H
#define LANYARD_LAB_BENCH_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <jansson.h>

#include "config/topology.h"

struct bench_cpu_sample {
	bool known;
	uint64_t run_ns, waited_ns; /* of all threads that there are */
};

/* Adds a thread's times; dir/id is its folder. False: it is gone, or the kernel does not count. */
bool bench_cpu_add_thread(const char *dir, const char *id, uint64_t *run_ns, uint64_t *waited_ns);

/* proc: "/proc", or a test's folder. A process that is gone is not known. */
struct bench_cpu_sample bench_cpu_read(const char *proc, pid_t pid);

/* The switch's process (who 0), out of its `info`, or the VMM's of node who - 1, which is a
 * vhost-user peer in the switch's `stats`. 0: not known. */
pid_t bench_cpu_pid(const struct topology *t, const json_t *info, const json_t *stats, size_t who);

/* All of them, the switch first: out has n_nodes + 1 elements. */
void bench_cpu_sample(const char *proc, const struct topology *t, const json_t *info,
	const json_t *stats, struct bench_cpu_sample *out);

#endif
