/* SPDX-License-Identifier: Apache-2.0 */
/* A passed-through device's function: see vfio_fn.h. What it is made of: vfio_config.c. */
#include "vmm/vfio_fn.h"

#include <string.h>

#include "vmm/vfio_config.h"

static bool in_place(const struct vfio_place *p, int bar, uint64_t off, unsigned len)
{
	return p->bar == bar && off >= p->at.off && off - p->at.off < p->at.len &&
		len <= p->at.len - (off - p->at.off);
}

static bool touches(const struct vfio_place *p, int bar, uint64_t off, unsigned len)
{
	return p->bar == bar && off < p->at.off + p->at.len && off + len > p->at.off;
}

/* The device's own table and pending bits are not reached: they are the host's. */
static uint64_t fn_bar_read(void *arg, int bar, uint64_t off, unsigned len)
{
	struct vfio_fn *f = arg;

	if (in_place(&f->table, bar, off, len))
		return msix_table_read(&f->msix, off - f->table.at.off, len);
	if (in_place(&f->pba, bar, off, len))
		return msix_pba_read(&f->msix, off - f->pba.at.off, len);
	if (touches(&f->table, bar, off, len) || touches(&f->pba, bar, off, len))
		return 0;
	return f->ops->bar_read(f->arg, bar, off, len);
}

static void fn_bar_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	struct vfio_fn *f = arg;

	if (in_place(&f->table, bar, off, len))
		msix_table_write(&f->msix, off - f->table.at.off, v, len);
	else if (!touches(&f->table, bar, off, len) && !touches(&f->pba, bar, off, len))
		f->ops->bar_write(f->arg, bar, off, v, len);
}

static void fn_moved(void *arg)
{
	struct vfio_fn *f = arg;

	f->ops->moved(f->arg);
}

static void fn_before_read(void *arg, unsigned off, unsigned len)
{
	struct vfio_fn *f = arg;
	uint32_t bits = 0, data;
	uint64_t addr;

	if (!f->has_msi || !msi_touched(&f->msi, off, len))
		return;
	for (unsigned i = 0; i < msi_enabled(&f->msi, &f->fn); i++)
		if (!msi_message(&f->msi, &f->fn, i, &addr, &data) && f->ops->pending(f->arg, i))
			bits |= 1u << i;
	msi_set_pending(&f->msi, &f->fn, bits);
}

static void fn_tell_messages(struct vfio_fn *f)
{
	for (unsigned i = 0; i < f->n_messages; i++) {
		uint64_t addr;
		uint32_t data = 0;
		bool live = msi_message(&f->msi, &f->fn, i, &addr, &data);

		f->ops->vector(f->arg, i, live, addr, data);
	}
}

/* How the guest wants to be interrupted, by its registers. */
static enum vfio_irq_mode fn_wanted_mode(const struct vfio_fn *f, unsigned *n)
{
	uint16_t command = pci_get16(f->fn.config + 4);

	*n = 0;
	if (f->has_msix && (f->fn.config[f->msix.cap + 3] & 0x80))
		return VFIO_IRQ_MSIX;
	if (f->has_msi && (*n = msi_enabled(&f->msi, &f->fn)))
		return VFIO_IRQ_MSI;
	/* Not before a driver uses the device: the host's line may be shared. */
	if (f->has_intx && (command & PCI_COMMAND_MEMORY) && !(command & PCI_COMMAND_NO_INTX))
		return VFIO_IRQ_INTX;
	return VFIO_IRQ_NONE;
}

static void fn_config_written(void *arg, unsigned off, unsigned len)
{
	struct vfio_fn *f = arg;
	bool master = pci_get16(f->fn.config + 4) & PCI_COMMAND_MASTER;
	enum vfio_irq_mode mode;
	unsigned n;

	if (f->gone)
		return;
	mode = fn_wanted_mode(f, &n);
	if (mode != f->mode || n != f->n_messages) {
		f->mode = mode;
		f->n_messages = n;
		f->ops->mode(f->arg, mode, n);
	}
	if (f->has_msix)
		msix_config_written(&f->msix, &f->fn, off, len);
	if (f->has_msi && msi_touched(&f->msi, off, len))
		fn_tell_messages(f);
	/* Last: a device that may do DMA may interrupt, too. */
	if (master != f->master) {
		f->master = master;
		f->ops->master(f->arg, master);
	}
}

static const struct pci_ops fn_pci_ops = {
	.bar_read = fn_bar_read,
	.bar_write = fn_bar_write,
	.mapping_changed = fn_moved,
	.config_before_read = fn_before_read,
	.config_written = fn_config_written,
};

static void fn_msix_changed(void *arg, unsigned vector)
{
	struct vfio_fn *f = arg;
	const struct msix_vector *v = &f->msix.v[vector];

	if (f->mode == VFIO_IRQ_MSIX)
		f->ops->vector(f->arg, vector, msix_is_live(&f->msix, vector),
			(uint64_t)v->addr_hi << 32 | v->addr_lo, v->data);
}

static bool fn_msix_pending(void *arg, unsigned vector)
{
	struct vfio_fn *f = arg;

	return f->mode == VFIO_IRQ_MSIX && f->ops->pending(f->arg, vector);
}

static const struct msix_ops fn_msix_ops = {
	.changed = fn_msix_changed,
	.pending = fn_msix_pending,
};

int vfio_fn_init(struct vfio_fn *f, const uint8_t config[PCI_CONFIG_BYTES],
	const struct vfio_fn_bar bars[VFIO_BARS], bool intx, const struct vfio_fn_ops *ops,
	void *arg, struct err *e)
{
	int err;

	*f = (struct vfio_fn){ .ops = ops, .arg = arg, .has_intx = intx };
	err = vfio_config_make(f, config, bars, &fn_pci_ops, &fn_msix_ops, e);
	memcpy(f->initial, f->fn.config, sizeof(f->initial));
	return err;
}

void vfio_fn_reset(struct vfio_fn *f)
{
	if (f->gone)
		return;
	pci_config_write(&f->fn, 4, 0, 2); /* decoding and DMA off */
	if (f->has_msix)
		msix_reset(&f->msix, &f->fn);
	if (f->has_msi)
		msi_reset(&f->msi, &f->fn);
	memcpy(f->fn.config, f->initial, sizeof(f->initial));
	fn_config_written(f, 0, 0); /* no interrupts */
}

void vfio_fn_take_away(struct vfio_fn *f)
{
	vfio_fn_reset(f);
	f->gone = true;
	f->has_msi = f->has_msix = f->has_intx = false;
	f->table.bar = f->pba.bar = -1;
	memset(f->fn.config, 0xff, sizeof(f->fn.config));
	memset(f->fn.writable, 0, sizeof(f->fn.writable));
	memset(f->fn.bar_size, 0, sizeof(f->fn.bar_size));
}
