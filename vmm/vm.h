/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual machine: its parts, and what happens to it as a whole. docs/vmm.md has the picture.
 *
 * Threads: the main thread (event loop: RPC, serial sockets, signals, machine events), one per
 * vCPU, those of devices (a NIC's link). Locks: device_lock (PCI, virtio; never held over a wait),
 * a serial line's own, the vCPUs' own; none is taken while another is held but device_lock, which
 * is the outermost.
 */
#ifndef LANYARD_VMM_VM_H
#define LANYARD_VMM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/rpc.h"
#include "vmm/boot.h"
#include "vmm/device.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"
#include "vmm/options.h"
#include "vmm/pci.h"
#include "vmm/serial.h"
#include "vmm/vcpu.h"

#define VM_FAULTS_MAX       5 /* triple faults within the time below that are still resets */
#define VM_FAULTS_WITHIN_NS (10 * NS_PER_S)

struct vm {
	const struct vmm_options *opt;
	struct loop *loop;
	struct rpc_server *rpc;
	struct kvm kvm;
	struct gmem mem;
	struct boot_file kernel, initrd; /* initrd: fd -1 if there is none */
	struct vcpus vcpus;
	struct serial *com1, *com2;

	pthread_mutex_t device_lock; /* over bus, functions and devices */
	struct pci_bus bus;
	struct pci_function host_bridge;
	unsigned n_devices; /* in the order of their slots, from 1 on */
	struct device *devices[PCI_SLOTS - 1];

	int event_fd;       /* vCPU: w, main: r: look at events */
	atomic_uint events; /* enum vm_event; vCPU: w, main: takes */

	/* main thread */
	struct loop_handler *event_handler, *term_handler, *int_handler, *hup_handler;
	uint64_t started_ns;
	uint64_t resets;
	uint64_t fault_ns[VM_FAULTS_MAX]; /* the last triple faults, a ring */
	unsigned n_faults;
	const char *stop_reason; /* NULL: it runs */
	int status;              /* of the process */
};

/* Makes the machine, loads the guest and starts it. vm_free after a failure too. */
int vm_start(struct vm *vm, const struct vmm_options *opt, struct err *e);
/* Until the machine ends; returns the process's exit status. */
int vm_run(struct vm *vm);
void vm_free(struct vm *vm);

/* The reset button. Main thread. */
int vm_reset(struct vm *vm, struct err *e);
/* A press of the power button: the guest's ACPI is told, and does about it what it likes. Main
 * thread. */
void vm_power_button(struct vm *vm);
/* Any thread: has the main thread deal with it. */
void vm_post(struct vm *vm, enum vm_event event);

/* vm_io.c: what the guest's port and memory accesses reach. vCPU threads. */
extern const struct vcpu_ops vm_vcpu_ops;

/* control.c */
extern const struct rpc_method vm_methods[];

#endif
