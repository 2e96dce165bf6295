/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers: kept as KVM made them, to be put back at reset; the TSC excepted, which is
 * the host's for good. Called by the main thread while the vCPU does not run. */
#ifndef LANYARD_VMM_VCPU_STATE_H
#define LANYARD_VMM_VCPU_STATE_H

#include <stdint.h>

#include "base/err.h"

struct vcpu_state;

/* Also makes the guest's TSC the host's. *out is malloc'd. */
int vcpu_state_save(int vcpu_fd, unsigned index, struct vcpu_state **out, struct err *e);
int vcpu_state_restore(int vcpu_fd, const struct vcpu_state *s, struct err *e);
/* PVH: 32-bit protected mode, flat segments, EBX = start_info. */
int vcpu_state_enter(int vcpu_fd, uint32_t entry, uint32_t start_info, struct err *e);

#endif
