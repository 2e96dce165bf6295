/* SPDX-License-Identifier: Apache-2.0 */
/* The host's PCI functions, as /sys tells of them; or, in tests, as the folder LANYARD_SRIOV_ROOT
 * does, which has sys/ and proc/ like a host. */
#ifndef LANYARD_LAB_SYSROOT_H
#define LANYARD_LAB_SYSROOT_H

#include "config/pfs.h"

/* The folder; NULL: this host. */
const char *sysroot(void);

/* Folder of a PCI function's files, to out; returns out. */
char *sysroot_pci(const char *address, const char *file, char *out, size_t size);

/* The address of a PF's VF, or (index < 0) its own, if it is there; -ENODEV. */
int sysroot_function(const char *pf, int index, char out[PFS_ADDR_LEN]);

/* The driver that it is bound to, to out; "" if none. */
void sysroot_driver(const char *address, char *out, size_t size);

/* "pci:v00008086d...", to out; -errno. */
int sysroot_modalias(const char *address, char *out, size_t size);

/* What a PF's VFs will have as modalias, but for their subsystem, which is not known before there
 * are any. -errno: there is no such PF. */
int sysroot_vf_modalias(const char *address, const char *interface, char *out, size_t size);

/* The NUMA node of a device, named by its address or its interface; -1: not known. */
int sysroot_numa_node(const char *address, const char *interface);

#endif
