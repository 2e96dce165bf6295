/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions as a guest sees them: configuration space with a mask of writable bits, BARs,
 * capabilities, and the bus reached by ECAM and by ports. Pure; callers hold the machine's device
 * lock. The guest may read and write anything at any size.
 */
#ifndef LANYARD_VMM_PCI_H
#define LANYARD_VMM_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_BYTES  256 /* extended space reads as 0: no extended capabilities */
#define PCI_SLOTS         32
#define PCI_INTERRUPT_PIN 0x3d

#define PCI_COMMAND_MEMORY  0x2
#define PCI_COMMAND_MASTER  0x4
#define PCI_COMMAND_NO_INTX 0x400

/* Bits 3:0 of a BAR's register. */
#define PCI_BAR_IO       0x1
#define PCI_BAR_TYPE     0x6
#define PCI_BAR_64       0x4
#define PCI_BAR_PREFETCH 0x8

struct pci_function;

struct pci_ops {
	/* The function's memory: off is within BAR `bar`. len 1, 2, 4 or 8. */
	uint64_t (*bar_read)(void *arg, int bar, uint64_t off, unsigned len);
	void (*bar_write)(void *arg, int bar, uint64_t off, uint64_t v, unsigned len);
	/* The command register or a BAR changed: what is decoded may be elsewhere now. May be
	 * NULL. */
	void (*mapping_changed)(void *arg);
	/* Before a read and after a write of configuration space. May be NULL. */
	void (*config_before_read)(void *arg, unsigned off, unsigned len);
	void (*config_written)(void *arg, unsigned off, unsigned len);
};

struct pci_function {
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* bits that the guest may change */
	uint64_t bar_size[6];               /* 0: none */
	uint8_t next_cap;                   /* offset for pci_add_cap */
	uint8_t last_cap;
	const struct pci_ops *ops;
	void *arg;
};

struct pci_bus {
	struct pci_function *slot[PCI_SLOTS];
	uint32_t address; /* what the next access to the data port is for (PCI 3.0, 3.2.2.3.2) */
};

struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
};

void pci_function_init(
	struct pci_function *f, const struct pci_id *id, const struct pci_ops *ops, void *arg);
/* A 64-bit prefetchable memory BAR in registers `bar` and `bar` + 1; size a power of two >= 16. */
void pci_add_bar64(struct pci_function *f, int bar, uint64_t size, uint64_t addr);
/* A memory BAR as `flags` (bits 3:0 of its register: 64-bit or not, prefetchable) says. */
void pci_add_bar(struct pci_function *f, int bar, uint8_t flags, uint64_t size, uint64_t addr);
/* len bytes with the two of the header; returns the offset in configuration space. */
unsigned pci_add_cap(struct pci_function *f, uint8_t id, unsigned len);

uint32_t pci_config_read(struct pci_function *f, unsigned off, unsigned len);
void pci_config_write(struct pci_function *f, unsigned off, uint32_t v, unsigned len);

/* Where BAR `bar` is decoded; false: not at all (none, or memory decoding is off). */
bool pci_bar_address(const struct pci_function *f, int bar, uint64_t *addr);
/* Where BAR `bar` is or would be decoded. */
uint64_t pci_bar_base(const struct pci_function *f, int bar);

/* An access at off in the ECAM window; what is not there reads as ones. len 1, 2, 4 or 8. */
uint64_t pci_ecam_read(struct pci_bus *b, uint64_t off, unsigned len);
void pci_ecam_write(struct pci_bus *b, uint64_t off, uint64_t v, unsigned len);

/*
 * Configuration by ports, `off` bytes after the first of eight: 0 is the address, which is written
 * and read as a whole, 4 to 7 are data. ECAM reaches more, but Linux believes in that only once it
 * has found the bus by these, or complains ("PCI: Fatal: No config space access function found").
 * What is not there reads as ones. len 1, 2 or 4.
 */
uint32_t pci_port_read(struct pci_bus *b, unsigned off, unsigned len);
void pci_port_write(struct pci_bus *b, unsigned off, uint32_t v, unsigned len);

/* An access to a BAR of some function. False: no function decodes addr .. addr + len. */
bool pci_mmio_read(struct pci_bus *b, uint64_t addr, uint64_t *v, unsigned len);
bool pci_mmio_write(struct pci_bus *b, uint64_t addr, uint64_t v, unsigned len);

/* Little-endian fields of configuration space, for those who make it. */
void pci_put16(uint8_t *p, uint16_t v);
void pci_put32(uint8_t *p, uint32_t v);
uint16_t pci_get16(const uint8_t *p);
uint32_t pci_get32(const uint8_t *p);

#endif
