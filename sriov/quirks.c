/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of drivers that asking them can't tell. Rows come from reading the drivers or from
 * the rig, and say which.
 */
#include <string.h>

#include "sriov/own.h"

static const struct {
	const char *driver;
	enum vf_attr attr;
	const char *why;
} refuses[] = {
	/* Each has the call for rates and answers a promised one with EINVAL: the same as it says
	 * to a VF that is not there. igb: seen in the rig; the others: read in their source. */
	{ "igb", VF_MIN_RATE, "it can limit a VF's rate, not promise one" },
	{ "ixgbe", VF_MIN_RATE, "it can limit a VF's rate, not promise one" },
	{ "i40e", VF_MIN_RATE, "it can limit a VF's rate, not promise one" },
};

static const struct {
	const char *driver;
	enum vf_attr attr;
} needs_vfs[] = {
	{ "igb", VF_SPOOFCHK }, /* the rig: EOPNOTSUPP without VFs, EINVAL for one out of range */
};

/* PFs whose driver makes no VF promiscuous, trusted or not (igb_set_vf_promisc). */
static const char *const deaf[] = { "igb" };

bool sriov_vf_hears_only_itself(const char *driver)
{
	for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++)
		if (strcmp(deaf[i], driver) == 0)
			return true;
	return false;
}

const char *quirk_refuses(const char *driver, enum vf_attr attr)
{
	for (size_t i = 0; i < sizeof(refuses) / sizeof(refuses[0]); i++)
		if (refuses[i].attr == attr && strcmp(refuses[i].driver, driver) == 0)
			return refuses[i].why;
	return NULL;
}

bool quirk_needs_vfs(const char *driver, enum vf_attr attr)
{
	for (size_t i = 0; i < sizeof(needs_vfs) / sizeof(needs_vfs[0]); i++)
		if (needs_vfs[i].attr == attr && strcmp(needs_vfs[i].driver, driver) == 0)
			return true;
	return false;
}
