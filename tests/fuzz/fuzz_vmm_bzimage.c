/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a bzImage, with an initramfs and a command line of any size, for a guest with memory
 * below and above 4 GiB: loaded with each part in memory and none over another, or refused with a
 * sentence. Input: a byte for the command line's length in 16s, one for the initramfs' size in
 * 16 KiB, then the file.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/boot.h"
#include "vmm/bzimage.h"
#include "vmm/layout.h"

#define LOW_BYTES   (4u << 20)
#define HIGH_BYTES  (2u << 20)
#define INITRD_UNIT (16u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* What the guest will read in its boot_params. */
static void check_loaded(const struct gmem *g, const struct vcpu_entry *entry,
	const struct boot_file *initrd, const char *cmdline)
{
	const uint8_t *params = gmem_at(g, (gpa_t){ LAYOUT_BOOT_PARAMS }, 4096);
	struct bzimage_header h;
	uint32_t high;
	uint64_t at, kernel = entry->rip - 0x200;

	memcpy(&h, params + BZIMAGE_HEADER_OFF, sizeof(h));
	memcpy(&high, params + 0xc0, sizeof(high));
	check(entry->long_mode && kernel >= LAYOUT_IMAGE_MIN);
	check(gmem_at(g, (gpa_t){ kernel }, le32_get(h.init_size)));
	check(!strcmp(
		gmem_at(g, (gpa_t){ le32_get(h.cmd_line_ptr) }, strlen(cmdline) + 1), cmdline));
	at = (uint64_t)high << 32 | le32_get(h.ramdisk_image);
	check(le32_get(h.ramdisk_size) == initrd->size);
	if (!initrd->size)
		return;
	check(at >= LAYOUT_IMAGE_MIN && gmem_at(g, (gpa_t){ at }, initrd->size));
	check(at >= kernel + le32_get(h.init_size) || at + initrd->size <= kernel);
	check(!memcmp(gmem_at(g, (gpa_t){ at }, initrd->size), initrd->bytes, initrd->size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *memory, *archive;
	struct boot_file kernel = { .name = "f.bz", .fd = -1 };
	struct boot_file initrd = { .name = "f.bz", .fd = -1 };
	struct boot_setup s = { .kernel = &kernel };
	struct vcpu_entry entry;
	struct err e = { 0 };
	char cmdline[16 * 256];
	struct gmem mem;

	/* Exactly as large: a write beyond it is seen. */
	if (!memory && !(memory = malloc(LOW_BYTES + HIGH_BYTES)))
		return 0;
	if (!archive && !(archive = calloc(256, INITRD_UNIT)))
		return 0;
	if (size < 2)
		return 0;
	gmem_wrap(&mem, memory, LOW_BYTES);
	mem.r[1] = (struct gmem_region){
		.gpa = LAYOUT_HIGH_RAM, .size = HIGH_BYTES, .host = memory + LOW_BYTES
	};
	mem.n = 2;
	memset(cmdline, 'c', sizeof(cmdline));
	cmdline[16 * data[0]] = '\0';
	s.cmdline = cmdline;
	initrd.bytes = archive;
	initrd.size = (uint64_t)data[1] * INITRD_UNIT;
	s.initrd = initrd.size ? &initrd : NULL;
	kernel.bytes = data + 2;
	kernel.size = size - 2;
	if (boot_load(&s, &mem, &entry, &e) == 0) {
		if (entry.long_mode)
			check_loaded(&mem, &entry, &initrd, cmdline);
	} else {
		check(e.class == ERR_REQUEST && e.text[0] && e.field[0]);
	}
	return 0;
}
