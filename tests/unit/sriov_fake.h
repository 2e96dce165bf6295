/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel with SR-IOV, for tests of sriov/: a model of PFs and VFs that answers writes to sysfs
 * and rtnetlink messages as drivers do, and shows itself as files below a temporary folder. Its
 * ways of being difficult are switches; each is something that a driver does.
 */
#ifndef LANYARD_TESTS_UNIT_SRIOV_FAKE_H
#define LANYARD_TESTS_UNIT_SRIOV_FAKE_H

#include "sriov/nl.h"
#include "sriov/sriov.h"

#define FAKE_PFS 4
#define FAKE_VFS 64 /* per PF */

struct fake_vf {
	struct vf_attrs attrs;
	uint32_t learnt; /* low half of the MAC that its bound driver knows */
	int group;
	char addr[PFS_ADDR_LEN];
};

struct fake_pf {
	struct pf_attrs attrs;
	char addr[PFS_ADDR_LEN], net[16];
	char own[PFS_DRIVER_LEN], vf_driver[PFS_DRIVER_LEN]; /* the PF's driver, its VFs' */
	int ifindex, speed;
	uint32_t total;
	bool carrier;
	unsigned unsupported;    /* attributes: EOPNOTSUPP */
	bool spoofchk_needs_vfs; /* EOPNOTSUPP for it without VFs (igb) */
	bool min_rate_einval;    /* as igb does */
	bool zero_mac_einval;    /* does not take back 00:00:00:00:00:00 */
	bool rate_needs_link;    /* EINVAL without */
	bool stats_too_long;     /* EMSGSIZE unless statistics are left out */
	bool list_wraps;         /* VFs are missing unless statistics are left out */
	bool fewer;              /* makes one VF less than it says */
	bool shared_group;       /* VFs are in the PF's IOMMU group */
	bool hangs;              /* a write to sriov_numvfs times out */
	int number_error;        /* ... or fails so; 0: not */
	uint32_t n_vfs;
	struct fake_vf vfs[FAKE_VFS];
};

struct fake {
	struct sriov_world w;
	struct sriov_nl nl;
	char root[64];
	size_t n_pfs;
	struct fake_pf pfs[FAKE_PFS];
	bool no_permission;   /* for netlink and sysfs alike */
	int n_changes;        /* that came through, or were tried */
	int fail_at;          /* the change of that number fails with EIO; -1: none */
	int n_vfs_in_message; /* the most that one had */
	int log_len;
	char log[8192]; /* "numvfs 0000:01:00.0 2", a line each */
};

/* PFs 0000:01:00.0 (eth0) ... of driver nic, with `total` VFs at most, up, with a link. */
void fake_open(struct fake *k, size_t n_pfs, uint32_t total);
void fake_close(struct fake *k);

/* The model as files again, after a test has changed it by hand. */
void fake_show(struct fake *k);
void fake_driver(struct fake *k, const char *name); /* is loaded */
void fake_sh(struct fake *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* All that matters of the state, as text; to be freed. Group numbers are not in it. */
char *fake_snapshot(const struct fake *k);

/* Makes n VFs as somebody else would have. */
void fake_make_vfs(struct fake *k, size_t pf, uint32_t n);

/* The answer to a request for an interface, as the kernel sends it; to be freed with nlmsg_free. */
struct nl_msg *fake_link_message(struct fake_pf *pf, bool stats);

#endif
