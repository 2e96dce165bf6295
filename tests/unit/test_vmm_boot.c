/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a guest: PVH and bzImage, good and malformed, initramfs. */
#include <assert.h>
#include <elf.h>
#include <unistd.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/boot.h"
#include "vmm/bzimage.h"
#include "vmm/gmem.h"
#include "vmm/layout.h"
#include "vmm/pvh.h"

#define MEM_BYTES (4u << 20)
#define NOTE_OFF  0x200
#define CODE_OFF  0x300

struct image {
	Elf64_Ehdr h;
	Elf64_Phdr ph[2];
	uint8_t rest[0x400 - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
};
static_assert(sizeof(struct image) == 0x400, "the test's image");

struct rig {
	struct gmem mem;
	struct image im;
	struct boot_file s, initrd;
	bool with_initrd;
	struct vcpu_entry entry;
};

static int load(struct rig *r, const char *cmdline, struct err *e)
{
	struct boot_setup setup = { .kernel = &r->s,
		.initrd = r->with_initrd ? &r->initrd : NULL,
		.cmdline = cmdline,
		.rsdp = 0xe0000 };

	*e = (struct err){ 0 };
	return boot_load(&setup, &r->mem, &r->entry, e);
}

static uint8_t *at(struct rig *r, unsigned off)
{
	return (uint8_t *)&r->im + off;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint32_t note[] = { 4, 4, 18, 0x00006e65 /* "Xen" below */, 0x100040 };

	gmem_wrap(&r->mem, calloc(1, MEM_BYTES), MEM_BYTES);
	memcpy(r->im.h.e_ident, ELFMAG, 4);
	r->im.h.e_ident[EI_CLASS] = ELFCLASS64;
	r->im.h.e_ident[EI_DATA] = ELFDATA2LSB;
	r->im.h.e_machine = EM_X86_64;
	r->im.h.e_type = ET_EXEC;
	r->im.h.e_phoff = offsetof(struct image, ph);
	r->im.h.e_phentsize = sizeof(Elf64_Phdr);
	r->im.h.e_phnum = 2;
	r->im.ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = CODE_OFF,
		.p_paddr = 0x100000,
		.p_filesz = 0x100,
		.p_memsz = 0x1000 };
	r->im.ph[1] = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = NOTE_OFF, .p_filesz = 20, .p_align = 4
	};
	memcpy(&note[3], "Xen", 4);
	memcpy(at(r, NOTE_OFF), note, sizeof(note));
	memset(at(r, CODE_OFF), 0x90, 0x100);
	r->s = (struct boot_file){
		.name = "guest.elf", .fd = -1, .bytes = (void *)&r->im, .size = sizeof(r->im)
	};
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	free(r->mem.map);
	free(r);
	return 0;
}

static void test_good(void **state)
{
	struct rig *r = *state;
	uint8_t *mem = r->mem.map;
	struct pvh_start_info info;
	struct pvh_memmap_entry map[4];
	struct err e;

	memset(mem + 0x100000, 0xee, 0x2000);
	assert_int_equal(load(r, "tsc_hz=1 node=a", &e), 0);
	assert_int_equal(r->entry.rip, 0x100040);
	assert_int_equal(r->entry.arg, LAYOUT_START_INFO);
	assert_false(r->entry.long_mode);
	assert_int_equal(mem[0x1000ff], 0x90);
	assert_int_equal(mem[0x100100], 0); /* bss */
	assert_int_equal(mem[0x100fff], 0);
	assert_int_equal(mem[0x101000], 0xee); /* not beyond it */
	memcpy(&info, mem + LAYOUT_START_INFO, sizeof(info));
	assert_int_equal(info.magic, PVH_MAGIC);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.memmap_entries, 4);
	assert_int_equal(info.nr_modules, 0);
	assert_int_equal(info.rsdp_paddr, 0xe0000);
	assert_string_equal((char *)mem + info.cmdline_paddr, "tsc_hz=1 node=a");
	memcpy(map, mem + info.memmap_paddr, sizeof(map));
	assert_int_equal(map[1].addr, 0xa0000);
	assert_int_equal(map[1].type, 2);
	assert_int_equal(map[2].addr + map[2].size, MEM_BYTES);
	assert_int_equal(map[3].type, 2);
}

/* Each malformed image: its sentence, which names the file. */
static void expect(struct rig *r, const char *says)
{
	struct err e;

	assert_true(load(r, "", &e) < 0);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_string_equal(e.field, "kernel");
	assert_non_null(strstr(e.text, "guest.elf"));
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void test_not_elf(void **state)
{
	struct rig *r = *state;

	r->im.h.e_ident[0] = 'M';
	expect(r, "neither an ELF nor a bzImage");
	r->s.size = 0;
	expect(r, "neither an ELF nor a bzImage");
	r->im.h.e_ident[0] = 0x7f;
	r->s.size = 63;
	expect(r, "is truncated");
}

static void test_wrong_elf(void **state)
{
	struct rig *r = *state;

	r->im.h.e_machine = EM_AARCH64;
	expect(r, "another machine");
	r->im.h.e_machine = EM_X86_64;
	r->im.h.e_ident[EI_CLASS] = ELFCLASS32;
	expect(r, "of 32 bits");
	r->im.h.e_ident[EI_CLASS] = ELFCLASS64;
	r->im.h.e_type = ET_REL;
	expect(r, "not linked");
	r->im.h.e_type = ET_EXEC;
	r->im.h.e_phnum = 0;
	expect(r, "program headers");
	r->im.h.e_phnum = 0xffff;
	expect(r, "program headers");
	r->im.h.e_phnum = 2;
	r->im.h.e_phoff = ~0ull - 4;
	expect(r, "truncated");
}

static void test_no_note(void **state)
{
	struct rig *r = *state;
	uint32_t *note = (uint32_t *)(void *)at(r, NOTE_OFF);

	note[2] = 17;
	expect(r, "has no PVH note");
	note[2] = 18;
	memcpy(&note[3], "Zen", 4);
	expect(r, "has no PVH note");
	memcpy(&note[3], "Xen", 4);
	note[1] = 5; /* an odd descriptor; and it reaches beyond the segment */
	expect(r, "malformed notes");
	note[1] = 4;
	note[0] = 0xffffffff;
	expect(r, "malformed notes");
	note[0] = 4;
	note[1] = 0xfffffffc;
	expect(r, "malformed notes");
	note[1] = 4;
	r->im.ph[1].p_offset = ~0ull - 8;
	expect(r, "malformed notes");
	r->im.ph[1].p_type = PT_NULL;
	expect(r, "has no PVH note");
}

static void test_second_note(void **state)
{
	struct rig *r = *state;
	uint32_t notes[] = { 4, 6, 1, 0x00554e47, 1, 2, 4, 8, 18, 0, 0x100080, 0 };
	struct err e;

	memcpy(&notes[9], "Xen", 4);
	memcpy(at(r, NOTE_OFF), notes, sizeof(notes));
	r->im.ph[1].p_filesz = sizeof(notes);
	assert_int_equal(load(r, "", &e), 0);
	assert_int_equal(r->entry.rip, 0x100080);
}

static void test_entry_outside(void **state)
{
	struct rig *r = *state;
	uint32_t *note = (uint32_t *)(void *)at(r, NOTE_OFF);

	note[4] = MEM_BYTES;
	expect(r, "entry outside");
	note[4] = 0xfffffff0;
	expect(r, "entry outside");
}

static void test_segments(void **state)
{
	struct rig *r = *state;

	r->im.ph[0].p_paddr = MEM_BYTES - 0xfff;
	expect(r, "outside the guest's memory");
	r->im.ph[0].p_paddr = 0xff000; /* the start info lives below */
	expect(r, "outside the guest's memory");
	r->im.ph[0].p_paddr = 0x100000;
	r->im.ph[0].p_memsz = ~0ull;
	expect(r, "outside the guest's memory");
	r->im.ph[0].p_memsz = 0x80;
	expect(r, "larger in the file");
	r->im.ph[0].p_memsz = 0x1000;
	r->im.ph[0].p_offset = 0x301;
	expect(r, "truncated");
	r->im.ph[0].p_offset = ~0ull;
	expect(r, "truncated");
}

static void test_command_line(void **state)
{
	struct rig *r = *state;
	char *big = malloc(LAYOUT_CMDLINE_MAX + 1);
	struct err e;

	memset(big, 'x', LAYOUT_CMDLINE_MAX);
	big[LAYOUT_CMDLINE_MAX] = 0;
	assert_int_equal(load(r, big, &e), -E2BIG);
	big[LAYOUT_CMDLINE_MAX - 1] = 0;
	assert_int_equal(load(r, big, &e), 0);
	free(big);
}

/* --- initramfs --- */

static void give_initrd(struct rig *r, uint64_t size)
{
	uint8_t *bytes = malloc(size + 1);

	for (uint64_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + 1);
	r->initrd = (struct boot_file){ .name = "i.cpio", .fd = -1, .bytes = bytes, .size = size };
	r->with_initrd = true;
}

static void test_pvh_initrd(void **state)
{
	struct rig *r = *state;
	uint8_t *mem = r->mem.map;
	struct pvh_start_info info;
	struct pvh_module module;
	struct err e;

	give_initrd(r, 5000);
	assert_int_equal(load(r, "", &e), 0);
	memcpy(&info, mem + LAYOUT_START_INFO, sizeof(info));
	assert_int_equal(info.nr_modules, 1);
	memcpy(&module, mem + info.modlist_paddr, sizeof(module));
	assert_int_equal(module.paddr, MEM_BYTES - 8192);
	assert_int_equal(module.size, 5000);
	assert_memory_equal(mem + module.paddr, r->initrd.bytes, 5000);
	free((void *)r->initrd.bytes);
}

static void expect_initrd(struct rig *r, const char *says)
{
	struct err e;

	assert_true(load(r, "", &e) < 0);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_string_equal(e.field, "initrd");
	assert_non_null(strstr(e.text, "i.cpio"));
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void test_initrd_sizes(void **state)
{
	struct rig *r = *state;
	uint64_t room = MEM_BYTES - 0x101000;
	struct err e;

	give_initrd(r, 8 << 20);
	expect_initrd(r, "does not fit beside the kernel into the guest's memory of 4M");
	r->initrd.size = room + 1;
	expect_initrd(r, "at least 5M");
	r->initrd.size = room;
	assert_int_equal(load(r, "", &e), 0);
	r->initrd.size = 0;
	expect_initrd(r, "is empty");
	free((void *)r->initrd.bytes);
}

/* --- bzImage --- */

#define BZ_MEM    (48u << 20)
#define BZ_SETUP  (5 * 512u)
#define BZ_KERNEL 0x1000u

/* As Linux 6.1's: relocatable, at 16 MiB, and more room to unpack than its size. */
static int bz_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint8_t *file = calloc(1, BZ_SETUP + BZ_KERNEL);
	struct bzimage_header h = { .setup_sects = 4,
		.syssize = le32_of(BZ_KERNEL / 16),
		.boot_flag = le16_of(0xaa55),
		.jump_op = 0xeb,
		.jump_len = 0x6a,
		.magic = "HdrS",
		.version = le16_of(0x20f),
		.loadflags = 1,
		.initrd_addr_max = le32_of(0x7fffffff),
		.kernel_alignment = le32_of(0x200000),
		.relocatable_kernel = 1,
		.xloadflags = le16_of(0x7f),
		.cmdline_size = le32_of(2047),
		.pref_address = le64_of(16 << 20),
		.init_size = le32_of(24 << 20) };

	gmem_wrap(&r->mem, calloc(1, BZ_MEM), BZ_MEM);
	memcpy(file + BZIMAGE_HEADER_OFF, &h, sizeof(h));
	memset(file + BZ_SETUP, 0x5a, BZ_KERNEL);
	r->s = (struct boot_file){
		.name = "bzImage", .fd = -1, .bytes = file, .size = BZ_SETUP + BZ_KERNEL
	};
	*state = r;
	return 0;
}

static int bz_teardown(void **state)
{
	struct rig *r = *state;

	free((void *)r->s.bytes);
	if (r->with_initrd)
		free((void *)r->initrd.bytes);
	return teardown(state);
}

static struct bzimage_header *bz_header(struct rig *r)
{
	return (void *)(r->s.bytes + BZIMAGE_HEADER_OFF);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void test_bz_good(void **state)
{
	struct rig *r = *state;
	uint8_t *mem = r->mem.map, *params = mem + LAYOUT_BOOT_PARAMS;
	struct bzimage_header h;
	struct err e;

	give_initrd(r, 5000);
	memset(params, 0xee, 4096);
	assert_int_equal(load(r, "console=ttyS0", &e), 0);
	assert_true(r->entry.long_mode);
	assert_int_equal(r->entry.rip, (16 << 20) + 0x200);
	assert_int_equal(r->entry.arg, LAYOUT_BOOT_PARAMS);
	assert_int_equal(mem[16 << 20], 0x5a);
	assert_int_equal(mem[(16 << 20) + BZ_KERNEL - 1], 0x5a);
	assert_int_equal(mem[(16 << 20) + BZ_KERNEL], 0);
	memcpy(&h, params + BZIMAGE_HEADER_OFF, sizeof(h));
	assert_int_equal(h.type_of_loader, 0xff);
	assert_string_equal((char *)mem + le32_get(h.cmd_line_ptr), "console=ttyS0");
	assert_int_equal(le32_get(h.ramdisk_image), BZ_MEM - 8192);
	assert_int_equal(le32_get(h.ramdisk_size), 5000);
	assert_memory_equal(mem + BZ_MEM - 8192, r->initrd.bytes, 5000);
	/* What is beyond the header is not the file's: Linux looks whether it is 0. */
	assert_int_equal(params[0x26c], 0);
	assert_int_equal(params[0x1ef], 0);
	assert_int_equal(get64(params + 0x70), 0xe0000);
	assert_int_equal(params[0x1e8], 4);
	assert_int_equal(get64(params + 0x2d0 + 40), 1 << 20);
	assert_int_equal(get64(params + 0x2d0 + 48), BZ_MEM - (1 << 20));
}

/* The first 4 GiB at their own addresses. */
static void test_bz_page_tables(void **state)
{
	struct rig *r = *state;
	const uint64_t *mem = r->mem.map, at[] = { 0, 0x100000, 0x1000200, 0xfee00000, 0xffffffff };
	struct err e;

	assert_int_equal(load(r, "", &e), 0);
	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint64_t p = mem[r->entry.page_tables / 8 + (at[i] >> 39)];

		assert_int_equal(p & 0xfff, 3);
		p = mem[(p & ~0xfffull) / 8 + (at[i] >> 30 & 511)];
		assert_int_equal(p & 0xfff, 3);
		p = mem[(p & ~0xfffull) / 8 + (at[i] >> 21 & 511)];
		assert_int_equal(p, (at[i] & ~0x1fffffull) | 0x83);
	}
}

static void bz_expect(struct rig *r, const char *says)
{
	struct err e;

	assert_true(load(r, "", &e) < 0);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_string_equal(e.field, "kernel");
	assert_non_null(strstr(e.text, "bzImage"));
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void test_bz_bad_header(void **state)
{
	struct rig *r = *state;
	struct bzimage_header *h = bz_header(r), good = *h;

	h->boot_flag = le16_of(0x55aa);
	bz_expect(r, "boot flag");
	*h = good;
	h->version = le16_of(0x20b);
	bz_expect(r, "before Linux 3.8");
	*h = good;
	h->xloadflags = le16_of(0x7e);
	bz_expect(r, "is a 32-bit kernel");
	*h = good;
	h->loadflags = 0;
	bz_expect(r, "zImage");
	*h = good;
	h->jump_len = 0x10;
	bz_expect(r, "impossible length");
	h->jump_len = 0xff;
	bz_expect(r, "impossible length");
	*h = good;
	h->syssize = le32_of(0);
	bz_expect(r, "no kernel after its setup");
	*h = good;
	h->pref_address = le64_of(0x1000);
	bz_expect(r, "impossible address");
	h->pref_address = le64_of(0x1100000);
	bz_expect(r, "impossible address");
	h->pref_address = le64_of(0xfffffffffff00000);
	bz_expect(r, "impossible address");
	*h = good;
	h->kernel_alignment = le32_of(3);
	bz_expect(r, "impossible address");
}

static void test_bz_truncated(void **state)
{
	struct rig *r = *state;
	uint64_t size = r->s.size;

	r->s.size = 0x230;
	bz_expect(r, "truncated: it ends in its setup header");
	r->s.size = 0x268;
	bz_expect(r, "truncated: it ends in its setup header");
	r->s.size = BZ_SETUP - 1;
	bz_expect(r, "truncated: its kernel");
	r->s.size = size - 16;
	bz_expect(r, "truncated: its kernel");
	bz_header(r)->syssize = le32_of(0xffffffff);
	r->s.size = size;
	bz_expect(r, "truncated: its kernel");
}

static void test_bz_too_large(void **state)
{
	struct rig *r = *state;
	struct err e;

	bz_header(r)->init_size = le32_of(32 << 20);
	assert_int_equal(load(r, "", &e), 0);
	bz_header(r)->init_size = le32_of((32 << 20) + 1);
	bz_expect(r, "needs 49M to unpack itself, and the guest has 48M");
	bz_header(r)->init_size = le32_of(0xffffffff);
	bz_expect(r, "give the guest more memory");
}

static void test_bz_command_line(void **state)
{
	struct rig *r = *state;
	char text[2049];
	struct err e;

	memset(text, 'x', sizeof(text) - 1);
	text[2048] = 0;
	assert_int_equal(load(r, text, &e), -E2BIG);
	assert_string_equal(e.field, "cmdline");
	assert_non_null(strstr(e.text, "2048 bytes: this kernel takes at most 2047"));
	text[2047] = 0;
	assert_int_equal(load(r, text, &e), 0);
}

/* Where the header lets an initramfs be. */
static void test_bz_initrd_place(void **state)
{
	struct rig *r = *state;
	uint8_t *params = (uint8_t *)r->mem.map + LAYOUT_BOOT_PARAMS;
	struct bzimage_header h;
	struct err e;

	bz_header(r)->init_size = le32_of(8 << 20);
	bz_header(r)->initrd_addr_max = le32_of(0x1ffffff);
	give_initrd(r, 8 << 20);
	assert_int_equal(load(r, "", &e), 0);
	memcpy(&h, params + BZIMAGE_HEADER_OFF, sizeof(h));
	assert_int_equal(le32_get(h.ramdisk_image), 24 << 20);
	bz_header(r)->initrd_addr_max = le32_of(0x1fffffe);
	expect_initrd(r, "where this kernel can have it");
	/* Memory above 4 GiB, and a kernel that can have it there. */
	r->mem.r[0].size = 36 << 20;
	r->mem.r[1] = (struct gmem_region){
		.gpa = 1ull << 32, .size = 12 << 20, .host = (uint8_t *)r->mem.map + (36 << 20)
	};
	r->mem.n = 2;
	assert_int_equal(load(r, "", &e), 0);
	memcpy(&h, params + BZIMAGE_HEADER_OFF, sizeof(h));
	assert_int_equal(le32_get(h.ramdisk_image), 4 << 20);
	assert_int_equal(params[0xc0], 1);
	assert_int_equal(params[0x1e8], 5);
	assert_memory_equal((uint8_t *)r->mem.map + (40 << 20), r->initrd.bytes, 8 << 20);
	bz_header(r)->xloadflags = le16_of(1);
	expect_initrd(r, "where this kernel can have it");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define B(name) cmocka_unit_test_setup_teardown(name, bz_setup, bz_teardown)
	const struct CMUnitTest tests[] = {
		T(test_good),
		T(test_not_elf),
		T(test_wrong_elf),
		T(test_no_note),
		T(test_second_note),
		T(test_entry_outside),
		T(test_segments),
		T(test_command_line),
		T(test_pvh_initrd),
		T(test_initrd_sizes),
		B(test_bz_good),
		B(test_bz_page_tables),
		B(test_bz_bad_header),
		B(test_bz_truncated),
		B(test_bz_too_large),
		B(test_bz_command_line),
		B(test_bz_initrd_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
