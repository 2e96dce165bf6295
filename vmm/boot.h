/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest finds when it starts: its kernel, an initramfs, the command line and the map of its
 * memory, in the way that the kernel's kind wants. The kind is told by the file's content:
 *
 *	ELF with a PVH note (pvh.h)       32-bit protected mode, EBX = hvm_start_info
 *	Linux bzImage (bzimage.h)         its 64-bit entry, RSI = boot_params
 *
 * Called by the main thread while no vCPU runs, at the start and at each reset. The files are not
 * trusted. Nothing is copied twice: files are read straight into guest memory.
 */
#ifndef LANYARD_VMM_BOOT_H
#define LANYARD_VMM_BOOT_H

#include <stdint.h>

#include "base/err.h"
#include "vmm/boot_file.h"
#include "vmm/gmem.h"
#include "vmm/vcpu_state.h"

#define BOOT_RANGES_MAX 5
#define BOOT_RAM        1 /* types of E820, which PVH shares */
#define BOOT_RESERVED   2

/* What a kernel may be: ends the sentences about those that are not. */
#define BOOT_EXPECTED "an ELF-64 for x86-64 with a PVH note, or a 64-bit Linux bzImage"

struct boot_range {
	uint64_t addr, size;
	uint32_t type;
};

/* All that both kinds of kernel are told. */
struct boot_info {
	const char *cmdline;
	uint64_t initrd, initrd_size; /* where it was put; size 0: there is none */
	uint64_t rsdp;                /* of ACPI; 0: none */
	unsigned n_ranges;
	struct boot_range ranges[BOOT_RANGES_MAX];
};

/* What a loader says of the kernel that it put into memory. */
struct boot_kernel {
	struct vcpu_entry entry;
	uint64_t end;         /* what it wants for itself lies below */
	uint64_t initrd_max;  /* the last address that an initramfs may have */
	bool initrd_above_4g; /* it may lie above 4 GiB as well */
	uint64_t cmdline_max; /* bytes without the NUL */
};

struct boot_setup {
	const struct boot_file *kernel, *initrd; /* initrd: NULL if there is none */
	const char *cmdline;
	uint64_t rsdp;
};

/* *entry is where the first vCPU begins. Errors (ERR_REQUEST) name the file and what is wrong. */
int boot_load(
	const struct boot_setup *s, const struct gmem *g, struct vcpu_entry *entry, struct err *e);

#endif
