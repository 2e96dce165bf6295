/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel, initramfs and what they are told: see boot.h. */
#include "vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/units.h"
#include "vmm/bzimage.h"
#include "vmm/layout.h"
#include "vmm/pvh.h"

#define PAGE 4096ull

enum boot_kind { BOOT_UNKNOWN, BOOT_ELF, BOOT_BZIMAGE };

static enum boot_kind boot_kind_of(const struct boot_file *f)
{
	uint8_t magic[4];

	if (boot_file_read(f, 0, magic, SELFMAG) && !memcmp(magic, ELFMAG, SELFMAG))
		return BOOT_ELF;
	if (boot_file_read(f, BZIMAGE_MAGIC_OFF, magic, 4) && !memcmp(magic, BZIMAGE_MAGIC, 4))
		return BOOT_BZIMAGE;
	return BOOT_UNKNOWN;
}

static void boot_add_range(struct boot_info *i, uint64_t addr, uint64_t size, uint32_t type)
{
	i->ranges[i->n_ranges++] = (struct boot_range){ .addr = addr, .size = size, .type = type };
}

/* RAM below and above 4 GiB; 640 KiB to 1 MiB is the tables', though there is memory behind it. */
static void boot_map(struct boot_info *i, const struct gmem *g)
{
	boot_add_range(i, 0, LAYOUT_HOLE_BELOW, BOOT_RAM);
	boot_add_range(i, LAYOUT_HOLE_BELOW, LAYOUT_IMAGE_MIN - LAYOUT_HOLE_BELOW, BOOT_RESERVED);
	boot_add_range(i, LAYOUT_IMAGE_MIN, g->r[0].size - LAYOUT_IMAGE_MIN, BOOT_RAM);
	boot_add_range(i, LAYOUT_ECAM, LAYOUT_ECAM_SIZE, BOOT_RESERVED);
	if (g->n > 1)
		boot_add_range(i, g->r[1].gpa, g->r[1].size, BOOT_RAM);
}

/* As high as it fits below `top`, above `floor`; 0: it does not. */
static uint64_t initrd_below(uint64_t floor, uint64_t top, uint64_t size)
{
	uint64_t at;

	if (size > top)
		return 0;
	at = (top - size) & ~(PAGE - 1);
	return at >= floor ? at : 0;
}

static int initrd_load(const struct boot_file *f, const struct boot_kernel *k, const struct gmem *g,
	struct boot_info *info, struct err *e)
{
	uint64_t top = g->r[0].size, at;
	char needs[16], has[16], size[16];

	if (!f->size)
		return err_request_at(e, -ENODATA, "initrd",
			"initramfs %s is empty; expected a cpio archive, compressed or not",
			f->name);
	if (k->initrd_max < top - 1)
		top = k->initrd_max + 1;
	at = initrd_below(k->end, top, f->size);
	if (!at && k->initrd_above_4g && g->n > 1)
		at = initrd_below(g->r[1].gpa, g->r[1].gpa + g->r[1].size, f->size);
	if (!at) {
		/* What the kernel unpacks it to comes on top; that much nobody knows here. */
		units_format_size(g->size, has);
		units_format_size(f->size, size);
		units_format_size((k->end + f->size + (1 << 20)) >> 20 << 20, needs);
		return err_request_at(e, -ENOMEM, "initrd",
			"initramfs %s of %s does not fit beside the kernel into the guest's memory "
			"of %s%s; give the guest more memory, at least %s and what it unpacks to",
			f->name, size, has,
			top < g->r[0].size ? " where this kernel can have it" : "", needs);
	}
	if (!boot_file_read(f, 0, gmem_at(g, (gpa_t){ at }, f->size), f->size))
		return err_request_at(e, -ENODATA, "initrd",
			"initramfs %s became shorter while it was read", f->name);
	info->initrd = at;
	info->initrd_size = f->size;
	return 0;
}

static int cmdline_check(const char *cmdline, const struct boot_kernel *k, struct err *e)
{
	size_t len = strlen(cmdline);
	uint64_t max = LAYOUT_CMDLINE_MAX - 1;

	if (k->cmdline_max < max)
		max = k->cmdline_max;
	if (len <= max)
		return 0;
	return err_request_at(e, -E2BIG, "cmdline",
		"command line of %zu bytes: this kernel takes at most %llu", len,
		(unsigned long long)max);
}

int boot_load(
	const struct boot_setup *s, const struct gmem *g, struct vcpu_entry *entry, struct err *e)
{
	struct boot_info info = { .cmdline = s->cmdline, .rsdp = s->rsdp };
	enum boot_kind kind = boot_kind_of(s->kernel);
	struct boot_kernel k = { 0 };
	struct bzimage bz;
	int err;

	if (kind == BOOT_UNKNOWN)
		return err_request_at(e, -ENOEXEC, "kernel",
			"guest file %s is no kernel: it is neither an ELF nor a bzImage; expected " BOOT_EXPECTED,
			s->kernel->name);
	err = kind == BOOT_ELF ? pvh_load(s->kernel, g, &k, e)
			       : bzimage_load(s->kernel, g, &bz, &k, e);
	if (err || (err = cmdline_check(s->cmdline, &k, e)))
		return err;
	boot_map(&info, g);
	if (s->initrd && (err = initrd_load(s->initrd, &k, g, &info, e)))
		return err;
	/* Low memory is there: the smallest guest has 2 MiB. */
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_CMDLINE }, strlen(s->cmdline) + 1), s->cmdline,
		strlen(s->cmdline) + 1);
	if (kind == BOOT_ELF)
		pvh_info_write(g, &info);
	else
		bzimage_info_write(g, &bz, &info);
	*entry = k.entry;
	return 0;
}
