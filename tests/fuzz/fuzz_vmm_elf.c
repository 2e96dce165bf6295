/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a guest's ELF or as what boot_load takes for another kind, with an initramfs behind
 * it: loaded within memory, or refused with a sentence that names the file. */
#include <stdlib.h>
#include <string.h>

#include "vmm/boot.h"

#define MEM_BYTES (2u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *memory;
	struct boot_file kernel = { .name = "f.elf", .fd = -1, .bytes = data, .size = size };
	struct boot_file initrd = { .name = "f.elf", .fd = -1, .bytes = data };
	struct boot_setup s = { .kernel = &kernel, .initrd = &initrd, .cmdline = "a=b" };
	struct vcpu_entry entry;
	struct err e = { 0 };
	struct gmem mem;

	/* Exactly as large: a write beyond it is seen. */
	if (!memory && !(memory = malloc(MEM_BYTES)))
		return 0;
	gmem_wrap(&mem, memory, MEM_BYTES);
	if (size > 512) /* the kernel's last part is its initramfs, too */
		initrd.size = size - 512;
	else
		s.initrd = NULL;
	if (boot_load(&s, &mem, &entry, &e) == 0) {
		if (entry.rip >= MEM_BYTES)
			abort();
	} else if (e.class != ERR_REQUEST || !strstr(e.text, "f.elf")) {
		abort();
	}
	return 0;
}
