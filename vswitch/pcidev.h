/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sysfs says of a PCI network device: may DPDK have it? Only looks; what must be done is said
 * as a command. sysfs is passed in ("/sys"), so that tests hand in any host they like.
 */
#ifndef LANYARD_VSWITCH_PCIDEV_H
#define LANYARD_VSWITCH_PCIDEV_H

#include <stdbool.h>

#include "base/err.h"

#define PCIDEV_ADDR_LEN 13 /* "0000:03:00.0" and a NUL */

/* "0000:03:00.0" or "03:00.0" (then of domain 0), in either case of letters, to out in the kernel's
 * form. -EINVAL with a sentence. */
int pcidev_addr(const char *text, char out[PCIDEV_ADDR_LEN], struct err *e);

/*
 * Is the device there, a network device, and in the hands of a driver that lets DPDK use it? 0, or
 * -errno and a sentence that says what stands in the way and which command takes it away: no such
 * device (then those that are), no network device, a kernel driver, no driver, no IOMMU, another
 * device of its IOMMU group that a kernel driver has.
 */
int pcidev_check(const char *sysfs, const char *addr, struct err *e);

/* Is the device a virtual function? False as well if it is not there. */
bool pcidev_is_vf(const char *sysfs, const char *addr);

#endif
