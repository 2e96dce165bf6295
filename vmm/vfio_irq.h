/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of a passed-through device: from the host's vector to an eventfd
 * (VFIO_DEVICE_SET_IRQS), from there to the guest (irqfd), all within the kernel.
 *
 * A message (MSI, MSI-X) that the guest masks loses its irqfd; its eventfd keeps what comes, and
 * KVM looks into it when it is attached again. Host vectors, GSIs and routes are taken when the
 * guest first unmasks a message, so a device that could have 64 and uses 3 has 3. Kernels before
 * 6.5 can't add a host vector to those that are there: all are given back and taken anew, and since
 * an interrupt may be lost in between, each live one is then raised once.
 *
 * The pin (INTx) is a level: KVM lowers it at the guest's end of interrupt and signals an eventfd
 * that has VFIO unmask the device's line again.
 *
 * Under the device lock, by vCPU threads and, at a reset, by the main thread.
 */
#ifndef LANYARD_VMM_VFIO_IRQ_H
#define LANYARD_VMM_VFIO_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/kvm.h"
#include "vmm/vfio_fn.h"

struct vfio_vector {
	int fd;
	struct msi_route msi;
	bool attached; /* an irqfd: it is live */
	bool used;     /* it was live since the mode began, so the host has a vector for it */
};

struct vfio_irqs {
	const char *name; /* for the log */
	struct kvm *kvm;
	int device_fd; /* -1: the device is gone */
	unsigned n;    /* vectors that may be used, with an eventfd each */
	struct vfio_vector v[VFIO_VECTORS_MAX];
	int pin_fd, eoi_fd; /* -1: it has no pin */
	uint32_t pin_gsi;
	bool grows; /* the kernel can add a vector to MSI-X */
	enum vfio_irq_mode mode;
	unsigned host_vectors; /* that VFIO has taken */
	unsigned warnings;
};

/* n: messages at most; pin_gsi: of the pin, 0: it has none. vfio_irqs_fini also after a failure. */
int vfio_irqs_init(struct vfio_irqs *q, const char *name, struct kvm *kvm, int device_fd,
	unsigned n, uint32_t pin_gsi, struct err *e);
void vfio_irqs_fini(struct vfio_irqs *q);

/* As vfio_fn_ops'. */
void vfio_irqs_mode(struct vfio_irqs *q, enum vfio_irq_mode mode, unsigned n);
void vfio_irqs_vector(
	struct vfio_irqs *q, unsigned vector, bool live, uint64_t addr, uint32_t data);
bool vfio_irqs_pending(const struct vfio_irqs *q, unsigned vector);

/* How many messages are live now. */
unsigned vfio_irqs_live(const struct vfio_irqs *q);

/* VFIO_DEVICE_SET_IRQS for n eventfds (-1: none) of `index` from `start` on; n 0: all of it is
 * given up. 0 or -errno. */
int vfio_irqs_set(int device_fd, uint32_t index, unsigned start, unsigned n, const int *fds);
/* How many interrupts `index` has; *flags may be NULL. */
unsigned vfio_irqs_count(int device_fd, uint32_t index, uint32_t *flags);

#endif
