/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of a passed-through device's BAR the guest reaches without us: what the kernel lets
 * us map, less the pages that hold the MSI-X table and the pending bits, which are ours. Pure.
 */
#ifndef LANYARD_VMM_VFIO_LAYOUT_H
#define LANYARD_VMM_VFIO_LAYOUT_H

#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>

#define VFIO_AREAS_MAX 8 /* of one BAR; what is beyond is trapped */
#define VFIO_PAGE      4096ull

struct vfio_area {
	uint64_t off, len; /* within the BAR */
};

/*
 * What of the region may be mapped, by the kernel's answer to VFIO_DEVICE_GET_REGION_INFO with its
 * capabilities (bytes: of the buffer). table_off, table_len: the MSI-X table in this BAR, len 0:
 * it is elsewhere; a kernel that does not say MSIX_MAPPABLE or where to map lets no page of it be
 * mapped. Returns how many areas.
 */
unsigned vfio_layout_mappable(const struct vfio_region_info *info, size_t bytes, uint64_t table_off,
	uint64_t table_len, struct vfio_area out[VFIO_AREAS_MAX]);

/* Whole pages of `from` that are in no page of `less`; in their order. Returns how many areas. */
unsigned vfio_layout_less(const struct vfio_area *from, unsigned n_from,
	const struct vfio_area *less, unsigned n_less, struct vfio_area out[VFIO_AREAS_MAX]);

#endif
