/* SPDX-License-Identifier: Apache-2.0 */
/* Journals undone: what an apply did, or what a crash left of one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"

static bool is_live(const struct sriov_step *s)
{
	return s->state == SRIOV_BEGUN || s->state == SRIOV_DONE;
}

/* Nothing is undone while it would have to wait for somebody in the middle. */
static int all_free(const struct sriov_world *w, const struct journal *j, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->n && !r; i++) {
		const struct sriov_step *s = &j->steps[i];
		char addr[PFS_ADDR_LEN];

		if (!is_live(s))
			continue;
		if (s->kind == SRIOV_NUM_VFS)
			r = vfs_free(w, s->pf, e);
		else if (s->kind == SRIOV_PF_DRIVER)
			r = bind_held(w, s->pf, e);
		else if (s->kind == SRIOV_DRIVER &&
			!sysfs_link(w->sys, addr, sizeof(addr), "bus/pci/devices/%s/virtfn%d",
				s->pf, s->vf))
			r = bind_held(w, addr, e);
	}
	return r;
}

static int undo_journal(const struct sriov_world *w, const struct sriov_options *o,
	struct journal *j, size_t *n_undone, struct err *e)
{
	char note[256], text[256];

	for (size_t i = j->n; i-- > 0;) {
		struct sriov_step *s = &j->steps[i];
		int r;

		if (!is_live(s))
			continue;
		step_undone_text(s, text, sizeof(text));
		if (!s->fresh)
			sriov_say(o, SRIOV_SAY_BEGIN, "%s", text);
		r = step_undo(w, s, note, sizeof(note), e);
		if (!r)
			r = journal_state(j, i, SRIOV_UNDONE, e);
		if (r)
			return r;
		if (note[0])
			sriov_say(o, SRIOV_SAY_NOTE, "%s", note);
		(*n_undone)++;
		if (!s->fresh)
			sriov_say(o, SRIOV_SAY_UNDONE, "%s", text);
	}
	return 0;
}

static int release_locked(const struct sriov_world *w, const struct sriov_options *o,
	const char *addr, size_t *n_undone, struct err *e)
{
	struct journal j;
	int r = journal_open(w, addr, NULL, &j, e);

	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	if (j.owner[0] && strcmp(j.owner, o->owner) && !o->force)
		r = err_host(e, -EBUSY,
			"%s is lab %s's: lanyard down %s gives it back, or --force takes it", addr,
			j.owner, j.owner);
	if (!r)
		r = all_free(w, &j, e);
	if (!r)
		r = undo_journal(w, o, &j, n_undone, e);
	journal_close(&j);
	return r ? r : journal_remove(w, addr, e);
}

static int release_one(const struct sriov_world *w, const struct sriov_options *o, const char *addr,
	size_t *n_undone, struct err *e)
{
	struct locks locks;
	char one[1][PFS_ADDR_LEN];
	int r;

	snprintf(one[0], sizeof(one[0]), "%s", addr);
	r = locks_take(w, 1, (const char(*)[PFS_ADDR_LEN])one, &locks, e);
	if (r)
		return r;
	r = release_locked(w, o, addr, n_undone, e);
	locks_drop(&locks);
	return r;
}

struct list {
	size_t n;
	char (*addrs)[PFS_ADDR_LEN];
};

static int collect(void *arg, const char *addr)
{
	struct list *l = arg;
	char(*one)[PFS_ADDR_LEN] = sriov_grow(&l->addrs, &l->n, sizeof(*one));

	if (!one)
		return -ENOMEM;
	snprintf(*one, sizeof(*one), "%s", addr);
	return 0;
}

static int release_all(
	const struct sriov_world *w, const struct sriov_options *o, size_t *n_undone, struct err *e)
{
	struct list l = { 0 };
	int r = journal_each(w, collect, &l) ? sriov_nomem(e) : 0;

	for (size_t i = 0; i < l.n; i++) {
		char owner[TOPO_NAME_MAX + 1];
		struct err why = { 0 };
		int one = sriov_owner(w, l.addrs[i], owner, &why);

		/* Another's is another's to give back. */
		if (!one && owner[0] && strcmp(owner, o->owner) && !o->force)
			continue;
		if (!one)
			one = release_one(w, o, l.addrs[i], n_undone, &why);
		if (one && r)
			sriov_say(o, SRIOV_SAY_FAILED, "%s", why.text);
		else if (one) {
			r = one;
			if (e)
				*e = why;
		}
	}
	free(l.addrs);
	return r;
}

int sriov_release(const struct sriov_world *w, const struct sriov_options *o, const char *addr,
	size_t *n_steps, struct err *e)
{
	size_t n = 0;
	int r;

	if (addr) {
		char owner[TOPO_NAME_MAX + 1];

		/* No journal: nothing to do, and no permission needed for that. */
		r = sriov_owner(w, addr, owner, e);
		if (!r && owner[0])
			r = release_one(w, o, addr, &n, e);
	} else {
		r = release_all(w, o, &n, e);
	}
	if (n_steps)
		*n_steps = n;
	return r;
}
