/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes are made one by one, each in the record before and after. If one fails, those that made
 * something are undone, newest first; then the old plan is the record again, with what is there
 * and what is not, and carrying it out brings back what had been stopped.
 */
#include "lab/change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "lab/steps.h"

void change_mark_dead(struct plan *have)
{
	bool switch_died = false;

	for (size_t i = 0; i < have->n_steps; i++) {
		struct step *s = &have->steps[i];
		bool process = step_is_process(s);
		bool lives =
			s->kind == STEP_NETWORK || s->kind == STEP_PORT || s->kind == STEP_PROCESS;

		if ((process && !proc_is_alive(s->proc)) || (lives && switch_died))
			s->state = STEP_PLANNED;
		if (s->kind == STEP_SWITCH)
			switch_died = s->state == STEP_PLANNED;
	}
}

/* The pidfds of what runs go along with the steps. */
static void hand_over(struct diff *d, struct plan *have, bool back)
{
	for (size_t i = 0; i < d->merged.n_steps; i++) {
		struct step *mine, *old;

		if (d->have[i] == SIZE_MAX)
			continue;
		mine = &d->merged.steps[i];
		old = &have->steps[d->have[i]];
		if (!back) {
			mine->pidfd = old->pidfd;
			old->pidfd = -1;
			continue;
		}
		old->pidfd = mine->pidfd;
		mine->pidfd = -1;
		old->state = mine->state;
		old->proc = mine->proc;
		if (old->kind == STEP_PF) /* gone back to what it was, or as near as could be */
			old->state = mine->state == STEP_PLANNED ? STEP_PLANNED : STEP_DONE;
		if (old->kind != STEP_HUGEPAGES)
			continue;
		old->state = STEP_DONE;
		old->pages_raised = mine->pages_raised;
		free(old->path);
		old->path = mine->path;
		mine->path = NULL;
	}
}

/* What a change says in its line; a `configure` of several has a line for each below its own. */
static int make(struct session *s, struct diff *d, const struct change *c, struct err *e)
{
	struct step *step = &d->merged.steps[c->step];
	char text[LAB_PATH_MAX + 640];
	struct strs parts = { 0 };
	int r;

	change_describe(d, c, text, sizeof text);
	if (step->kind == STEP_CONFIGURE)
		diff_configured(d, step, &parts);
	if (parts.n == 1)
		snprintf(text, sizeof text, "%s %s", change_word(c->what), parts.v[0]);
	r = c->undo ? carry_undo_one(&s->carry, step, text, e)
		    : carry_run(&s->carry, step, text, e);
	for (size_t i = 0; i < parts.n && parts.n > 1 && !s->progress.quiet; i++)
		progress_quote(&s->progress, parts.v[i]);
	strs_free(&parts);
	if (!r && step->kind == STEP_HUGEPAGES)
		s->carry.pages_held = step->pages;
	return r;
}

/* The switch refused: nothing has changed. Silent: nobody knows. */
static bool may_have_happened(int r)
{
	return r == -ETIMEDOUT || r == -EPIPE || r == -EINTR || r == -ECHILD;
}

static int unmake(struct session *s, struct diff *d, const struct change *c, struct err *e)
{
	struct step *step = &d->merged.steps[c->step];
	json_t *request;

	if (c->undo || step->state == STEP_PLANNED)
		return 0;
	switch (step->kind) {
	case STEP_HUGEPAGES:
		step->pages = d->pages_held;
		return carry_run(&s->carry, step, "hugepages as before", e);
	case STEP_PF:
		if (!step->back)
			return carry_undo_one(&s->carry, step, NULL, e);
		/* fall through */
	case STEP_CONFIGURE:
		request = step->policy;
		step->policy = step->back;
		step->back = request;
		if (!json_object_size(step->policy))
			return 0;
		return carry_run(&s->carry, step, "settings as before", e);
	case STEP_GUEST:
	case STEP_LINKS:
		return 0;
	default:
		return carry_undo_one(&s->carry, step, NULL, e);
	}
}

/* Nodes of one plan that are not in the other leave no files. */
static void forget_nodes(
	struct session *s, const struct plan *gone, size_t n, const struct plan *stays)
{
	for (size_t i = 0; i < n; i++) {
		const struct step *step = &gone->steps[i];

		if (step_is_node(step) && !plan_node(stays, step->name))
			folder_forget_node(&s->folder, step->name);
	}
}

/* A settings step in the record that is not DONE: whoever changes the lab next sets them all. */
static void mark_unsure(struct plan *have)
{
	struct step *s = plan_add(have, STEP_CONFIGURE);

	s->state = STEP_BEGUN;
	s->policy = json_object();
}

static void roll_back(struct session *s, struct diff *d, size_t n, struct plan *have)
{
	struct err why = { 0 }, first = { 0 };
	bool unsure = false;

	progress_warn(&s->progress, "lab %s goes back to what it was", have->lab);
	/* A second Ctrl-C must not leave the lab half way. */
	fd_close(&s->carry.signal_fd);
	while (n-- > 0) {
		const struct change *c = &d->changes[n];

		if (!unmake(s, d, c, &why))
			continue;
		unsure |= d->merged.steps[c->step].kind == STEP_CONFIGURE;
		first = first.code ? first : why;
	}
	hand_over(d, have, true);
	s->carry.plan = have;
	s->carry.pages_held = d->pages_held;
	if (unsure)
		mark_unsure(have);
	if (!first.code)
		forget_nodes(s, &d->merged, d->n_wanted, have);
	if (carry_save(&s->carry, &why) || carry_out(&s->carry, &why))
		first = first.code ? first : why;
	if (first.code)
		progress_warn(&s->progress,
			"not all is as it was (lanyard status %s tells what is): %s", have->lab,
			first.text);
	else
		progress_warn(&s->progress, "lab %s is as it was", have->lab);
}

/* What only goes: when that fails, the rest of the change is made already, and stays. */
static bool is_last_part(const struct diff *d, size_t i)
{
	for (; i < d->n; i++)
		if (!d->changes[i].undo &&
			d->merged.steps[d->changes[i].step].kind != STEP_HUGEPAGES)
			return false;
	return true;
}

/* What goes is gone, and `configure` is done: the record is that of a plain `up`. */
static int settle(struct session *s, struct diff *d, const struct plan *have, struct err *e)
{
	struct step *folder = plan_find(&d->merged, STEP_FOLDER, NULL);
	int r = folder ? steps_ops[STEP_FOLDER].run(&s->carry, folder, e) : 0;

	if (r)
		return r;
	plan_cut(&d->merged, d->n_wanted);
	forget_nodes(s, have, have->n_steps, &d->merged);
	for (size_t i = 0; i < d->n_wanted; i++)
		if (d->merged.steps[i].kind == STEP_HUGEPAGES)
			d->merged.steps[i].state = STEP_DONE;
		else if (d->merged.steps[i].kind == STEP_PF)
			json_decref(d->merged.steps[i].back), d->merged.steps[i].back = NULL;
	return carry_save(&s->carry, e);
}

int change_carry(struct session *s, struct diff *d, struct plan *have, struct err *e)
{
	struct step *configure = plan_find(&d->merged, STEP_CONFIGURE, NULL);
	int r;

	hand_over(d, have, false);
	s->carry.plan = &d->merged;
	s->carry.pages_held = d->pages_held;
	for (size_t i = 0; i < d->n; i++) {
		r = make(s, d, &d->changes[i], e);
		if (!r)
			continue;
		if (is_last_part(d, i)) {
			err_prefix(e, "all else is done, but this can't be taken away");
			return r;
		}
		if (configure == &d->merged.steps[d->changes[i].step] && !may_have_happened(r))
			configure->state = STEP_PLANNED;
		roll_back(s, d, i + 1, have);
		return r;
	}
	r = settle(s, d, have, e);
	if (r)
		roll_back(s, d, d->n, have);
	return r;
}
