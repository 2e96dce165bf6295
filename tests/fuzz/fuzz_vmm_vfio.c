/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest at a passed-through device: configuration space, MSI, MSI-X, BARs wherever they went, at
 * any width; resets, and the device taken away in the middle. The device never sees an access to
 * its MSI-X table or pending bits or beyond a BAR, is told of no interrupt that it does not have,
 * and of bus mastering exactly what the guest's command register says. What is read-only stays so.
 *
 * Input: a byte of flags (1: it has a pin; 2: 256 bytes of configuration space follow, else it is
 * one like an 82574's; whatever it is, it must not hurt us), then operations of 12 bytes: kind and
 * BAR, width, offset, value.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/vfio_fn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, width;
	uint16_t off;
	uint64_t v;
} __attribute__((packed));

#define BAR_SIZE 0x20000ull

static struct vfio_fn *fn; /* on the heap: an access beyond it is seen */
static struct vfio_fn_bar bars[VFIO_BARS];
static uint64_t waiting;
static bool master, gone;
static enum vfio_irq_mode mode;
static unsigned messages;

static void check_access(int bar, uint64_t off, unsigned len)
{
	const struct vfio_place *p[] = { &fn->table, &fn->pba };

	if (gone || bar < 0 || bar >= VFIO_BARS || off >= bars[bar].size ||
		len > bars[bar].size - off)
		abort();
	for (unsigned i = 0; i < 2; i++)
		if (fn->has_msix && p[i]->bar == bar && off < p[i]->at.off + p[i]->at.len &&
			off + len > p[i]->at.off)
			abort();
}

static uint64_t dev_read(void *arg, int bar, uint64_t off, unsigned len)
{
	check_access(bar, off, len);
	return off;
}

static void dev_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	check_access(bar, off, len);
}

static void dev_moved(void *arg)
{
	if (gone)
		abort();
}

static void dev_master(void *arg, bool on)
{
	if (gone || on == master)
		abort();
	master = on;
}

static void dev_mode(void *arg, enum vfio_irq_mode m, unsigned n)
{
	if (gone || (m == VFIO_IRQ_MSIX && !fn->has_msix) ||
		(m == VFIO_IRQ_INTX && !fn->has_intx) || n > MSI_VECTORS_MAX ||
		(m == VFIO_IRQ_MSI) != (n > 0))
		abort();
	mode = m;
	messages = n;
}

static void dev_vector(void *arg, unsigned vector, bool live, uint64_t addr, uint32_t data)
{
	unsigned n = mode == VFIO_IRQ_MSIX ? fn->msix.n : mode == VFIO_IRQ_MSI ? messages : 0;

	if (gone || vector >= n)
		abort();
}

static bool dev_pending(void *arg, unsigned vector)
{
	if (gone || vector >= VFIO_VECTORS_MAX)
		abort();
	return waiting >> vector & 1;
}

static const struct vfio_fn_ops ops = { dev_read, dev_write, dev_moved, dev_master, dev_mode,
	dev_vector, dev_pending };

static void make_config(uint8_t c[PCI_CONFIG_BYTES])
{
	memset(c, 0, PCI_CONFIG_BYTES);
	pci_put32(c, 0x10d38086);
	pci_put32(c + 4, 0x00100000);
	pci_put32(c + 0x18, 0xc);
	c[0x34] = 0xc8;
	pci_put32(c + 0xc8, 0xc822d001);
	pci_put32(c + 0xd0, 0x0184e005);
	pci_put32(c + 0xe0, 0x0002a010);
	pci_put32(c + 0xa0, 0x00040011);
	pci_put32(c + 0xa4, 0x1002);
	pci_put32(c + 0xa8, 0x2002);
}

/* An access by the bus, at or around a BAR. */
static void access_bar(struct pci_bus *bus, const struct op *op, bool write)
{
	int bar = op->kind >> 4 & 7;
	unsigned len = 1u << (op->width & 3);
	uint64_t at, v;

	if (bar >= VFIO_BARS || !pci_bar_address(&fn->fn, bar, &at))
		return;
	if (write)
		pci_mmio_write(bus, at + op->off, op->v, len);
	else
		pci_mmio_read(bus, at + op->off, &v, len);
}

static void check(const struct vfio_fn *before)
{
	bool on = pci_get16(fn->fn.config + 4) & PCI_COMMAND_MASTER;

	if (gone)
		return;
	if (on != master)
		abort();
	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
		bool msi_pending = fn->has_msi && i >= fn->msi.cap && i < fn->msi.cap + 24;

		if (!msi_pending &&
			((fn->fn.config[i] ^ before->initial[i]) &
				(uint8_t)~before->fn.writable[i]))
			abort();
	}
}

static void run(const uint8_t *data, size_t size)
{
	struct vfio_fn before = *fn;
	struct pci_bus bus = { .slot = { [1] = &fn->fn } };
	struct op op;

	for (; size >= sizeof(op); data += sizeof(op), size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		switch (op.kind & 0xf) {
		case 0:
			pci_ecam_read(&bus, (1u << 15) + op.off % 4096, 1u << (op.width & 3));
			break;
		case 1:
		case 2:
			pci_ecam_write(&bus, (1u << 15) + op.off % 256, op.v, 1u << (op.width & 3));
			break;
		case 3:
			access_bar(&bus, &op, false);
			break;
		case 4:
		case 5:
			access_bar(&bus, &op, true);
			break;
		case 6:
			waiting ^= op.v;
			break;
		case 7:
			if (op.off == 0x1234)
				vfio_fn_reset(fn);
			break;
		default:
			if (op.off == 0x4321) {
				vfio_fn_take_away(fn);
				gone = true;
			}
		}
		check(&before);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t flags;

	if (size < 1)
		return 0;
	flags = *data++;
	size--;
	make_config(config);
	if (flags & 2) {
		if (size < sizeof(config))
			return 0;
		memcpy(config, data, sizeof(config));
		data += sizeof(config);
		size -= sizeof(config);
	}
	for (int i = 0; i < VFIO_BARS; i++)
		bars[i] = (struct vfio_fn_bar){ vfio_fn_bar_flags(config, i) < 0 ? 0 : BAR_SIZE,
			0xc0000000 + (uint64_t)i * BAR_SIZE };
	fn = malloc(sizeof(*fn));
	if (!fn)
		return 0;
	waiting = 0;
	master = gone = false;
	mode = VFIO_IRQ_NONE;
	messages = 0;
	if (vfio_fn_init(fn, config, bars, flags & 1, &ops, NULL, NULL) == 0)
		run(data, size);
	free(fn);
	return 0;
}
