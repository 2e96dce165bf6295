/* SPDX-License-Identifier: Apache-2.0 */
/* The ELF loader and what PVH hands the guest: see pvh.h. */
#include "vmm/pvh.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/layout.h"

#define PHDRS_MAX                64
#define NOTES_MAX                (64u << 10) /* bytes looked at of one note segment */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

static_assert(sizeof(struct pvh_start_info) == 56, "hvm_start_info, version 1");
static_assert(sizeof(struct pvh_memmap_entry) == 24, "hvm_memmap_table_entry");

int pvh_source_open(struct pvh_source *s, const char *path, struct err *e)
{
	struct stat st;

	*s = (struct pvh_source){ .name = path, .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (s->fd < 0) {
		err_request(e, -errno, "guest file %s: %s; expected an ELF with a PVH note", path,
			err_str(errno));
		return err_field(e, "kernel");
	}
	if (fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		pvh_source_close(s);
		err_request(e, -EINVAL,
			"guest file %s is not a regular file; expected an ELF "
			"with a PVH note",
			path);
		return err_field(e, "kernel");
	}
	s->size = (uint64_t)st.st_size;
	return 0;
}

void pvh_source_close(struct pvh_source *s)
{
	fd_close(&s->fd);
}

/* len bytes at off into buf; false if the file has not that many. */
static bool source_read(const struct pvh_source *s, uint64_t off, void *buf, uint64_t len)
{
	uint8_t *p = buf;

	if (off > s->size || len > s->size - off)
		return false;
	if (s->fd < 0) {
		if (len)
			memcpy(buf, s->bytes + off, len);
		return true;
	}
	while (len) {
		ssize_t n = pread(s->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false; /* it shrank */
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return true;
}

static int bad(const struct pvh_source *s, struct err *e, const char *what)
{
	err_request(e, -ENOEXEC, "guest file %s %s; expected an ELF-64 for x86-64 with a PVH note",
		s->name, what);
	return err_field(e, "kernel");
}

static int elf_header(const struct pvh_source *s, Elf64_Ehdr *h, Elf64_Phdr *ph, struct err *e)
{
	if (!source_read(s, 0, h, sizeof(*h)) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return bad(s, e, "is not an ELF");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
		h->e_machine != EM_X86_64)
		return bad(s, e, "is an ELF for another machine");
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return bad(s, e, "is an ELF that was not linked");
	if (h->e_phentsize != sizeof(*ph) || h->e_phnum < 1 || h->e_phnum > PHDRS_MAX)
		return bad(s, e, "has no program headers, or too many");
	if (!source_read(s, h->e_phoff, ph, (uint64_t)h->e_phnum * sizeof(*ph)))
		return bad(s, e, "is truncated: its program headers lie beyond its end");
	return 0;
}

/* Looks for the PVH note in one note segment. 1 found, 0 not there, -1 malformed. */
static int note_find(const struct pvh_source *s, const Elf64_Phdr *ph, uint64_t *entry)
{
	uint64_t len = ph->p_filesz < NOTES_MAX ? ph->p_filesz : NOTES_MAX;
	uint64_t align = ph->p_align == 8 ? 8 : 4;
	uint64_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		uint64_t name_len, desc_len;
		uint8_t desc[8] = { 0 };
		char name[4];
		Elf64_Nhdr n;

		if (!source_read(s, ph->p_offset + at, &n, sizeof(n)))
			return -1;
		at += sizeof(n);
		name_len = ((uint64_t)n.n_namesz + align - 1) & ~(align - 1);
		desc_len = ((uint64_t)n.n_descsz + align - 1) & ~(align - 1);
		if (name_len > len - at || n.n_descsz > len - at - name_len)
			return -1;
		if (n.n_type == XEN_ELFNOTE_PHYS32_ENTRY && n.n_namesz == 4 &&
			source_read(s, ph->p_offset + at, name, 4) && !memcmp(name, "Xen", 4) &&
			(n.n_descsz == 4 || n.n_descsz == 8)) {
			if (!source_read(s, ph->p_offset + at + name_len, desc, n.n_descsz))
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
	const struct pvh_source *s, const Elf64_Phdr *ph, const struct gmem *g, struct err *e)
{
	uint8_t *to;

	if (ph->p_filesz > ph->p_memsz)
		return bad(s, e, "has a segment that is larger in the file than in memory");
	to = ph->p_paddr < LAYOUT_IMAGE_MIN ? NULL
					    : gmem_at(g, (gpa_t){ ph->p_paddr }, ph->p_memsz);
	if (!to) {
		err_request(e, -ENOMEM,
			"guest file %s: its segment at 0x%llx of %llu bytes lies outside the "
			"guest's memory (1 MiB to 0x%llx); give the guest more memory, or link it "
			"elsewhere",
			s->name, (unsigned long long)ph->p_paddr, (unsigned long long)ph->p_memsz,
			(unsigned long long)(g->r[0].gpa + g->r[0].size));
		return err_field(e, "kernel");
	}
	if (!source_read(s, ph->p_offset, to, ph->p_filesz))
		return bad(s, e, "is truncated: a segment lies beyond its end");
	memset(to + ph->p_filesz, 0, ph->p_memsz - ph->p_filesz);
	return 0;
}

/* What EBX will point to. Low memory is there: the smallest guest has 2 MiB. */
static void start_info_write(const struct gmem *g, const char *cmdline)
{
	struct pvh_memmap_entry map[4] = {
		{ .addr = 0, .size = LAYOUT_HOLE_BELOW, .type = 1 },
		{ .addr = LAYOUT_IMAGE_MIN, .size = g->r[0].size - LAYOUT_IMAGE_MIN, .type = 1 },
		{ .addr = LAYOUT_ECAM, .size = LAYOUT_ECAM_SIZE, .type = 2 },
	};
	struct pvh_start_info info = { .magic = PVH_MAGIC,
		.version = 1,
		.cmdline_paddr = LAYOUT_CMDLINE,
		.memmap_paddr = LAYOUT_MEMMAP,
		.memmap_entries = 3 };

	if (g->n > 1)
		map[info.memmap_entries++] = (struct pvh_memmap_entry){
			.addr = g->r[1].gpa, .size = g->r[1].size, .type = 1
		};
	/* The segments that vcpu_state_enter loads, for a guest that reloads them as they are. */
	static const uint64_t gdt[4] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff,
		0x00008b0000000067 };

	memcpy(gmem_at(g, (gpa_t){ LAYOUT_GDT }, sizeof(gdt)), gdt, sizeof(gdt));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_MEMMAP }, sizeof(map)), map, sizeof(map));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_START_INFO }, sizeof(info)), &info, sizeof(info));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_CMDLINE }, strlen(cmdline) + 1), cmdline,
		strlen(cmdline) + 1);
}

int pvh_load(const struct pvh_source *s, const char *cmdline, const struct gmem *g, uint32_t *entry,
	struct err *e)
{
	Elf64_Phdr ph[PHDRS_MAX];
	uint64_t at = 0;
	int found = 0;
	Elf64_Ehdr h;

	if (strlen(cmdline) >= LAYOUT_CMDLINE_MAX) {
		err_request(e, -E2BIG, "command line of %zu bytes: at most %llu", strlen(cmdline),
			LAYOUT_CMDLINE_MAX - 1);
		return err_field(e, "cmdline");
	}
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
	for (int i = 0; i < h.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !ph[i].p_memsz)
			continue;
		err = segment_load(s, &ph[i], g, e);
		if (err)
			return err;
	}
	start_info_write(g, cmdline);
	*entry = (uint32_t)at;
	return 0;
}
