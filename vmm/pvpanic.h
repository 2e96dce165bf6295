/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic: the PCI function (1b36:0011) by which a guest's kernel says that it panicked. One byte
 * of its BAR: read, it tells which bits there are; written, which of them happened. The guest goes
 * on afterwards as its kernel is set up to: it halts, reboots, or boots a crash kernel. Pure; under
 * the device lock.
 */
#ifndef LANYARD_VMM_PVPANIC_H
#define LANYARD_VMM_PVPANIC_H

#include <stdint.h>

#include "vmm/pci.h"

#define PVPANIC_PANICKED     1 /* the kernel panicked, and that is that */
#define PVPANIC_CRASH_LOADED 2 /* it panicked, and a crash kernel takes over now */
#define PVPANIC_EVENTS       (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED)
#define PVPANIC_BAR_SIZE     4096

struct pvpanic {
	struct pci_function fn;
	void (*said)(void *arg, uint8_t events); /* a vCPU thread: some of PVPANIC_EVENTS */
	void *arg;
	uint64_t bar; /* where the BAR is at reset */
};

void pvpanic_init(
	struct pvpanic *p, uint64_t bar, void (*said)(void *arg, uint8_t events), void *arg);
void pvpanic_reset(struct pvpanic *p);

#endif
