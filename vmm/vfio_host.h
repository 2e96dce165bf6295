/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VFIO on the host's side: the container of this machine's devices, their IOMMU groups, and the
 * guest's memory as the devices see it. All devices share one container, in which all of the
 * guest's RAM, and nothing else, is mapped at its guest-physical address while a device is there:
 * a device's DMA reaches the guest's RAM or is stopped by the IOMMU. What is mapped stays in memory
 * ("locked"), all of it.
 *
 * Main thread.
 */
#ifndef LANYARD_VMM_VFIO_HOST_H
#define LANYARD_VMM_VFIO_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"

#define VFIO_GROUPS_MAX 16

struct vfio_group {
	unsigned number;
	int fd;
	unsigned users; /* devices of it that are open */
};

struct vfio_host {
	struct kvm *kvm;
	const struct gmem *mem;
	int container; /* -1: no device yet */
	unsigned n_groups;
	struct vfio_group groups[VFIO_GROUPS_MAX];
	unsigned users;  /* open devices, which the mappings are for */
	unsigned mapped; /* regions of mem */
	uint64_t mapped_bytes;
};

void vfio_host_init(struct vfio_host *h, struct kvm *kvm, const struct gmem *mem);
/* Closes what is open. All devices are closed. */
void vfio_host_fini(struct vfio_host *h);

/*
 * Opens a device whose IOMMU group is `group`, and maps the guest's memory for it if it is the
 * first one. token: of a VF whose PF is given away too, or NULL. Returns the device's fd, which the
 * caller gives back; or ERR_HOST with a sentence that says what to do.
 */
int vfio_host_open(
	struct vfio_host *h, const char *addr, unsigned group, const char *token, struct err *e);
/* Closes *fd. The last device of a group frees the group, the last of all unmaps the memory. */
void vfio_host_close(struct vfio_host *h, int *fd, unsigned group);

#endif
