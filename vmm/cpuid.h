/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID says to a guest: what KVM can show it, less features that are named, with the topology
 * that was asked for. Pure. Sources: Intel's manual volume 2, CPUID; AMD's volume 3, appendix E.
 */
#ifndef LANYARD_VMM_CPUID_H
#define LANYARD_VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* vCPUs are numbered thread by thread, then core by core, then socket by socket. */
struct cpu_topology {
	unsigned sockets, cores, threads; /* cores of a socket, threads of a core */
};

/* What is 0 is found, so that there are n in all: one thread a core and one socket where nothing
 * else follows. ERR_REQUEST if there can't be n. */
int cpu_topology_complete(struct cpu_topology *t, unsigned n, struct err *e);

/* The ids of a socket's cores and a core's threads take a power of two each. */
uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned index);

/* Features by the names that Linux writes into /proc/cpuinfo; some are in more than one place. */
enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
struct cpuid_feature {
	const char *name;
	uint32_t leaf, index;
	enum cpuid_reg reg;
	unsigned bit;
};
extern const struct cpuid_feature cpuid_features[];
extern const size_t cpuid_n_features;

/* Is it known? Else ERR_REQUEST, with the known name that is nearest to it. len: of name. */
int cpuid_feature_check(const char *name, size_t len, struct err *e);
/* Clears features in c: names, separated by commas, all known. */
void cpuid_mask(struct kvm_cpuid2 *c, const char *names);

/* Entries that cpuid_for may have more than its source. */
#define CPUID_MORE 12

/* vCPU `index` of that topology: from base into out, which has room for base->nent + CPUID_MORE. */
void cpuid_for(const struct kvm_cpuid2 *base, const struct cpu_topology *t, unsigned index,
	struct kvm_cpuid2 *out);

#endif
