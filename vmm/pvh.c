/* SPDX-License-Identifier: Apache-2.0 */
/* The ELF loader and what PVH hands the guest: see pvh.h. */
#include "vmm/pvh.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/layout.h"

#define PHDRS_MAX                64
#define NOTES_MAX                (64u << 10) /* bytes looked at of one note segment */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

static_assert(sizeof(struct pvh_start_info) == 56, "hvm_start_info, version 1");
static_assert(sizeof(struct pvh_module) == 32, "hvm_modlist_entry");
static_assert(sizeof(struct pvh_memmap_entry) == 24, "hvm_memmap_table_entry");

static int bad(const struct boot_file *s, struct err *e, const char *what)
{
	return err_request_at(
		e, -ENOEXEC, "kernel", "guest file %s %s; expected " BOOT_EXPECTED, s->name, what);
}

static int elf_header(const struct boot_file *s, Elf64_Ehdr *h, Elf64_Phdr *ph, struct err *e)
{
	if (!boot_file_read(s, 0, h, sizeof(*h)))
		return bad(s, e, "is truncated: it ends in its ELF header");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
		h->e_machine != EM_X86_64)
		return bad(s, e,
			h->e_ident[EI_CLASS] == ELFCLASS32 ? "is an ELF of 32 bits"
							   : "is an ELF for another machine");
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return bad(s, e, "is an ELF that was not linked");
	if (h->e_phentsize != sizeof(*ph) || h->e_phnum < 1 || h->e_phnum > PHDRS_MAX)
		return bad(s, e, "has no program headers, or too many");
	if (!boot_file_read(s, h->e_phoff, ph, (uint64_t)h->e_phnum * sizeof(*ph)))
		return bad(s, e, "is truncated: its program headers lie beyond its end");
	return 0;
}

/* Looks for the PVH note in one note segment. 1 found, 0 not there, -1 malformed. */
static int note_find(const struct boot_file *s, const Elf64_Phdr *ph, uint64_t *entry)
{
	uint64_t len = ph->p_filesz < NOTES_MAX ? ph->p_filesz : NOTES_MAX;
	uint64_t align = ph->p_align == 8 ? 8 : 4;
	uint64_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		uint64_t name_len, desc_len;
		uint8_t desc[8] = { 0 };
		char name[4];
		Elf64_Nhdr n;

		if (!boot_file_read(s, ph->p_offset + at, &n, sizeof(n)))
			return -1;
		at += sizeof(n);
		name_len = ((uint64_t)n.n_namesz + align - 1) & ~(align - 1);
		desc_len = ((uint64_t)n.n_descsz + align - 1) & ~(align - 1);
		if (name_len > len - at || n.n_descsz > len - at - name_len)
			return -1;
		if (n.n_type == XEN_ELFNOTE_PHYS32_ENTRY && n.n_namesz == 4 &&
			boot_file_read(s, ph->p_offset + at, name, 4) && !memcmp(name, "Xen", 4) &&
			(n.n_descsz == 4 || n.n_descsz == 8)) {
			if (!boot_file_read(s, ph->p_offset + at + name_len, desc, n.n_descsz))
				return -1;
			memcpy(entry, desc, 8);
			return 1;
		}
		if (desc_len > len - at - name_len)
			break;
		at += name_len + desc_len;
	}
	return 0;
}

static int segment_load(
	const struct boot_file *s, const Elf64_Phdr *ph, const struct gmem *g, struct err *e)
{
	uint8_t *to;

	if (ph->p_filesz > ph->p_memsz)
		return bad(s, e, "has a segment that is larger in the file than in memory");
	to = ph->p_paddr < LAYOUT_IMAGE_MIN ? NULL
					    : gmem_at(g, (gpa_t){ ph->p_paddr }, ph->p_memsz);
	if (!to) {
		return err_request_at(e, -ENOMEM, "kernel",
			"guest file %s: its segment at 0x%llx of %llu bytes lies outside the "
			"guest's memory (1 MiB to 0x%llx); give the guest more memory, or link it "
			"elsewhere",
			s->name, (unsigned long long)ph->p_paddr, (unsigned long long)ph->p_memsz,
			(unsigned long long)(g->r[0].gpa + g->r[0].size));
	}
	if (!boot_file_read(s, ph->p_offset, to, ph->p_filesz))
		return bad(s, e, "is truncated: a segment lies beyond its end");
	memset(to + ph->p_filesz, 0, ph->p_memsz - ph->p_filesz);
	return 0;
}

void pvh_info_write(const struct gmem *g, const struct boot_info *info)
{
	/* The segments that vcpu_state_enter loads, for a guest that reloads them as they are. */
	static const uint64_t gdt[4] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff,
		0x00008b0000000067 };
	struct pvh_memmap_entry map[BOOT_RANGES_MAX] = { 0 };
	struct pvh_module initrd = { .paddr = info->initrd, .size = info->initrd_size };
	struct pvh_start_info start = { .magic = PVH_MAGIC,
		.version = 1,
		.nr_modules = info->initrd_size ? 1 : 0,
		.modlist_paddr = info->initrd_size ? LAYOUT_MODLIST : 0,
		.cmdline_paddr = LAYOUT_CMDLINE,
		.rsdp_paddr = info->rsdp,
		.memmap_paddr = LAYOUT_MEMMAP,
		.memmap_entries = info->n_ranges };

	for (unsigned i = 0; i < info->n_ranges; i++)
		map[i] = (struct pvh_memmap_entry){ .addr = info->ranges[i].addr,
			.size = info->ranges[i].size,
			.type = info->ranges[i].type };
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_GDT }, sizeof(gdt)), gdt, sizeof(gdt));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_MEMMAP }, sizeof(map)), map, sizeof(map));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_MODLIST }, sizeof(initrd)), &initrd, sizeof(initrd));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_START_INFO }, sizeof(start)), &start, sizeof(start));
}

int pvh_load(const struct boot_file *s, const struct gmem *g, struct boot_kernel *k, struct err *e)
{
	Elf64_Phdr ph[PHDRS_MAX];
	uint64_t at = 0;
	int found = 0;
	Elf64_Ehdr h;
	int err = elf_header(s, &h, ph, e);

	if (err)
		return err;
	for (int i = 0; i < h.e_phnum && !found; i++)
		if (ph[i].p_type == PT_NOTE)
			found = note_find(s, &ph[i], &at);
	if (found < 0)
		return bad(s, e, "has malformed notes");
	if (!found)
		return bad(s, e, "has no PVH note (XEN_ELFNOTE_PHYS32_ENTRY)");
	if (at >= LAYOUT_LOW_RAM_MAX || !gmem_at(g, (gpa_t){ at }, 1))
		return bad(s, e, "has a PVH entry outside the guest's memory");
	k->end = LAYOUT_IMAGE_MIN;
	for (int i = 0; i < h.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !ph[i].p_memsz)
			continue;
		err = segment_load(s, &ph[i], g, e);
		if (err)
			return err;
		if (ph[i].p_paddr + ph[i].p_memsz > k->end)
			k->end = ph[i].p_paddr + ph[i].p_memsz;
	}
	k->entry = (struct vcpu_entry){ .rip = at, .arg = LAYOUT_START_INFO };
	k->initrd_max = LAYOUT_LOW_RAM_MAX - 1;
	k->initrd_above_4g = false;
	k->cmdline_max = LAYOUT_CMDLINE_MAX - 1;
	return 0;
}
