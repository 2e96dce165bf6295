/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing: the fate of each wanted step, and which of the old ones go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lab/diff_work.h"
#include "lab/policy.h"
#include "lab/vf.h"

/* The step of that kind and name; one that exists rather than one that doesn't: an `up` that was
 * cut off leaves both the old one and the new. */
static size_t find(const struct plan *p, const struct step *like)
{
	size_t found = DIFF_NONE;

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->kind == like->kind && diff_same_text(s->name, like->name) &&
			(found == DIFF_NONE || diff_exists(s)))
			found = i;
	}
	return found;
}

/* Where our programs and the probe lie doesn't shape a lab: they may have been built anew. */
static bool same_args(const struct step *a, const struct step *b)
{
	bool probe = strstr(step_option(a, "--cmdline"), PLAN_TSC_HZ) != NULL;

	if (a->args.n != b->args.n)
		return false;
	for (size_t i = 1; i < a->args.n; i++) {
		if (probe && strcmp(a->args.v[i - 1], "--kernel") == 0)
			continue;
		if (strcmp(a->args.v[i], b->args.v[i]) != 0)
			return false;
	}
	return true;
}

static bool same_port(const struct step *a, const struct step *b)
{
	return strcmp(a->network, b->network) == 0 && diff_same_text(a->socket, b->socket) &&
		diff_same_text(a->leads_to, b->leads_to) && diff_same_text(a->device, b->device) &&
		a->queues == b->queues && a->unmergeable == b->unmergeable;
}

static bool same_tap(const struct step *a, const struct step *b)
{
	return strcmp(a->network, b->network) == 0 && strcmp(a->device, b->device) == 0 &&
		a->mtu == b->mtu && a->queues == b->queues;
}

static bool same_policy(const struct step *a, const struct step *b)
{
	json_t *diff = policy_diff(a->policy, b->policy);

	json_decref(diff);
	return !diff;
}

/* But for where our init lies. */
static bool same_image(const struct step *a, const struct step *b)
{
	json_t *x = json_copy(a->policy), *y = json_copy(b->policy);
	bool same;

	json_object_del(x, "init");
	json_object_del(y, "init");
	same = json_equal(x, y);
	json_decref(x);
	json_decref(y);
	return same;
}

static enum fate fate_of(const struct diff_work *w, const struct step *s, const struct step *old)
{
	switch (s->kind) {
	case STEP_FOLDER:
	case STEP_HUGEPAGES:
		return KEEP;
	case STEP_SWITCH:
		return !diff_exists(old) ? REPAIR : KEEP;
	case STEP_PF:
		if (!diff_exists(old))
			return REPAIR;
		if (!json_equal(s->policy, old->policy))
			return CHANGE;
		return old->state == STEP_DONE ? KEEP : REPAIR;
	case STEP_BRIDGE:
		return old->state == STEP_DONE ? KEEP : REPAIR;
	case STEP_TAP:
		if (!diff_exists(old))
			return REPAIR;
		if (!same_tap(s, old))
			return REPLACE;
		return old->state == STEP_DONE ? KEEP : REPAIR;
	case STEP_NETWORK:
		if (!diff_exists(old))
			return REPAIR;
		return s->mtu != old->mtu || s->ageing_s != old->ageing_s || w->unsure ? CHANGE
										       : KEEP;
	case STEP_PORT:
		if (!diff_exists(old))
			return REPAIR;
		if (!same_port(s, old))
			return REPLACE;
		return !same_policy(old, s) || w->unsure ? CHANGE : KEEP;
	case STEP_IMAGE:
		if (!diff_exists(old))
			return REPAIR;
		return same_image(s, old) ? KEEP : REPLACE;
	case STEP_VM:
	case STEP_PROCESS:
	case STEP_DISKS:
	case STEP_SHARE:
		if (!diff_exists(old))
			return same_args(s, old) ? REPAIR : ADD;
		return same_args(s, old) ? KEEP : REPLACE;
	default:
		return KEEP; /* settled by those above: settle_waits */
	}
}

static int check_switch(
	const struct step *s, const struct step *old, const char *lab, struct err *e)
{
	if (!diff_exists(old) || same_args(s, old))
		return 0;
	return err_request(e, -EBUSY,
		"the switch of lab %s runs with --cpus %s --poll %s, and can't change to --cpus %s "
		"--poll %s while it runs: lanyard down %s, then up; or leave \"switch\" as it was",
		lab, step_option(old, "--cpus"), step_option(old, "--poll"),
		step_option(s, "--cpus"), step_option(s, "--poll"), lab);
}

static int check_pf(const struct step *s, const struct step *old, const char *lab, struct err *e)
{
	char why[400];

	if (!diff_exists(old) || !vf_fixed(old, s, why, sizeof why))
		return 0;
	return err_request(
		e, -EBUSY, "%s: lanyard down %s, then up; or leave it as it was", why, lab);
}

static int check_bridge(
	const struct step *s, const struct step *old, const char *lab, struct err *e)
{
	if (!diff_exists(old) || (s->mtu == old->mtu && s->ageing_s == old->ageing_s))
		return 0;
	return err_request(e, -EBUSY,
		"network %s is a bridge, whose MTU and ageing can't change while lab %s runs: lanyard "
		"down %s, then up; or leave them as they were",
		s->name, lab, lab);
}

/* The results of a step that stays are those of the old one. A PF that changes is gone over again:
 * what is as wanted there stays as it is. */
static void take_over(struct step *s, const struct step *old, enum fate fate)
{
	s->state = old->state;
	s->proc = old->proc;
	s->pages_raised = old->pages_raised;
	if ((s->kind == STEP_HUGEPAGES || s->kind == STEP_PF) && old->path)
		s->path = lab_strdup(old->path);
	if (s->kind != STEP_PF || fate != CHANGE)
		return;
	s->state = STEP_BEGUN;
	s->back = json_incref(old->policy);
}

/* Of these something is there while they are repaired, and stays the lab's. */
static bool repairs_in_place(const struct step *s)
{
	return s->kind == STEP_PF || s->kind == STEP_BRIDGE || s->kind == STEP_TAP;
}

static int settle_wanted(struct diff_work *w, struct err *e)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < m->n_steps; i++) {
		struct step *s = &m->steps[i];
		size_t at = find(w->have, s);
		const struct step *old = at == DIFF_NONE ? NULL : &w->have->steps[at];

		w->d->have[i] = at;
		w->fate[i] = old ? fate_of(w, s, old) : ADD;
		if (old && s->kind == STEP_SWITCH && check_switch(s, old, m->lab, e))
			return -EBUSY;
		if (old && s->kind == STEP_PF && check_pf(s, old, m->lab, e))
			return -EBUSY;
		if (old && s->kind == STEP_BRIDGE && check_bridge(s, old, m->lab, e))
			return -EBUSY;
		if (w->fate[i] == REPLACE) {
			w->goes[at] = w->early[at] = true;
			w->d->have[i] = DIFF_NONE;
		} else if (old &&
			(w->fate[i] == KEEP || w->fate[i] == CHANGE ||
				(repairs_in_place(s) && diff_exists(old)))) {
			take_over(s, old, w->fate[i]);
		}
		if (old && s->kind == STEP_HUGEPAGES)
			w->d->pages_held = old->pages;
	}
	return 0;
}

/* Who is mirrored to a port that comes back otherwise comes back as well: the switch deletes no
 * port that is listened with. */
static void replace_mirrored(struct diff_work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->have->n_steps; i++) {
		const struct step *s = &w->have->steps[i];
		const char *to = json_string_value(
			json_object_get(json_object_get(s->policy, "mirror"), "to"));

		for (size_t k = 0; to && k < m->n_steps; k++) {
			struct step *mine = &m->steps[k];

			if (w->d->have[k] != i || !diff_exists(s))
				continue;
			for (size_t j = 0; j < w->have->n_steps; j++)
				if (w->have->steps[j].kind == STEP_PORT && w->early[j] &&
					strcmp(w->have->steps[j].name, to) == 0)
					w->fate[k] = REPLACE;
			if (w->fate[k] != REPLACE)
				continue;
			mine->state = STEP_PLANNED;
			w->goes[i] = w->early[i] = true;
			w->d->have[k] = DIFF_NONE;
		}
	}
}

/* A wanted step that there is comes back otherwise. */
static void replace(struct diff_work *w, size_t i)
{
	struct step *s = &w->d->merged.steps[i];
	size_t at = w->d->have[i];

	if (at == DIFF_NONE || !diff_exists(s))
		return;
	w->fate[i] = REPLACE;
	w->goes[at] = w->early[at] = true;
	w->d->have[i] = DIFF_NONE;
	s->state = STEP_PLANNED;
	s->proc = (struct proc_id){ 0 };
}

/* A VM starts anew with its image, its storage daemon and its shares; these end with it, but for
 * the storage daemon. */
static void replace_helped(struct diff_work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < m->n_steps; i++) {
		const struct step *vm = &m->steps[i];

		if (vm->kind != STEP_VM)
			continue;
		for (size_t k = 0; k < m->n_steps; k++)
			if (step_helps(&m->steps[k], vm->name) &&
				(w->fate[k] == REPLACE || w->fate[k] == ADD))
				replace(w, i);
		for (size_t k = 0; k < m->n_steps && !diff_exists(vm); k++)
			if (m->steps[k].kind == STEP_SHARE && step_helps(&m->steps[k], vm->name))
				replace(w, k);
		/* One that is wanted no more must not be found dead in between. */
		for (size_t k = 0; k < w->have->n_steps && !diff_exists(vm); k++)
			if (w->have->steps[k].kind == STEP_SHARE &&
				step_helps(&w->have->steps[k], vm->name))
				w->early[k] |= w->goes[k];
	}
}

/* A process has one connection to each of its ports, and a VM its taps, for as long as it lives. */
static void replace_attached(struct diff_work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < m->n_steps; i++) {
		struct step *s = &m->steps[i];
		size_t len = step_is_node(s) ? strlen(s->name) : 0;
		enum step_kind to = s->kind == STEP_PROCESS ? STEP_PORT : STEP_TAP;
		bool again = false;

		for (size_t k = 0; len && k < m->n_steps; k++)
			again |= m->steps[k].kind == to && !diff_exists(&m->steps[k]) &&
				strncmp(m->steps[k].name, s->name, len) == 0 &&
				m->steps[k].name[len] == '.';
		if (again)
			replace(w, i);
	}
}

/* Whoever goes and has a function of a PF gives it free for others first. */
static bool has_function(const struct plan *have, const struct step *s)
{
	for (size_t i = 0; i < have->n_steps; i++)
		if (have->steps[i].kind == STEP_PF && vf_uses(s, have->steps[i].name))
			return true;
	return false;
}

/* An interface, a device or a node's name that goes to another. */
static bool gives_way(const struct step *old, const struct step *new)
{
	if (step_is_node(old) && step_is_node(new))
		return old->kind != new->kind &&strcmp(old->name, new->name) == 0;
	return old->kind == STEP_PORT && new->kind == STEP_PORT &&
		old->leads_to &&diff_same_text(old->leads_to, new->leads_to) &&
		diff_same_text(old->device, new->device);
}

static void settle_leftovers(struct diff_work *w)
{
	const struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->have->n_steps; i++) {
		const struct step *old = &w->have->steps[i];
		bool wanted = false;

		if (!step_is_process(old) && old->kind != STEP_IMAGE && old->kind != STEP_NETWORK &&
			old->kind != STEP_PORT && old->kind != STEP_PF &&
			old->kind != STEP_BRIDGE && old->kind != STEP_TAP)
			continue;
		for (size_t k = 0; k < m->n_steps; k++)
			wanted |= w->d->have[k] == i;
		if (wanted || w->goes[i])
			continue;
		/* Of a twin that never came to be nothing is left. */
		if (!diff_exists(old) && find(w->have, old) != i)
			continue;
		w->goes[i] = true;
		w->early[i] |= has_function(w->have, old);
		for (size_t k = 0; k < m->n_steps; k++)
			if (w->fate[k] == ADD && gives_way(old, &m->steps[k]))
				w->early[i] = true;
	}
}

/* Agents of nodes that start are waited for; and links, if any node or port comes up. So is what
 * an `up` that was cut off didn't wait for. */
static void settle_waits(struct diff_work *w)
{
	struct plan *m = &w->d->merged;
	bool any = false;

	for (size_t i = 0; i < m->n_steps; i++) {
		const struct step *node;
		struct step *s = &m->steps[i];
		size_t at = w->d->have[i];
		bool done = at != DIFF_NONE && w->have->steps[at].state == STEP_DONE;

		any |= (s->kind == STEP_PORT || step_is_node(s)) && !diff_exists(s);
		if (s->kind != STEP_GUEST && s->kind != STEP_LINKS)
			continue;
		node = s->kind == STEP_GUEST ? plan_node(m, s->name) : NULL;
		done &= node ? diff_exists(node) : !any;
		any |= !done;
		w->fate[i] = KEEP;
		s->state = done ? STEP_DONE : STEP_PLANNED;
	}
}

static bool was_cut_off(const struct plan *have)
{
	const struct step *s = plan_find(have, STEP_CONFIGURE, NULL);

	return s && s->state != STEP_DONE;
}

int diff_plans(const struct plan *have, struct plan *want, struct diff *d, struct err *e)
{
	struct diff_work w = { .have = have, .d = d, .unsure = was_cut_off(have) };
	int r;

	*d = (struct diff){ .merged = *want, .n_wanted = want->n_steps };
	*want = (struct plan){ 0 };
	d->merged.up_since_s = have->up_since_s;
	d->have = lab_calloc(d->n_wanted, sizeof *d->have);
	w.fate = lab_calloc(d->n_wanted, sizeof *w.fate);
	w.goes = lab_calloc(have->n_steps, sizeof *w.goes);
	w.early = lab_calloc(have->n_steps, sizeof *w.early);
	w.networks = json_object();
	w.ports = json_object();
	w.networks_back = json_object();
	w.ports_back = json_object();
	r = settle_wanted(&w, e);
	if (!r) {
		settle_leftovers(&w);
		replace_mirrored(&w);
		replace_attached(&w);
		replace_helped(&w);
		settle_waits(&w);
		diff_merge(&w);
	}
	json_decref(w.networks);
	json_decref(w.ports);
	json_decref(w.networks_back);
	json_decref(w.ports_back);
	free(w.fate);
	free(w.goes);
	free(w.early);
	return r;
}

void diff_clear(struct diff *d)
{
	plan_clear(&d->merged);
	free(d->have);
	free(d->changes);
	*d = (struct diff){ 0 };
}
