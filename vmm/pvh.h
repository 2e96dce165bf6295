/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting by PVH (Xen's docs/misc/pvh.pandoc): an ELF-64 whose note XEN_ELFNOTE_PHYS32_ENTRY says
 * where to enter in 32-bit protected mode. Pure: reads a boot_file, writes guest memory.
 */
#ifndef LANYARD_VMM_PVH_H
#define LANYARD_VMM_PVH_H

#include <stdint.h>

#include "base/err.h"
#include "vmm/boot.h"
#include "vmm/boot_file.h"
#include "vmm/gmem.h"

/*
 * Loads the segments. Errors (ERR_REQUEST) name the file and what is wrong: no ELF, another
 * machine's, truncated, no PVH note, a segment outside memory.
 */
int pvh_load(const struct boot_file *s, const struct gmem *g, struct boot_kernel *k, struct err *e);
/* Start info, memory map and segments. */
void pvh_info_write(const struct gmem *g, const struct boot_info *info);

/* Xen's public/arch-x86/hvm/start_info.h, version 1. */
#define PVH_MAGIC 0x336ec578u
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
struct pvh_module { /* the first of them is the initramfs */
	uint64_t paddr, size, cmdline_paddr, reserved;
};
struct pvh_memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved; /* type as in E820: 1 RAM, 2 reserved */
};

#endif
