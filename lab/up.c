/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab_up: whichever of these the run folder's record calls for:
 *
 *	no record              carry the plan out
 *	was never wholly up    an `up` crashed or is half undone: undo that, then carry the plan out
 *	up, all alive          nothing
 *	up, something died     the steps of what died are PLANNED again, and carried out
 *	up, the file changed   the difference (lab/diff.h) is carried out (lab/change.h)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/carry.h"
#include "lab/change.h"
#include "lab/check.h"
#include "lab/daemon.h"
#include "lab/lab.h"
#include "lab/record.h"
#include "lab/session.h"
#include "lab/steps.h"
#include "lab/steps_tap.h"
#include "lab/steps_vf.h"

/* Topology files say the same lab if they are equal but for what doesn't shape it. */
static int same_topology(const char *file_a, const char *file_b, bool *same, struct err *e)
{
	const char *const files[2] = { file_a, file_b };
	json_t *j[2] = { NULL, NULL };
	int r = 0;

	for (int i = 0; i < 2 && !r; i++) {
		json_error_t je;

		j[i] = json_load_file(files[i], 0, &je);
		if (!j[i])
			r = err_set(
				e, -EINVAL, "%s:%d:%d: %s", files[i], je.line, je.column, je.text);
		else
			json_object_del(j[i], "traffic");
	}
	*same = !r && json_equal(j[0], j[1]);
	json_decref(j[0]);
	json_decref(j[1]);
	return r;
}

static const char *since(const struct plan *p, char *out, size_t size)
{
	time_t t = (time_t)p->up_since_s;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, size, "%F %T", &tm);
	return out;
}

/* A lab of that name that is up from another file is another lab. */
static int check_same(const struct plan *want, const struct plan *have, struct err *e)
{
	char copy[LAB_PATH_MAX + 32], when[32];
	bool same = false;
	int r;

	if (strcmp(want->file, have->file) == 0)
		return 0;
	snprintf(copy, sizeof copy, "%s/topology.json", have->dir);
	r = same_topology(want->file, copy, &same, e);
	if (r || same)
		return r;
	return err_request(e, -EEXIST,
		"a lab named %s is up already, since %s, from another "
		"topology (%s): take that down first (lanyard down %s), or give this one another "
		"name",
		have->lab, since(have, when, sizeof when), have->file, have->lab);
}

static int refuse_change(const struct plan *have, struct err *e)
{
	char when[32];

	return err_request(e, -EEXIST,
		"lab %s is up since %s, and %s has changed since: lanyard up %s applies the "
		"difference",
		have->lab, since(have, when, sizeof when), have->file, have->file);
}

/* One process of a lab that was up: its pidfd, or its step PLANNED again. Whether it is gone. */
static bool repair_process(struct session *s, struct step *st)
{
	char who[TOPO_NAME_MAX + 16];

	st->pidfd = daemon_open(st->proc);
	if (st->pidfd >= 0 && st->state == STEP_DONE)
		return false;
	if (st->state == STEP_BEGUN) /* a repair that crashed: its pid may be unknown */
		steps_ops[st->kind].undo(&s->carry, st, NULL);
	if (st->state != STEP_PLANNED)
		progress_warn(&s->progress, "%s died; starting it again",
			step_describe_short(st, who, sizeof who));
	fd_close(&st->pidfd);
	st->proc = (struct proc_id){ 0 };
	st->state = STEP_PLANNED;
	return true;
}

/* Somebody changed it, or an `up` was cut off: it is gone over again. Never PLANNED: `down` would
 * leave it as it is. */
static void repair_pf(struct session *s, const struct plan *p, struct step *st)
{
	struct err why = { 0 };

	if (st->state == STEP_DONE && steps_pf_differs(p, st, &why) <= 0)
		return;
	if (st->state == STEP_DONE)
		progress_warn(&s->progress, "PF %s is not as it was left (%s); putting it right",
			st->name, why.text);
	st->state = STEP_BEGUN;
}

/* Deleted by hand, or taken out of its bridge. */
static void repair_interface(struct session *s, const struct plan *p, struct step *st)
{
	char who[TOPO_NAME_MAX + 32];

	if (st->state == STEP_DONE && steps_tap_is_whole(p, st))
		return;
	if (st->state == STEP_DONE)
		progress_warn(&s->progress, "%s (%s) is not as it was left; putting it right",
			step_describe_short(st, who, sizeof who), st->device);
	st->state = STEP_BEGUN;
}

static bool lives(const struct step *s)
{
	return s->state == STEP_PLANNED || proc_is_alive(s->proc);
}

/* A tap that was deleted is gone for who was attached to it. */
static bool lost_a_tap(const struct plan *p, const struct step *vm)
{
	size_t n = strlen(vm->name);
	bool lost = false;

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->kind == STEP_TAP && strncmp(s->name, vm->name, n) == 0 &&
			s->name[n] == '.' && s->state == STEP_DONE)
			lost |= steps_tap_is_gone(p, s);
	}
	return lost;
}

/* A VM and those that show it folders live and die together: what is left of them is ended. */
static void end_broken(struct session *s, struct plan *p, const struct step *vm)
{
	bool broken = !lives(vm) || lost_a_tap(p, vm);

	for (size_t i = 0; i < p->n_steps; i++)
		if (p->steps[i].kind == STEP_SHARE && step_helps(&p->steps[i], vm->name))
			broken |= !lives(&p->steps[i]);
	for (size_t i = p->n_steps; broken && i-- > 0;) {
		struct step *st = &p->steps[i];

		if ((st == vm || (st->kind == STEP_SHARE && step_helps(st, vm->name))) &&
			st->state != STEP_PLANNED && lives(st))
			carry_undo_one(&s->carry, st, NULL, NULL);
	}
}

/*
 * Makes PLANNED again what has died, what lived in it, and what has to be looked at again; the
 * number of steps to run. The agent of a guest that lives is left alone: it has one client at a
 * time, and `bench` may be that.
 */
static size_t plan_repair(struct session *s, struct plan *p)
{
	bool switch_died = false;
	size_t n = 0;

	for (size_t i = 0; i < p->n_steps; i++)
		if (p->steps[i].kind == STEP_VM)
			end_broken(s, p, &p->steps[i]);
	for (size_t i = 0; i < p->n_steps; i++) {
		struct step *st = &p->steps[i];
		const struct step *vm;

		switch (st->kind) {
		case STEP_SWITCH:
			switch_died = repair_process(s, st);
			break;
		case STEP_PF:
			repair_pf(s, p, st);
			break;
		case STEP_BRIDGE:
		case STEP_TAP:
			repair_interface(s, p, st);
			break;
		case STEP_PROCESS:
			/* It has lost its ports, and ends by itself or did already. */
			if (switch_died && st->state != STEP_PLANNED)
				carry_undo_one(&s->carry, st, NULL, NULL);
			repair_process(s, st);
			break;
		case STEP_VM:
		case STEP_DISKS:
		case STEP_SHARE:
			repair_process(s, st);
			break;
		case STEP_IMAGE:
			if (st->state == STEP_BEGUN)
				st->state = STEP_PLANNED;
			break;
		case STEP_NETWORK:
		case STEP_PORT:
			if (switch_died)
				st->state = STEP_PLANNED;
			else if (st->state == STEP_BEGUN) /* an `up` that was cut off */
				carry_undo_one(&s->carry, st, NULL, NULL);
			break;
		case STEP_GUEST:
			vm = plan_node(p, st->name);
			if (vm && vm->state == STEP_PLANNED)
				st->state = STEP_PLANNED;
			break;
		case STEP_LINKS:
			if (n)
				st->state = STEP_PLANNED;
			break;
		default:
			break;
		}
		n += st->state != STEP_DONE;
	}
	return n;
}

static void tell_warnings(struct session *s, const struct strs *now, const struct strs *before)
{
	for (size_t i = 0; i < now->n; i++) {
		bool told = false;

		for (size_t k = 0; k < before->n; k++)
			told |= strcmp(now->v[i], before->v[k]) == 0;
		if (!told)
			progress_warn(&s->progress, "%s", now->v[i]);
	}
}

static int repair(struct session *s, const struct plan *want_file, struct plan *have, struct err *e)
{
	const struct step *pages = plan_find(have, STEP_HUGEPAGES, NULL);
	struct step *folder = plan_find(have, STEP_FOLDER, NULL);
	int r = 0;

	s->carry.pages_held = pages ? pages->pages : 0;
	/* The traffic list may have changed: the copy is what `bench LAB` reads. */
	snprintf(have->file, sizeof have->file, "%s", want_file->file);
	if (folder)
		r = steps_ops[STEP_FOLDER].run(&s->carry, folder, e);
	return r ? r : carry_out(&s->carry, e);
}

static int change(struct session *s, const struct topology *t, struct diff *d, struct plan *have,
	const struct lab_opts *o, struct err *e)
{
	int r;

	if (!o || !o->change)
		return refuse_change(have, e);
	r = check_host(t, &d->merged, &s->paths, &s->host, e);
	if (r)
		return r;
	if (o->changes)
		diff_list(d, o->changes);
	tell_warnings(s, &d->merged.warnings, &have->warnings);
	return change_carry(s, d, have, e);
}

/* The lab is up from `have`: change it, or repair it, if needed. */
static int up_again(struct session *s, const struct topology *t, struct plan *want,
	struct plan *have, const struct lab_opts *o, enum lab_was *was, struct err *e)
{
	struct diff d = { 0 };
	size_t broken;
	int r = check_same(want, have, e);

	if (r)
		return r;
	s->carry.plan = have;
	broken = plan_repair(s, have);
	plan_drop_twins(have);
	plan_clear(want);
	r = plan_make_beside(t, &s->host, &s->paths, &have->place, want, e);
	if (!r)
		r = diff_plans(have, want, &d, e);
	if (r)
		goto out;
	if (d.n_shaping || have->n_steps != d.n_wanted) {
		*was = LAB_WAS_OTHER;
		r = change(s, t, &d, have, o, e);
	} else {
		*was = broken ? LAB_WAS_BROKEN : LAB_WAS_UP;
		r = repair(s, &d.merged, have, e);
	}
out:
	s->carry.plan = NULL;
	diff_clear(&d);
	return r;
}

static int up_new(struct session *s, struct plan *want, struct err *e)
{
	int r;

	s->carry.plan = want;
	for (size_t i = 0; i < want->warnings.n; i++)
		progress_warn(&s->progress, "%s", want->warnings.v[i]);
	size_t told = want->warnings.n;
	r = carry_out(&s->carry, e);
	for (size_t i = told; i < want->warnings.n; i++)
		progress_warn(&s->progress, "%s", want->warnings.v[i]);
	return r;
}

/* Undoes what an `up` that crashed left, and locks the folder anew. */
static int clear_half_made(struct session *s, struct plan *have, struct err *e)
{
	int r;

	progress_warn(&s->progress, "an earlier `up` of lab %s did not finish: undoing what it did",
		have->lab);
	s->carry.plan = have;
	r = carry_undo(&s->carry, false, e);
	return r ? r : folder_lock(&s->folder, s->paths.run, have->lab, true, e);
}

static int up_locked(struct session *s, const struct topology *t, struct plan *want,
	const struct lab_opts *o, enum lab_was *was, struct err *e)
{
	struct plan have = { 0 };
	int r = s->folder.fd >= 0 ? record_read(s->folder.fd, &have, e) : -ENOENT;

	if (r == -EINVAL) {
		err_prefix(e, "lab %s (lanyard down %s cleans it up)", want->lab, want->lab);
		goto out;
	}
	if (r && r != -ENOENT)
		goto out;
	if (!r && have.up_since_s) {
		r = up_again(s, t, want, &have, o, was, e);
		goto out;
	}
	if (!r)
		r = clear_half_made(s, &have, e);
	if (r && r != -ENOENT)
		goto out;
	r = check_host(t, want, &s->paths, &s->host, e);
	if (!r && s->folder.fd < 0)
		r = folder_lock(&s->folder, s->paths.run, want->lab, true, e);
	if (!r)
		r = up_new(s, want, e);
	if (!r) {
		want->up_since_s = (uint64_t)time(NULL);
		r = carry_save(&s->carry, e);
	}
out:
	plan_clear(&have);
	return r;
}

int lab_up(const struct topology *t, const struct lab_opts *o, enum lab_was *was, struct err *e)
{
	struct plan want = { 0 };
	struct err own = { 0 };
	enum lab_was ignored;
	struct session s;
	int r;

	e = e ? e : &own;
	was = was ? was : &ignored;
	*was = LAB_WAS_DOWN;
	r = session_begin(&s, o, true, e);
	if (r)
		return r;
	host_read("", &s.host);
	lab_mark_taken(&s.host, t->lab);
	host_see_pfs(&s.host, t);
	r = plan_make(t, &s.host, &s.paths, &want, e);
	if (!r) {
		r = folder_lock(&s.folder, s.paths.run, t->lab, false, e);
		if (r == -ENOENT)
			r = 0;
	}
	if (!r)
		r = up_locked(&s, t, &want, o, was, e);
	plan_clear(&want);
	session_end(&s);
	return r;
}

int lab_compare(const struct topology *t, bool *up, struct strs *changes, struct err *e)
{
	struct plan want = { 0 }, have = { 0 };
	struct folder f = FOLDER_CLOSED;
	struct diff d = { 0 };
	struct paths paths;
	struct host h;
	int r = 0;

	*up = false;
	paths_read(&paths);
	if (folder_open(&f, paths.run, t->lab, NULL) || record_read(f.fd, &have, NULL) ||
		!have.up_since_s)
		goto out;
	host_read("", &h);
	lab_mark_taken(&h, t->lab);
	host_see_pfs(&h, t);
	change_mark_dead(&have);
	plan_drop_twins(&have);
	r = plan_make_beside(t, &h, &paths, &have.place, &want, e);
	if (!r)
		r = check_same(&want, &have, e);
	*up = !r;
	if (!r)
		r = diff_plans(&have, &want, &d, e);
	if (!r)
		r = check_host(t, &d.merged, &paths, &h, e);
	diff_list(&d, changes);
out:
	folder_close(&f);
	diff_clear(&d);
	plan_clear(&want);
	plan_clear(&have);
	return r;
}
