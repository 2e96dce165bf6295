/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI (PCI Local Bus 3.0, 6.8.1): the capability of a function that has it, with up to 32 messages.
 * Its registers are bytes of configuration space; nothing is kept beside them. Pure; callers hold
 * the device lock. For passed-through devices: our own have MSI-X.
 */
#ifndef LANYARD_VMM_MSI_H
#define LANYARD_VMM_MSI_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/pci.h"

#define MSI_VECTORS_MAX 32

struct msi {
	unsigned cap; /* its offset in configuration space */
	unsigned max; /* messages that it can have: a power of two */
	bool wide;    /* addresses of 64 bits */
	bool maskable;
};

/* Adds the capability to f, at f->next_cap. */
void msi_init(struct msi *m, struct pci_function *f, unsigned max, bool wide, bool maskable);
/* How many bytes it has. */
unsigned msi_cap_len(bool wide, bool maskable);
/* As after power-on. */
void msi_reset(const struct msi *m, struct pci_function *f);

/* How many messages the guest turned on; 0: MSI is off. */
unsigned msi_enabled(const struct msi *m, const struct pci_function *f);
/* Whether message `vector` is to be delivered now, and what it is. */
bool msi_message(const struct msi *m, const struct pci_function *f, unsigned vector, uint64_t *addr,
	uint32_t *data);
/* Whether an access at off touches the capability. */
bool msi_touched(const struct msi *m, unsigned off, unsigned len);
/* The pending bits, for the guest to read; nothing if it has none. */
void msi_set_pending(const struct msi *m, struct pci_function *f, uint32_t bits);

#endif
