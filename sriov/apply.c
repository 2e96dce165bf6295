/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan made and carried out. For each step: into the journal, then onto the host, then the
 * journal says so. A step that fails is undone, and all before it, newest first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"

/* ---- planning ---- */

static unsigned asked_of(const struct sriov_plan *p, const char *addr)
{
	unsigned attrs = 0;

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct sriov_step *s = &p->steps[i];

		if (s->vf < 0 || strcmp(s->pf, addr))
			continue;
		/* Both rates are in each request: a promise of none asks for nothing. */
		attrs |= s->kind == SRIOV_RATE && !s->to.min_rate ? BIT(VF_MAX_RATE) : s->to.has;
	}
	return attrs & ~BIT(VF_DRIVER);
}

static int take_addrs(const struct sriov_state *want, char (**out)[PFS_ADDR_LEN], struct err *e)
{
	*out = calloc(want->n_pfs + 1, sizeof(**out));
	if (!*out)
		return sriov_nomem(e);
	for (size_t i = 0; i < want->n_pfs; i++)
		memcpy((*out)[i], want->pfs[i].fn.addr, PFS_ADDR_LEN);
	return 0;
}

int sriov_plan(const struct sriov_world *w, const struct sriov_options *o,
	const struct sriov_state *want, struct sriov_state *have, struct sriov_plan *out,
	struct err *e)
{
	char(*addrs)[PFS_ADDR_LEN];
	struct sriov_state own = { 0 };
	int r = take_addrs(want, &addrs, e);

	*out = (struct sriov_plan){ 0 };
	if (!have)
		have = &own;
	if (r)
		return r;
	r = sriov_observe_some(w, want->n_pfs, (const char(*)[PFS_ADDR_LEN])addrs, have, e);
	free(addrs);
	if (r)
		return r;
	r = sriov_diff(want, have, out, e);
	for (size_t i = 0; i < have->n_pfs && !r; i++)
		sriov_probe(w, &have->pfs[i], asked_of(out, have->pfs[i].fn.addr));
	if (!r)
		r = sriov_check(want, have, w, o, out, e);
	if (r) {
		sriov_plan_free(out);
		sriov_state_free(have);
	}
	sriov_state_free(&own);
	return r;
}

/* ---- carrying out ---- */

struct work {
	const struct sriov_world *w;
	const struct sriov_options *o;
	const struct sriov_state *want;
	struct sriov_plan *plan;
	struct journal *journals; /* one a wanted PF */
	int *numbers;             /* of the plan's steps in their journals; -1: not there */
};

static struct journal *journal_of(const struct work *k, const struct sriov_step *s)
{
	return &k->journals[sriov_pf_find(k->want, s->pf) - k->want->pfs];
}

static bool crashes(const struct work *k, size_t i, enum sriov_point point)
{
	return k->o->hook && k->o->hook(k->o->arg, i, point);
}

static int run_one(struct work *k, size_t i, struct err *e)
{
	struct sriov_step *s = &k->plan->steps[i];
	char text[256];
	int r;

	if (k->o->stop && *k->o->stop)
		return err_set(e, -EINTR, "interrupted");
	sriov_say(k->o, SRIOV_SAY_BEGIN, "%s", sriov_step_text(s, text, sizeof(text)));
	s->state = SRIOV_BEGUN;
	r = journal_add(journal_of(k, s), s, e);
	if (r < 0)
		return r;
	k->numbers[i] = r;
	if (crashes(k, i, SRIOV_BEFORE))
		return err_set(e, -ECANCELED, "stopped before %s", text);
	r = step_run(k->w, s, e);
	if (r)
		return r;
	if (crashes(k, i, SRIOV_AFTER))
		return err_set(e, -ECANCELED, "stopped after %s", text);
	s->state = SRIOV_DONE;
	r = journal_state(journal_of(k, s), (size_t)k->numbers[i], SRIOV_DONE, e);
	if (!r)
		sriov_say(k->o, SRIOV_SAY_DONE, "%s", text);
	return r;
}

static void append(char *list, size_t size, size_t *n, const char *text)
{
	size_t len = strlen(list);

	if (len + strlen(text) + 8 < size)
		snprintf(list + len, size - len, "%s%s", *n ? "; " : "", text);
	else if (len + 8 < size && (len < 3 || strcmp(list + len - 3, "...")))
		snprintf(list + len, size - len, "; ...");
	(*n)++;
}

/* Step i, back. *list: what was undone, for the error. */
static int undo_one(struct work *k, size_t i, char *list, size_t size, size_t *n, struct err *e)
{
	struct sriov_step *s = &k->plan->steps[i];
	char note[256], line[256];
	int r;

	step_undone_text(s, line, sizeof(line));
	if (!s->fresh)
		sriov_say(k->o, SRIOV_SAY_BEGIN, "%s", line);
	r = step_undo(k->w, s, note, sizeof(note), e);
	if (r)
		return r;
	if (note[0])
		sriov_say(k->o, SRIOV_SAY_NOTE, "%s", note);
	s->state = SRIOV_UNDONE;
	if (!s->fresh) {
		append(list, size, n, line);
		sriov_say(k->o, SRIOV_SAY_UNDONE, "%s", line);
	}
	return journal_state(journal_of(k, s), (size_t)k->numbers[i], SRIOV_UNDONE, e);
}

/* Newest first. A PF of which something can't be undone is left for `release`. */
static void roll_back(struct work *k, struct err *e)
{
	char list[400] = "", stuck[PFS_ADDR_LEN] = "";
	struct err why = { 0 };
	size_t n = 0, len;

	for (size_t i = k->plan->n_steps; i-- > 0;) {
		const struct sriov_step *s = &k->plan->steps[i];

		if (s->state == SRIOV_PLANNED || k->numbers[i] < 0 || !strcmp(stuck, s->pf))
			continue;
		if (undo_one(k, i, list, sizeof(list), &n, &why))
			memcpy(stuck, s->pf, sizeof(stuck));
	}
	if (!e)
		return;
	len = strlen(e->text);
	if (n)
		snprintf(e->text + len, sizeof(e->text) - len, ". Undone again: %s", list);
	len = strlen(e->text);
	if (stuck[0])
		snprintf(e->text + len, sizeof(e->text) - len,
			". NOT undone: %s (%.200s): lanyard sriov release %s", stuck, why.text,
			stuck);
}

/* What a driver took and shows otherwise, or not at all. */
static void read_back(const struct work *k, const char (*addrs)[PFS_ADDR_LEN])
{
	struct sriov_state have;
	struct sriov_plan plan;
	char text[256], undo[160];

	if (!k->plan->n_steps || observe_attributes(k->w, k->want->n_pfs, addrs, &have, NULL))
		return;
	if (!sriov_diff(k->want, &have, &plan, NULL)) {
		for (size_t i = 0; i < plan.n_steps; i++)
			sriov_say(k->o, SRIOV_SAY_NOTE,
				"%s was set without an error, but reads back as: %s",
				sriov_step_text(&plan.steps[i], text, sizeof(text)),
				sriov_step_undo_text(&plan.steps[i], undo, sizeof(undo)));
		sriov_plan_free(&plan);
	}
	sriov_state_free(&have);
}

static bool all_undone(const struct journal *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->steps[i].state != SRIOV_UNDONE)
			return false;
	return true;
}

static int carry_out(struct work *k, const char (*addrs)[PFS_ADDR_LEN], struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < k->want->n_pfs && !r; i++)
		r = journal_open(k->w, k->want->pfs[i].fn.addr, k->o->owner, &k->journals[i], e);
	for (size_t i = 0; i < k->plan->n_steps && !r; i++)
		r = run_one(k, i, e);
	if (r == -ECANCELED)
		return r;
	if (!r) {
		read_back(k, addrs);
		return 0;
	}
	sriov_say(k->o, SRIOV_SAY_FAILED, "%s", e ? e->text : "it failed");
	roll_back(k, e);
	/* Nothing of ours is left there: nor is our claim. */
	for (size_t i = 0; i < k->want->n_pfs; i++)
		if (k->journals[i].fd >= 0 && all_undone(&k->journals[i]))
			journal_remove(k->w, k->want->pfs[i].fn.addr, NULL);
	return r;
}

static int apply_locked(struct work *k, const char (*addrs)[PFS_ADDR_LEN], struct err *e)
{
	int r = sriov_plan(k->w, k->o, k->want, NULL, k->plan, e);

	if (!r)
		r = sriov_refusal(k->plan, k->o, e);
	if (r)
		return r;
	k->journals = calloc(k->want->n_pfs + 1, sizeof(*k->journals));
	k->numbers = calloc(k->plan->n_steps + 1, sizeof(*k->numbers));
	if (!k->journals || !k->numbers) {
		free(k->journals);
		free(k->numbers);
		return sriov_nomem(e);
	}
	for (size_t i = 0; i < k->want->n_pfs; i++)
		k->journals[i] = JOURNAL_NONE;
	for (size_t i = 0; i < k->plan->n_steps; i++)
		k->numbers[i] = -1;
	r = carry_out(k, addrs, e);
	for (size_t i = 0; i < k->want->n_pfs; i++)
		journal_close(&k->journals[i]);
	free(k->journals);
	free(k->numbers);
	return r;
}

int sriov_apply(const struct sriov_world *w, const struct sriov_options *o,
	const struct sriov_state *want, struct sriov_plan *out, struct err *e)
{
	struct work k = { .w = w, .o = o, .want = want, .plan = out };
	char(*addrs)[PFS_ADDR_LEN];
	struct locks locks;
	int r = take_addrs(want, &addrs, e);

	*out = (struct sriov_plan){ 0 };
	if (!r)
		r = locks_take(w, want->n_pfs, (const char(*)[PFS_ADDR_LEN])addrs, &locks, e);
	if (!r) {
		r = apply_locked(&k, (const char(*)[PFS_ADDR_LEN])addrs, e);
		locks_drop(&locks);
	}
	free(addrs);
	return r;
}
