/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PFs are sriov/'s: it observes, plans, checks, carries out by single settings, and keeps a journal
 * of its own, by which `release` puts all of it back. Here that is one step: run applies what the
 * topology wants, undo releases. Running it again, with other wants, changes what differs.
 */
#include "lab/steps_vf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/steps_own.h"
#include "lab/sysroot.h"
#include "lab/vf.h"
#include "sriov/sriov.h"

static int open_world(struct sriov_world *w, struct err *e)
{
	return sriov_world_open(w, sysroot(), getenv("LANYARD_SRIOV_RUN"), e);
}

static void say(void *arg, enum sriov_word word, const char *text)
{
	struct progress *p = arg;

	if (word == SRIOV_SAY_DONE || word == SRIOV_SAY_UNDONE || word == SRIOV_SAY_FAILED)
		progress_quote(p, text);
	else if (word == SRIOV_SAY_NOTE)
		progress_warn(p, "%s", text);
}

static int apply(struct carry *c, struct step *s, const struct sriov_world *w,
	const struct pfs *pfs, struct err *e)
{
	const struct sriov_options o = {
		.owner = c->plan->lab, .memlock_bytes = s->pages, .say = say, .arg = c->progress
	};
	struct sriov_state want = { 0 };
	struct sriov_plan plan = { 0 };
	int r = sriov_want(w, pfs, &want, e);

	/* An interface goes when the driver does: the address stays. */
	if (!r && !s->path) {
		s->path = lab_strdup(want.pfs[0].fn.addr);
		r = carry_save(c, e);
	}
	if (!r)
		r = sriov_apply(w, &o, &want, &plan, e);
	sriov_plan_free(&plan);
	sriov_state_free(&want);
	return r;
}

int steps_pf_run(struct carry *c, struct step *s, struct err *e)
{
	struct sriov_world w;
	struct pfs pfs = { 0 };
	int r = open_world(&w, e);

	if (r)
		return r;
	r = vf_want_of(s, &pfs, e);
	if (!r) {
		/* As it was found: the interface may have another name meanwhile. */
		if (s->path)
			snprintf(pfs.v[0].pci, sizeof pfs.v[0].pci, "%s", s->path);
		r = apply(c, s, &w, &pfs, e);
		pfs_free(&pfs);
	}
	sriov_world_close(&w);
	return r;
}

static int release(struct carry *c, const char *lab, const char *address, struct err *e)
{
	const struct sriov_options o = { .owner = lab, .say = say, .arg = c->progress };
	char owner[TOPO_NAME_MAX + 1] = "";
	struct sriov_world w;
	int r = open_world(&w, e);

	if (r)
		return r;
	/* Begun, and refused since it is another's: not ours to put back. */
	r = address ? sriov_owner(&w, address, owner, e) : 0;
	if (!r && (!address || strcmp(owner, lab) == 0))
		r = sriov_release(&w, &o, address, NULL, e);
	sriov_world_close(&w);
	return r;
}

int steps_pf_undo(struct carry *c, struct step *s, struct err *e)
{
	int r;

	if (!s->path)
		return 0; /* begun, but nothing was changed */
	r = release(c, c->plan->lab, s->path, e);
	if (r)
		return r;
	free(s->path);
	s->path = NULL;
	return 0;
}

int steps_pf_release_all(struct carry *c, const char *lab, struct err *e)
{
	return release(c, lab, NULL, e);
}

int steps_pf_differs(const struct plan *p, const struct step *s, struct err *why)
{
	const struct sriov_options o = { .owner = p->lab };
	struct sriov_state want = { 0 };
	struct sriov_plan plan = { 0 };
	struct sriov_world w;
	struct pfs pfs = { 0 };
	char text[256];
	int r = open_world(&w, why);

	if (r)
		return r;
	r = vf_want_of(s, &pfs, why);
	if (!r && s->path)
		snprintf(pfs.v[0].pci, sizeof pfs.v[0].pci, "%s", s->path);
	if (!r)
		r = sriov_want(&w, &pfs, &want, why);
	if (!r)
		r = sriov_plan(&w, &o, &want, NULL, &plan, why);
	if (!r && plan.n_steps) {
		sriov_step_text(&plan.steps[0], text, sizeof text);
		if (plan.n_steps > 1)
			err_set(why, -ESTALE, "%s, and %zu more", text, plan.n_steps - 1);
		else
			err_set(why, -ESTALE, "%s", text);
		r = 1;
	}
	sriov_plan_free(&plan);
	sriov_state_free(&want);
	pfs_free(&pfs);
	sriov_world_close(&w);
	return r;
}

/* ---- what stands in the way of a plan ---- */

/* NICs of the port's network with another address than its VF's: how many, the first one's name. */
static size_t others_behind(const struct topology *t, const struct topo_port *port, char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			const struct topo_nic *nic = &t->nodes[i].nics[j];

			if (!nic->vf.want && nic->network == port->network &&
				ether_mac_u64(nic->mac) != ether_mac_u64(port->mac) && !n++)
				topology_port_name(t, i, j, name);
		}
	return n;
}

/* The switch asks its VF to be promiscuous. Where that can't be, a port that gets nothing but
 * frames to its own address is worse than none. */
static int check_uplinks(const struct topology *t, const struct sriov_state *want,
	const struct sriov_state *have, struct err *e)
{
	for (size_t i = 0; i < t->n_ports; i++) {
		const struct topo_port *port = &t->ports[i];
		const struct sriov_pf *pf = port->kind == TOPO_PORT_VF
			? sriov_pf_find(have, want->pfs[port->vf.pf].fn.addr)
			: NULL;
		char name[TOPO_NAME_MAX + 12], more[32] = "", mac[ETHER_MAC_STR];
		size_t n = pf && sriov_vf_hears_only_itself(pf->attrs.driver)
			? others_behind(t, port, name)
			: 0;

		if (!n)
			continue;
		if (n > 1)
			snprintf(more, sizeof more, " and %zu more", n - 1);
		return err_host(e, -EOPNOTSUPP,
			"%s:%d:%d: port \"%s\": a VF of %s (driver %s) gets only frames to its own "
			"address, %s: those to %s%s on network \"%s\" would be lost. Give the port "
			"the \"mac\" of the NIC behind it, if that is only one; or the whole PF "
			"(\"pf\" in \"vf\"'s place)",
			t->file, port->device_place.line, port->device_place.col, port->name,
			pf->fn.addr, pf->attrs.driver, ether_mac_str(port->mac, mac), name, more,
			t->networks[port->network].name);
	}
	return 0;
}

static int check(const struct topology *t, const struct sriov_world *w,
	const struct sriov_options *o, struct err *e)
{
	struct sriov_state want = { 0 }, have = { 0 };
	struct sriov_plan plan = { 0 };
	struct err refusal = { 0 };
	int r = sriov_want(w, t->pfs, &want, e);

	if (!r)
		r = sriov_plan(w, o, &want, &have, &plan, e);
	if (!r && sriov_refusal(&plan, o, &refusal)) {
		char *force = strstr(refusal.text, " (--force ");

		if (force) /* `up` has no such option: a lab never takes what others use */
			*force = '\0';
		*e = refusal;
		r = refusal.code;
	}
	if (!r)
		r = check_uplinks(t, &want, &have, e);
	sriov_plan_free(&plan);
	sriov_state_free(&want);
	sriov_state_free(&have);
	return r;
}

int steps_pf_check(const struct topology *t, const struct plan *p, struct err *e)
{
	struct sriov_options o = { .owner = t->lab };
	struct sriov_world w;
	int r;

	if (!t->pfs->n)
		return 0;
	for (size_t i = 0; i < p->n_steps; i++)
		if (p->steps[i].kind == STEP_PF && p->steps[i].pages > o.memlock_bytes)
			o.memlock_bytes = p->steps[i].pages;
	r = open_world(&w, e);
	if (r)
		return r;
	r = check(t, &w, &o, e);
	sriov_world_close(&w);
	return r;
}
