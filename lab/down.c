/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab_down: undoes what the record says, newest first. If the record is damaged: ends whatever of
 * our daemons has its control socket in the folder, and removes what looks like ours.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lab/lab.h"
#include "lab/netdev.h"
#include "lab/record.h"
#include "lab/session.h"
#include "lab/steps.h"
#include "lab/steps_vf.h"

static int down_damaged(struct session *s, const char *name, const char *why, struct err *e)
{
	int r;

	progress_warn(&s->progress,
		"lab %s: %s: ending what runs in its folder instead (hugepages "
		"that `up` may have reserved stay: see vm.nr_hugepages)",
		name, why);
	r = steps_sweep(&s->carry, s->folder.dir, e);
	if (!r)
		r = steps_pf_release_all(&s->carry, name, e);
	if (!r)
		r = netdev_delete_all(name, e);
	if (!r)
		folder_remove(&s->folder, NULL, &s->foreign);
	return r;
}

static int down_locked(struct session *s, const char *name, struct err *e)
{
	struct plan have = { 0 };
	struct err why = { 0 };
	int r = record_read(s->folder.fd, &have, &why);
	struct step *folder = r ? NULL : plan_find(&have, STEP_FOLDER, NULL);

	s->carry.plan = &have;
	if (!folder || strcmp(have.lab, name) != 0) {
		r = down_damaged(s, name, r ? why.text : "the record is of another lab", e);
	} else {
		folder->state = STEP_DONE; /* we stand in it */
		r = carry_undo(&s->carry, false, e);
	}
	plan_clear(&have);
	return r;
}

int lab_down(const char *name, const struct lab_opts *o, bool *was_down, struct err *e)
{
	struct err own = { 0 };
	bool ignored;
	struct session s;
	int r;

	e = e ? e : &own;
	was_down = was_down ? was_down : &ignored;
	*was_down = false;
	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > TOPO_NAME_MAX)
		return err_request(e, -EINVAL, "\"%s\" is no lab's name", name);
	r = session_begin(&s, o, false, e);
	if (r)
		return r;
	r = folder_lock(&s.folder, s.paths.run, name, false, e);
	if (r == -ENOENT) {
		*was_down = true;
		r = 0;
	} else if (!r) {
		r = down_locked(&s, name, e);
	}
	session_end(&s);
	return r;
}
