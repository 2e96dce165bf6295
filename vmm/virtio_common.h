/* SPDX-License-Identifier: Apache-2.0 */
/* Between virtio_pci.c and virtio_common.c: the common configuration's registers. */
#ifndef LANYARD_VMM_VIRTIO_COMMON_H
#define LANYARD_VMM_VIRTIO_COMMON_H

#include "vmm/virtio_pci.h"

#define VIRTIO_COMMON_LEN 56 /* bytes of struct virtio_pci_common_cfg */

/* len 1, 2, 4 or 8; what is no field of that width reads as 0 and takes no write. */
uint64_t virtio_common_read(const struct virtio_pci *v, uint64_t off, unsigned len);
void virtio_common_write(struct virtio_pci *v, uint64_t off, uint64_t x, unsigned len);

/* Registers back to their values at reset (2.1.2, 4.1.4.3.1). */
void virtio_common_reset(struct virtio_pci *v);

#endif
