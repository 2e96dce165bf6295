/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs: a thread each that runs the guest and hands its exits to the machine. The main thread
 * makes, pauses, resets and ends them; a vCPU thread only runs, parks and counts.
 *
 *	made -> running <-> parked -> ended
 *
 * vcpus_pause returns when all are parked: none runs guest code, none is in a handler, and no
 * half-done access is left in the kernel. State may be set only then (or before vcpus_start).
 */
#ifndef LANYARD_VMM_VCPU_H
#define LANYARD_VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vmm/cpuid.h"
#include "vmm/kvm.h"
#include "vmm/vcpu_state.h"
#include "vmm/vcpu_stats.h"

/* Why the guest stopped running for us: the counters of `info`. */
#define VCPU_EXITS(X)                       \
	X(IO, "io")                         \
	X(MMIO, "mmio")                     \
	X(HLT, "hlt")                       \
	X(SHUTDOWN, "shutdown")             \
	X(INTR, "intr")                     \
	X(INTERNAL_ERROR, "internal_error") \
	X(OTHER, "other")

enum vcpu_exit {
#define X(id, name) EXIT_##id,
	VCPU_EXITS(X)
#undef X
		EXIT_MAX,
};
extern const char *const vcpu_exit_names[EXIT_MAX];

/* What a guest asks of the machine; the main thread carries it out. */
enum vm_event {
	VM_EVENT_POWER_OFF = 1 << 0,
	VM_EVENT_RESET = 1 << 1, /* the guest's reset button */
	VM_EVENT_TRIPLE_FAULT = 1 << 2,
	VM_EVENT_BROKEN = 1 << 3, /* KVM cannot go on */
	VM_EVENT_STOP = 1 << 4,   /* a request of ours: RPC or signal */
	VM_EVENT_PANICKED = 1 << 5,
	VM_EVENT_CRASH_LOADED = 1 << 6, /* it panicked, and boots a crash kernel */
	VM_EVENT_DEVICE = 1 << 7,       /* a back end came or went */
};

struct vcpu_ops {
	/* data: count items of size bytes each, one after the other, all for one port. */
	void (*pio)(
		void *arg, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out);
	void (*mmio)(void *arg, uint64_t addr, uint8_t *data, unsigned len, bool write);
	/* The vCPU will not run on until the main thread has dealt with it. */
	void (*event)(void *arg, enum vm_event event);
};

struct vcpu {
	struct vcpus *all;
	unsigned index;
	int fd;
	int cpu; /* pinned to, or -1 */
	struct kvm_run *run;
	pthread_t thread;
	_Atomic bool has_thread;          /* main: w, vCPUs: r */
	_Atomic pid_t tid;                /* vCPU: w, main: r */
	_Atomic uint64_t exits[EXIT_MAX]; /* vCPU: w, main: r */
	struct vcpu_state *initial;
	struct vcpu_stat halts; /* KVM's count of HLTs; its fd has KVM's other counters */
	struct vcpu_time_files times;
	_Atomic bool times_open; /* vCPU: w, main: r: `times` is constant from here on */
};

struct vcpus {
	struct kvm *kvm;
	int task_fd; /* /proc/self/task */
	unsigned n;
	struct cpu_topology topology;
	struct vcpu *v;
	const struct vcpu_ops *ops;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t parked_cond, resume_cond;
	unsigned parked; /* under lock */
	bool quit;       /* under lock */
	atomic_bool pause;
};

/* cpus: n_cpus CPUs to pin to, or n_cpus 0: none. */
int vcpus_new(struct vcpus *all, struct kvm *k, const struct cpu_topology *t, const int *cpus,
	unsigned n_cpus, const struct vcpu_ops *ops, void *arg, struct err *e);
void vcpus_free(struct vcpus *all); /* ends the threads; also after a failure */

/* The first begins at *entry, the others wait for INIT/SIPI. */
int vcpus_reset(struct vcpus *all, const struct vcpu_entry *entry, struct err *e);

int vcpus_start(struct vcpus *all, struct err *e);
void vcpus_pause(struct vcpus *all);
void vcpus_resume(struct vcpus *all);
/* From a vCPU's handler: this vCPU runs no more guest code until the next resume. */
void vcpus_pause_from_handler(struct vcpus *all);

#endif
