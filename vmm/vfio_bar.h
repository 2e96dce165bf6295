/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs of a passed-through device on the host's side: what may be is mapped (vfio_layout.h) and
 * shown to the guest where it decodes the BAR; the rest is read and written through VFIO, an access
 * at a time. Under the device lock, but for opening.
 */
#ifndef LANYARD_VMM_VFIO_BAR_H
#define LANYARD_VMM_VFIO_BAR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/kvm.h"
#include "vmm/vfio_fn.h"
#include "vmm/vfio_layout.h"

struct vfio_bar {
	uint64_t size, offset; /* in the device's fd */
	unsigned n_areas;
	struct vfio_area area[VFIO_AREAS_MAX];
	void *map[VFIO_AREAS_MAX];
	unsigned slot; /* KVM's, of the first area */
	bool shown[VFIO_AREAS_MAX];
	uint64_t base; /* where, if shown */
};

struct vfio_bars {
	const char *name; /* for the log */
	int device_fd;
	struct kvm *kvm;
	/* The guest's windows for BARs: what is elsewhere is not mapped, but trapped. */
	uint64_t first32, end32, first64, end64;
	struct vfio_bar bar[VFIO_BARS];
	unsigned warnings;
};

void vfio_bars_init(
	struct vfio_bars *b, uint64_t first32, uint64_t end32, uint64_t first64, uint64_t end64);
/* Asks the kernel, and maps. table, pba: where MSI-X is. vfio_bars_fini also after a failure. */
int vfio_bars_open(struct vfio_bars *b, const char *name, int device_fd,
	const struct vfio_place *table, const struct vfio_place *pba, struct kvm *kvm,
	struct err *e);
/* Shows and maps nothing any more. */
void vfio_bars_fini(struct vfio_bars *b);

/* Shows them where f decodes them now. */
void vfio_bars_move(struct vfio_bars *b, const struct pci_function *f);

uint64_t vfio_bars_read(struct vfio_bars *b, int bar, uint64_t off, unsigned len);
void vfio_bars_write(struct vfio_bars *b, int bar, uint64_t off, uint64_t v, unsigned len);

json_t *vfio_bars_info(const struct vfio_bars *b, const struct pci_function *f);

#endif
