/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a guest's ELF: loaded within memory, or refused with a sentence that names the
 * file. */
#include <stdlib.h>
#include <string.h>

#include "vmm/pvh.h"

#define MEM_BYTES (2u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *memory;
	struct pvh_source s = { .name = "f.elf", .fd = -1, .bytes = data, .size = size };
	struct err e = { 0 };
	struct gmem mem;
	uint32_t entry;

	/* Exactly as large: a write beyond it is seen. */
	if (!memory && !(memory = malloc(MEM_BYTES)))
		return 0;
	gmem_wrap(&mem, memory, MEM_BYTES);
	if (pvh_load(&s, "a=b", &mem, &entry, &e) == 0) {
		if (entry >= MEM_BYTES)
			abort();
	} else if (e.class != ERR_REQUEST || !strstr(e.text, "f.elf")) {
		abort();
	}
	return 0;
}
