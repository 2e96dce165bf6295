/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sysfs says of a PCI device that is to be passed on to a guest: may we have it? Only looks;
 * what must be done is said as a command. The folders are passed in ("/sys", "/dev", "/proc"), so
 * that tests hand in any host they like. Main thread, before the sandbox.
 */
#ifndef LANYARD_VMM_VFIO_PROBE_H
#define LANYARD_VMM_VFIO_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define VFIO_ADDR_LEN 13 /* "0000:03:00.0" and a NUL */

struct vfio_found {
	unsigned group;         /* its IOMMU group's number */
	bool vf;                /* a virtual function */
	char driver[32];        /* that has it: "vfio-pci", or one made for the device */
	char pf[VFIO_ADDR_LEN]; /* of a VF: whose it is */
};

/* "0000:03:00.0" or "03:00.0" (then of domain 0), in either case of letters, to out in the kernel's
 * form. -EINVAL with a sentence. */
int vfio_addr_parse(const char *text, char out[VFIO_ADDR_LEN], struct err *e);

/*
 * 0 and *found, or -errno and a sentence that says what stands in the way and which command takes
 * it away: no such device, no IOMMU, a kernel driver, no driver, another device of its IOMMU group
 * that a kernel driver has, VFIO not loaded.
 */
int vfio_probe(const char *sysfs, const char *dev, const char *addr, struct vfio_found *found,
	struct err *e);

/* "PID (NAME)" of a process that has `path` open, "" if none is seen. */
void vfio_probe_holder(const char *proc, const char *path, char *out, size_t room);

#endif
