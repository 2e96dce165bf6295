/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of the host's, a VF or a whole function, that the guest has to itself (VFIO). What the
 * guest sees of it: vfio_fn.h. Its interrupts: vfio_irq.h. DMA: vfio_host.h. Here they are put
 * together, and its BARs are: they are mapped once, at the start, and shown to the guest as memory
 * slots of KVM's wherever the guest decodes them.
 *
 * The device's own memory decoding stays on, its own BARs stay where the host put them. The kernel
 * resets the function when the device is opened and when it is closed, however we end; a machine
 * reset has us ask for it.
 *
 * The host may want the device back (its driver is unbound), or it may fail: then the guest loses
 * it, reads ones where it was, and goes on. It does not come back before the next start.
 */
#ifndef LANYARD_VMM_VFIO_H
#define LANYARD_VMM_VFIO_H

#include "base/err.h"
#include "base/loop.h"
#include "vmm/device.h"
#include "vmm/options_disk.h"
#include "vmm/vdev.h"
#include "vmm/vfio_host.h"

/* Where BARs go at power-on; what is free of the two windows. */
struct vfio_space {
	uint64_t next64, end64, next32, end32;
	uint64_t first64, first32; /* of the windows */
};

struct vfio_place_in {
	struct vfio_host *host;
	struct vfio_space *space;
	struct loop *loop;
	uint32_t pin_gsi; /* for its interrupt pin, if it has one */
};

/* *out is there after a failure, too: to be freed. */
int vfio_new(const struct vfio_setup *setup, const struct vdev_host *host,
	const struct vfio_place_in *in, struct device **out, struct err *e);

#endif
