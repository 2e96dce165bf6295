/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux's own boot protocol: a bzImage, entered at its 64-bit entry (load address + 0x200) in long
 * mode with the first 4 GiB mapped as they are and RSI = boot_params. Source: Linux,
 * Documentation/arch/x86/boot.rst and zero-page.rst. Pure: reads a boot_file, writes guest memory.
 */
#ifndef LANYARD_VMM_BZIMAGE_H
#define LANYARD_VMM_BZIMAGE_H

#include <stdint.h>

#include "base/err.h"
#include "base/wire.h"
#include "vmm/boot.h"
#include "vmm/boot_file.h"
#include "vmm/gmem.h"

#define BZIMAGE_MAGIC     "HdrS"
#define BZIMAGE_MAGIC_OFF 0x202

/* The setup header: in the file and in boot_params at BZIMAGE_HEADER_OFF. */
#define BZIMAGE_HEADER_OFF 0x1f1
struct bzimage_header {
	uint8_t setup_sects;
	le16_t root_flags;
	le32_t syssize; /* in units of 16 bytes */
	le16_t ram_size, vid_mode, root_dev, boot_flag;
	uint8_t jump_op, jump_len; /* the header's end is 0x202 + jump_len */
	uint8_t magic[4];
	le16_t version;
	le32_t realmode_swtch;
	le16_t start_sys_seg, kernel_version;
	uint8_t type_of_loader, loadflags;
	le16_t setup_move_size;
	le32_t code32_start, ramdisk_image, ramdisk_size, bootsect_kludge;
	le16_t heap_end_ptr;
	uint8_t ext_loader_ver, ext_loader_type;
	le32_t cmd_line_ptr, initrd_addr_max, kernel_alignment;
	uint8_t relocatable_kernel, min_alignment;
	le16_t xloadflags;
	le32_t cmdline_size, hardware_subarch;
	le64_t hardware_subarch_data;
	le32_t payload_offset, payload_length;
	le64_t setup_data, pref_address;
	le32_t init_size, handover_offset;
	uint8_t later[0x290 - 0x268]; /* of protocols that came after 2.12 */
} __attribute__((packed));

struct bzimage {
	struct bzimage_header header; /* read once; what lies beyond its end is 0 */
};

/* Reads and checks the header, and loads the kernel. Errors (ERR_REQUEST) name the file and what is
 * wrong: another loader's kernel, 32-bit only, too old, truncated, too large for the memory. */
int bzimage_load(const struct boot_file *f, const struct gmem *g, struct bzimage *b,
	struct boot_kernel *k, struct err *e);

/* boot_params, page tables and segments. */
void bzimage_info_write(
	const struct gmem *g, const struct bzimage *b, const struct boot_info *info);

#endif
