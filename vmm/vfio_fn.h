/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A passed-through device as its guest sees it: configuration space, BARs and interrupts that are
 * ours, behind them the device. Pure: what reaches the device or KVM goes by vfio_fn_ops, so tests
 * and fuzzers hand in a device of their own. Callers hold the device lock.
 *
 * Configuration space is made of the device's once, and the guest reads and writes that copy: what
 * it does to BARs, power management or MSI registers never reaches the device. Of the command
 * register the device gets to know whether it may do DMA (bus master), and nothing else.
 *
 * Capabilities: MSI and MSI-X are emulated. Power management is there, and changes nothing.
 * PCI Express is that of an endpoint inside the root complex (which is where the guest finds it),
 * without link and without reset. Vendor-specific ones are copied. All others are hidden; so is
 * all of the extended space (SR-IOV, ARI, resizable BARs, ...), which reads as 0, and so are ROM
 * and I/O BARs.
 */
#ifndef LANYARD_VMM_VFIO_FN_H
#define LANYARD_VMM_VFIO_FN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/msi.h"
#include "vmm/msix.h"
#include "vmm/pci.h"
#include "vmm/vfio_layout.h"

#define VFIO_VECTORS_MAX MSIX_VECTORS_MAX /* a device with more is shown with as many */
#define VFIO_BARS        6

enum vfio_irq_mode { VFIO_IRQ_NONE, VFIO_IRQ_INTX, VFIO_IRQ_MSI, VFIO_IRQ_MSIX };

struct vfio_fn_ops {
	/* Registers of the device that are not mapped. */
	uint64_t (*bar_read)(void *arg, int bar, uint64_t off, unsigned len);
	void (*bar_write)(void *arg, int bar, uint64_t off, uint64_t v, unsigned len);
	/* BARs are decoded elsewhere now, or not at all. */
	void (*moved)(void *arg);
	/* Whether the device may do DMA. */
	void (*master)(void *arg, bool on);
	/* The guest wants its interrupts in this way; n messages, if it is MSI. Ends any other. */
	void (*mode)(void *arg, enum vfio_irq_mode mode, unsigned n);
	/* A message of MSI or MSI-X became live, changed, or is no longer. */
	void (*vector)(void *arg, unsigned vector, bool live, uint64_t addr, uint32_t data);
	/* Whether an interrupt waits for the vector's mask to be taken away. */
	bool (*pending)(void *arg, unsigned vector);
};

/* Where something lies in a BAR; bar -1: nowhere. */
struct vfio_place {
	int bar;
	struct vfio_area at;
};

struct vfio_fn {
	struct pci_function fn;
	uint8_t initial[PCI_CONFIG_BYTES]; /* config at power-on */
	bool has_msi, has_msix, has_intx;
	struct msi msi;
	struct msix msix;
	unsigned host_vectors;        /* that the device has by MSI-X; msix.n may be less */
	struct vfio_place table, pba; /* all of them, as long as the device's */
	bool master;                  /* as the device was told */
	enum vfio_irq_mode mode;      /* as was told */
	unsigned n_messages;
	bool gone;
	const struct vfio_fn_ops *ops;
	void *arg;
};

/* What a BAR of the device is. */
struct vfio_fn_bar {
	uint64_t size; /* 0: none */
	uint64_t addr; /* where the guest finds it at power-on */
};

/*
 * config: the device's, 256 bytes. bars: sizes and places; kinds are config's. intx: whether it can
 * interrupt by its pin. ops and arg are kept. -EINVAL: what config says cannot be.
 */
int vfio_fn_init(struct vfio_fn *f, const uint8_t config[PCI_CONFIG_BYTES],
	const struct vfio_fn_bar bars[VFIO_BARS], bool intx, const struct vfio_fn_ops *ops,
	void *arg, struct err *e);

/* Of a device's configuration space: bits 3:0 of the BAR's register if it is one for memory that
 * may be shown; -1: none, or one for I/O, or the upper half of another. */
int vfio_fn_bar_flags(const uint8_t config[PCI_CONFIG_BYTES], int bar);
/* Where table and pending bits are, by config; bar -1: it has no MSI-X. n: how many vectors. */
void vfio_fn_find_msix(const uint8_t config[PCI_CONFIG_BYTES], struct vfio_place *table,
	struct vfio_place *pba, unsigned *n);

/* As at power-on: no interrupts, no DMA, nothing decoded. */
void vfio_fn_reset(struct vfio_fn *f);
/* The device is taken away: from now on the guest reads ones. As reset before. */
void vfio_fn_take_away(struct vfio_fn *f);

#endif
