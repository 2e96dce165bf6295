/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps from one state to another. Pure. Their order, for a PF: up, since a PF that is down
 * makes no VFs and forgets what it is told; MTU; whether drivers are to take VFs that are made;
 * their number; then each VF's attributes and, last, its driver, which learns its MAC only when it
 * probes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"

struct differ {
	const struct sriov_pf *want, *have;
	struct sriov_plan *plan;
	bool fresh;   /* VFs are made anew: nothing is known of them */
	uint32_t n;   /* VFs there will be */
	bool probing; /* drivers will take fresh VFs */
};

static struct sriov_step *add(struct differ *d, enum sriov_step_kind kind, int vf)
{
	struct sriov_step *s = sriov_grow(&d->plan->steps, &d->plan->n_steps, sizeof(*s));

	if (!s)
		return NULL;
	s->kind = kind;
	s->vf = vf;
	memcpy(s->pf, d->have->fn.addr, sizeof(s->pf));
	return s;
}

static bool attr_equal(const struct vf_attrs *a, const struct vf_attrs *b, enum vf_attr attr)
{
	switch (attr) {
	case VF_MAC:
		return ether_mac_u64(a->mac) == ether_mac_u64(b->mac);
	case VF_VLAN: /* no VLAN has no protocol */
		return a->vlan == b->vlan && a->qos == b->qos &&
			(a->vlan_proto == b->vlan_proto || !a->vlan);
	case VF_MIN_RATE:
		return a->min_rate == b->min_rate;
	case VF_MAX_RATE:
		return a->max_rate == b->max_rate;
	case VF_SPOOFCHK:
		return a->spoofchk == b->spoofchk;
	case VF_TRUST:
		return a->trust == b->trust;
	case VF_LINK_STATE:
		return a->link_state == b->link_state;
	default:
		return strcmp(a->driver, b->driver) == 0;
	}
}

static bool differs(const struct vf_attrs *want, const struct vf_attrs *have, enum vf_attr attr)
{
	return want->has & BIT(attr) && !(have->has & BIT(attr) && attr_equal(want, have, attr));
}

/* Both rates go in one request: the one that is not wanted stays what it is. */
static void fill_rates(
	struct sriov_step *s, const struct vf_attrs *want, const struct vf_attrs *have)
{
	const unsigned rates = BIT(VF_MIN_RATE) | BIT(VF_MAX_RATE);

	s->to.has = rates;
	s->to.min_rate = want->has & BIT(VF_MIN_RATE) ? want->min_rate : have->min_rate;
	s->to.max_rate = want->has & BIT(VF_MAX_RATE) ? want->max_rate : have->max_rate;
	s->from.has = have->has & rates;
	s->from.min_rate = have->min_rate;
	s->from.max_rate = have->max_rate;
}

static int add_vf_step(struct differ *d, const struct sriov_vf *want, const struct vf_attrs *have,
	enum sriov_step_kind kind, enum vf_attr attr)
{
	struct sriov_step *s = add(d, kind, (int)want->index);

	if (!s)
		return -ENOMEM;
	s->fresh = d->fresh;
	s->place = want->places[attr];
	if (kind == SRIOV_RATE) {
		fill_rates(s, &want->attrs, have);
		return 0;
	}
	s->to = want->attrs;
	s->to.has = BIT(attr);
	s->from = *have;
	s->from.has = have->has & BIT(attr);
	/* A driver that holds the VF asks for its MAC when it probes. VFIO's users reset it. */
	if (kind == SRIOV_MAC &&
		!(want->attrs.has & BIT(VF_DRIVER) && differs(&want->attrs, have, VF_DRIVER)))
		s->rebind =
			d->fresh ? d->probing : have->driver[0] && !driver_is_vfio(have->driver);
	/* Whatever becomes of it on the way, its driver is to have it again, with its old MAC. */
	if (kind == SRIOV_MAC && have->driver[0] && !driver_is_vfio(have->driver))
		s->from.has |= have->has & BIT(VF_DRIVER);
	if (kind == SRIOV_DRIVER) {
		memcpy(s->to.override, s->to.driver, sizeof(s->to.override));
		if (!s->to.driver[0])
			memcpy(s->to.override, have->override, sizeof(s->to.override));
	}
	return 0;
}

static int diff_vf(struct differ *d, const struct sriov_vf *want)
{
	static const struct {
		enum vf_attr attr;
		enum sriov_step_kind kind;
	} rows[] = {
		{ VF_MAC, SRIOV_MAC },
		{ VF_VLAN, SRIOV_VLAN },
		{ VF_MIN_RATE, SRIOV_RATE },
		{ VF_MAX_RATE, SRIOV_RATE },
		{ VF_SPOOFCHK, SRIOV_SPOOFCHK },
		{ VF_TRUST, SRIOV_TRUST },
		{ VF_LINK_STATE, SRIOV_LINK_STATE },
		{ VF_DRIVER, SRIOV_DRIVER },
	};
	static const struct vf_attrs nothing;
	const struct sriov_vf *old = d->fresh ? NULL : sriov_vf_find(d->have, want->index);
	const struct vf_attrs *have = old ? &old->attrs : &nothing;
	bool rates = false;
	int r = 0;

	if (want->index >= d->n)
		return 0; /* sriov_check says so */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !r; i++) {
		if (!differs(&want->attrs, have, rows[i].attr))
			continue;
		if (rows[i].kind != SRIOV_RATE || !rates)
			r = add_vf_step(d, want, have, rows[i].kind, rows[i].attr);
		rates |= rows[i].kind == SRIOV_RATE;
	}
	return r;
}

/* A PF's own attribute of that kind, from what it has. */
static struct sriov_step *add_pf_step(
	struct differ *d, enum sriov_step_kind kind, enum pf_attr attr, const struct pf_attrs *to)
{
	struct sriov_step *s = add(d, kind, -1);

	if (!s)
		return NULL;
	s->pf_to = *to;
	s->pf_to.has = BIT(attr);
	s->pf_from = d->have->attrs;
	s->pf_from.has = d->have->attrs.has & BIT(attr);
	s->place = d->want->places[attr];
	return s;
}

static bool pf_wants(const struct differ *d, enum pf_attr attr)
{
	const struct pf_attrs *w = &d->want->attrs, *h = &d->have->attrs;

	if (!(w->has & BIT(attr)))
		return false;
	if (!(h->has & BIT(attr)))
		return true;
	switch (attr) {
	case PF_NUM_VFS:
		return w->num_vfs != h->num_vfs;
	case PF_AUTOPROBE:
		return w->autoprobe != h->autoprobe;
	case PF_MTU:
		return w->mtu != h->mtu;
	case PF_UP:
		return w->up != h->up;
	default:
		return strcmp(w->driver, h->driver) != 0;
	}
}

static int diff_number(struct differ *d)
{
	struct sriov_step *s;

	d->n = d->have->attrs.num_vfs;
	if (!pf_wants(d, PF_NUM_VFS))
		return 0;
	d->n = d->want->attrs.num_vfs;
	d->fresh = true;
	s = add_pf_step(d, SRIOV_NUM_VFS, PF_NUM_VFS, &d->want->attrs);
	if (!s)
		return -ENOMEM;
	if (!d->have->n_vfs)
		return 0;
	s->before = calloc(d->have->n_vfs, sizeof(*s->before));
	if (!s->before)
		return -ENOMEM;
	s->n_before = d->have->n_vfs;
	memcpy(s->before, d->have->vfs, s->n_before * sizeof(*s->before));
	return 0;
}

/* Whether a step needs the PF up: one that makes VFs or tells its driver about them. */
static bool needs_up(const struct sriov_step *s)
{
	return s->kind == SRIOV_NUM_VFS ? s->pf_to.num_vfs > 0
					: s->vf >= 0 && s->kind != SRIOV_DRIVER;
}

/* Brings the PF up first if it must be, and puts it down last if it is wanted so. */
static int diff_up(struct differ *d, size_t first)
{
	const struct pf_attrs *w = &d->want->attrs, *h = &d->have->attrs;
	const struct pf_attrs up = { .has = BIT(PF_UP), .up = true };
	bool down = h->has & BIT(PF_UP) && !h->up, needed = false;
	bool want_up = w->has & BIT(PF_UP) && w->up, want_down = w->has & BIT(PF_UP) && !w->up;
	struct sriov_step *s;

	for (size_t i = first; i < d->plan->n_steps; i++)
		needed |= needs_up(&d->plan->steps[i]);
	if (down && (needed || want_up)) {
		s = add_pf_step(d, SRIOV_PF_UP, PF_UP, &up);
		if (!s)
			return -ENOMEM;
		struct sriov_step moved = *s;
		memmove(&d->plan->steps[first + 1], &d->plan->steps[first],
			(d->plan->n_steps - 1 - first) * sizeof(moved));
		d->plan->steps[first] = moved;
	}
	if (want_down && (!down || needed)) {
		s = add_pf_step(d, SRIOV_PF_DOWN, PF_UP, w);
		if (!s)
			return -ENOMEM;
		s->pf_from.has = BIT(PF_UP);
		s->pf_from.up = true;
	}
	return 0;
}

static int diff_pf(struct differ *d)
{
	static const struct {
		enum pf_attr attr;
		enum sriov_step_kind kind;
	} rows[] = { { PF_MTU, SRIOV_PF_MTU }, { PF_AUTOPROBE, SRIOV_AUTOPROBE } };
	const struct pf_attrs *w = &d->want->attrs;
	size_t first = d->plan->n_steps;
	struct sriov_step *s;
	int r = 0;

	d->probing = w->has & BIT(PF_AUTOPROBE) ? w->autoprobe : d->have->attrs.autoprobe;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (pf_wants(d, rows[i].attr) && !add_pf_step(d, rows[i].kind, rows[i].attr, w))
			return -ENOMEM;
	r = diff_number(d);
	for (size_t i = 0; i < d->want->n_vfs && !r; i++)
		r = diff_vf(d, &d->want->vfs[i]);
	if (!r && pf_wants(d, PF_DRIVER)) {
		s = add_pf_step(d, SRIOV_PF_DRIVER, PF_DRIVER, w);
		if (!s)
			return -ENOMEM;
		memcpy(s->pf_to.override, w->driver[0] ? w->driver : s->pf_from.override,
			sizeof(s->pf_to.override));
	}
	return r ? r : diff_up(d, first);
}

int sriov_diff(const struct sriov_state *want, const struct sriov_state *have,
	struct sriov_plan *out, struct err *e)
{
	int r = 0;

	*out = (struct sriov_plan){ 0 };
	for (size_t i = 0; i < want->n_pfs && !r; i++) {
		struct differ d = { .want = &want->pfs[i],
			.have = sriov_pf_find(have, want->pfs[i].fn.addr),
			.plan = out };

		if (!d.have)
			r = err_request(e, -ENODEV, "there is no PCI device %s", d.want->fn.addr);
		else if (diff_pf(&d))
			r = sriov_nomem(e);
	}
	if (r)
		sriov_plan_free(out);
	return r;
}

void sriov_step_free(struct sriov_step *s)
{
	free(s->before);
	s->before = NULL;
	s->n_before = 0;
}

void sriov_plan_free(struct sriov_plan *p)
{
	for (size_t i = 0; i < p->n_steps; i++)
		sriov_step_free(&p->steps[i]);
	free(p->steps);
	free(p->problems);
	*p = (struct sriov_plan){ 0 };
}
