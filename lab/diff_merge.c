/* SPDX-License-Identifier: Apache-2.0 */
/* Merging: what goes is appended to the wanted steps, what changes in the switch becomes one
 * `configure`, and all of it is put in order. */
#include <stdlib.h>
#include <string.h>

#include "lab/diff_work.h"
#include "lab/policy.h"

static void copy_args(struct strs *to, const struct strs *from)
{
	for (size_t i = 0; i < from->n; i++)
		strs_add(to, "%s", from->v[i]);
}

static char *copy_text(const char *s)
{
	return s ? lab_strdup(s) : NULL;
}

static size_t append_copy(struct diff_work *w, size_t at)
{
	const struct step *old = &w->have->steps[at];
	struct step *s = plan_add(&w->d->merged, old->kind);

	s->state = old->state;
	s->name = copy_text(old->name);
	s->network = copy_text(old->network);
	s->mac = copy_text(old->mac);
	s->socket = copy_text(old->socket);
	s->log = copy_text(old->log);
	s->path = copy_text(old->path);
	s->leads_to = copy_text(old->leads_to);
	s->device = copy_text(old->device);
	s->policy = json_incref(old->policy);
	copy_args(&s->args, &old->args);
	s->mtu = old->mtu;
	s->ageing_s = old->ageing_s;
	s->queues = old->queues;
	s->external = old->external;
	s->unmergeable = old->unmergeable;
	s->slow = old->slow;
	s->proc = old->proc;
	w->d->have = lab_realloc(w->d->have, w->d->merged.n_steps, sizeof *w->d->have);
	w->d->have[w->d->merged.n_steps - 1] = at;
	return w->d->merged.n_steps - 1;
}

/* ---- configure ---- */

static const char *const policy_keys[] = { "vlan", "isolated", "admin", "mac_limit", "static",
	"spoof", "storm", "police", "mirror", "offloads" };

/* All keys, null where there is no policy: whatever holds now, that is then so. */
static json_t *policy_whole(const json_t *policy)
{
	json_t *j = json_object();

	for (size_t i = 0; i < sizeof policy_keys / sizeof policy_keys[0]; i++) {
		json_t *v = json_object_get(policy, policy_keys[i]);

		json_object_set_new(j, policy_keys[i], v ? json_incref(v) : json_null());
	}
	return j;
}

static json_t *network_settings(const struct step *s)
{
	return json_pack(
		"{s:I, s:I}", "mtu", (json_int_t)s->mtu, "ageing_s", (json_int_t)s->ageing_s);
}

static void configure_kept(struct diff_work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->d->n_wanted; i++) {
		struct step *s = &m->steps[i];
		const struct step *old;

		if (w->fate[i] != CHANGE || s->kind == STEP_PF)
			continue;
		old = &w->have->steps[w->d->have[i]];
		s->was = json_incref(old->policy);
		if (s->kind == STEP_NETWORK) {
			json_object_set_new(w->networks, s->name, network_settings(s));
			json_object_set_new(w->networks_back, s->name, network_settings(old));
		} else {
			json_object_set_new(w->ports, s->name,
				w->unsure ? policy_whole(s->policy)
					  : policy_diff(old->policy, s->policy));
			json_object_set_new(w->ports_back, s->name,
				w->unsure ? policy_whole(old->policy)
					  : policy_diff(s->policy, old->policy));
		}
	}
}

/* A port that goes gives its addresses and its mirror free for others at once. */
static void configure_going(struct diff_work *w)
{
	static const char *const keys[] = { "static", "mirror" };

	for (size_t i = 0; i < w->have->n_steps; i++) {
		const struct step *old = &w->have->steps[i];
		json_t *off = json_object(), *back = json_object();

		for (size_t k = 0; k < 2 && old->kind == STEP_PORT; k++) {
			json_t *v = json_object_get(old->policy, keys[k]);

			if (!v || !w->goes[i] || w->early[i] || !diff_exists(old))
				continue;
			json_object_set_new(off, keys[k], json_null());
			json_object_set(back, keys[k], v);
		}
		if (json_object_size(off)) {
			json_object_set(w->ports, old->name, off);
			json_object_set(w->ports_back, old->name, back);
		}
		json_decref(off);
		json_decref(back);
	}
}

/* Ports that come meanwhile come shut, and get their policies with the others'. */
static void configure_coming(struct diff_work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->d->n_wanted; i++) {
		struct step *s = &m->steps[i];
		json_t *policy;

		if (s->kind != STEP_PORT || diff_exists(s) || !s->policy)
			continue;
		s->bare = true;
		policy = json_copy(s->policy);
		if (!json_object_get(policy, "admin"))
			json_object_set_new(policy, "admin", json_null());
		json_object_set_new(w->ports, s->name, policy);
	}
}

static json_t *request(json_t *networks, json_t *ports)
{
	json_t *j = json_object();

	if (json_object_size(networks))
		json_object_set(j, "networks", networks);
	if (json_object_size(ports))
		json_object_set(j, "ports", ports);
	return j;
}

/* The index of the CONFIGURE step in merged, or DIFF_NONE. */
static size_t configure(struct diff_work *w)
{
	struct step *s;

	configure_kept(w);
	configure_going(w);
	if (!json_object_size(w->networks) && !json_object_size(w->ports))
		return DIFF_NONE;
	configure_coming(w);
	s = plan_add(&w->d->merged, STEP_CONFIGURE);
	s->policy = request(w->networks, w->ports);
	s->back = request(w->networks_back, w->ports_back);
	w->d->have = lab_realloc(w->d->have, w->d->merged.n_steps, sizeof *w->d->have);
	w->d->have[w->d->merged.n_steps - 1] = DIFF_NONE;
	return w->d->merged.n_steps - 1;
}

/* ---- the order ---- */

/* What serves a VM changes with it: the VM's own line says so. */
static void add(struct diff *d, enum change_what what, bool undo, size_t step)
{
	if (step_is_helper(&d->merged.steps[step]) && what != CHANGE_REPAIRED)
		what = CHANGE_WAITED;
	d->changes = lab_realloc(d->changes, d->n + 1, sizeof *d->changes);
	d->changes[d->n++] = (struct change){ what, undo, step };
	d->n_shaping += what != CHANGE_REPAIRED && what != CHANGE_WAITED;
}

static enum change_what what_of(enum fate f)
{
	return f == ADD        ? CHANGE_ADDED
		: f == REPAIR ? CHANGE_REPAIRED
		: f == CHANGE ? CHANGE_CHANGED
			      : CHANGE_RESTARTED;
}

static void add_wanted(struct diff_work *w, bool nodes)
{
	const struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->d->n_wanted; i++) {
		const struct step *s = &m->steps[i];
		bool waits = s->kind == STEP_GUEST || s->kind == STEP_LINKS;

		if (s->state == STEP_DONE || s->kind == STEP_FOLDER || s->kind == STEP_HUGEPAGES)
			continue;
		if ((waits || step_is_node(s)) == nodes)
			add(w->d, waits ? CHANGE_WAITED : what_of(w->fate[i]), false, i);
	}
}

/* Leftovers, newest first. */
static void add_leftovers(struct diff_work *w, const size_t *copy, bool early, bool nodes)
{
	for (size_t i = w->have->n_steps; i-- > 0;) {
		const struct step *s = &w->have->steps[i];
		bool replaced = false;

		if (!w->goes[i] || w->early[i] != early || step_is_node(s) != nodes)
			continue;
		for (size_t k = 0; k < w->d->n_wanted; k++)
			replaced |= w->fate[k] == REPLACE &&
				w->d->merged.steps[k].kind == s->kind &&
				diff_same_text(w->d->merged.steps[k].name, s->name);
		/* Said once: as the step that comes back. */
		add(w->d, replaced ? CHANGE_WAITED : CHANGE_REMOVED, true, copy[i]);
	}
}

static void order(struct diff_work *w, size_t configure_at, const size_t *copy)
{
	struct diff *d = w->d;
	const struct step *pages = plan_find(&d->merged, STEP_HUGEPAGES, NULL);
	size_t at = pages ? (size_t)(pages - d->merged.steps) : DIFF_NONE;

	if (pages && pages->pages > d->pages_held)
		add(d, CHANGE_WAITED, false, at);
	add_leftovers(w, copy, true, true);
	add_leftovers(w, copy, true, false);
	add_wanted(w, false);
	if (configure_at != DIFF_NONE)
		add(d, CHANGE_CHANGED, false, configure_at);
	add_wanted(w, true);
	add_leftovers(w, copy, false, true);
	add_leftovers(w, copy, false, false);
	if (pages && pages->pages < d->pages_held)
		add(d, CHANGE_WAITED, false, at);
}

void diff_merge(struct diff_work *w)
{
	size_t *copy = lab_calloc(w->have->n_steps, sizeof *copy), configure_at;

	for (size_t i = 0; i < w->have->n_steps; i++)
		if (w->goes[i])
			copy[i] = append_copy(w, i);
	configure_at = configure(w);
	order(w, configure_at, copy);
	free(copy);
}
