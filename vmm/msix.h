/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X (PCI Local Bus 3.0, 6.8.2): a function's table of vectors, its mask bits and its pending
 * bits. Pure; callers hold the device lock. What a vector does when it becomes live or dead is the
 * owner's business (an irqfd with a route); what is pending, the owner knows (its eventfd).
 */
#ifndef LANYARD_VMM_MSIX_H
#define LANYARD_VMM_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/pci.h"

#define MSIX_VECTORS_MAX 64

struct msix_ops {
	/* The vector's address, data or mask, or the function's enable or mask changed. */
	void (*changed)(void *arg, unsigned vector);
	/* Whether an interrupt waits for the vector's mask to be taken away. */
	bool (*pending)(void *arg, unsigned vector);
};

struct msix_vector {
	uint32_t addr_lo, addr_hi, data, control; /* bit 0 of control: masked */
};

struct msix {
	unsigned n;
	unsigned cap; /* its offset in configuration space */
	bool enabled, masked;
	struct msix_vector v[MSIX_VECTORS_MAX];
	const struct msix_ops *ops;
	void *arg;
};

/* Adds the capability to f: table at table_off and pending bits at pba_off of BAR `bar`. */
void msix_init(struct msix *m, struct pci_function *f, unsigned n, int bar, uint32_t table_off,
	uint32_t pba_off, const struct msix_ops *ops, void *arg);
/* All vectors masked, as after reset. Calls changed for each. */
void msix_reset(struct msix *m, struct pci_function *f);
/* To be called after writes to configuration space: takes enable and mask from the capability. */
void msix_config_written(struct msix *m, struct pci_function *f, unsigned off, unsigned len);

/* off: within the table, or within the pending bits. Only aligned accesses of 4 and 8 bytes are
 * defined; others read 0 and write nothing. */
uint64_t msix_table_read(const struct msix *m, uint64_t off, unsigned len);
void msix_table_write(struct msix *m, uint64_t off, uint64_t v, unsigned len);
uint64_t msix_pba_read(const struct msix *m, uint64_t off, unsigned len);

/* Whether an interrupt of this vector is to be delivered now. */
bool msix_is_live(const struct msix *m, unsigned vector);

#endif
