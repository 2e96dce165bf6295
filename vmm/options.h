/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-vmm's command line (docs/control.md), typed and checked. Pure. */
#ifndef LANYARD_VMM_OPTIONS_H
#define LANYARD_VMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "vmm/cpuid.h"
#include "vmm/gmem.h"
#include "vmm/nic.h"
#include "vmm/options_disk.h"

#define OPTIONS_NICS_MAX  16
#define OPTIONS_DISKS_MAX 16
#define OPTIONS_FS_MAX    8
#define OPTIONS_VFIO_MAX  16
#define OPTIONS_VCPUS_MAX 64

struct vmm_options {
	const char *name, *control, *agent, *console, *console_log, *kernel, *initrd, *cmdline;
	const char *console_pty; /* path of the link to the slave */
	bool console_stdio;
	const char *user; /* to become, or NULL */
	bool sandbox;
	uint64_t memory; /* bytes */
	unsigned vcpus;
	struct cpu_topology topology; /* of that many */
	const char *cpu_without;      /* features to hide, or NULL */
	unsigned n_cpus;
	int cpus[OPTIONS_VCPUS_MAX];
	enum gmem_pages pages;
	enum log_level log_level;
	unsigned n_nics;
	struct nic_setup nics[OPTIONS_NICS_MAX];
	unsigned n_disks;
	struct disk_setup disks[OPTIONS_DISKS_MAX];
	unsigned n_fs;
	struct fs_setup fs[OPTIONS_FS_MAX];
	bool rng;
	unsigned n_vfio;
	struct vfio_setup vfio[OPTIONS_VFIO_MAX];
	bool help, version;
};

extern const char vmm_usage[];

/* Strings are argv's, those of nics, disks, fs and vfio are owned. ERR_REQUEST names the option. */
int vmm_options_parse(struct vmm_options *o, int argc, char **argv, struct err *e);
void vmm_options_free(struct vmm_options *o);

#endif
