/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device in a machine that KVM runs: virtio_pci.h's registers with their plumbing. Each
 * queue's kick is an eventfd (an ioeventfd where the guest writes), each interrupt an eventfd (an
 * irqfd while its MSI-X vector is live). Whoever serves the queues, a back end in another process
 * or a thread of ours, has nothing but these fds and the rings.
 *
 * Called under the device lock: by vCPU threads through the registers, by the device's own thread.
 */
#ifndef LANYARD_VMM_VDEV_H
#define LANYARD_VMM_VDEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"
#include "vmm/virtio_pci.h"

struct vdev_ops {
	/* As virtio_pci_ops'. features_ok, started may be NULL. */
	uint64_t (*features)(void *arg);
	bool (*features_ok)(void *arg, uint64_t acked);
	void (*started)(void *arg);
	bool (*reset)(void *arg);
};

/* An eventfd that interrupts the guest through an MSI-X vector. */
struct vdev_irq {
	int fd;
	uint16_t vector; /* or VIRTIO_NO_VECTOR */
	bool attached;   /* an irqfd: the vector is live */
};

struct vdev {
	char name[16]; /* "nic 0": for the log */
	struct kvm *kvm;
	const struct gmem *mem;
	pthread_mutex_t *lock; /* the device lock: over v, irq[], route[] and mapped */
	const struct vdev_ops *ops;
	void *arg;
	void (*changed)(void *arg); /* struct vdev_host */
	void *changed_arg;

	struct virtio_pci v;
	int kick_fd[VIRTIO_QUEUES_MAX];             /* constant */
	struct vdev_irq irq[VIRTIO_QUEUES_MAX + 1]; /* the last of n_queues + 1: configuration */
	struct msi_route route[VIRTIO_QUEUES_MAX + 1];
	uint64_t mapped; /* where the ioeventfds are, or 0 */
};

/* What all devices of a machine share. */
struct vdev_host {
	struct kvm *kvm;
	const struct gmem *mem;
	pthread_mutex_t *lock;
	void (*changed)(void *arg); /* a back end came or went; any thread. Or NULL */
	void *changed_arg;
};

/*
 * setup->name is set here, from `kind` ("nic") and `index`; the rest is as virtio_pci_init wants it.
 * ops and arg are kept. vdev_fini also after a failure.
 */
int vdev_init(struct vdev *d, const char *kind, unsigned index, struct virtio_pci_setup *setup,
	const struct vdev_host *host, const struct vdev_ops *ops, void *arg, struct err *e);
void vdev_fini(struct vdev *d);

/* Interrupts the guest for a queue. Any thread, no lock. */
void vdev_interrupt(struct vdev *d, unsigned queue);

#endif
