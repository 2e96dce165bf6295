/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that tell a guest of the machine: RSDP, XSDT, FADT, MADT, MCFG and DSDT (ACPI 6.4). It
 * is "hardware-reduced": it has no fixed ACPI registers but sleep and reset, and its power
 * button is a device that a generic event device speaks for. Pure: layout.h's numbers and what is
 * set up here become bytes. Written anew at each reset, by the main thread.
 */
#ifndef LANYARD_VMM_ACPI_H
#define LANYARD_VMM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/gmem.h"

#define ACPI_CPUS_MAX 64

struct acpi_setup {
	unsigned n_cpus;
	uint32_t apic_id[ACPI_CPUS_MAX];
	uint32_t pins;               /* PCI slots whose device has an interrupt pin, a bit each */
	uint64_t bars64, bars64_end; /* the window for 64-bit BARs; the end is not in it */
};

/* The IOAPIC input that the pin of PCI slot `slot` is wired to: one that no ISA device has. */
uint32_t acpi_pin_gsi(unsigned slot);

/* Into buf, whose bytes will be at LAYOUT_ACPI; the RSDP comes first. Returns how many bytes; 0:
 * cap is too small. */
size_t acpi_build(const struct acpi_setup *s, uint8_t *buf, size_t cap);

/* Into guest memory. */
void acpi_write(const struct acpi_setup *s, const struct gmem *g);

#endif
