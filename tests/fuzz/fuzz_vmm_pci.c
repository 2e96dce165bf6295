/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest at the configuration space of a bus with several functions, and at memory wherever their
 * BARs went: a host bridge, pvpanic, a function with two BARs and MSI-X, one with capabilities
 * alone. What is read-only stays so, and a function's memory is never accessed beyond its BAR.
 *
 * Input: operations of 16 bytes: kind, width, two bytes of nothing, a number, a value.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/msix.h"
#include "vmm/pvpanic.h"

#define BAR  0x4000000000ull
#define STEP 0x100000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, width;
	uint16_t pad;
	uint32_t n;
	uint64_t v;
};

static struct pci_function bridge, two_bars, caps;
static struct pvpanic panic;
static struct msix msix;
static struct pci_bus bus;
static unsigned mapped; /* how often mapping_changed was called */

static void check_access(int bar, uint64_t off, unsigned len)
{
	uint64_t size = two_bars.bar_size[bar];

	if (!size || off >= size || len > size - off || !len || len > 8)
		abort();
}

static uint64_t bar_read(void *arg, int bar, uint64_t off, unsigned len)
{
	check_access(bar, off, len);
	return bar == 0 ? msix_table_read(&msix, off, len) : msix_pba_read(&msix, off, len);
}

static void bar_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	check_access(bar, off, len);
	if (bar == 0)
		msix_table_write(&msix, off, v, len);
}

static void mapping_changed(void *arg)
{
	mapped++;
}

static void config_written(void *arg, unsigned off, unsigned len)
{
	msix_config_written(&msix, &two_bars, off, len);
}

static uint64_t none_read(void *arg, int bar, uint64_t off, unsigned len)
{
	abort(); /* it has no BAR */
}

static void none_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	abort();
}

static void msix_changed(void *arg, unsigned vector)
{
	if (vector >= msix.n)
		abort();
}

static bool msix_pending(void *arg, unsigned vector)
{
	return vector & 1;
}

static void said(void *arg, uint8_t events)
{
	if (!events || events & ~PVPANIC_EVENTS)
		abort();
}

static void make_bus(void)
{
	static const struct pci_ops none = { .bar_read = none_read, .bar_write = none_write };
	static const struct pci_ops ops = { .bar_read = bar_read,
		.bar_write = bar_write,
		.mapping_changed = mapping_changed,
		.config_written = config_written };
	static const struct msix_ops msix_ops = { msix_changed, msix_pending };
	struct pci_id id = { 0x1af4, 0x1041, 0x1af4, 0x1100, 0x020000, 1 };

	pci_function_init(&bridge, &id, &none, NULL);
	pci_function_init(&caps, &id, &none, NULL);
	for (uint8_t i = 0; i < 4; i++)
		pci_add_cap(&caps, (uint8_t)(9 + i), 13u + i);
	pci_function_init(&two_bars, &id, &ops, NULL);
	pci_add_bar64(&two_bars, 0, 0x8000, BAR + STEP);
	pci_add_bar64(&two_bars, 2, 0x1000, BAR + 2 * STEP);
	msix_init(&msix, &two_bars, 33, 0, 0, 0x1000, &msix_ops, NULL);
	pvpanic_init(&panic, BAR + 3 * STEP, said, NULL);
	bus = (struct pci_bus){ 0 };
	bus.slot[0] = &bridge;
	bus.slot[1] = &two_bars;
	bus.slot[7] = &caps;
	bus.slot[31] = &panic.fn;
}

/* Somewhere at or around a BAR, wherever that is now; or anywhere. */
static uint64_t an_address(const struct op *op)
{
	struct pci_function *f[] = { &two_bars, &two_bars, &panic.fn };
	int bars[] = { 0, 2, 0 };
	unsigned which = op->width >> 4 & 3;
	uint64_t base;

	if (which == 3)
		return op->v;
	if (!pci_bar_address(f[which], bars[which], &base))
		return BAR + op->n;
	return base + op->n % 0x9000 - 0x10;
}

static void check_constant(const struct pci_function *f, const struct pci_function *before)
{
	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++)
		if ((f->config[i] ^ before->config[i]) & (uint8_t)~f->writable[i])
			abort();
	if (memcmp(f->writable, before->writable, sizeof(f->writable)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pci_function before[4];
	struct pci_function *fn[4] = { &bridge, &two_bars, &caps, &panic.fn };
	struct op op;

	make_bus();
	for (int i = 0; i < 4; i++)
		before[i] = *fn[i];
	for (; size >= sizeof(op); data += sizeof(op), size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		unsigned len = 1u << (op.width & 3);
		uint64_t v;

		switch (op.kind & 3) {
		case 0:
			v = pci_ecam_read(&bus, op.n & 0xfffffff, len);
			if (len < 8 && v >> 8 * len && v != ~0ull)
				abort();
			break;
		case 1:
			pci_ecam_write(&bus, op.n & 0xfffffff, op.v, len);
			break;
		case 2:
			pci_mmio_read(&bus, an_address(&op), &v, len);
			break;
		default:
			pci_mmio_write(&bus, an_address(&op), op.v, len);
			break;
		}
		for (int i = 0; i < 4; i++)
			check_constant(fn[i], &before[i]);
	}
	return 0;
}
