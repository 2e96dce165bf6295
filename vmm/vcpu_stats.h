/* SPDX-License-Identifier: Apache-2.0 */
/* What KVM itself counts of a vCPU (its binary statistics): HLT, for one, never leaves the
 * kernel. */
#ifndef LANYARD_VMM_VCPU_STATS_H
#define LANYARD_VMM_VCPU_STATS_H

#include <stdint.h>

struct vcpu_stat {
	int fd; /* -1: this KVM does not tell */
	int64_t offset;
};

/* Finds counter `name` ("halt_exits"). Before the vCPU runs: a vCPU's ioctls wait for KVM_RUN. */
void vcpu_stat_open(struct vcpu_stat *s, int vcpu_fd, const char *name);
void vcpu_stat_close(struct vcpu_stat *s);
/* Its value now, or 0; any time, any thread. */
uint64_t vcpu_stat_get(const struct vcpu_stat *s);

#endif
