/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host is like beyond struct host: whatever figures depend on, and whatever VFs need. Read
 * once, handed to pure functions (doctor.c, report_host.c). Texts are "" and numbers -1 where the
 * kernel doesn't say.
 */
#ifndef LANYARD_LAB_VITALS_H
#define LANYARD_LAB_VITALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VITALS_NICS_MAX   32
#define VITALS_FLAWS_MAX  48
#define VITALS_NODES_MAX  16
#define VITALS_SHARED_MAX 8

enum vitals_turbo { TURBO_UNKNOWN, TURBO_OFF, TURBO_ON };

struct vitals_nic {
	char name[16], pci[32], driver[32], firmware[48];
	int numa_node, speed_mbps;
};

struct vitals {
	char cpu_model[128], kernel[128];
	int n_online; /* CPUs */
	bool constant_tsc, nonstop_tsc;
	bool virtual; /* this host is a guest itself */
	char clocksource[32];
	char governors[96]; /* "powersave, performance": each once; "": no frequency scaling */
	enum vitals_turbo turbo;
	bool turbo_is_pstate;               /* which file turns it off */
	char isolated[128], nohz_full[128]; /* lists of CPUs */
	int smt;                            /* 1: siblings are at work */
	int n_groups;                       /* of the IOMMU */
	char iommu_types[64];               /* of the groups, each once: "DMA-FQ, identity" */
	bool vfio, vfio_noiommu;            /* vfio-pci is there; without an IOMMU */
	bool tun, kvm_module;
	/* vhost-net's module is at work; its device file is there, by which the kernel loads it; "10:238"
	 * of the former. */
	bool vhost_net, vhost_net_file;
	char vhost_net_dev[16];
	char bridge_filter[64]; /* whose rules hold for bridged frames: "iptables, ip6tables" */
	char kvm_dev[16];       /* "10:232" if KVM is there, its device file or not */
	/* Groups with a NIC in them and other functions: "7: 0000:03:00.0, 0000:03:00.1". */
	size_t n_shared;
	char shared[VITALS_SHARED_MAX][128];
	/* What the kernel does about the CPU's flaws. */
	size_t n_flaws;
	struct {
		char name[32], state[160];
	} flaws[VITALS_FLAWS_MAX];
	size_t n_nodes; /* hugepages of 2 MiB by NUMA node */
	uint64_t node_pages[VITALS_NODES_MAX];
	int64_t memory_kib, hugepage_kib, hugepages, hugepages_free;
	size_t n_nics; /* with a PCI or other real device */
	struct vitals_nic nics[VITALS_NICS_MAX];
	uint64_t memlock; /* bytes that we may lock; UINT64_MAX: all */
	bool root;        /* and so no limit holds */
};

/* root: "" for this host, or a folder that has proc/, sys/ and dev/ like it. Firmware and what
 * holds for this process (memlock, root) are known of this host only. */
void vitals_read(const char *root, struct vitals *v);

#endif
