/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting by PVH (Xen's docs/misc/pvh.pandoc): an ELF-64 whose note XEN_ELFNOTE_PHYS32_ENTRY says
 * where to enter in 32-bit protected mode. Pure: reads through a source, writes guest memory.
 * Called by the main thread while no vCPU runs. The file is not trusted.
 */
#ifndef LANYARD_VMM_PVH_H
#define LANYARD_VMM_PVH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vmm/gmem.h"

/* The image: a file, or bytes in memory. */
struct pvh_source {
	const char *name; /* for messages */
	int fd;           /* -1: bytes */
	const uint8_t *bytes;
	uint64_t size;
};

/* Opens the file. ERR_REQUEST where it is missing, or no regular file. */
int pvh_source_open(struct pvh_source *s, const char *path, struct err *e);
void pvh_source_close(struct pvh_source *s);

/*
 * Loads the segments, start info, memory map and command line. *entry is where the first vCPU
 * begins, with EBX = LAYOUT_START_INFO. Errors (ERR_REQUEST) name the file and what is wrong:
 * no ELF, another machine's, truncated, no PVH note, a segment outside memory.
 */
int pvh_load(const struct pvh_source *s, const char *cmdline, const struct gmem *g, uint32_t *entry,
	struct err *e);

/* Xen's public/arch-x86/hvm/start_info.h, version 1. */
#define PVH_MAGIC 0x336ec578u
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
struct pvh_memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved; /* type as in E820: 1 RAM, 2 reserved */
};

#endif
