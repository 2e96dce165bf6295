/* SPDX-License-Identifier: Apache-2.0 */
/* Linux's boot protocol: see bzimage.h. */
#include "vmm/bzimage.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/units.h"
#include "vmm/layout.h"

#define SECTOR          512ull
#define ENTRY64         0x200 /* from the load address */
#define BOOT_FLAG       0xaa55
#define VERSION_64      0x020c /* xloadflags are there from it on */
#define LOADED_HIGH     0x01   /* of loadflags */
#define XLF_KERNEL_64   0x01
#define XLF_ABOVE_4G    0x02
#define LOADER_UNKNOWN  0xff
#define VIDEO_NORMAL    0xffff
#define CMDLINE_DEFAULT 255

/* struct boot_params: what of it we write (Linux: asm/bootparam.h). */
#define PARAMS_BYTES         4096
#define PARAMS_RSDP          0x70
#define PARAMS_EXT_RAMDISK   0xc0
#define PARAMS_EXT_RAMDISK_N 0xc4
#define PARAMS_EXT_CMDLINE   0xc8
#define PARAMS_E820_ENTRIES  0x1e8
#define PARAMS_E820          0x2d0
#define PARAMS_E820_MAX      128

struct e820_entry {
	le64_t addr, size;
	le32_t type;
} __attribute__((packed));

static_assert(sizeof(struct bzimage_header) == 0x290 - BZIMAGE_HEADER_OFF, "up to edd_mbr_sig");
static_assert(offsetof(struct bzimage_header, magic) == BZIMAGE_MAGIC_OFF - BZIMAGE_HEADER_OFF,
	"boot.rst: 0202/4");
static_assert(offsetof(struct bzimage_header, init_size) == 0x260 - BZIMAGE_HEADER_OFF,
	"boot.rst: 0260/4");
static_assert(sizeof(struct e820_entry) == 20, "boot_e820_entry");
static_assert(BOOT_RANGES_MAX <= PARAMS_E820_MAX, "boot_params.e820_table");

static int bad(const struct boot_file *f, struct err *e, const char *what)
{
	return err_request_at(
		e, -ENOEXEC, "kernel", "guest file %s %s; expected " BOOT_EXPECTED, f->name, what);
}

static int header_read(const struct boot_file *f, struct bzimage_header *h, struct err *e)
{
	size_t len, end;

	memset(h, 0, sizeof(*h));
	/* Up to jump_len, which says how long it is; all of the least that we need. */
	len = offsetof(struct bzimage_header, handover_offset);
	if (!boot_file_read(f, BZIMAGE_HEADER_OFF, h, len))
		return bad(f, e, "is truncated: it ends in its setup header");
	if (le16_get(h->boot_flag) != BOOT_FLAG || memcmp(h->magic, BZIMAGE_MAGIC, 4) != 0)
		return bad(f, e, "is no bzImage: its boot flag is wrong");
	if (le16_get(h->version) < VERSION_64)
		return bad(f, e, "is a kernel from before Linux 3.8, without a 64-bit entry");
	if (!(h->loadflags & LOADED_HIGH))
		return bad(f, e, "is a zImage, which is loaded below 1 MiB");
	if (!(le16_get(h->xloadflags) & XLF_KERNEL_64))
		return bad(f, e, "is a 32-bit kernel: it has no 64-bit entry");
	end = (size_t)BZIMAGE_MAGIC_OFF + h->jump_len - BZIMAGE_HEADER_OFF;
	if (end < len || end > sizeof(*h))
		return bad(f, e, "has a setup header of an impossible length");
	return boot_file_read(f, BZIMAGE_HEADER_OFF, h, end)
		? 0
		: bad(f, e, "is truncated: it ends in its setup header");
}

/* What it is told to need at its place must be there: it unpacks itself to where it was put. */
static int kernel_place(const struct boot_file *f, const struct bzimage_header *h, uint64_t len,
	const struct gmem *g, struct boot_kernel *k, struct err *e)
{
	uint64_t at = le64_get(h->pref_address), align = le32_get(h->kernel_alignment);
	uint64_t need = le32_get(h->init_size);
	char needs[16], has[16];

	if (at < LAYOUT_IMAGE_MIN || at >= LAYOUT_LOW_RAM_MAX || !align || (align & (align - 1)) ||
		(at & (align - 1)))
		return bad(f, e, "asks to be loaded at an impossible address");
	if (need < len)
		need = len;
	if (!gmem_at(g, (gpa_t){ at }, need)) {
		units_format_size(g->size, has);
		units_format_size(((at + need) >> 20 << 20) + (1 << 20), needs);
		return err_request_at(e, -ENOMEM, "kernel",
			"guest file %s: this kernel needs %s to unpack itself, and the guest has %s; "
			"give the guest more memory",
			f->name, needs, has);
	}
	k->end = at + need;
	k->entry = (struct vcpu_entry){ .long_mode = true,
		.rip = at + ENTRY64,
		.arg = LAYOUT_BOOT_PARAMS,
		.page_tables = LAYOUT_PAGE_TABLES };
	return 0;
}

int bzimage_load(const struct boot_file *f, const struct gmem *g, struct bzimage *b,
	struct boot_kernel *k, struct err *e)
{
	struct bzimage_header *h = &b->header;
	int err = header_read(f, h, e);
	uint64_t off, len;

	if (err)
		return err;
	off = ((h->setup_sects ? h->setup_sects : 4) + 1) * SECTOR;
	len = le32_get(h->syssize) * 16ull;
	if (len <= ENTRY64)
		return bad(f, e, "has no kernel after its setup");
	/* A signature may follow, which is nobody's here. Its last paragraph may be a short one. */
	if (off > f->size || len > ((f->size - off + 15) & ~15ull))
		return bad(f, e, "is truncated: its kernel lies beyond its end");
	if (len > f->size - off)
		len = f->size - off;
	err = kernel_place(f, h, len, g, k, e);
	if (err)
		return err;
	if (!boot_file_read(f, off, gmem_at(g, (gpa_t){ le64_get(h->pref_address) }, len), len))
		return bad(f, e, "is truncated: its kernel lies beyond its end");
	k->initrd_max = le32_get(h->initrd_addr_max);
	k->initrd_above_4g = le16_get(h->xloadflags) & XLF_ABOVE_4G;
	k->cmdline_max = le32_get(h->cmdline_size) ? le32_get(h->cmdline_size) : CMDLINE_DEFAULT;
	return 0;
}

/* The first 4 GiB at their own addresses, in pages of 2 MiB: one top page, one below it, four. */
static void page_tables_write(const struct gmem *g)
{
	const uint64_t present_writable = 3, large = 0x80;
	uint64_t *t = gmem_at(g, (gpa_t){ LAYOUT_PAGE_TABLES }, 6 * 4096);

	memset(t, 0, 2 * 4096);
	t[0] = (LAYOUT_PAGE_TABLES + 4096) | present_writable;
	for (uint64_t i = 0; i < 4; i++)
		t[512 + i] = (LAYOUT_PAGE_TABLES + (2 + i) * 4096) | present_writable;
	for (uint64_t i = 0; i < 4 * 512; i++)
		t[1024 + i] = i << 21 | large | present_writable;
}

static void put32(uint8_t *params, unsigned off, uint64_t v)
{
	le32_t l = le32_of((uint32_t)v);

	memcpy(params + off, &l, sizeof(l));
}

void bzimage_info_write(const struct gmem *g, const struct bzimage *b, const struct boot_info *info)
{
	/* The segments that vcpu_state_enter loads: boot.rst wants 0x10 and 0x18. */
	static const uint64_t gdt[6] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff,
		0x00008b0000000067, 0 };
	uint8_t *params = gmem_at(g, (gpa_t){ LAYOUT_BOOT_PARAMS }, PARAMS_BYTES);
	struct bzimage_header h = b->header;
	struct e820_entry map[BOOT_RANGES_MAX];
	le64_t rsdp = le64_of(info->rsdp);

	h.type_of_loader = LOADER_UNKNOWN;
	h.vid_mode = le16_of(VIDEO_NORMAL);
	h.cmd_line_ptr = le32_of(LAYOUT_CMDLINE);
	h.ramdisk_image = le32_of((uint32_t)info->initrd);
	h.ramdisk_size = le32_of((uint32_t)info->initrd_size);
	h.setup_data = le64_of(0);
	for (unsigned i = 0; i < info->n_ranges; i++)
		map[i] = (struct e820_entry){ .addr = le64_of(info->ranges[i].addr),
			.size = le64_of(info->ranges[i].size),
			.type = le32_of(info->ranges[i].type) };
	memset(params, 0, PARAMS_BYTES);
	memcpy(params + PARAMS_RSDP, &rsdp, sizeof(rsdp));
	put32(params, PARAMS_EXT_RAMDISK, info->initrd >> 32);
	put32(params, PARAMS_EXT_RAMDISK_N, info->initrd_size >> 32);
	put32(params, PARAMS_EXT_CMDLINE, LAYOUT_CMDLINE >> 32);
	params[PARAMS_E820_ENTRIES] = (uint8_t)info->n_ranges;
	memcpy(params + BZIMAGE_HEADER_OFF, &h, sizeof(h));
	memcpy(params + PARAMS_E820, map, info->n_ranges * sizeof(map[0]));
	memcpy(gmem_at(g, (gpa_t){ LAYOUT_GDT }, sizeof(gdt)), gdt, sizeof(gdt));
	page_tables_write(g);
}
