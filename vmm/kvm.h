/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side of the machine: the VM's fd, its memory, interrupt routes, irqfds and
 * ioeventfds, and the CPUID that vCPUs get. Made by the main thread; routes, irqfds and ioeventfds
 * are changed by whichever thread holds the device lock; the interrupt line calls take any thread.
 */
#ifndef LANYARD_VMM_KVM_H
#define LANYARD_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/gmem.h"

struct kvm {
	int dev_fd, vm_fd;
	int run_bytes;            /* of a vCPU's shared page(s) */
	bool software;            /* no VT-x or SVM behind it: ring 0 is interpreted */
	struct kvm_cpuid2 *cpuid; /* what every vCPU gets, topology aside (cpuid.h) */
	struct kvm_irq_routing *routing;
	unsigned routing_max;
	uint32_t next_gsi;
	unsigned next_slot;          /* of memory */
	int vfio_fd;                 /* tells KVM of devices that do DMA; -1: there are none */
	struct kvm_irqchip chips[3]; /* as after creation, for reset */
};

/*
 * Opens /dev/kvm and makes a VM with the in-kernel interrupt controllers. ERR_HOST with what to do:
 * there is no /dev/kvm, no permission, a capability is missing. without: CPU features to hide, as
 * cpuid_mask wants them, or NULL.
 */
int kvm_open(struct kvm *k, const char *without, struct err *e);
void kvm_close(struct kvm *k); /* also after a failure */

int kvm_set_memory(struct kvm *k, const struct gmem *g, struct err *e);
/* Slots for memory of other kinds (BARs): the number of the first of n. */
unsigned kvm_slots_new(struct kvm *k, unsigned n);
/* Shows host memory to the guest at gpa, or (bytes 0) no longer does. Multiples of 4096. */
int kvm_slot_set(struct kvm *k, unsigned slot, uint64_t gpa, void *host, uint64_t bytes);
/* A VFIO group whose devices the guest has, or no longer has. */
int kvm_vfio_group(struct kvm *k, int group_fd, bool add);

/* The interrupt controllers (PIC, IOAPIC) back to how they were made. */
int kvm_reset_irqchip(struct kvm *k);

/* The GSI, beyond the pins, of one MSI vector, and the message that it was last routed to. */
struct msi_route {
	uint32_t gsi; /* 0: none yet */
	uint64_t addr;
	uint32_t data;
};
/* Routes it to that message, taking a GSI at the first time. `who`, `vector`: for the log. */
int kvm_msi_route(struct kvm *k, struct msi_route *m, uint64_t addr, uint32_t data, const char *who,
	unsigned vector);
/* An eventfd raises gsi, or no longer does; what waits in the fd meanwhile is kept and raised when
 * it is attached again. */
int kvm_irqfd(struct kvm *k, int fd, uint32_t gsi, bool attach);
/* The same for a pin's level: the guest's end of interrupt lowers it and signals eoi_fd. */
int kvm_irqfd_level(struct kvm *k, int fd, int eoi_fd, uint32_t gsi, bool attach);
/* Writes of any length at addr signal fd, without an exit to us. */
int kvm_ioeventfd(struct kvm *k, int fd, uint64_t addr, bool attach);
/* Level of an ISA interrupt line. */
void kvm_irq_line(struct kvm *k, uint32_t irq, bool level);

#endif
