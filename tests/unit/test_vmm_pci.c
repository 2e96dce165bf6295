/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration space, BARs, ECAM and MSI-X, as a guest may use and misuse them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/msix.h"
#include "vmm/pci.h"

struct rig {
	struct pci_function f;
	struct msix m;
	struct pci_bus bus;
	unsigned moved, changed, last_vector;
	uint64_t last_off, last_value;
	unsigned last_len;
	bool pending;
};

static uint64_t rig_read(void *arg, int bar, uint64_t off, unsigned len)
{
	return 0x1122334455667788ull + off;
}

static void rig_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	struct rig *r = arg;

	r->last_off = off;
	r->last_value = v;
	r->last_len = len;
}

static void rig_moved(void *arg)
{
	((struct rig *)arg)->moved++;
}

static void rig_written(void *arg, unsigned off, unsigned len)
{
	struct rig *r = arg;

	msix_config_written(&r->m, &r->f, off, len);
}

static void rig_changed(void *arg, unsigned vector)
{
	struct rig *r = arg;

	r->changed++;
	r->last_vector = vector;
}

static bool rig_pending(void *arg, unsigned vector)
{
	return ((struct rig *)arg)->pending && vector == 2;
}

static const struct pci_ops ops = { .bar_read = rig_read,
	.bar_write = rig_write,
	.mapping_changed = rig_moved,
	.config_written = rig_written };
static const struct msix_ops mops = { .changed = rig_changed, .pending = rig_pending };

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct pci_id id = { 0x1af4, 0x1041, 0x1af4, 0x1100, 0x020000, 1 };

	pci_function_init(&r->f, &id, &ops, r);
	pci_add_bar64(&r->f, 0, 0x8000, 0x4000100000);
	msix_init(&r->m, &r->f, 5, 0, 0x4000, 0x5000, &mops, r);
	r->bus.slot[3] = &r->f;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void test_ids_are_read_only(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pci_config_read(&r->f, 0, 4), 0x10411af4);
	assert_int_equal(pci_config_read(&r->f, 8, 4), 0x02000001);
	for (unsigned off = 0; off < 256; off += 4)
		if (off != 4)
			pci_config_write(&r->f, off, 0xffffffff, 4);
	assert_int_equal(pci_config_read(&r->f, 0, 4), 0x10411af4);
	assert_int_equal(pci_config_read(&r->f, 2, 2), 0x1041);
	assert_int_equal(pci_config_read(&r->f, 0xe, 1), 0);
	assert_int_equal(pci_config_read(&r->f, 6, 2), 0x10); /* capability list */
}

static void test_command_mask(void **state)
{
	struct rig *r = *state;
	uint64_t addr;

	assert_false(pci_bar_address(&r->f, 0, &addr));
	pci_config_write(&r->f, 4, 0xffff, 2);
	assert_int_equal(pci_config_read(&r->f, 4, 2), 0x0406);
	assert_int_equal(r->moved, 1);
	assert_true(pci_bar_address(&r->f, 0, &addr));
	assert_int_equal(addr, 0x4000100000);
	pci_config_write(&r->f, 4, 0xffff, 2);
	assert_int_equal(r->moved, 1); /* nothing changed */
}

static void test_bar_sizing(void **state)
{
	struct rig *r = *state;

	pci_config_write(&r->f, 0x10, 0xffffffff, 4);
	pci_config_write(&r->f, 0x14, 0xffffffff, 4);
	assert_int_equal(pci_config_read(&r->f, 0x10, 4), 0xffff800c);
	assert_int_equal(pci_config_read(&r->f, 0x14, 4), 0xffffffff);
	pci_config_write(&r->f, 0x18, 0xffffffff, 4); /* no such BAR */
	assert_int_equal(pci_config_read(&r->f, 0x18, 4), 0);
	pci_config_write(&r->f, 0x10, 0x123456, 4);
	pci_config_write(&r->f, 0x14, 0x41, 4);
	assert_int_equal(pci_config_read(&r->f, 0x10, 4), 0x12000c);
	/* byte by byte comes to the same */
	pci_config_write(&r->f, 0x12, 0x34, 1);
	assert_int_equal(pci_config_read(&r->f, 0x10, 4), 0x34000c);
}

static void test_ecam(void **state)
{
	struct rig *r = *state;
	uint64_t at = 3 << 15;

	assert_int_equal(pci_ecam_read(&r->bus, at, 4), 0x10411af4);
	assert_int_equal(pci_ecam_read(&r->bus, at, 8), 0x0010000010411af4ull);
	assert_int_equal(pci_ecam_read(&r->bus, 4 << 15, 4), ~0ull);
	assert_int_equal(pci_ecam_read(&r->bus, at | 1 << 12, 4), ~0ull); /* function 1 */
	assert_int_equal(pci_ecam_read(&r->bus, at | 1 << 20, 4), ~0ull); /* bus 1 */
	assert_int_equal(pci_ecam_read(&r->bus, at | 0x100, 4), 0); /* no extended capability */
	assert_int_equal(pci_ecam_read(&r->bus, at | 0xfff, 8), 0);
	pci_ecam_write(&r->bus, at | 0xffe, ~0ull, 8);
	pci_ecam_write(&r->bus, 0xffffff0, ~0ull, 8);
	pci_ecam_write(&r->bus, at | 0x10, 0x42ffffffffull, 8); /* both halves of a BAR */
	assert_int_equal(pci_config_read(&r->f, 0x14, 4), 0x42);
}

static void test_ports(void **state)
{
	struct rig *r = *state;
	struct pci_bus *b = &r->bus;

	assert_int_equal(pci_port_read(b, 4, 4), ~0u); /* no address yet */
	pci_port_write(b, 0, 0xff001803, 4);           /* device 3; bits that are none read as 0 */
	assert_int_equal(pci_port_read(b, 0, 4), 0x80001800);
	assert_int_equal(pci_port_read(b, 4, 4), 0x10411af4);
	assert_int_equal(pci_port_read(b, 6, 2), 0x1041);
	assert_int_equal(pci_port_read(b, 5, 1), 0x1a);
	pci_port_write(b, 0, 0x80001804, 4);
	pci_port_write(b, 4, 2, 1);
	assert_int_equal(pci_config_read(&r->f, 4, 2), 2);
	pci_port_write(b, 0, 0x80001810, 4);
	pci_port_write(b, 6, 0x1234, 2);
	assert_int_equal(pci_config_read(&r->f, 0x12, 2), 0x1234);
	/* Neither a part of the address, nor a reset's port in it, nor what crosses ports' ends. */
	pci_port_write(b, 3, 1, 1);
	pci_port_write(b, 1, 6, 1);
	pci_port_write(b, 2, ~0u, 4);
	pci_port_write(b, 6, ~0u, 4);
	assert_int_equal(pci_port_read(b, 0, 4), 0x80001810);
	assert_int_equal(pci_port_read(b, 3, 1), ~0u);
	assert_int_equal(pci_port_read(b, 6, 4), ~0u);
	assert_int_equal(pci_config_read(&r->f, 0x12, 2), 0x1234);
	/* Another device, function, bus; no configuration access at all. */
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t other[] = { 0x80002000, 0x80001900, 0x80011800, 0x1800 };

		pci_port_write(b, 0, other[i], 4);
		assert_int_equal(pci_port_read(b, 4, 4), ~0u);
		pci_port_write(b, 4, ~0u, 4);
	}
}

static void test_mmio(void **state)
{
	struct rig *r = *state;
	uint64_t v;

	assert_false(pci_mmio_read(&r->bus, 0x4000100000, &v, 4)); /* decoding is off */
	assert_int_equal(v, ~0ull);
	pci_config_write(&r->f, 4, 2, 2);
	assert_true(pci_mmio_read(&r->bus, 0x4000100010, &v, 8));
	assert_int_equal(v, 0x1122334455667798ull);
	assert_true(pci_mmio_write(&r->bus, 0x4000107ffc, 9, 4));
	assert_int_equal(r->last_off, 0x7ffc);
	assert_false(pci_mmio_write(&r->bus, 0x4000107ffc, 9, 8)); /* across its end */
	assert_false(pci_mmio_write(&r->bus, 0x4000108000, 9, 1));
	assert_false(pci_mmio_read(&r->bus, 0x40000fffff, &v, 1));
	/* a BAR at the top of the address space must not wrap */
	pci_config_write(&r->f, 0x10, 0xffffffff, 4);
	pci_config_write(&r->f, 0x14, 0xffffffff, 4);
	assert_true(pci_mmio_write(&r->bus, ~0ull, 1, 1));
	assert_false(pci_mmio_write(&r->bus, ~0ull, 1, 2));
	assert_false(pci_mmio_write(&r->bus, 0, 1, 1));
}

static void test_msix_table(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pci_config_read(&r->f, r->m.cap, 1), 0x11);
	assert_int_equal(pci_config_read(&r->f, r->m.cap + 2, 2), 4); /* 5 vectors */
	assert_int_equal(msix_table_read(&r->m, 12, 4), 1);           /* masked */
	msix_table_write(&r->m, 16, 0xfee00000ull | 0xabcd00000000ull, 8);
	msix_table_write(&r->m, 24, 0x41, 4);
	assert_int_equal(msix_table_read(&r->m, 16, 8), 0xabcdfee00000ull);
	assert_false(msix_is_live(&r->m, 1));
	msix_table_write(&r->m, 28, 0, 4);
	assert_int_equal(r->last_vector, 1);
	assert_false(msix_is_live(&r->m, 1)); /* not enabled */
	pci_config_write(&r->f, r->m.cap + 2, 0x8000, 2);
	assert_true(msix_is_live(&r->m, 1));
	assert_false(msix_is_live(&r->m, 0));
	pci_config_write(&r->f, r->m.cap + 2, 0xc000, 2);
	assert_false(msix_is_live(&r->m, 1)); /* the function is masked */
	assert_int_equal(pci_config_read(&r->f, r->m.cap + 2, 2), 0xc004); /* size is read-only */
	/* what is not aligned, or not in the table */
	r->changed = 0;
	msix_table_write(&r->m, 16, 0, 2);
	msix_table_write(&r->m, 18, 0, 4);
	msix_table_write(&r->m, 80, 0, 4);
	msix_table_write(&r->m, 76, 0, 8);
	msix_table_write(&r->m, ~0ull - 7, 0, 8);
	assert_int_equal(r->changed, 0);
	assert_int_equal(msix_table_read(&r->m, 80, 4), 0);
	assert_int_equal(msix_table_read(&r->m, ~0ull & ~7ull, 8), 0);
}

static void test_msix_pending(void **state)
{
	struct rig *r = *state;

	r->pending = true;
	assert_int_equal(msix_pba_read(&r->m, 0, 8), 4);
	assert_int_equal(msix_pba_read(&r->m, 0, 4), 4);
	assert_int_equal(msix_pba_read(&r->m, 4, 4), 0);
	assert_int_equal(msix_pba_read(&r->m, 8, 8), 0);
	msix_table_write(&r->m, 2 * 16 + 12, 0, 4);
	pci_config_write(&r->f, r->m.cap + 2, 0x8000, 2);
	assert_int_equal(msix_pba_read(&r->m, 0, 8), 0); /* live: delivered, not pending */
	r->changed = 0;
	msix_reset(&r->m, &r->f);
	assert_int_equal(r->changed, 5);
	assert_false(msix_is_live(&r->m, 2));
	assert_int_equal(pci_config_read(&r->f, r->m.cap + 2, 2), 4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_ids_are_read_only),
		T(test_command_mask),
		T(test_bar_sizing),
		T(test_ecam),
		T(test_ports),
		T(test_mmio),
		T(test_msix_table),
		T(test_msix_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
