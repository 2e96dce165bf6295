/* SPDX-License-Identifier: Apache-2.0 */
#include "image/elfneeds.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct file {
	const uint8_t *bytes;
	size_t len;
	Elf64_Ehdr head;
};

static bool inside(const struct file *f, uint64_t at, uint64_t len)
{
	return at <= f->len && len <= f->len - at;
}

/* Program header i; false if it lies outside. */
static bool segment(const struct file *f, unsigned i, Elf64_Phdr *out)
{
	uint64_t at = (uint64_t)i * sizeof(*out);

	if (!inside(f, f->head.e_phoff, at + sizeof(*out)))
		return false;
	memcpy(out, f->bytes + f->head.e_phoff + at, sizeof(*out));
	return true;
}

/* Where in the file the address is. */
static bool offset_of(const struct file *f, uint64_t vaddr, uint64_t *out)
{
	Elf64_Phdr p;

	for (unsigned i = 0; i < f->head.e_phnum; i++) {
		if (!segment(f, i, &p))
			return false;
		if (p.p_type != PT_LOAD || vaddr < p.p_vaddr || vaddr - p.p_vaddr >= p.p_filesz)
			continue;
		*out = p.p_offset + (vaddr - p.p_vaddr);
		return *out >= p.p_offset;
	}
	return false;
}

/* A string of the file that ends within it and within len bytes; NULL if there is none. */
static const char *string_at(const struct file *f, uint64_t at, uint64_t len)
{
	if (at >= f->len)
		return NULL;
	if (len > f->len - at)
		len = f->len - at;
	return memchr(f->bytes + at, '\0', len) ? (const char *)f->bytes + at : NULL;
}

static int read_dynamic(const struct file *f, const Elf64_Phdr *p, struct elf_needs *out)
{
	uint64_t n = p->p_filesz / sizeof(Elf64_Dyn), table = 0, size = 0;
	bool known = false;
	Elf64_Dyn d;

	if (!inside(f, p->p_offset, p->p_filesz))
		return -EBADMSG;
	const uint8_t *at = f->bytes + p->p_offset;
	for (uint64_t i = 0; i < n; i++) {
		memcpy(&d, at + i * sizeof(d), sizeof(d));
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_STRTAB)
			known = offset_of(f, d.d_un.d_ptr, &table);
		else if (d.d_tag == DT_STRSZ)
			size = d.d_un.d_val;
	}
	for (uint64_t i = 0; i < n; i++) {
		memcpy(&d, at + i * sizeof(d), sizeof(d));
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag != DT_NEEDED && d.d_tag != DT_RUNPATH && d.d_tag != DT_RPATH)
			continue;
		uint64_t name = d.d_un.d_val;
		const char *s = known && name < size && table + name >= table
			? string_at(f, table + name, size - name)
			: NULL;
		if (!s)
			return -EBADMSG;
		if (d.d_tag == DT_RUNPATH)
			out->runpath = s;
		else if (d.d_tag == DT_RPATH)
			out->rpath = s;
		else if (out->n_needed == ELF_NEEDED_MAX)
			return -E2BIG;
		else
			out->needed[out->n_needed++] = s;
	}
	return 1;
}

int elf_read(const uint8_t *bytes, size_t len, struct elf_needs *out)
{
	struct file f = { .bytes = bytes, .len = len };
	Elf64_Phdr p;
	int rc = 0;

	*out = (struct elf_needs){ 0 };
	if (len < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG))
		return 0;
	if (len < sizeof(f.head))
		return -EBADMSG;
	memcpy(&f.head, bytes, sizeof(f.head));
	if (f.head.e_ident[EI_CLASS] != ELFCLASS64 || f.head.e_machine != EM_X86_64 ||
		(f.head.e_type != ET_EXEC && f.head.e_type != ET_DYN))
		return 0;
	if (f.head.e_phnum && f.head.e_phentsize != sizeof(p))
		return -EBADMSG;
	for (unsigned i = 0; rc >= 0 && i < f.head.e_phnum; i++) {
		if (!segment(&f, i, &p))
			return -EBADMSG;
		if (p.p_type == PT_INTERP) {
			out->interpreter = string_at(&f, p.p_offset, p.p_filesz);
			if (!out->interpreter)
				return -EBADMSG;
		} else if (p.p_type == PT_DYNAMIC && !rc) {
			rc = read_dynamic(&f, &p, out);
		}
	}
	return rc || !out->interpreter ? rc : 1;
}
