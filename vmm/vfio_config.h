/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's copy of a passed-through device's configuration space is made here, for vfio_fn.c
 * alone; vfio_fn.h says what is in it. */
#ifndef LANYARD_VMM_VFIO_CONFIG_H
#define LANYARD_VMM_VFIO_CONFIG_H

#include "vmm/vfio_fn.h"

int vfio_config_make(struct vfio_fn *f, const uint8_t config[PCI_CONFIG_BYTES],
	const struct vfio_fn_bar bars[VFIO_BARS], const struct pci_ops *ops,
	const struct msix_ops *msix_ops, struct err *e);

#endif
