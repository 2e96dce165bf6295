/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the machine: a bump allocator over the RAM behind the image, and the page tables. */
#ifndef LANYARD_PROBE_MEM_H
#define LANYARD_PROBE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Finds the RAM in the PVH start info (boot/PVH: memory map), and keeps a copy of the command
 * line. */
void mem_init(uint32_t start_info);

const char *mem_cmdline(void);

/* Zeroed, aligned (a power of two), never freed. NULL if there is no more. */
void *mem_alloc(size_t n, size_t align);
/* The same, not zeroed, and so not touched: for large buffers that are written before read. */
void *mem_alloc_dirty(size_t n, size_t align);
size_t mem_left(void);

/* The number after `key` ("tsc_hz=") on the command line, decimal or 0x...; def if not there. */
uint64_t mem_cmdline_u64(const char *key, uint64_t def);

/* A device's memory at a physical address, mapped uncached where it lies (identity). NULL if it
 * can't be: above 512 GiB, or out of memory for tables. */
volatile void *mem_map_device(uint64_t phys, uint64_t len);

#endif
