/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preflight: all that stands in the way of a plan, looked for before anything is changed. Pure.
 * Each check is a row; each finding is a sentence that says what to do about it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"

struct checker {
	const struct sriov_state *want_state, *have_state;
	const struct sriov_world *w;
	const struct sriov_options *o;
	struct sriov_plan *plan;
	/* The PF at hand. */
	const struct sriov_pf *want, *have;
	size_t first, end; /* its steps in the plan */
	uint32_t n;        /* VFs there will be */
	bool fresh;        /* ... and they are new */
	bool nomem;
};

/* forcible: --force goes past it. */
static void problem(struct checker *c, bool forcible, struct topo_place at, enum err_class class,
	int code, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

static void problem(struct checker *c, bool forcible, struct topo_place at, enum err_class class,
	int code, const char *fmt, ...)
{
	struct sriov_problem *p = sriov_grow(&c->plan->problems, &c->plan->n_problems, sizeof(*p));
	va_list ap;

	if (!p) {
		c->nomem = true;
		return;
	}
	p->forcible = forcible;
	va_start(ap, fmt);
	err_vset(&p->err, class, code, fmt, ap);
	va_end(ap);
	if (c->want_state->file && at.line)
		err_prefix(&p->err, "%s:%d:%d: PF \"%s\"", c->want_state->file, at.line, at.col,
			c->want->name);
	if (forcible)
		snprintf(p->err.text + strlen(p->err.text),
			sizeof(p->err.text) - strlen(p->err.text), " (--force goes past this)");
}

#define REQUEST(c, at, ...) problem(c, false, at, ERR_REQUEST, -EINVAL, __VA_ARGS__)
#define HOST(c, at, ...)    problem(c, false, at, ERR_HOST, -ENOTSUP, __VA_ARGS__)

static bool is_used(const struct checker *c, const char *driver, const struct sriov_step **by)
{
	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];

		if ((s->kind == SRIOV_DRIVER && !strcmp(s->to.driver, driver)) ||
			(s->kind == SRIOV_PF_DRIVER && !strcmp(s->pf_to.driver, driver))) {
			*by = s;
			return true;
		}
	}
	return false;
}

/* ---- what is asked for ---- */

static void check_capable(struct checker *c)
{
	const struct pf_attrs *w = &c->want->attrs;
	bool wants = c->want->n_vfs || (w->has & BIT(PF_NUM_VFS) && w->num_vfs);
	struct topo_place at =
		w->has & BIT(PF_NUM_VFS) ? c->want->places[PF_NUM_VFS] : c->want->device_place;

	if (!c->have->total_vfs && wants)
		problem(c, false, at, ERR_REQUEST, -EOPNOTSUPP,
			"%s%s%s%s can't have VFs: it is not SR-IOV capable, or that is off in its "
			"firmware (lspci -vs %s | grep SR-IOV)",
			c->have->fn.addr, c->have->fn.net[0] ? " (" : "", c->have->fn.net,
			c->have->fn.net[0] ? ")" : "", c->have->fn.addr);
	else if (w->has & BIT(PF_NUM_VFS) && w->num_vfs > c->have->total_vfs)
		problem(c, false, at, ERR_REQUEST, -ERANGE,
			"%u VFs are wanted of %s, which can have %u at most", w->num_vfs,
			c->have->fn.addr, c->have->total_vfs);
}

static void check_indices(struct checker *c)
{
	if (!c->have->total_vfs)
		return;
	for (size_t i = 0; i < c->want->n_vfs; i++) {
		const struct sriov_vf *vf = &c->want->vfs[i];

		if (vf->index < c->n)
			continue;
		if (c->n)
			REQUEST(c, vf->place,
				"there is no VF %u: %s %s %u, 0 to %u (\"num_vfs\" says how many)",
				vf->index, c->have->fn.addr, c->fresh ? "will have" : "has", c->n,
				c->n - 1);
		else
			REQUEST(c, vf->place,
				"there is no VF %u: %s has none; \"num_vfs\" says how many are "
				"wanted",
				vf->index, c->have->fn.addr);
		return;
	}
}

static void check_rates(struct checker *c)
{
	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];
		uint32_t most = s->to.max_rate > s->to.min_rate ? s->to.max_rate : s->to.min_rate;

		if (s->kind != SRIOV_RATE)
			continue;
		if (c->have->speed_mbps > 0 && most > (uint32_t)c->have->speed_mbps)
			REQUEST(c, s->place,
				"VF %d: a rate of %u Mbps is above what the link of %s has, %d Mbps",
				s->vf, most, c->have->fn.net, c->have->speed_mbps);
		else if (s->to.max_rate && s->to.min_rate > s->to.max_rate)
			REQUEST(c, s->place,
				"VF %d: min_rate would be %u Mbps and max_rate %u Mbps (one of them "
				"as it is now): give both",
				s->vf, s->to.min_rate, s->to.max_rate);
	}
}

/* Against VFs that the file does not name: those that it does were compared when it was read. */
static void check_macs(struct checker *c)
{
	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];
		char mac[ETHER_MAC_STR];

		for (size_t j = 0; s->kind == SRIOV_MAC && !c->fresh && j < c->have->n_vfs; j++) {
			const struct sriov_vf *other = &c->have->vfs[j];
			const struct sriov_vf *named = sriov_vf_find(c->want, other->index);

			if ((named && named->attrs.has & BIT(VF_MAC)) ||
				(int)other->index == s->vf ||
				ether_mac_u64(other->attrs.mac) != ether_mac_u64(s->to.mac))
				continue;
			REQUEST(c, s->place,
				"VF %d: MAC address %s is VF %u's already: each needs its own",
				s->vf, ether_mac_str(s->to.mac, mac), other->index);
		}
	}
}

/* ---- what the driver can ---- */

static enum vf_attr attr_of_step(const struct sriov_step *s, bool *netlink)
{
	static const enum vf_attr attrs[SRIOV_STEPS_N] = { [SRIOV_MAC] = VF_MAC,
		[SRIOV_VLAN] = VF_VLAN,
		[SRIOV_RATE] = VF_MAX_RATE,
		[SRIOV_SPOOFCHK] = VF_SPOOFCHK,
		[SRIOV_TRUST] = VF_TRUST,
		[SRIOV_LINK_STATE] = VF_LINK_STATE };

	*netlink = s->vf >= 0 && s->kind != SRIOV_DRIVER;
	if (s->kind == SRIOV_RATE && s->to.min_rate)
		return VF_MIN_RATE;
	return attrs[s->kind];
}

static void refused(struct checker *c, const struct sriov_step *s, enum vf_attr attr)
{
	const char *why = quirk_refuses(c->have->attrs.driver, attr);
	/* Without a VF some drivers say no to everything. */
	bool sure = why || c->have->attrs.num_vfs;

	problem(c, !sure, s->place, ERR_HOST, -EOPNOTSUPP,
		"VF %d: driver %s of %s does not have \"%s\"%s%s%s: leave it out, or use another "
		"NIC",
		s->vf, c->have->attrs.driver, c->have->fn.addr, vf_attr_names[attr],
		why ? ": " : "", why ? why : "",
		c->have->switchdev
			? "; its e-switch is in switchdev mode, where VFs are configured "
			  "through their representors"
			: "");
}

/* One problem an attribute, at its first step. */
static void check_attributes(struct checker *c)
{
	unsigned told = 0;

	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];
		bool netlink;
		enum vf_attr attr = attr_of_step(s, &netlink);

		if (!netlink || told & BIT(attr))
			continue;
		if (!c->have->fn.net[0]) {
			HOST(c, s->place,
				"%s has no network interface here, which VFs are configured through: "
				"bind its driver (it has %s), or bring the interface back from its "
				"network namespace",
				c->have->fn.addr,
				c->have->attrs.driver[0] ? c->have->attrs.driver : "none");
			return;
		}
		if (c->have->takes[attr] == SRIOV_NOT_ALLOWED) {
			problem(c, false, s->place, ERR_HOST, -EPERM,
				"no permission to configure VFs: be root (sudo)");
			return;
		}
		if (c->have->takes[attr] != SRIOV_REFUSES)
			continue;
		told |= BIT(attr);
		refused(c, s, attr);
	}
}

static void check_pf_driver(struct checker *c)
{
	const struct pf_attrs *w = &c->want->attrs;
	const char *driver = c->have->attrs.driver;
	bool makes = w->has & BIT(PF_NUM_VFS) && w->num_vfs &&
		w->num_vfs != c->have->attrs.num_vfs && c->have->total_vfs;
	bool moves = w->has & BIT(PF_DRIVER) && strcmp(w->driver, driver);

	if (moves && c->n)
		REQUEST(c, c->want->places[PF_DRIVER],
			"%s can't leave its driver while it has VFs: \"num_vfs\" must be 0 then",
			c->have->fn.addr);
	if (makes && !driver[0])
		HOST(c, c->want->places[PF_NUM_VFS],
			"%s has no driver: VFs are made by the PF's own (modprobe it, or: echo %s | "
			"sudo tee /sys/bus/pci/drivers_probe)",
			c->have->fn.addr, c->have->fn.addr);
	else if (makes && driver_is_vfio(driver))
		HOST(c, c->want->places[PF_NUM_VFS],
			"%s is bound to %s: its VFs would each need a VF token, and nobody "
			"configures them; bind the PF to its own driver first",
			c->have->fn.addr, driver);
}

/* ---- what the host has ---- */

static bool has_driver(const struct checker *c, const char *driver)
{
	for (size_t i = 0; i < c->have_state->host.n_drivers; i++)
		if (strcmp(c->have_state->host.drivers[i], driver) == 0)
			return true;
	return false;
}

static void check_drivers(struct checker *c)
{
	const char *last = "";

	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];
		const char *driver = s->kind == SRIOV_DRIVER ? s->to.driver
			: s->kind == SRIOV_PF_DRIVER         ? s->pf_to.driver
							     : "";

		if (!driver[0] || !strcmp(driver, last) || has_driver(c, driver))
			continue;
		last = driver;
		HOST(c, s->place, "driver %s is not loaded: sudo modprobe %s", driver, driver);
	}
}

static void check_iommu(struct checker *c)
{
	const struct sriov_step *by;

	if (c->have_state->host.iommu || !is_used(c, "vfio-pci", &by))
		return;
	HOST(c, by->place,
		"vfio-pci needs an IOMMU, and none is on: add intel_iommu=on iommu=pt (Intel) or "
		"iommu=pt (AMD) to the kernel's command line (GRUB_CMDLINE_LINUX in "
		"/etc/default/grub, then update-grub and reboot), and turn VT-d or AMD-Vi on in the "
		"firmware");
}

static void check_memlock(struct checker *c)
{
	const struct sriov_step *by;

	if (!c->o->memlock_bytes || c->w->memlock >= c->o->memlock_bytes ||
		!is_used(c, "vfio-pci", &by))
		return;
	HOST(c, by->place,
		"a guest with a VF has all its memory locked: %" PRIu64 " bytes, and %" PRIu64
		" may be (ulimit -l): be root, or raise RLIMIT_MEMLOCK to %" PRIu64 " KiB",
		c->o->memlock_bytes, c->w->memlock, (c->o->memlock_bytes + 1023) / 1024);
}

/* Whether the plan takes that function to VFIO, or off its driver. */
static bool plan_frees(const struct checker *c, const char *addr)
{
	for (size_t i = 0; i < c->plan->n_steps; i++) {
		const struct sriov_step *s = &c->plan->steps[i];
		const struct sriov_pf *pf = sriov_pf_find(c->have_state, s->pf);
		const struct sriov_vf *vf =
			pf && s->vf >= 0 ? sriov_vf_find(pf, (uint32_t)s->vf) : NULL;

		if (s->kind == SRIOV_PF_DRIVER && !strcmp(s->pf, addr))
			return !s->pf_to.driver[0] || driver_is_vfio(s->pf_to.driver);
		if (s->kind == SRIOV_DRIVER && vf && !strcmp(vf->fn.addr, addr))
			return !s->to.driver[0] || driver_is_vfio(s->to.driver);
	}
	return false;
}

/* Members that keep a group from being given away; ports are the group's own. */
static size_t group_blockers(
	const struct checker *c, const struct sriov_group *g, char *out, size_t size)
{
	size_t n = 0, len = 0;

	for (size_t i = 0; i < g->n_members && len < size; i++) {
		const struct sriov_member *m = &g->members[i];

		if (!m->driver[0] || driver_is_vfio(m->driver) || !strcmp(m->driver, "pcieport") ||
			!strcmp(m->driver, "pci-stub") || plan_frees(c, m->addr))
			continue;
		len += (size_t)snprintf(
			out + len, size - len, "%s%s (%s)", n++ ? ", " : "", m->addr, m->driver);
	}
	return n;
}

static void check_groups(struct checker *c)
{
	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];
		bool pf = s->kind == SRIOV_PF_DRIVER;
		const char *driver = pf ? s->pf_to.driver : s->to.driver;
		const struct sriov_vf *vf =
			s->vf >= 0 && !s->fresh ? sriov_vf_find(c->have, (uint32_t)s->vf) : NULL;
		const struct sriov_function *fn = pf ? &c->have->fn : vf ? &vf->fn : NULL;
		const struct sriov_group *g;
		char list[512];

		if ((!pf && s->kind != SRIOV_DRIVER) || !driver_is_vfio(driver) || !fn)
			continue;
		g = sriov_group_find(c->have_state, fn->group);
		if (!g || !group_blockers(c, g, list, sizeof(list)))
			continue;
		HOST(c, s->place,
			"%s can't be given away by itself: its IOMMU group %d has %s as well; give "
			"all of it, or put the NIC in a slot below a port with ACS",
			fn->addr, g->number, list);
	}
}

/* ---- who is there already ---- */

static void check_owner(struct checker *c)
{
	if (c->have->owner[0] && strcmp(c->have->owner, c->o->owner))
		problem(c, false, c->want->device_place, ERR_HOST, -EBUSY,
			"%s is lab %s's: take that down first (lanyard down %s, or lanyard sriov "
			"release --force %s)",
			c->have->fn.addr, c->have->owner, c->have->owner, c->have->fn.addr);
}

static void check_foreign_vfs(struct checker *c)
{
	if (c->have->ours || !c->have->n_vfs || c->first == c->end)
		return;
	problem(c, true, c->want->device_place, ERR_HOST, -EBUSY,
		"%s has %zu VF%s already that Lanyard did not make, and would be changed: remove "
		"them (echo 0 | sudo tee /sys/bus/pci/devices/%s/sriov_numvfs), or take another PF",
		c->have->fn.addr, c->have->n_vfs, c->have->n_vfs == 1 ? "" : "s", c->have->fn.addr);
}

static void check_uses(struct checker *c)
{
	const struct sriov_step *disturbs = NULL;

	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];

		if (s->kind == SRIOV_NUM_VFS || s->kind == SRIOV_PF_MTU ||
			s->kind == SRIOV_PF_DRIVER || s->kind == SRIOV_PF_DOWN)
			disturbs = s;
	}
	if (!disturbs || !c->have->uses[0])
		return;
	problem(c, true, c->want->device_place, ERR_HOST, -EBUSY,
		"%s (%s) is in use by %s, which would be interrupted", c->have->fn.net,
		c->have->fn.addr, c->have->uses);
}

/* Whoever has a VF open would have it taken away, and unbinding waits for him for ever. */
static void check_holders(struct checker *c)
{
	for (size_t i = c->first; i < c->end; i++) {
		const struct sriov_step *s = &c->plan->steps[i];

		for (size_t j = 0; j < c->have->n_vfs; j++) {
			const struct sriov_vf *vf = &c->have->vfs[j];
			const struct sriov_group *g = sriov_group_find(c->have_state, vf->fn.group);
			bool taken = s->kind == SRIOV_NUM_VFS ||
				(s->vf == (int)vf->index && !s->fresh && s->kind == SRIOV_DRIVER);
			bool late = s->vf == (int)vf->index && !s->fresh && s->kind == SRIOV_MAC;
			char who[200];

			if (!g || !g->n_holders || (!taken && !late))
				continue;
			problem(c, late, s->place, ERR_FAILED, -EBUSY,
				"VF %u (%s) is in use by %s: %s", vf->index, vf->fn.addr,
				holders_text(g, who, sizeof(who)),
				taken ? "end that first"
				      : "its guest learns a MAC only by a reset");
			if (s->kind == SRIOV_NUM_VFS)
				return;
		}
	}
}

/* ---- all of them ---- */

static void (*const checks[])(struct checker *) = { check_capable, check_indices, check_rates,
	check_macs, check_owner, check_pf_driver, check_attributes, check_drivers, check_iommu,
	check_groups, check_memlock, check_uses, check_foreign_vfs, check_holders };

int sriov_check(const struct sriov_state *want, const struct sriov_state *have,
	const struct sriov_world *w, const struct sriov_options *o, struct sriov_plan *p,
	struct err *e)
{
	struct checker c = { .want_state = want, .have_state = have, .w = w, .o = o, .plan = p };

	for (size_t i = 0; i < want->n_pfs && !c.nomem; i++) {
		const struct pf_attrs *a = &want->pfs[i].attrs;

		c.want = &want->pfs[i];
		c.have = sriov_pf_find(have, c.want->fn.addr);
		if (!c.have)
			continue;
		c.first = c.end;
		while (c.end < p->n_steps && !strcmp(p->steps[c.end].pf, c.have->fn.addr))
			c.end++;
		c.fresh = a->has & BIT(PF_NUM_VFS) && a->num_vfs != c.have->attrs.num_vfs;
		c.n = a->has & BIT(PF_NUM_VFS) ? a->num_vfs : c.have->attrs.num_vfs;
		for (size_t j = 0; j < sizeof(checks) / sizeof(checks[0]) && !c.nomem; j++)
			checks[j](&c);
	}
	return c.nomem ? sriov_nomem(e) : 0;
}

int sriov_refusal(const struct sriov_plan *p, const struct sriov_options *o, struct err *e)
{
	for (size_t i = 0; i < p->n_problems; i++) {
		if (p->problems[i].forcible && o->force)
			continue;
		if (e)
			*e = p->problems[i].err;
		return p->problems[i].err.code;
	}
	return 0;
}
