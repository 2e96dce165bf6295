/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers: kept as KVM made them, to be put back at reset; the TSC excepted, which is
 * the host's for good. Called by the main thread while the vCPU does not run. */
#ifndef LANYARD_VMM_VCPU_STATE_H
#define LANYARD_VMM_VCPU_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct vcpu_state;

/* How the first vCPU begins. */
struct vcpu_entry {
	bool long_mode; /* Linux's 64-bit entry; else PVH's: 32-bit protected mode, no paging */
	uint64_t rip;
	uint64_t arg;         /* RSI in long mode, else EBX */
	uint64_t page_tables; /* CR3; long mode only */
};

/* Also makes the guest's TSC the host's. *out is malloc'd. */
int vcpu_state_save(int vcpu_fd, unsigned index, struct vcpu_state **out, struct err *e);
int vcpu_state_restore(int vcpu_fd, const struct vcpu_state *s, struct err *e);
/* Flat segments, interrupts off; the loader has put the segments' table at LAYOUT_GDT. */
int vcpu_state_enter(int vcpu_fd, const struct vcpu_entry *entry, struct err *e);

#endif
