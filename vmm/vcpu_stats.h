/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel counts of a vCPU: KVM's binary statistics (HLT, for one, never leaves the
 * kernel), and how its thread spent its time. Files are opened early, since the
 * sandbox opens none; they are read by the main thread.
 */
#ifndef LANYARD_VMM_VCPU_STATS_H
#define LANYARD_VMM_VCPU_STATS_H

#include <stdint.h>

struct vcpu_stat {
	int fd; /* -1: this KVM does not tell */
	int64_t offset;
};

/* Finds counter `name` ("halt_exits"). Before the vCPU runs: a vCPU's ioctls wait for KVM_RUN. */
void vcpu_stat_open(struct vcpu_stat *s, int vcpu_fd, const char *name);
void vcpu_stat_close(struct vcpu_stat *s);
/* Its value now, or 0; any time, any thread. */
uint64_t vcpu_stat_get(const struct vcpu_stat *s);

/* Calls fn for each of KVM's counters of the vCPU; histograms are left out. */
void vcpu_stat_each(const struct vcpu_stat *s,
	void (*fn)(void *arg, const char *name, uint64_t value), void *arg);

struct vcpu_time_files {
	int stat, sched; /* -1: not there */
};
struct vcpu_times {
	uint64_t user_ns, system_ns, guest_ns; /* in steps of the kernel's clock tick */
	uint64_t run_ns, wait_ns;              /* on a CPU; ready to run, and without one */
};

/* Of the calling thread; task_fd: /proc/self/task. */
struct vcpu_time_files vcpu_times_open(int task_fd);
void vcpu_times_close(struct vcpu_time_files *f);
struct vcpu_times vcpu_times_get(const struct vcpu_time_files *f);

#endif
