/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration space, BARs and ECAM: see pci.h. Source: PCI Local Bus 3.0 chapter 6. */
#include "vmm/pci.h"

#include <string.h>

enum {
	CFG_COMMAND = 0x04,
	CFG_STATUS = 0x06,
	CFG_REVISION = 0x08,
	CFG_HEADER_TYPE = 0x0e,
	CFG_BARS = 0x10,
	CFG_SUBSYSTEM = 0x2c,
	CFG_CAP_POINTER = 0x34,
	CFG_INTERRUPT_LINE = 0x3c,
	CFG_CAPS = 0x40,
	STATUS_CAP_LIST = 0x10,
};

void pci_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void pci_put32(uint8_t *p, uint32_t v)
{
	pci_put16(p, (uint16_t)v);
	pci_put16(p + 2, (uint16_t)(v >> 16));
}

uint16_t pci_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t pci_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void pci_function_init(
	struct pci_function *f, const struct pci_id *id, const struct pci_ops *ops, void *arg)
{
	memset(f, 0, sizeof(*f));
	f->ops = ops;
	f->arg = arg;
	f->next_cap = CFG_CAPS;
	pci_put16(f->config, id->vendor);
	pci_put16(f->config + 2, id->device);
	pci_put32(f->config + CFG_REVISION, id->class_code << 8 | id->revision);
	pci_put16(f->config + CFG_SUBSYSTEM, id->subsystem_vendor);
	pci_put16(f->config + CFG_SUBSYSTEM + 2, id->subsystem);
	f->writable[CFG_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	f->writable[CFG_COMMAND + 1] = 0x4; /* INTx disable */
	f->writable[CFG_INTERRUPT_LINE] = 0xff;
}

void pci_add_bar(struct pci_function *f, int bar, uint8_t flags, uint64_t size, uint64_t addr)
{
	uint8_t *c = f->config + CFG_BARS + 4 * bar, *w = f->writable + CFG_BARS + 4 * bar;
	uint64_t mask = ~(size - 1);

	f->bar_size[bar] = size;
	pci_put32(c, (uint32_t)addr | flags);
	pci_put32(w, (uint32_t)mask);
	if ((flags & PCI_BAR_TYPE) != PCI_BAR_64)
		return;
	pci_put32(c + 4, (uint32_t)(addr >> 32));
	pci_put32(w + 4, (uint32_t)(mask >> 32));
}

void pci_add_bar64(struct pci_function *f, int bar, uint64_t size, uint64_t addr)
{
	pci_add_bar(f, bar, PCI_BAR_64 | PCI_BAR_PREFETCH, size, addr);
}

unsigned pci_add_cap(struct pci_function *f, uint8_t id, unsigned len)
{
	unsigned at = f->next_cap;

	f->config[at] = id;
	f->config[f->last_cap ? f->last_cap + 1 : CFG_CAP_POINTER] = (uint8_t)at;
	f->config[CFG_STATUS] |= STATUS_CAP_LIST;
	f->last_cap = (uint8_t)at;
	f->next_cap = (uint8_t)(at + ((len + 3) & ~3u));
	return at;
}

uint32_t pci_config_read(struct pci_function *f, unsigned off, unsigned len)
{
	uint32_t v = 0;

	if (f->ops->config_before_read)
		f->ops->config_before_read(f->arg, off, len);
	for (unsigned i = 0; i < len && i < 4; i++)
		if (off + i < PCI_CONFIG_BYTES)
			v |= (uint32_t)f->config[off + i] << 8 * i;
	return v;
}

void pci_config_write(struct pci_function *f, unsigned off, uint32_t v, unsigned len)
{
	bool moved = false;

	for (unsigned i = 0; i < len && i < 4 && off + i < PCI_CONFIG_BYTES; i++) {
		uint8_t *c = &f->config[off + i], w = f->writable[off + i];
		uint8_t to = (uint8_t)((*c & ~w) | ((uint8_t)(v >> 8 * i) & w));
		bool decodes =
			off + i == CFG_COMMAND || (off + i >= CFG_BARS && off + i < CFG_BARS + 24);

		moved |= decodes && to != *c;
		*c = to;
	}
	if (moved && f->ops->mapping_changed)
		f->ops->mapping_changed(f->arg);
	if (f->ops->config_written)
		f->ops->config_written(f->arg, off, len);
}

uint64_t pci_bar_base(const struct pci_function *f, int bar)
{
	uint32_t low = pci_get32(f->config + CFG_BARS + 4 * bar);
	uint64_t base = low & ~0xfu;

	if ((low & PCI_BAR_TYPE) == PCI_BAR_64 && bar < 5)
		base |= (uint64_t)pci_get32(f->config + CFG_BARS + 4 * bar + 4) << 32;
	return base;
}

bool pci_bar_address(const struct pci_function *f, int bar, uint64_t *addr)
{
	if (!f->bar_size[bar] || !(f->config[CFG_COMMAND] & PCI_COMMAND_MEMORY))
		return false;
	*addr = pci_bar_base(f, bar);
	return true;
}

/* ECAM: bus in bits 27:20, device 19:15, function 14:12, register 11:0 (PCIe 3.0, 7.2.2). */
static struct pci_function *ecam_function(struct pci_bus *b, uint64_t off)
{
	if (off >> 20 || (off >> 12 & 7))
		return NULL;
	return b->slot[off >> 15 & 31];
}

uint64_t pci_ecam_read(struct pci_bus *b, uint64_t off, unsigned len)
{
	struct pci_function *f = ecam_function(b, off);
	unsigned reg = off & 0xfff;
	uint64_t v;

	if (!f)
		return ~0ull;
	v = pci_config_read(f, reg, len < 4 ? len : 4);
	if (len == 8)
		v |= (uint64_t)pci_config_read(f, reg + 4, 4) << 32;
	return v;
}

void pci_ecam_write(struct pci_bus *b, uint64_t off, uint64_t v, unsigned len)
{
	struct pci_function *f = ecam_function(b, off);
	unsigned reg = off & 0xfff;

	if (!f)
		return;
	pci_config_write(f, reg, (uint32_t)v, len < 4 ? len : 4);
	if (len == 8)
		pci_config_write(f, reg + 4, (uint32_t)(v >> 32), 4);
}

/* Where the data port's byte `off` - 4 is in the ECAM window: address bits 23:16 are the bus, 15:8
 * device and function, 7:2 the register; without bit 31 it is no configuration access. */
static bool port_target(const struct pci_bus *b, unsigned off, unsigned len, uint64_t *at)
{
	if (off < 4 || off + len > 8 || !(b->address >> 31))
		return false;
	*at = (uint64_t)(b->address >> 8 & 0xffff) << 12 | (b->address & 0xfc) | (off - 4);
	return true;
}

uint32_t pci_port_read(struct pci_bus *b, unsigned off, unsigned len)
{
	uint64_t at;

	if (off == 0 && len == 4)
		return b->address;
	return port_target(b, off, len, &at) ? (uint32_t)pci_ecam_read(b, at, len) : ~0u;
}

void pci_port_write(struct pci_bus *b, unsigned off, uint32_t v, unsigned len)
{
	uint64_t at;

	if (off == 0 && len == 4)
		b->address = v & 0x80fffffc;
	else if (port_target(b, off, len, &at))
		pci_ecam_write(b, at, v, len);
}

static struct pci_function *mmio_function(
	struct pci_bus *b, uint64_t addr, unsigned len, int *bar, uint64_t *off)
{
	for (int s = 0; s < PCI_SLOTS; s++) {
		struct pci_function *f = b->slot[s];
		uint64_t base;

		for (*bar = 0; f && *bar < 6; (*bar)++) {
			if (!pci_bar_address(f, *bar, &base))
				continue;
			*off = addr - base;
			if (addr >= base && *off < f->bar_size[*bar] &&
				len <= f->bar_size[*bar] - *off)
				return f;
		}
	}
	return NULL;
}

bool pci_mmio_read(struct pci_bus *b, uint64_t addr, uint64_t *v, unsigned len)
{
	uint64_t off;
	int bar;
	struct pci_function *f = mmio_function(b, addr, len, &bar, &off);

	*v = f ? f->ops->bar_read(f->arg, bar, off, len) : ~0ull;
	return f;
}

bool pci_mmio_write(struct pci_bus *b, uint64_t addr, uint64_t v, unsigned len)
{
	uint64_t off;
	int bar;
	struct pci_function *f = mmio_function(b, addr, len, &bar, &off);

	if (f)
		f->ops->bar_write(f->arg, bar, off, v, len);
	return f;
}
