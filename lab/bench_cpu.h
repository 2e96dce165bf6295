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

/* proc: "/proc", or a test's folder. A process that is gone is not known. */
struct bench_cpu_sample bench_cpu_read(const char *proc, pid_t pid);

/*
 * The switch at out[0], node i at out[i + 1]: out has n_nodes + 1 elements. The switch's pid is in
 * its `info`; those of VMMs are in its `stats`, as their vhost-user peers.
 */
void bench_cpu_sample(const char *proc, const struct topology *t, const json_t *info,
	const json_t *stats, struct bench_cpu_sample *out);

#endif
