/* SPDX-License-Identifier: Apache-2.0 */
/* Passed-through devices, the pure parts: what of a BAR is mapped, configuration space made of a
 * device's, MSI, MSI-X and the pin, and what of it all reaches the device. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/vfio_fn.h"
#include "vmm/vfio_layout.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

/* --- layout --- */

static void check_less(const struct vfio_area *from, unsigned n_from, const struct vfio_area *less,
	unsigned n_less, const struct vfio_area *want, unsigned n_want)
{
	struct vfio_area got[VFIO_AREAS_MAX];

	assert_int_equal(vfio_layout_less(from, n_from, less, n_less, got), n_want);
	for (unsigned i = 0; i < n_want; i++) {
		assert_int_equal(got[i].off, want[i].off);
		assert_int_equal(got[i].len, want[i].len);
	}
}

static void test_layout_less(void **state)
{
	static const struct {
		struct vfio_area from[2], less[3], want[4];
		unsigned n_want;
	} cases[] = {
		{ { { 0, 0x4000 } }, { { 0 } }, { { 0, 0x4000 } }, 1 },
		/* A table in the middle, at the beginning, at the end; all of it. */
		{ { { 0, 0x4000 } }, { { 0x1000, 0x30 } }, { { 0, 0x1000 }, { 0x2000, 0x2000 } },
			2 },
		{ { { 0, 0x4000 } }, { { 0, 0x30 } }, { { 0x1000, 0x3000 } }, 1 },
		{ { { 0, 0x4000 } }, { { 0x3ff0, 0x10 } }, { { 0, 0x3000 } }, 1 },
		{ { { 0, 0x1000 } }, { { 0x800, 0x10 } }, { { 0 } }, 0 },
		/* Table and pending bits: apart, in one page, one page after the other. */
		{ { { 0, 0x8000 } }, { { 0, 0x30 }, { 0x2000, 8 } },
			{ { 0x1000, 0x1000 }, { 0x3000, 0x5000 } }, 2 },
		{ { { 0, 0x4000 } }, { { 0x2800, 8 }, { 0x2000, 0x30 } },
			{ { 0, 0x2000 }, { 0x3000, 0x1000 } }, 2 },
		{ { { 0, 0x4000 } }, { { 0x2000, 8 }, { 0x1ff8, 0x10 } },
			{ { 0, 0x1000 }, { 0x3000, 0x1000 } }, 2 },
		/* Areas that are no whole pages shrink; areas of less than one go. */
		{ { { 0x800, 0x2000 } }, { { 0 } }, { { 0x1000, 0x1000 } }, 1 },
		{ { { 0x100, 0xe00 } }, { { 0 } }, { { 0 } }, 0 },
		/* Two areas; two that overlap are mapped once. */
		{ { { 0, 0x1000 }, { 0x3000, 0x1000 } }, { { 0 } },
			{ { 0, 0x1000 }, { 0x3000, 0x1000 } }, 2 },
		{ { { 0, 0x3000 }, { 0x1000, 0x3000 } }, { { 0 } },
			{ { 0, 0x3000 }, { 0x3000, 0x1000 } }, 2 },
		/* At the end of what 64 bits can say. */
		{ { { UINT64_MAX - 0x1fff, 0x2000 } }, { { UINT64_MAX - 0xfff, 0x1000 } },
			{ { UINT64_MAX - 0x1fff, 0x1000 } }, 1 },
		{ { { 0x1000, UINT64_MAX } }, { { 0x2000, UINT64_MAX } }, { { 0x1000, 0x1000 } },
			1 },
	};

	for (size_t i = 0; i < ARRAY(cases); i++)
		check_less(cases[i].from, 2, cases[i].less, 3, cases[i].want, cases[i].n_want);
}

static void test_layout_many(void **state)
{
	struct vfio_area whole = { 0, 64 * VFIO_PAGE }, less[20], got[VFIO_AREAS_MAX];

	for (unsigned i = 0; i < 20; i++)
		less[i] = (struct vfio_area){ (2 * i + 1) * VFIO_PAGE, 1 };
	/* What does not fit is trapped. */
	assert_int_equal(vfio_layout_less(&whole, 1, less, 20, got), VFIO_AREAS_MAX);
	for (unsigned i = 0; i < VFIO_AREAS_MAX; i++)
		assert_int_equal(got[i].off, 2 * i * VFIO_PAGE);
}

/* The kernel's answer, and what comes after it. */
struct answer {
	struct vfio_region_info info;
	union {
		struct {
			struct vfio_region_info_cap_sparse_mmap sparse;
			struct vfio_region_sparse_mmap_area area[12];
		};
		struct vfio_info_cap_header header[2];
	};
};

static void test_layout_mappable(void **state)
{
	struct vfio_area got[VFIO_AREAS_MAX];
	struct answer a;

	/* Not at all; smaller than a page. */
	a = (struct answer){ .info = { .size = 0x4000 } };
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0, 0, got), 0);
	a.info.flags = VFIO_REGION_INFO_FLAG_MMAP;
	a.info.size = 0x80;
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0, 0, got), 0);
	/* All of it; with a table, but for its page. */
	a.info.size = 0x4000;
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0, 0, got), 1);
	assert_int_equal(got[0].len, 0x4000);
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0x2000, 0x30, got), 2);
	assert_int_equal(got[0].len, 0x2000);
	assert_int_equal(got[1].off, 0x3000);
	/* The kernel lets the table be mapped (we cut it out later on). */
	a.info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	a.info.cap_offset = sizeof(a.info);
	a.header[0] = (struct vfio_info_cap_header){ .id = 99, .next = sizeof(a.info) + 8 };
	a.header[1] = (struct vfio_info_cap_header){ .id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE };
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0x2000, 0x30, got), 1);
	assert_int_equal(got[0].len, 0x4000);
}

static void test_layout_sparse(void **state)
{
	struct answer a = { .info = { .size = 0x10000,
				    .flags =
					    VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
				    .cap_offset = sizeof(a.info) },
		.sparse = { .header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP }, .nr_areas = 3 } };
	struct vfio_area got[VFIO_AREAS_MAX];

	a.area[0] = (struct vfio_region_sparse_mmap_area){ 0x1000, 0x2000 };
	a.area[1] = (struct vfio_region_sparse_mmap_area){ 0xf000, 0x2000 }; /* leaves the BAR */
	a.area[2] = (struct vfio_region_sparse_mmap_area){ 0x8000, 0x8000 };
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0x2000, 0x30, got), 2);
	assert_int_equal(got[0].off, 0x1000);
	assert_int_equal(got[0].len, 0x2000);
	assert_int_equal(got[1].off, 0x8000);
	/* More areas said than the answer has, or than we take. */
	a.sparse.nr_areas = 0xffffffff;
	for (unsigned i = 0; i < 12; i++)
		a.area[i] = (struct vfio_region_sparse_mmap_area){ 0x1000 * i, 0x1000 };
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0, 0, got), VFIO_AREAS_MAX);
	assert_int_equal(
		vfio_layout_mappable(&a.info,
			offsetof(struct answer, area) + 2 * sizeof(a.area[0]) + 3, 0, 0, got),
		2);
	/* A chain that leaves the answer, or turns back on itself. */
	a.info.cap_offset = 1u << 20;
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0, 0, got), 1);
	a.info.cap_offset = sizeof(a.info);
	a.header[0] = (struct vfio_info_cap_header){ .id = 99, .next = sizeof(a.info) };
	assert_int_equal(vfio_layout_mappable(&a.info, sizeof(a), 0, 0, got), 1);
}

/* --- the function --- */

enum { BAR0_SIZE = 0x20000, BAR3_SIZE = 0x4000, TABLE = 0x1000, PBA = 0x2000 };

struct rig {
	uint8_t config[PCI_CONFIG_BYTES];
	struct vfio_fn_bar bars[VFIO_BARS];
	bool pin;
	struct vfio_fn f;
	/* What the device was told. */
	unsigned reads, writes, moves, modes, vectors;
	uint64_t last_off, last_value;
	int last_bar;
	bool master;
	enum vfio_irq_mode mode;
	unsigned n, live_bits;
	uint64_t addr[VFIO_VECTORS_MAX];
	uint32_t data[VFIO_VECTORS_MAX];
	uint64_t pending;
};

static uint64_t dev_read(void *arg, int bar, uint64_t off, unsigned len)
{
	struct rig *r = arg;

	r->reads++;
	r->last_bar = bar;
	r->last_off = off;
	return 0x5a;
}

static void dev_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	struct rig *r = arg;

	r->writes++;
	r->last_bar = bar;
	r->last_off = off;
	r->last_value = v;
}

static void dev_moved(void *arg)
{
	((struct rig *)arg)->moves++;
}

static void dev_master(void *arg, bool on)
{
	((struct rig *)arg)->master = on;
}

static void dev_mode(void *arg, enum vfio_irq_mode mode, unsigned n)
{
	struct rig *r = arg;

	r->modes++;
	r->mode = mode;
	r->n = n;
	r->live_bits = 0;
}

static void dev_vector(void *arg, unsigned vector, bool live, uint64_t addr, uint32_t data)
{
	struct rig *r = arg;

	assert_true(vector < VFIO_VECTORS_MAX);
	r->vectors++;
	if (vector < 32)
		r->live_bits = (r->live_bits & ~(1u << vector)) | (unsigned)live << vector;
	r->addr[vector] = addr;
	r->data[vector] = data;
}

static bool dev_pending(void *arg, unsigned vector)
{
	return ((struct rig *)arg)->pending >> vector & 1;
}

static const struct vfio_fn_ops dev_ops = { dev_read, dev_write, dev_moved, dev_master, dev_mode,
	dev_vector, dev_pending };

static unsigned add_cap(struct rig *r, unsigned *last, uint8_t id, unsigned at)
{
	r->config[*last] = (uint8_t)at;
	r->config[at] = id;
	r->config[at + 1] = 0;
	r->config[6] |= 0x10;
	*last = at + 1;
	return at;
}

enum {
	AT_PM = 0x40,
	AT_MSI = 0x50,
	AT_MSIX = 0x70,
	AT_EXPRESS = 0xa0,
	AT_VENDOR = 0xe0,
	AT_VPD = 0xf0
};

/* As a whole e1000e-like device is: all kinds of BARs and capabilities. */
static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	unsigned last = 0x34;
	uint8_t *c = r->config;

	pci_put32(c, 0x10d38086);
	pci_put16(c + 4, 0x0547);
	pci_put32(c + 8, 0x02000003);
	c[0xe] = 0x80; /* many functions */
	pci_put32(c + 0x10, 0xfeb40000);
	pci_put32(c + 0x14, 0x1); /* ports */
	pci_put32(c + 0x18, 0xfebd000c);
	pci_put32(c + 0x30, 0xfeb00001); /* a ROM */
	pci_put32(c + 0x2c, 0x00008086);
	c[0x3c] = 11;
	c[0x3d] = 3;
	add_cap(r, &last, 0x01, AT_PM);
	pci_put32(c + AT_PM + 2, 0xc822);
	c[AT_PM + 4] = 0x03;
	add_cap(r, &last, 0x05, AT_MSI);
	pci_put16(c + AT_MSI + 2, 0x0184); /* 4 messages, wide, maskable */
	add_cap(r, &last, 0x11, AT_MSIX);
	pci_put16(c + AT_MSIX + 2, 0x8004); /* 5 vectors; left turned on */
	pci_put32(c + AT_MSIX + 4, TABLE | 2);
	pci_put32(c + AT_MSIX + 8, PBA | 2);
	add_cap(r, &last, 0x10, AT_EXPRESS);
	pci_put16(c + AT_EXPRESS + 2, 0x0102);     /* an endpoint, version 2, a slot */
	pci_put32(c + AT_EXPRESS + 4, 0x10008fc1); /* with reset */
	pci_put16(c + AT_EXPRESS + 8, 0xa810);
	pci_put16(c + AT_EXPRESS + 10, 0x003f);
	pci_put32(c + AT_EXPRESS + 12, 0x03411);
	pci_put32(c + AT_EXPRESS + 36, 0x1f);
	add_cap(r, &last, 0x09, AT_VENDOR);
	c[AT_VENDOR + 2] = 8;
	c[AT_VENDOR + 7] = 0x77;
	add_cap(r, &last, 0x03, AT_VPD);
	r->bars[0] = (struct vfio_fn_bar){ BAR0_SIZE, 0xc0000000 };
	r->bars[1] = (struct vfio_fn_bar){ 0x20, 0xc0020000 };
	r->bars[2] = (struct vfio_fn_bar){ BAR3_SIZE, 0x4002000000 };
	r->pin = true;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static struct rig *made(void **state)
{
	struct rig *r = *state;
	struct err e = { 0 };

	if (vfio_fn_init(&r->f, r->config, r->bars, r->pin, &dev_ops, r, &e))
		fail_msg("%s", e.text);
	return r;
}

static uint32_t get(struct rig *r, unsigned off, unsigned len)
{
	return pci_config_read(&r->f.fn, off, len);
}

static void set(struct rig *r, unsigned off, uint32_t v, unsigned len)
{
	pci_config_write(&r->f.fn, off, v, len);
}

static void test_header(void **state)
{
	struct rig *r = made(state);

	assert_int_equal(get(r, 0, 4), 0x10d38086);
	assert_int_equal(get(r, 4, 2), 0); /* nothing is on */
	assert_int_equal(get(r, 8, 4), 0x02000003);
	assert_int_equal(get(r, 0xe, 1), 0); /* one function */
	assert_int_equal(get(r, 0x2c, 4), 0x8086);
	assert_int_equal(get(r, 0x30, 4), 0); /* no ROM */
	assert_int_equal(get(r, 0x3d, 1), 1); /* INTA, whichever it was */
	assert_int_equal(get(r, 0x100, 4), 0);
	/* BARs are ours: kinds as the device's, places not. */
	assert_int_equal(get(r, 0x10, 4), 0xc0000000);
	assert_int_equal(get(r, 0x14, 4), 0); /* ports are not shown */
	assert_int_equal(get(r, 0x18, 4), 0x0200000c);
	assert_int_equal(get(r, 0x1c, 4), 0x40);
	set(r, 0x10, 0xffffffff, 4);
	assert_int_equal(get(r, 0x10, 4), 0xfffe0000);
	set(r, 0x14, 0xffffffff, 4);
	assert_int_equal(get(r, 0x14, 4), 0);
	set(r, 0x18, 0xffffffff, 4);
	set(r, 0x1c, 0xffffffff, 4);
	assert_int_equal(get(r, 0x18, 4), 0xffffc00c);
	assert_int_equal(get(r, 0x1c, 4), 0xffffffff);
	assert_int_equal(r->writes + r->reads, 0);
}

static void test_bar_kinds(void **state)
{
	struct rig *r = *state;
	static const int want[VFIO_BARS] = { 0, -1, 0xc, -1, 0, 0 };

	for (int i = 0; i < VFIO_BARS; i++)
		assert_int_equal(vfio_fn_bar_flags(r->config, i), want[i]);
	r->config[0x24] = 0x4; /* the last one has no upper half */
	assert_int_equal(vfio_fn_bar_flags(r->config, 5), -1);
}

static void test_bar_addresses(void **state)
{
	struct rig *r = made(state);
	uint64_t at;

	assert_false(pci_bar_address(&r->f.fn, 0, &at));
	set(r, 4, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(r->moves, 1);
	assert_true(pci_bar_address(&r->f.fn, 0, &at));
	assert_int_equal(at, 0xc0000000); /* the register behind it is no part of it */
	assert_false(pci_bar_address(&r->f.fn, 1, &at));
	assert_true(pci_bar_address(&r->f.fn, 2, &at));
	assert_int_equal(at, 0x4002000000);
	set(r, 0x10, 0xd0000000, 4);
	assert_int_equal(r->moves, 2);
}

static void test_capabilities(void **state)
{
	static const uint8_t want[] = { AT_PM, AT_MSI, AT_MSIX, AT_EXPRESS, AT_VENDOR };
	struct rig *r = made(state);
	unsigned at = get(r, 0x34, 1);

	/* Each where it was; VPD is hidden. */
	for (size_t i = 0; i < ARRAY(want); i++) {
		assert_int_equal(at, want[i]);
		at = get(r, at + 1, 1);
	}
	assert_int_equal(at, 0);
	/* Power: any state may be set and is no other; it wakes nobody. */
	assert_int_equal(get(r, AT_PM + 2, 2), 0x0022);
	assert_int_equal(get(r, AT_PM + 4, 2), 0x0008);
	set(r, AT_PM + 4, 0xffff, 2);
	assert_int_equal(get(r, AT_PM + 4, 2), 0x000b);
	/* Express: inside the root complex, no slot, no reset, no link. */
	assert_int_equal(get(r, AT_EXPRESS + 2, 2), 0x0092);
	assert_int_equal(get(r, AT_EXPRESS + 4, 4), 0x00008fc1);
	assert_int_equal(get(r, AT_EXPRESS + 8, 2), 0x2810);
	assert_int_equal(get(r, AT_EXPRESS + 10, 2), 0);
	assert_int_equal(get(r, AT_EXPRESS + 12, 4), 0);
	assert_int_equal(get(r, AT_EXPRESS + 36, 4), 0);
	set(r, AT_EXPRESS + 8, 0xffff, 2); /* would begin a reset */
	assert_int_equal(get(r, AT_EXPRESS + 8, 2), 0x7fff);
	assert_int_equal(get(r, AT_VENDOR + 4, 4), 0x77000000);
	set(r, AT_VENDOR + 4, 0xffffffff, 4);
	assert_int_equal(get(r, AT_VENDOR + 4, 4), 0x77000000);
	assert_int_equal(r->writes + r->modes + r->master, 0);
}

static void test_odd_chains(void **state)
{
	struct rig *r = *state;

	/* One that turns back on itself; one that leads into the header. */
	r->config[AT_VENDOR + 1] = AT_PM;
	made(state);
	assert_int_equal(get(r, AT_VENDOR + 1, 1), 0);
	r->config[AT_PM + 1] = 0x10;
	made(state);
	assert_int_equal(get(r, 0x34, 1), AT_PM);
	assert_int_equal(get(r, AT_PM + 1, 1), 0);
	assert_false(r->f.has_msix);
	/* Capabilities cut off by the end of the space. */
	r->config[AT_PM + 1] = 0xfc;
	r->config[0xfc] = 0x11;
	r->config[0xfd] = 0xf8;
	r->config[0xf8] = 0x05;
	r->config[0xf9] = 0xf4;
	r->config[0xf4] = 0x10;
	r->config[0xf5] = 0;
	made(state);
	assert_int_equal(get(r, AT_PM + 1, 1), 0);
	assert_false(r->f.has_msix || r->f.has_msi);
	/* No capabilities, whatever the pointer says. */
	r->config[6] = 0;
	made(state);
	assert_int_equal(get(r, 0x34, 1), 0);
	assert_int_equal(get(r, 6, 2), 0);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct err e = { 0 };

	pci_put32(r->config + AT_MSIX + 4, BAR3_SIZE | 2);
	assert_int_equal(vfio_fn_init(&r->f, r->config, r->bars, true, &dev_ops, r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "MSI-X table is said to be at 0x4000 of BAR 2"));
	pci_put32(r->config + AT_MSIX + 4, TABLE | 2);
	pci_put32(r->config + AT_MSIX + 8, PBA | 7);
	assert_int_equal(vfio_fn_init(&r->f, r->config, r->bars, true, &dev_ops, r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "MSI-X pending bits"));
	r->config[0xe] = 0x01;
	assert_int_equal(vfio_fn_init(&r->f, r->config, r->bars, true, &dev_ops, r, &e), -EINVAL);
	assert_non_null(strstr(e.text, "it is a bridge"));
}

static uint64_t bar_read(struct rig *r, int bar, uint64_t off, unsigned len)
{
	return r->f.fn.ops->bar_read(r->f.fn.arg, bar, off, len);
}

static void bar_write(struct rig *r, int bar, uint64_t off, uint64_t v, unsigned len)
{
	r->f.fn.ops->bar_write(r->f.fn.arg, bar, off, v, len);
}

/* What is trapped goes to the device, but never to its table or its pending bits. */
static void test_trapped(void **state)
{
	struct rig *r = made(state);

	assert_int_equal(bar_read(r, 0, 0x100, 4), 0x5a);
	bar_write(r, 2, TABLE + 5 * 16, 7, 4);
	assert_int_equal(r->writes, 1);
	assert_int_equal(r->last_off, TABLE + 80);
	assert_int_equal(bar_read(r, 2, PBA + 8, 8), 0x5a);
	r->reads = r->writes = 0;
	bar_write(r, 2, TABLE, 0xfee00000, 4);
	bar_write(r, 2, TABLE - 4, ~0ull, 8); /* half of it would be the table's */
	bar_write(r, 2, PBA, ~0ull, 8);
	bar_write(r, 2, PBA + 4, ~0ull, 8);
	assert_int_equal(bar_read(r, 2, TABLE, 4), 0xfee00000);
	assert_int_equal(bar_read(r, 2, TABLE - 4, 8), 0);
	assert_int_equal(bar_read(r, 2, TABLE + 76, 8), 0);
	assert_int_equal(bar_read(r, 2, PBA, 8), 0);
	assert_int_equal(r->reads + r->writes, 0);
	/* The same offsets of another BAR are the device's. */
	bar_read(r, 0, TABLE, 4);
	assert_int_equal(r->reads, 1);
}

static void test_command(void **state)
{
	struct rig *r = made(state);

	set(r, 4, 0xffff, 2);
	assert_true(r->master);
	assert_int_equal(get(r, 4, 2), 0x406);
	assert_int_equal(r->mode, VFIO_IRQ_NONE); /* the pin was turned off with it */
	set(r, 4, 0, 2);
	assert_false(r->master);
}

static void test_pin(void **state)
{
	struct rig *r = made(state);

	assert_int_equal(r->modes, 0);
	set(r, 4, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(r->mode, VFIO_IRQ_INTX);
	set(r, 4, PCI_COMMAND_MEMORY | PCI_COMMAND_NO_INTX, 2);
	assert_int_equal(r->mode, VFIO_IRQ_NONE);
	set(r, 4, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(r->modes, 3);
	/* MSI-X takes its place, and gives it back. */
	set(r, AT_MSIX + 2, 0x8000, 2);
	assert_int_equal(r->mode, VFIO_IRQ_MSIX);
	set(r, AT_MSIX + 2, 0, 2);
	assert_int_equal(r->mode, VFIO_IRQ_INTX);
	/* A VF has none. */
	r->pin = false;
	made(state);
	assert_int_equal(get(r, 0x3d, 1), 0);
	r->modes = 0;
	set(r, 4, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(r->modes, 0);
}

static void test_msix(void **state)
{
	struct rig *r = made(state);

	assert_int_equal(get(r, AT_MSIX + 2, 2), 4); /* off, though the device's was left on */
	assert_int_equal(get(r, AT_MSIX + 4, 4), TABLE | 2);
	assert_int_equal(get(r, AT_MSIX + 8, 4), PBA | 2);
	bar_write(r, 2, TABLE + 16, 0xfee01000, 8);
	bar_write(r, 2, TABLE + 24, 0x21, 4);
	bar_write(r, 2, TABLE + 28, 0, 4);
	assert_int_equal(r->vectors, 0); /* MSI-X is off */
	set(r, AT_MSIX + 2, 0xc000, 2);  /* on, all masked */
	assert_int_equal(r->mode, VFIO_IRQ_MSIX);
	assert_int_equal(r->live_bits, 0);
	set(r, AT_MSIX + 2, 0x8000, 2);
	assert_int_equal(r->live_bits, 1u << 1);
	assert_int_equal(r->addr[1], 0xfee01000);
	assert_int_equal(r->data[1], 0x21);
	/* Masked; what waits is pending. */
	bar_write(r, 2, TABLE + 28, 1, 4);
	assert_int_equal(r->live_bits, 0);
	r->pending = 1u << 1;
	assert_int_equal(bar_read(r, 2, PBA, 8), 1u << 1);
	bar_write(r, 2, TABLE + 28, 0, 4);
	assert_int_equal(r->live_bits, 1u << 1);
	assert_int_equal(r->modes, 1);
}

/* Of more vectors than we have, as many are shown; the table's bytes are ours to the last. */
static void test_many_vectors(void **state)
{
	struct rig *r = *state;

	pci_put16(r->config + AT_MSIX + 2, 127);
	made(state);
	assert_int_equal(get(r, AT_MSIX + 2, 2), VFIO_VECTORS_MAX - 1);
	assert_int_equal(r->f.host_vectors, 128);
	bar_write(r, 2, TABLE + 127 * 16, 1, 4);
	bar_write(r, 2, PBA + 8, 1, 8);
	assert_int_equal(bar_read(r, 2, TABLE + 127 * 16, 4), 0);
	assert_int_equal(r->reads + r->writes, 0);
	bar_read(r, 2, PBA + 16, 8);
	assert_int_equal(r->reads, 1);
}

static void test_msi(void **state)
{
	struct rig *r = made(state);

	assert_int_equal(get(r, AT_MSI + 2, 2), 0x0184);
	set(r, AT_MSI + 4, 0xfee02003, 4);
	set(r, AT_MSI + 8, 1, 4);
	set(r, AT_MSI + 12, 0x4043, 2);
	set(r, AT_MSI + 16, 0xffffffff, 4);
	assert_int_equal(get(r, AT_MSI + 16, 4), 0xf); /* masks of four */
	set(r, AT_MSI + 16, 0x2, 4);
	assert_int_equal(r->modes + r->vectors, 0);
	set(r, AT_MSI + 2, 0x0021, 2); /* four of them */
	assert_int_equal(r->mode, VFIO_IRQ_MSI);
	assert_int_equal(r->n, 4);
	assert_int_equal(r->live_bits, 0xd);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(r->addr[i], 0x1fee02000);
		if (i != 1)
			assert_int_equal(r->data[i], 0x4040 + i);
	}
	r->pending = 0x6; /* the second waits; what the third does is under way */
	assert_int_equal(get(r, AT_MSI + 20, 4), 0x2);
	set(r, AT_MSI + 20, 0xff, 4);
	set(r, AT_MSI + 16, 0, 4);
	assert_int_equal(r->live_bits, 0xf);
	assert_int_equal(get(r, AT_MSI + 20, 4), 0);
	/* More than it has: as many as it has. */
	set(r, AT_MSI + 2, 0x0051, 2);
	assert_int_equal(r->n, 4);
	set(r, AT_MSI + 2, 0x0001, 2);
	assert_int_equal(r->n, 1);
	assert_int_equal(r->live_bits, 1);
	assert_int_equal(r->data[0], 0x4043);
	set(r, AT_MSI + 2, 0, 2);
	assert_int_equal(r->mode, VFIO_IRQ_NONE);
}

static void test_msi_narrow(void **state)
{
	struct rig *r = *state;

	pci_put16(r->config + AT_MSI + 2, 0x0000);
	made(state);
	set(r, AT_MSI + 4, 0xfee02000, 4);
	set(r, AT_MSI + 8, 0x55, 2);
	set(r, AT_MSI + 12, 0xffffffff, 4); /* is nothing there */
	assert_int_equal(get(r, AT_MSI + 12, 4), 0);
	set(r, AT_MSI + 2, 1, 2);
	assert_int_equal(r->n, 1);
	assert_int_equal(r->live_bits, 1);
	assert_int_equal(r->addr[0], 0xfee02000);
	assert_int_equal(r->data[0], 0x55);
}

static void use(struct rig *r)
{
	set(r, 0x10, 0xd0000000, 4);
	set(r, 4, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	bar_write(r, 2, TABLE + 12, 0, 4);
	set(r, AT_MSIX + 2, 0x8000, 2);
	set(r, AT_PM + 4, 3, 2);
	assert_int_equal(r->live_bits, 1);
}

static void test_reset(void **state)
{
	struct rig *r = made(state);

	use(r);
	vfio_fn_reset(&r->f);
	assert_int_equal(r->mode, VFIO_IRQ_NONE);
	assert_false(r->master);
	assert_memory_equal(r->f.fn.config, r->f.initial, PCI_CONFIG_BYTES);
	assert_int_equal(bar_read(r, 2, TABLE + 12, 4), 1);
	assert_int_equal(get(r, 0x10, 4), 0xc0000000);
	use(r); /* all as before */
}

static void test_taken_away(void **state)
{
	struct rig *r = made(state);
	struct pci_bus bus = { .slot = { [5] = &r->f.fn } };
	uint64_t v;

	use(r);
	vfio_fn_take_away(&r->f);
	assert_int_equal(r->mode, VFIO_IRQ_NONE);
	assert_false(r->master);
	r->modes = r->moves = r->vectors = r->reads = r->writes = 0;
	assert_int_equal(pci_ecam_read(&bus, 5 << 15, 4), 0xffffffff);
	for (unsigned off = 0; off < 256; off += 4)
		pci_ecam_write(&bus, (5u << 15) + off, 0x12345678, 4);
	assert_int_equal(pci_ecam_read(&bus, (5 << 15) + 0x10, 4), 0xffffffff);
	assert_false(pci_mmio_read(&bus, 0xd0000000, &v, 4));
	assert_int_equal(v, ~0ull);
	vfio_fn_reset(&r->f); /* of the machine */
	assert_int_equal(pci_ecam_read(&bus, 5 << 15, 4), 0xffffffff);
	assert_int_equal(r->modes + r->moves + r->vectors + r->reads + r->writes, 0);
}

int main(void)
{
#define WITH_RIG(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout_less),
		cmocka_unit_test(test_layout_many),
		cmocka_unit_test(test_layout_mappable),
		cmocka_unit_test(test_layout_sparse),
		WITH_RIG(test_header),
		WITH_RIG(test_bar_kinds),
		WITH_RIG(test_bar_addresses),
		WITH_RIG(test_capabilities),
		WITH_RIG(test_odd_chains),
		WITH_RIG(test_refused),
		WITH_RIG(test_trapped),
		WITH_RIG(test_command),
		WITH_RIG(test_pin),
		WITH_RIG(test_msix),
		WITH_RIG(test_many_vectors),
		WITH_RIG(test_msi),
		WITH_RIG(test_msi_narrow),
		WITH_RIG(test_reset),
		WITH_RIG(test_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
