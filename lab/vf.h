/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PFs and VFs in plans. A step of kind "pf" makes a PF's VFs and configures them; its `policy` is
 * what the topology wants of that PF, in the words of a desired-state file (config/pfs.h). Others
 * refer to a function of it by a place holder, since its address is not known before it is made:
 *
 *	@VF(pf0,3,02:00:00:00:00:01)@	VF 3 of pf0 (the address makes it another when it changes)
 *	@PF(pf1)@			all of pf1
 *
 * Pure but for vf_fill, which asks sysfs.
 */
#ifndef LANYARD_LAB_VF_H
#define LANYARD_LAB_VF_H

#include <jansson.h>

#include "config/pfs.h"
#include "lab/plan.h"

/* The steps of a plan's PFs; for plan_make only. */
void vf_add_pfs(struct plan *p, const struct topology *t);

/* The place holder of a NIC's or port's VF, or (port of kind "pf") of a PF. malloc'd. */
char *vf_ref(const struct topology *t, const struct topo_vf *vf, struct ether_mac mac);
char *vf_ref_pf(const struct topology *t, size_t pf);

struct vf_place {
	char pf[TOPO_NAME_MAX + 1];
	int index; /* -1: all of the PF */
	size_t at, len;
};

/* The first place holder in text; false: there is none. */
bool vf_find(const char *text, struct vf_place *out);
/* Whether a step is a user of the PF: a VM, or a port. */
bool vf_uses(const struct step *s, const char *pf);

/* "VF 3 of pf0", or "PF pf1"; text itself if it is no place holder. To out; returns out. */
char *vf_say(const char *text, char *out, size_t size);

/* text with addresses for place holders, malloc'd; NULL with *e: the function isn't there. */
char *vf_fill(const struct plan *p, const char *text, struct err *e);

/* What a "pf" step makes of each VF, a line each: "VF 0: vlan 10, max_rate 500Mbps". */
void vf_lines(const struct step *s, struct strs *out);

/* A "pf" step's want. *out is to be freed with pfs_free. */
int vf_want_of(const struct step *s, struct pfs *out, struct err *e);

/* What of a PF can't change while the lab runs, as a sentence to out; NULL: nothing of that. */
const char *vf_fixed(const struct step *have, const struct step *want, char *out, size_t size);

#endif
