/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/policy.h"

#define NONE SIZE_MAX

/* What is to be done about a wanted step. */
enum fate { KEEP, ADD, REPAIR, REPLACE, CHANGE };

struct work {
	const struct plan *have;
	struct diff *d;
	enum fate *fate; /* of each wanted step */
	bool *goes;      /* of each step of have: it, or what it is now, is undone */
	bool *early;     /* ... before the new ones come */
	bool unsure;     /* whether the settings of what stays hold: an `up` was cut off */
	json_t *networks, *ports, *networks_back, *ports_back;
};

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_process(const struct step *s)
{
	return s->kind == STEP_SWITCH || step_is_node(s);
}

static bool exists(const struct step *s)
{
	return s->state != STEP_PLANNED;
}

/* The step of that kind and name; one that exists rather than one that doesn't: an `up` that was
 * cut off leaves both the old one and the new. */
static size_t find(const struct plan *p, const struct step *like)
{
	size_t found = NONE;

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->kind == like->kind && same_text(s->name, like->name) &&
			(found == NONE || exists(s)))
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
	return strcmp(a->network, b->network) == 0 && same_text(a->socket, b->socket) &&
		same_text(a->ifname, b->ifname) && same_text(a->pci, b->pci) &&
		a->queues == b->queues && a->unmergeable == b->unmergeable;
}

static bool same_policy(const struct step *a, const struct step *b)
{
	json_t *diff = policy_diff(a->policy, b->policy);

	json_decref(diff);
	return !diff;
}

static enum fate fate_of(const struct work *w, const struct step *s, const struct step *old)
{
	switch (s->kind) {
	case STEP_FOLDER:
	case STEP_HUGEPAGES:
		return KEEP;
	case STEP_SWITCH:
		return !exists(old) ? REPAIR : KEEP;
	case STEP_NETWORK:
		if (!exists(old))
			return REPAIR;
		return s->mtu != old->mtu || s->ageing_s != old->ageing_s || w->unsure ? CHANGE
										       : KEEP;
	case STEP_PORT:
		if (!exists(old))
			return REPAIR;
		if (!same_port(s, old))
			return REPLACE;
		return !same_policy(old, s) || w->unsure ? CHANGE : KEEP;
	case STEP_VM:
	case STEP_PROCESS:
		if (!exists(old))
			return same_args(s, old) ? REPAIR : ADD;
		return same_args(s, old) ? KEEP : REPLACE;
	default:
		return KEEP; /* settled by those above: settle_waits */
	}
}

static int check_switch(
	const struct step *s, const struct step *old, const char *lab, struct err *e)
{
	if (!exists(old) || same_args(s, old))
		return 0;
	return err_request(e, -EBUSY,
		"the switch of lab %s runs with --cpus %s --poll %s, and can't change to --cpus %s "
		"--poll %s while it runs: lanyard down %s, then up; or leave \"switch\" as it was",
		lab, step_option(old, "--cpus"), step_option(old, "--poll"),
		step_option(s, "--cpus"), step_option(s, "--poll"), lab);
}

/* The results of a step that stays are those of the old one. */
static void take_over(struct step *s, const struct step *old)
{
	s->state = old->state;
	s->proc = old->proc;
	s->pages_raised = old->pages_raised;
	if (s->kind == STEP_HUGEPAGES && old->path)
		s->path = lab_strdup(old->path);
}

static int settle_wanted(struct work *w, struct err *e)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < m->n_steps; i++) {
		struct step *s = &m->steps[i];
		size_t at = find(w->have, s);
		const struct step *old = at == NONE ? NULL : &w->have->steps[at];

		w->d->have[i] = at;
		w->fate[i] = old ? fate_of(w, s, old) : ADD;
		if (old && s->kind == STEP_SWITCH && check_switch(s, old, m->lab, e))
			return -EBUSY;
		if (w->fate[i] == REPLACE) {
			w->goes[at] = w->early[at] = true;
			w->d->have[i] = NONE;
		} else if (old && (w->fate[i] == KEEP || w->fate[i] == CHANGE)) {
			take_over(s, old);
		}
		if (old && s->kind == STEP_HUGEPAGES)
			w->d->pages_held = old->pages;
	}
	return 0;
}

/* Who is mirrored to a port that comes back otherwise comes back as well: the switch deletes no
 * port that is listened with. */
static void replace_mirrored(struct work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->have->n_steps; i++) {
		const struct step *s = &w->have->steps[i];
		const char *to = json_string_value(
			json_object_get(json_object_get(s->policy, "mirror"), "to"));

		for (size_t k = 0; to && k < m->n_steps; k++) {
			struct step *mine = &m->steps[k];

			if (w->d->have[k] != i || !exists(s))
				continue;
			for (size_t j = 0; j < w->have->n_steps; j++)
				if (w->have->steps[j].kind == STEP_PORT && w->early[j] &&
					strcmp(w->have->steps[j].name, to) == 0)
					w->fate[k] = REPLACE;
			if (w->fate[k] != REPLACE)
				continue;
			mine->state = STEP_PLANNED;
			w->goes[i] = w->early[i] = true;
			w->d->have[k] = NONE;
		}
	}
}

/* A process has one connection to each of its ports, for as long as it lives. */
static void replace_attached(struct work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < m->n_steps; i++) {
		struct step *s = &m->steps[i];
		size_t len = s->kind == STEP_PROCESS ? strlen(s->name) : 0;
		bool again = false;

		for (size_t k = 0; len && k < m->n_steps; k++)
			again |= m->steps[k].kind == STEP_PORT && !exists(&m->steps[k]) &&
				strncmp(m->steps[k].name, s->name, len) == 0 &&
				m->steps[k].name[len] == '.';
		if (!again || !exists(s))
			continue;
		w->fate[i] = REPLACE;
		w->goes[w->d->have[i]] = w->early[w->d->have[i]] = true;
		w->d->have[i] = NONE;
		s->state = STEP_PLANNED;
		s->proc = (struct proc_id){ 0 };
	}
}

/* An interface, a device or a node's name that goes to another. */
static bool gives_way(const struct step *old, const struct step *new)
{
	if (step_is_node(old) && step_is_node(new))
		return old->kind != new->kind &&strcmp(old->name, new->name) == 0;
	return old->kind == STEP_PORT && new->kind == STEP_PORT &&
		((old->ifname && same_text(old->ifname, new->ifname)) ||
			(old->pci && same_text(old->pci, new->pci)));
}

static void settle_leftovers(struct work *w)
{
	const struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->have->n_steps; i++) {
		const struct step *old = &w->have->steps[i];
		bool wanted = false;

		if (!is_process(old) && old->kind != STEP_NETWORK && old->kind != STEP_PORT)
			continue;
		for (size_t k = 0; k < m->n_steps; k++)
			wanted |= w->d->have[k] == i;
		if (wanted || w->goes[i])
			continue;
		/* Of a twin that never came to be nothing is left. */
		if (!exists(old) && find(w->have, old) != i)
			continue;
		w->goes[i] = true;
		for (size_t k = 0; k < m->n_steps; k++)
			if (w->fate[k] == ADD && gives_way(old, &m->steps[k]))
				w->early[i] = true;
	}
}

/* Agents of nodes that start are waited for; and links, if any node or port comes up. So is what
 * an `up` that was cut off didn't wait for. */
static void settle_waits(struct work *w)
{
	struct plan *m = &w->d->merged;
	bool any = false;

	for (size_t i = 0; i < m->n_steps; i++) {
		const struct step *node;
		struct step *s = &m->steps[i];
		size_t at = w->d->have[i];
		bool done = at != NONE && w->have->steps[at].state == STEP_DONE;

		any |= (s->kind == STEP_PORT || step_is_node(s)) && !exists(s);
		if (s->kind != STEP_GUEST && s->kind != STEP_LINKS)
			continue;
		node = s->kind == STEP_GUEST ? plan_node(m, s->name) : NULL;
		done &= node ? exists(node) : !any;
		any |= !done;
		w->fate[i] = KEEP;
		s->state = done ? STEP_DONE : STEP_PLANNED;
	}
}

static void copy_args(struct strs *to, const struct strs *from)
{
	for (size_t i = 0; i < from->n; i++)
		strs_add(to, "%s", from->v[i]);
}

static char *copy_text(const char *s)
{
	return s ? lab_strdup(s) : NULL;
}

static size_t append_copy(struct work *w, size_t at)
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
	s->ifname = copy_text(old->ifname);
	s->pci = copy_text(old->pci);
	s->policy = json_incref(old->policy);
	copy_args(&s->args, &old->args);
	s->mtu = old->mtu;
	s->ageing_s = old->ageing_s;
	s->queues = old->queues;
	s->external = old->external;
	s->unmergeable = old->unmergeable;
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

static void configure_kept(struct work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->d->n_wanted; i++) {
		struct step *s = &m->steps[i];
		const struct step *old;

		if (w->fate[i] != CHANGE)
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
static void configure_going(struct work *w)
{
	static const char *const keys[] = { "static", "mirror" };

	for (size_t i = 0; i < w->have->n_steps; i++) {
		const struct step *old = &w->have->steps[i];
		json_t *off = json_object(), *back = json_object();

		for (size_t k = 0; k < 2 && old->kind == STEP_PORT; k++) {
			json_t *v = json_object_get(old->policy, keys[k]);

			if (!v || !w->goes[i] || w->early[i] || !exists(old))
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
static void configure_coming(struct work *w)
{
	struct plan *m = &w->d->merged;

	for (size_t i = 0; i < w->d->n_wanted; i++) {
		struct step *s = &m->steps[i];
		json_t *policy;

		if (s->kind != STEP_PORT || exists(s) || !s->policy)
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

/* The index of the CONFIGURE step in merged, or NONE. */
static size_t configure(struct work *w)
{
	struct step *s;

	configure_kept(w);
	configure_going(w);
	if (!json_object_size(w->networks) && !json_object_size(w->ports))
		return NONE;
	configure_coming(w);
	s = plan_add(&w->d->merged, STEP_CONFIGURE);
	s->policy = request(w->networks, w->ports);
	s->back = request(w->networks_back, w->ports_back);
	w->d->have = lab_realloc(w->d->have, w->d->merged.n_steps, sizeof *w->d->have);
	w->d->have[w->d->merged.n_steps - 1] = NONE;
	return w->d->merged.n_steps - 1;
}

/* ---- the order ---- */

static void add(struct diff *d, enum change_what what, bool undo, size_t step)
{
	d->changes = lab_realloc(d->changes, d->n + 1, sizeof *d->changes);
	d->changes[d->n++] = (struct change){ what, undo, step };
	d->n_shaping += what != CHANGE_REPAIRED && what != CHANGE_WAITED;
}

static enum change_what what_of(enum fate f)
{
	return f == ADD ? CHANGE_ADDED : f == REPAIR ? CHANGE_REPAIRED : CHANGE_RESTARTED;
}

static void add_wanted(struct work *w, bool nodes)
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
static void add_leftovers(struct work *w, const size_t *copy, bool early, bool nodes)
{
	for (size_t i = w->have->n_steps; i-- > 0;) {
		const struct step *s = &w->have->steps[i];
		bool replaced = false;

		if (!w->goes[i] || w->early[i] != early || step_is_node(s) != nodes)
			continue;
		for (size_t k = 0; k < w->d->n_wanted; k++)
			replaced |= w->fate[k] == REPLACE &&
				w->d->merged.steps[k].kind == s->kind &&
				same_text(w->d->merged.steps[k].name, s->name);
		/* Said once: as the step that comes back. */
		add(w->d, replaced ? CHANGE_WAITED : CHANGE_REMOVED, true, copy[i]);
	}
}

static void order(struct work *w, size_t configure_at, const size_t *copy)
{
	struct diff *d = w->d;
	const struct step *pages = plan_find(&d->merged, STEP_HUGEPAGES, NULL);
	size_t at = pages ? (size_t)(pages - d->merged.steps) : NONE;

	if (pages && pages->pages > d->pages_held)
		add(d, CHANGE_WAITED, false, at);
	add_leftovers(w, copy, true, true);
	add_leftovers(w, copy, true, false);
	add_wanted(w, false);
	if (configure_at != NONE)
		add(d, CHANGE_CHANGED, false, configure_at);
	add_wanted(w, true);
	add_leftovers(w, copy, false, true);
	add_leftovers(w, copy, false, false);
	if (pages && pages->pages < d->pages_held)
		add(d, CHANGE_WAITED, false, at);
}

static void merge(struct work *w)
{
	size_t *copy = lab_calloc(w->have->n_steps, sizeof *copy), configure_at;

	for (size_t i = 0; i < w->have->n_steps; i++)
		if (w->goes[i])
			copy[i] = append_copy(w, i);
	configure_at = configure(w);
	order(w, configure_at, copy);
	free(copy);
}

static bool was_cut_off(const struct plan *have)
{
	const struct step *s = plan_find(have, STEP_CONFIGURE, NULL);

	return s && s->state != STEP_DONE;
}

int diff_plans(const struct plan *have, struct plan *want, struct diff *d, struct err *e)
{
	struct work w = { .have = have, .d = d, .unsure = was_cut_off(have) };
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
		settle_waits(&w);
		merge(&w);
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

const char *change_word(enum change_what what)
{
	static const char *const words[] = { "repaired", "added", "changed", "restarted", "removed",
		"" };

	return words[what];
}

char *change_describe(const struct diff *d, const struct change *c, char *out, size_t size)
{
	const struct step *s = &d->merged.steps[c->step];
	const char *word = change_word(c->what);
	char text[LAB_PATH_MAX + 128];

	if (c->undo && c->what == CHANGE_REMOVED)
		snprintf(out, size, "%s %s", word, step_describe_short(s, text, sizeof text));
	else
		snprintf(out, size, "%s%s%s", word, *word ? " " : "",
			c->undo ? step_describe_undo(s, text, sizeof text)
				: step_describe(s, text, sizeof text));
	return out;
}

static void say_port(const struct diff *d, const char *name, struct strs *out)
{
	char is[256], was[256];

	for (size_t i = 0; i < d->n_wanted; i++) {
		const struct step *s = &d->merged.steps[i];

		if (s->kind != STEP_PORT || strcmp(s->name, name) != 0 || s->bare)
			continue;
		policy_brief(s->policy, is, sizeof is);
		policy_brief(s->was, was, sizeof was);
		strs_add(out, "port %s: %s (was: %s)", name, is[0] ? is : "plain",
			was[0] ? was : "plain");
	}
}

void diff_configured(const struct diff *d, const struct step *configure, struct strs *out)
{
	const char *name;
	json_t *v;

	json_object_foreach (json_object_get(configure->policy, "networks"), name, v)
		strs_add(out,
			"network %s: MTU %" JSON_INTEGER_FORMAT ", ageing %" JSON_INTEGER_FORMAT
			" s",
			name, json_integer_value(json_object_get(v, "mtu")),
			json_integer_value(json_object_get(v, "ageing_s")));
	json_object_foreach (json_object_get(configure->policy, "ports"), name, v)
		say_port(d, name, out);
}

void diff_list(const struct diff *d, struct strs *out)
{
	char text[LAB_PATH_MAX + 256];

	for (size_t i = 0; i < d->n; i++) {
		const struct change *c = &d->changes[i];
		const struct step *s = &d->merged.steps[c->step];
		struct strs parts = { 0 };

		if (s->kind == STEP_CONFIGURE)
			diff_configured(d, s, &parts);
		else if (c->what != CHANGE_WAITED)
			strs_add(out, "%s", change_describe(d, c, text, sizeof text));
		for (size_t k = 0; k < parts.n; k++)
			strs_add(out, "%s %s", change_word(c->what), parts.v[k]);
		strs_free(&parts);
	}
}
