/* SPDX-License-Identifier: Apache-2.0 */
/* The PVH loader on good and malformed images, guest memory, and the command line. */
#include <assert.h>
#include <elf.h>
#include <unistd.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/gmem.h"
#include "vmm/layout.h"
#include "vmm/options.h"
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
	struct pvh_source s;
};

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
	r->s = (struct pvh_source){
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
	struct pvh_memmap_entry map[3];
	struct err e = { 0 };
	uint32_t entry = 0;

	memset(mem + 0x100000, 0xee, 0x2000);
	assert_int_equal(pvh_load(&r->s, "tsc_hz=1 node=a", &r->mem, &entry, &e), 0);
	assert_int_equal(entry, 0x100040);
	assert_int_equal(mem[0x1000ff], 0x90);
	assert_int_equal(mem[0x100100], 0); /* bss */
	assert_int_equal(mem[0x100fff], 0);
	assert_int_equal(mem[0x101000], 0xee); /* not beyond it */
	memcpy(&info, mem + LAYOUT_START_INFO, sizeof(info));
	assert_int_equal(info.magic, PVH_MAGIC);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.memmap_entries, 3);
	assert_string_equal((char *)mem + info.cmdline_paddr, "tsc_hz=1 node=a");
	memcpy(map, mem + info.memmap_paddr, sizeof(map));
	assert_int_equal(map[1].addr + map[1].size, MEM_BYTES);
	assert_int_equal(map[2].type, 2);
}

/* Each malformed image: its sentence, which names the file. */
static void expect(struct rig *r, const char *says)
{
	struct err e = { 0 };
	uint32_t entry;

	assert_true(pvh_load(&r->s, "", &r->mem, &entry, &e) < 0);
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
	expect(r, "is not an ELF");
	r->s.size = 0;
	expect(r, "is not an ELF");
	r->s.size = 63;
	expect(r, "is not an ELF");
}

static void test_wrong_elf(void **state)
{
	struct rig *r = *state;

	r->im.h.e_machine = EM_AARCH64;
	expect(r, "another machine");
	r->im.h.e_machine = EM_X86_64;
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
	struct err e = { 0 };
	uint32_t entry;

	memcpy(&notes[9], "Xen", 4);
	memcpy(at(r, NOTE_OFF), notes, sizeof(notes));
	r->im.ph[1].p_filesz = sizeof(notes);
	assert_int_equal(pvh_load(&r->s, "", &r->mem, &entry, &e), 0);
	assert_int_equal(entry, 0x100080);
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
	struct err e = { 0 };
	uint32_t entry;

	memset(big, 'x', LAYOUT_CMDLINE_MAX);
	big[LAYOUT_CMDLINE_MAX] = 0;
	assert_int_equal(pvh_load(&r->s, big, &r->mem, &entry, &e), -E2BIG);
	big[LAYOUT_CMDLINE_MAX - 1] = 0;
	assert_int_equal(pvh_load(&r->s, big, &r->mem, &entry, &e), 0);
	free(big);
}

static void test_memory_bounds(void **state)
{
	struct rig *r = *state;
	struct gmem two = { .n = 2,
		.r = { { 0, 0xc0000000, 0, (void *)0x10000 },
			{ 1ull << 32, 1 << 20, 0, (void *)0x20000 } } };

	assert_non_null(gmem_at(&r->mem, (gpa_t){ 0 }, MEM_BYTES));
	assert_null(gmem_at(&r->mem, (gpa_t){ 1 }, MEM_BYTES));
	assert_null(gmem_at(&r->mem, (gpa_t){ MEM_BYTES }, 0));
	assert_null(gmem_at(&r->mem, (gpa_t){ 16 }, ~0ull));
	assert_null(gmem_at(&r->mem, (gpa_t){ ~0ull }, 2));
	assert_null(gmem_at(&two, (gpa_t){ 0xbffffff0 }, 32)); /* across the hole */
	assert_null(gmem_at(&two, (gpa_t){ 0xe0000000 }, 1));
	assert_ptr_equal(gmem_at(&two, (gpa_t){ 0x100000010 }, 16), (void *)0x20010);
	assert_int_equal(gmem_end(&two), (1ull << 32) + (1 << 20));
}

static void test_memory_sizes(void **state)
{
	char why[256];
	struct gmem g;
	struct err e = { 0 };

	assert_int_equal(gmem_new(&g, 0, true, why, &e), -EINVAL);
	assert_string_equal(e.field, "memory");
	assert_int_equal(gmem_new(&g, 3 << 20, true, why, &e), -EINVAL);
	assert_int_equal(gmem_new(&g, 1ull << 50, true, why, &e), -ENOMEM);
	assert_int_equal(e.class, ERR_HOST);
	assert_non_null(strstr(e.text, "the host has"));
	assert_int_equal(gmem_new(&g, 4 << 20, false, why, &e), 0);
	assert_string_equal(why, "");
	memset(g.map, 1, 4 << 20);
	gmem_free(&g);
}

static int parse(struct vmm_options *o, struct err *e, const char *extra, const char *value)
{
	char *argv[16] = { "lanyard-vmm", "--name", "a", "--control", "/tmp/c", "--kernel", "k",
		"--memory", "64M", (char *)extra, (char *)value, NULL };
	int argc = 9 + (extra != NULL) + (value != NULL);

	return vmm_options_parse(o, argc, argv, e);
}

static void test_options(void **state)
{
	static const struct {
		const char *option, *value, *says;
	} bad[] = {
		{ "--memory", "64", "unit" },
		{ "--memory", "0M", "--memory is missing or 0" },
		{ "--vcpus", "0", "from 1 to 64" },
		{ "--vcpus", "two", "from 1 to 64" },
		{ "--vcpus", "2x", "from 1 to 64" },
		{ "--cpus", "0-", "expected CPUs" },
		{ "--cpus", "3-1", "expected CPUs" },
		{ "--cpus", "", "expected CPUs" },
		{ "--nic", "socket=/tmp/s", "expected socket=PATH,mac=MAC" },
		{ "--nic", "socket=/tmp/s,mac=01:00:00:00:00:00", "unicast" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00", "unicast" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,queues=17", "from 1 to 16" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,mtu=67", "from 68" },
		{ "--nic", "socket=/tmp/s,color=red", "unknown key \"color\"" },
		{ "--nic", "socket", "expected key=value" },
		{ "--log-level", "loud", "expected error" },
		{ "--nonsense", NULL, "unknown option" },
		{ "--nic", NULL, "unknown option, or one without its value" },
		{ "stray", NULL, "is no option" },
	};
	struct vmm_options o;
	struct err e = { 0 };
	char *none[] = { "lanyard-vmm", NULL };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(parse(&o, &e, bad[i].option, bad[i].value) < 0);
		assert_int_equal(e.class, ERR_REQUEST);
		if (!strstr(e.text, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.text, bad[i].says);
		vmm_options_free(&o);
	}
	assert_true(vmm_options_parse(&o, 1, none, &e) < 0);
	assert_non_null(strstr(e.text, "--name is missing"));
	assert_int_equal(
		parse(&o, &e, "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,queues=2,mtu=9000"), 0);
	assert_int_equal(o.n_nics, 1);
	assert_int_equal(o.nics[0].pairs, 2);
	assert_int_equal(o.nics[0].mtu, 9000);
	assert_string_equal(o.nics[0].socket, "/tmp/s");
	assert_int_equal(o.memory, 64 << 20);
	assert_true(o.huge);
	vmm_options_free(&o);
	assert_int_equal(parse(&o, &e, "--cpus", "3,0-1"), 0);
	assert_int_equal(o.n_cpus, 3);
	assert_int_equal(o.cpus[0], 3);
	assert_int_equal(o.cpus[2], 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_good),
		T(test_not_elf),
		T(test_wrong_elf),
		T(test_no_note),
		T(test_second_note),
		T(test_entry_outside),
		T(test_segments),
		T(test_command_line),
		T(test_memory_bounds),
		T(test_memory_sizes),
		T(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
