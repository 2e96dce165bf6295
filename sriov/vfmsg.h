/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink's words for VFs, built and parsed here: libnl's own cut a long list short without a
 * word, lack counters, and can't tell a rate of 0 from none. A request sets one attribute of one
 * VF, since the kernel does not undo what came before an attribute that fails.
 *
 * Two traps of the kernel's: IFLA_VF_RATE sets both rates, so both are always given; and GUIDs
 * (InfiniBand) make it return before it has looked at the rest, so none is ever sent.
 */
#ifndef LANYARD_SRIOV_VFMSG_H
#define LANYARD_SRIOV_VFMSG_H

#include <stdbool.h>
#include <stdint.h>

#include "sriov/nl.h"
#include "sriov/sriov.h"

struct vfmsg_vf {
	uint32_t index;
	struct vf_attrs attrs;
	bool has_stats;
	struct sriov_stats stats;
};

struct vfmsg_link {
	int ifindex;
	uint32_t num_vfs;
	size_t n; /* VFs described: fewer than num_vfs if the answer had no room for all */
	struct vfmsg_vf *vfs;
};

/* Each returns a message to be freed with nlmsg_free, or NULL without memory. */
struct nl_msg *vfmsg_get(int ifindex, bool stats);
struct nl_msg *vfmsg_set(int ifindex, uint32_t vf, enum vf_attr attr, const struct vf_attrs *a);
struct nl_msg *vfmsg_set_up(int ifindex, bool up);
struct nl_msg *vfmsg_set_mtu(int ifindex, uint32_t mtu);

/* RTM_NEWLINK to *out, whose vfs are to be freed. -EBADMSG: no such message; -ENOMEM. */
int vfmsg_parse(const struct nlmsghdr *h, struct vfmsg_link *out);

/* Asks for an interface and its VFs, without statistics if they don't fit. out->vfs is to be
 * freed. -EMSGSIZE: not all VFs fit even so. */
int vfmsg_read(struct sriov_nl *nl, int ifindex, struct vfmsg_link *out);

/* Sends a message (freed; NULL is -ENOMEM) that has no answer but the acknowledgement. */
int vfmsg_send(struct sriov_nl *nl, struct nl_msg *msg);

#endif
