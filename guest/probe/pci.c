/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/probe/pci.h"

#include <stddef.h>

#include "guest/probe/cpu.h"
#include "guest/probe/mem.h"

#define ECAM_BUS (1u << 20) /* bytes of configuration space of a bus */

#define BAR_IO     1u
#define BAR_64     4u
#define BAR_AT(i)  (0x10 + 4 * (i))
#define COMMAND_AT 4

static volatile uint8_t *ecam_base;
/* Where BARs are put that nobody assigned: between the devices' start and ECAM's usual places. */
static uint64_t bar_free = 0xa0000000;

bool pci_init(uint64_t ecam)
{
	ecam_base = mem_map_device(ecam, ECAM_BUS);
	return ecam_base && pci_id(0) && pci_id(0) != 0xffffffff;
}

uint32_t pci_id(uint32_t slot)
{
	return mmio_get32(ecam_base + (slot << 15));
}

uint32_t pci_read32(const struct pci_dev *d, uint32_t at)
{
	return mmio_get32(d->cfg + at);
}

uint16_t pci_read16(const struct pci_dev *d, uint32_t at)
{
	return mmio_get16(d->cfg + at);
}

void pci_write16(const struct pci_dev *d, uint32_t at, uint16_t v)
{
	mmio_put16(d->cfg + at, v);
}

void pci_write32(const struct pci_dev *d, uint32_t at, uint32_t v)
{
	mmio_put32(d->cfg + at, v);
}

/* The size of a memory BAR: all ones written and read back (PCI 3.0, 6.2.5.1). Below 4 GiB. */
static uint32_t bar_size(const struct pci_dev *d, uint32_t i, uint32_t was)
{
	uint32_t v;

	pci_write32(d, BAR_AT(i), 0xffffffff);
	v = pci_read32(d, BAR_AT(i)) & ~0xfu;
	pci_write32(d, BAR_AT(i), was);
	return v ? ~v + 1 : 0;
}

volatile uint8_t *pci_bar(struct pci_dev *d, uint32_t i)
{
	uint32_t lo, size;
	uint64_t at;

	if (i >= 6)
		return NULL;
	if (d->bar[i])
		return d->bar[i];
	lo = pci_read32(d, BAR_AT(i));
	at = lo & ~0xfu;
	if (lo & BAR_IO)
		return NULL;
	if (lo & BAR_64 && i < 5)
		at |= (uint64_t)pci_read32(d, BAR_AT(i + 1)) << 32;
	if (!at) {
		size = bar_size(d, i, lo);
		if (!size)
			return NULL;
		at = (bar_free + size - 1) & ~(uint64_t)(size - 1);
		bar_free = at + size;
		pci_write32(d, BAR_AT(i), (uint32_t)at);
		if (lo & BAR_64 && i < 5)
			pci_write32(d, BAR_AT(i + 1), 0);
	}
	/* Devices' BARs are a few KiB and aligned to their size: one page of 2 MiB holds it. */
	d->bar[i] = mem_map_device(at, 0x1000);
	return d->bar[i];
}

void pci_open(struct pci_dev *d, uint32_t slot)
{
	*d = (struct pci_dev){ .slot = (uint8_t)slot, .cfg = ecam_base + (slot << 15) };
}

void pci_enable(struct pci_dev *d)
{
	pci_write16(d, COMMAND_AT, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
}

bool pci_cap_next(const struct pci_dev *d, struct pci_cap *c)
{
	uint32_t next = c->at ? c->head >> 8 & 0xff : pci_read32(d, 0x34) & 0xff;

	/* Behind the header, in words; a list that comes back to itself ends when all fit in. */
	if (next < 0x40 || next & 3 || c->n == (256 - 0x40) / 4)
		return false;
	*c = (struct pci_cap){ next, pci_read32(d, next), c->n + 1 };
	return true;
}
