/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space for a guest, made of a device's: see vfio_fn.h. Sources: PCI Local Bus 3.0,
 * chapter 6; PCI Express Base 3.0, chapter 7; PCI Bus Power Management 1.2, chapter 3.
 */
#include "vmm/vfio_config.h"

#include <errno.h>
#include <string.h>

enum {
	CFG_HEADER_TYPE = 0x0e,
	CFG_BARS = 0x10,
	CFG_SUBSYSTEM = 0x2c,
	CFG_CAP_POINTER = 0x34,
	CFG_CAPS = 0x40,
	STATUS_CAP_LIST = 0x10, /* at 6 */

	CAP_POWER = 0x01,
	CAP_MSI = 0x05,
	CAP_VENDOR = 0x09,
	CAP_EXPRESS = 0x10,
	CAP_MSIX = 0x11,

	EXPRESS_LEN_1 = 20, /* version 1: up to its link registers */
	EXPRESS_LEN_2 = 60,
	EXPRESS_TYPE = 0xf0,
	EXPRESS_ENDPOINT = 0x00,
	EXPRESS_LEGACY = 0x10,
	EXPRESS_INTEGRATED = 0x90,
	EXPRESS_SLOT = 0x01, /* in the upper byte, with the type in the lower */
};

/* Calls fn for each capability of a chain; a chain that loops or leaves the space ends. */
static int each_cap(const uint8_t config[PCI_CONFIG_BYTES], void *arg,
	int (*fn)(void *arg, const uint8_t *config, uint8_t id, unsigned at))
{
	bool seen[PCI_CONFIG_BYTES / 4] = { 0 };
	unsigned at = config[CFG_CAP_POINTER] & ~3u;

	if (!(config[6] & STATUS_CAP_LIST))
		return 0;
	while (at >= CFG_CAPS && !seen[at / 4]) {
		int err = fn(arg, config, config[at], at);

		if (err)
			return err;
		seen[at / 4] = true;
		at = config[at + 1] & ~3u;
	}
	return 0;
}

static int find_msix(void *arg, const uint8_t *config, uint8_t id, unsigned at)
{
	unsigned *found = arg;

	if (id == CAP_MSIX && at + 12 <= PCI_CONFIG_BYTES && !*found)
		*found = at;
	return 0;
}

void vfio_fn_find_msix(const uint8_t config[PCI_CONFIG_BYTES], struct vfio_place *table,
	struct vfio_place *pba, unsigned *n)
{
	unsigned at = 0;
	uint32_t t, p;

	*table = *pba = (struct vfio_place){ .bar = -1 };
	*n = 0;
	each_cap(config, &at, find_msix);
	if (!at)
		return;
	t = pci_get32(config + at + 4);
	p = pci_get32(config + at + 8);
	*n = (pci_get16(config + at + 2) & 0x7ffu) + 1;
	*table = (struct vfio_place){ (int)(t & 7), { t & ~7u, 16ull * *n } };
	*pba = (struct vfio_place){ (int)(p & 7), { p & ~7u, (*n + 63) / 64 * 8ull } };
}

int vfio_fn_bar_flags(const uint8_t config[PCI_CONFIG_BYTES], int bar)
{
	for (int i = 0; i < VFIO_BARS; i++) {
		uint8_t flags = config[CFG_BARS + 4 * i] & 0xf;
		bool wide = !(flags & PCI_BAR_IO) && (flags & PCI_BAR_TYPE) == PCI_BAR_64;

		if (i == bar)
			return (flags & PCI_BAR_IO) || (wide && i == 5) ? -1 : flags;
		if (wide)
			i++;
		if (i == bar)
			return -1; /* the upper half */
	}
	return -1;
}

/* --- the capabilities --- */

struct making {
	struct vfio_fn *f;
	const struct msix_ops *msix_ops;
	struct err *e;
};

/* A copy of len bytes, or of as many as there are, that cannot be written. */
static uint8_t *copy_cap(struct vfio_fn *f, const uint8_t *config, unsigned at, unsigned len)
{
	if (len > PCI_CONFIG_BYTES - at)
		len = PCI_CONFIG_BYTES - at;
	pci_add_cap(&f->fn, config[at], len);
	memcpy(f->fn.config + at + 2, config + at + 2, len - 2);
	return f->fn.config + at;
}

/* Any state can be set, keeps the registers (bit 3), and is no other than D0; no PME. */
static void make_power(struct vfio_fn *f, const uint8_t *config, unsigned at)
{
	uint8_t *c = copy_cap(f, config, at, 4);

	c[3] &= 0x07; /* wakes nobody */
	pci_put32(c + 4, 0x8);
	f->fn.writable[at + 4] = 0x3;
}

static void make_express(struct vfio_fn *f, const uint8_t *config, unsigned at)
{
	bool v1 = (config[at + 2] & 0xf) < 2;
	uint8_t *c = copy_cap(f, config, at, v1 ? EXPRESS_LEN_1 : EXPRESS_LEN_2);
	unsigned type = c[2] & EXPRESS_TYPE, room = PCI_CONFIG_BYTES - at;

	if (type == EXPRESS_ENDPOINT || type == EXPRESS_LEGACY)
		c[2] = (uint8_t)((c[2] & ~EXPRESS_TYPE) | EXPRESS_INTEGRATED);
	c[3] &= (uint8_t)~EXPRESS_SLOT;
	c[7] &= (uint8_t) ~(1 << 4); /* no function level reset: it is for us to do */
	c[9] &= 0x7f;                /* which would be begun here */
	pci_put16(f->fn.writable + at + 8, 0x7fff);
	/* No error, nothing under way; no link; nothing of version 2. */
	memset(c + 10, 0, (v1 ? EXPRESS_LEN_1 : room < EXPRESS_LEN_2 ? room : EXPRESS_LEN_2) - 10);
}

static int make_msix(const struct making *m, unsigned at)
{
	struct vfio_fn *f = m->f;
	unsigned n = f->host_vectors < VFIO_VECTORS_MAX ? f->host_vectors : VFIO_VECTORS_MAX;
	const struct vfio_place *p[] = { &f->table, &f->pba };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t size = p[i]->bar < VFIO_BARS ? f->fn.bar_size[p[i]->bar] : 0;

		if (p[i]->at.off >= size || p[i]->at.len > size - p[i]->at.off)
			return err_host(m->e, -EINVAL,
				"its MSI-X %s is said to be at 0x%llx of BAR %d, which has 0x%llx "
				"bytes",
				i ? "pending bits" : "table", (unsigned long long)p[i]->at.off,
				p[i]->bar, (unsigned long long)size);
	}
	msix_init(&f->msix, &f->fn, n, f->table.bar, (uint32_t)f->table.at.off,
		(uint32_t)f->pba.at.off, m->msix_ops, f);
	pci_put32(f->fn.config + at + 8, (uint32_t)f->pba.at.off | (uint32_t)f->pba.bar);
	f->has_msix = true;
	return 0;
}

static int make_cap(void *arg, const uint8_t *config, uint8_t id, unsigned at)
{
	const struct making *m = arg;
	struct vfio_fn *f = m->f;
	uint16_t control = pci_get16(config + at + 2);
	bool wide = control & 0x80, maskable = control & 0x100;
	unsigned room = PCI_CONFIG_BYTES - at;

	f->fn.next_cap = (uint8_t)at; /* each stays where it was */
	if (id == CAP_POWER && room >= 8)
		make_power(f, config, at);
	else if (id == CAP_EXPRESS && room >= EXPRESS_LEN_1)
		make_express(f, config, at);
	else if (id == CAP_VENDOR && room >= 4)
		copy_cap(f, config, at, config[at + 2] < 4 ? 4 : config[at + 2]);
	else if (id == CAP_MSIX && !f->has_msix && room >= 12)
		return make_msix(m, at);
	else if (id == CAP_MSI && !f->has_msi && room >= msi_cap_len(wide, maskable)) {
		msi_init(&f->msi, &f->fn, 1u << (control >> 1 & 7), wide, maskable);
		f->has_msi = true;
	}
	return 0;
}

int vfio_config_make(struct vfio_fn *f, const uint8_t config[PCI_CONFIG_BYTES],
	const struct vfio_fn_bar bars[VFIO_BARS], const struct pci_ops *ops,
	const struct msix_ops *msix_ops, struct err *e)
{
	struct pci_id id = { .vendor = pci_get16(config),
		.device = pci_get16(config + 2),
		.subsystem_vendor = pci_get16(config + CFG_SUBSYSTEM),
		.subsystem = pci_get16(config + CFG_SUBSYSTEM + 2),
		.class_code = pci_get32(config + 8) >> 8,
		.revision = config[8] };
	struct making m = { f, msix_ops, e };

	if (config[CFG_HEADER_TYPE] & 0x7f)
		return err_request(e, -EINVAL,
			"it is a bridge (its header is of type %d); only devices can be passed on",
			config[CFG_HEADER_TYPE] & 0x7f);
	pci_function_init(&f->fn, &id, ops, f);
	for (int i = 0; i < VFIO_BARS; i++) {
		int flags = vfio_fn_bar_flags(config, i);

		if (bars[i].size && flags >= 0)
			pci_add_bar(&f->fn, i, (uint8_t)flags, bars[i].size, bars[i].addr);
	}
	f->fn.config[PCI_INTERRUPT_PIN] = f->has_intx;
	vfio_fn_find_msix(config, &f->table, &f->pba, &f->host_vectors);
	return each_cap(config, &m, make_cap);
}
