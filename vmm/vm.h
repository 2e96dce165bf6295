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
#include "vmm/pvpanic.h"
#include "vmm/serial.h"
#include "vmm/vcpu.h"
#include "vmm/vfio_host.h"

#define VM_FAULTS_MAX       5 /* triple faults within the time below that are still resets */
#define VM_FAULTS_WITHIN_NS (10 * NS_PER_S)

#define PVPANIC_SLOT   (PCI_SLOTS - 1)
#define VM_DEVICES_MAX (PCI_SLOTS - 2) /* that, and the host bridge */

enum vm_state { VM_CREATED, VM_RUNNING, VM_PAUSED, VM_STOPPED, VM_STATES };
extern const char *const vm_state_names[VM_STATES];

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
	struct device *devices[VM_DEVICES_MAX];
	struct pvpanic pvpanic;
	struct vfio_host vfio;

	int event_fd;       /* vCPU: w, main: r: look at events */
	atomic_uint events; /* enum vm_event; vCPU: w, main: takes */

	/* main thread */
	struct loop_handler *event_handler, *term_handler, *int_handler, *hup_handler;
	uint64_t started_ns;
	struct loop_handler *stop_timer; /* NULL, or the guest was asked to power off */
	enum vm_state state;
	uint64_t resets, panics;
	bool panicked;      /* since the last reset */
	uint32_t connected; /* devices whose back end was there at the last look, a bit each */
	uint64_t fault_ns[VM_FAULTS_MAX]; /* the last triple faults, a ring */
	uint64_t n_faults;
	const char *stop_reason; /* NULL: it runs */
	int status;              /* of the process */
};

/* Makes the machine, loads the guest and starts it. vm_free after a failure too. */
int vm_start(struct vm *vm, const struct vmm_options *opt, struct err *e);
/* Until the machine ends; returns the process's exit status. */
int vm_run(struct vm *vm);
void vm_free(struct vm *vm);

/* Loads the guest and points the vCPUs at it. None runs. */
int vm_load(struct vm *vm, struct err *e);

/* life.c. Main thread. ERR_REQUEST where the state does not allow it. */
int vm_begin(struct vm *vm, struct err *e); /* starts the vCPUs */
int vm_pause(struct vm *vm, struct err *e);
int vm_resume(struct vm *vm, struct err *e);
/* The reset button; cause is for those who are told. A paused machine stays so. */
int vm_reset(struct vm *vm, const char *cause, struct err *e);
/* grace_ms: how long the guest has to power itself off after a press of its button; 0: none. */
int vm_stop(struct vm *vm, uint64_t grace_ms, struct err *e);
void vm_events(void *arg, uint32_t unused);  /* of event_fd */
void vm_device_changed(void *arg);           /* any thread: a back end came or went */
void vm_panicked(void *arg, uint8_t events); /* any thread */
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
