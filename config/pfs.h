/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SR-IOV in files: what a file says of PFs and their VFs, as the keys "pfs" and, within it, "vfs".
 * A desired-state file of `lanyard sriov` is these keys and little else (pfs_load); a topology has
 * the same ones, decoded by the same rows.
 *
 * struct pf_attrs and struct vf_attrs are also what sriov/ observes of the host: desired and
 * observed state are one type, and `has` says which attributes are given, or known.
 * Nothing here looks at the host: totals, link speeds and drivers are checked by sriov/, with the
 * places kept here.
 */
#ifndef LANYARD_CONFIG_PFS_H
#define LANYARD_CONFIG_PFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ether.h"
#include "config/topology.h"

#define PFS_ADDR_LEN   17 /* "0000:03:00.0" and NUL; a domain may have more digits */
#define PFS_DRIVER_LEN 32 /* with NUL */
#define PFS_VFS_MAX    1024
#define PFS_PFS_MAX    64
#define PFS_RATE_MAX   1000000 /* Mbit/s */

/* Attributes of a VF. X(ID, key of files, where it is in struct vf_attrs). VLAN is one attribute
 * with its QoS and protocol, as it is to the kernel. */
#define VF_ATTRS(X)                 \
	X(MAC, "mac")               \
	X(VLAN, "vlan")             \
	X(MIN_RATE, "min_rate")     \
	X(MAX_RATE, "max_rate")     \
	X(SPOOFCHK, "spoofchk")     \
	X(TRUST, "trust")           \
	X(LINK_STATE, "link_state") \
	X(DRIVER, "driver")

/* Attributes of a PF. */
#define PF_ATTRS(X)               \
	X(NUM_VFS, "num_vfs")     \
	X(AUTOPROBE, "autoprobe") \
	X(MTU, "mtu")             \
	X(UP, "up")               \
	X(DRIVER, "driver")

enum vf_attr {
#define X(id, key) VF_##id,
	VF_ATTRS(X)
#undef X
		VF_ATTRS_N
};

enum pf_attr {
#define X(id, key) PF_##id,
	PF_ATTRS(X)
#undef X
		PF_ATTRS_N
};

extern const char *const vf_attr_names[VF_ATTRS_N + 1], *const pf_attr_names[PF_ATTRS_N + 1];

/* Values as in the kernel's IFLA_VF_LINK_STATE_*. */
enum vf_link_state { VF_LINK_AUTO, VF_LINK_UP, VF_LINK_DOWN };

struct vf_attrs {
	unsigned has; /* 1 << enum vf_attr */
	struct ether_mac mac;
	uint16_t vlan; /* 0: none */
	uint8_t qos;
	uint16_t vlan_proto;         /* 0x8100 (802.1Q) or 0x88a8 (802.1ad); host order */
	uint32_t min_rate, max_rate; /* Mbit/s; 0: none */
	bool spoofchk, trust;
	int link_state;                /* enum vf_link_state */
	char driver[PFS_DRIVER_LEN];   /* "": none is bound ("none" in files) */
	char override[PFS_DRIVER_LEN]; /* driver_override; "": none. Observed only */
};

struct pf_attrs {
	unsigned has; /* 1 << enum pf_attr */
	uint32_t num_vfs;
	bool autoprobe; /* of drivers for VFs that are made */
	uint32_t mtu;
	bool up;
	char driver[PFS_DRIVER_LEN], override[PFS_DRIVER_LEN]; /* as above */
};

/* What a file wants of one VF. */
struct vf_want {
	uint32_t index;
	struct vf_attrs attrs;
	struct topo_place place, places[VF_ATTRS_N];
};

struct pf_want {
	char *name;             /* the key in "pfs"; topologies refer to it */
	char pci[PFS_ADDR_LEN]; /* or "" and then: */
	char interface[16];     /* the PF's network interface */
	struct pf_attrs attrs;
	size_t n_vfs;
	struct vf_want *vfs; /* ascending by index */
	struct topo_place place, device_place, places[PF_ATTRS_N];
};

struct pfs {
	char *file; /* for places in errors */
	size_t n;
	struct pf_want *v;
};

/* A desired-state file: { "version": 1, "pfs": { "pf0": { "pci": ..., "vfs": { "0": {..} } } } }.
 * Errors are ERR_REQUEST with "FILE:LINE:COL: ...". *out is to be freed with pfs_free. */
int pfs_load(const char *file, struct pfs *out, struct err *e);
int pfs_parse(const char *file, const char *text, size_t len, struct pfs *out, struct err *e);
void pfs_free(struct pfs *p);

/* The PF of that name, or NULL. */
struct pf_want *pfs_find(const struct pfs *p, const char *name);

/* "0000:03:00.0" of "03:00.0" and the like, lower case, to out[PFS_ADDR_LEN]. -EINVAL: no PCI
 * address. Pure. */
int pfs_addr(const char *text, char *out);

/* "FILE:LINE:COL: " before a sentence about the host, with its class; returns code. */
int pfs_error(const struct pfs *p, struct topo_place at, enum err_class class, int code,
	struct err *e, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

#endif
