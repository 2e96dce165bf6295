/* SPDX-License-Identifier: Apache-2.0 */
/* PCI over ECAM, bus 0, function 0. Each access is an exit to the VMM: keep them few. */
#ifndef LANYARD_PROBE_PCI_H
#define LANYARD_PROBE_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_DEVICES       32
#define PCI_ID_VIRTIO_NET 0x10411af4u /* device << 16 | vendor */
#define PCI_CAP_VENDOR    9
#define PCI_CAP_MSIX      0x11

#define PCI_COMMAND_MEMORY  2
#define PCI_COMMAND_MASTER  4
#define PCI_COMMAND_NO_INTX 0x400

struct pci_dev {
	uint8_t slot;
	volatile uint8_t *cfg;    /* its configuration space */
	volatile uint8_t *bar[6]; /* mapped so far */
};

/* ecam: physical base of bus 0. False if nothing answers there. */
bool pci_init(uint64_t ecam);
/* device << 16 | vendor of a slot; 0xffffffff: none */
uint32_t pci_id(uint32_t slot);
void pci_open(struct pci_dev *d, uint32_t slot);
/* Memory BAR i, mapped; assigned first if it is 0. NULL: there is none. */
volatile uint8_t *pci_bar(struct pci_dev *d, uint32_t i);
/* Memory and bus mastering on. After all pci_bar(). */
void pci_enable(struct pci_dev *d);

uint32_t pci_read32(const struct pci_dev *d, uint32_t at);
uint16_t pci_read16(const struct pci_dev *d, uint32_t at);
void pci_write16(const struct pci_dev *d, uint32_t at, uint16_t v);
void pci_write32(const struct pci_dev *d, uint32_t at, uint32_t v);

/* A capability: where, its first four bytes (id, next, and two of its own), how many so far. */
struct pci_cap {
	uint32_t at, head, n;
};

/* The next one; the first if *c is all 0. False: there is none. */
bool pci_cap_next(const struct pci_dev *d, struct pci_cap *c);

#endif
