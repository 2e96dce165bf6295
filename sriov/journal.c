/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a PF: what was done to it, on disk before it was done. A file of JSON lines that
 * only grows: a header with its owner, each step when it begins, its state when that changes.
 * Whatever a crash leaves, the steps that it may have done are in it. A last line that was not
 * written to its end was not begun either: it is cut off.
 *
 *	{"version": 1, "owner": "pair"}
 *	{"n": 0, "step": {"step": "num_vfs", "pf": "0000:01:00.0", "to": {..}, "from": {..}}}
 *	{"n": 0, "state": "done"}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "sriov/own.h"

#define VERSION     1
#define SUFFIX      ".journal"
#define JOURNAL_MAX (64u << 20)

static const char *const state_names[] = { "planned", "begun", "done", "undone", NULL };

static void journal_path(const struct sriov_world *w, const char *addr, char *out, size_t size)
{
	snprintf(out, size, "%s/%s" SUFFIX, w->run, addr);
}

static int damaged(const char *path, size_t line, struct err *e)
{
	return err_set(e, -EINVAL,
		"%s, line %zu, is no line of a journal: put the PF back by hand (echo 0 to its "
		"sriov_numvfs), then remove that file",
		path, line);
}

static int take_header(struct journal *j, const json_t *line)
{
	const char *owner = json_string_value(json_object_get(line, "owner"));

	if (json_integer_value(json_object_get(line, "version")) != VERSION || !owner)
		return -EINVAL;
	snprintf(j->owner, sizeof(j->owner), "%s", owner);
	return 0;
}

static int take_line(struct journal *j, const json_t *line)
{
	json_int_t n = json_integer_value(json_object_get(line, "n"));
	const json_t *step = json_object_get(line, "step");
	const char *state = json_string_value(json_object_get(line, "state"));
	struct sriov_step *s;
	int r;

	if (step) {
		if (n != (json_int_t)j->n)
			return -EINVAL;
		s = sriov_grow(&j->steps, &j->n, sizeof(*s));
		if (!s)
			return -ENOMEM;
		r = sriov_step_from_json(step, s);
		s->state = SRIOV_BEGUN;
		return r;
	}
	if (!state || n < 0 || n >= (json_int_t)j->n)
		return -EINVAL;
	s = &j->steps[n];
	for (s->state = 0; state_names[s->state] && strcmp(state, state_names[s->state]);)
		s->state++;
	return state_names[s->state] ? 0 : -EINVAL;
}

/* *kept: bytes of whole lines. */
static int take_text(struct journal *j, const char *path, char *text, size_t *kept, struct err *e)
{
	size_t number = 0;
	char *p = text, *end;
	int r;

	for (; (end = strchr(p, '\n')); p = end + 1) {
		json_t *line = json_loadb(p, (size_t)(end - p), 0, NULL);

		r = number++ ? take_line(j, line) : take_header(j, line);
		json_decref(line);
		if (r == -ENOMEM)
			return sriov_nomem(e);
		if (r)
			return damaged(path, number, e);
	}
	*kept = (size_t)(p - text);
	return 0;
}

static int append(struct journal *j, json_t *line, bool sync, struct err *e)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	int r;

	json_decref(line);
	if (!text)
		return sriov_nomem(e);
	text[len] = '\n'; /* in its NUL's place: one write, one line */
	r = fd_write_full(j->fd, text, len + 1);
	free(text);
	if (!r && sync && fdatasync(j->fd) < 0)
		r = -errno;
	return r ? err_set(e, r, "the journal can't be written: %s", err_str(r)) : 0;
}

static int sync_folder(const struct sriov_world *w)
{
	int fd = open(w->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	fd_close(&fd);
	return r == -EINVAL ? 0 : r; /* a file system that has no need of it */
}

static int begin(const struct sriov_world *w, struct journal *j, const char *owner, struct err *e)
{
	int r = append(j, json_pack("{s:i, s:s}", "version", VERSION, "owner", owner), true, e);

	snprintf(j->owner, sizeof(j->owner), "%s", owner);
	if (!r && sync_folder(w))
		r = err_set(e, -EIO, "%s can't be written to disk", w->run);
	return r;
}

int journal_open(const struct sriov_world *w, const char *addr, const char *owner,
	struct journal *j, struct err *e)
{
	char path[512], *text = NULL;
	size_t kept = 0, len = 0;
	struct err none = { 0 };
	int r;

	*j = JOURNAL_NONE;
	journal_path(w, addr, path, sizeof(path));
	j->fd = open(
		path, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (owner ? O_CREAT : 0), 0644);
	if (j->fd < 0) {
		r = -errno;
		if (r == -EACCES || r == -EPERM || r == -EROFS)
			return err_host(e, r, "%s: %s; be root (sudo)", path, err_str(r));
		return err_set(e, r, "%s: %s", path, err_str(r));
	}
	r = fd_read_file(path, JOURNAL_MAX, &text, &len, &none);
	if (r)
		err_set(e, r, "%s", none.text);
	else
		r = take_text(j, path, text, &kept, e);
	free(text);
	if (!r && kept < len && ftruncate(j->fd, (off_t)kept) < 0)
		r = err_set(e, -errno, "%s: %s", path, err_str(errno));
	if (!r && !kept && owner)
		r = begin(w, j, owner, e);
	if (r)
		journal_close(j);
	return r;
}

int journal_add(struct journal *j, const struct sriov_step *s, struct err *e)
{
	struct sriov_step *kept;
	int r = append(
		j, json_pack("{s:i, s:o}", "n", (int)j->n, "step", sriov_step_json(s)), true, e);

	if (r)
		return r;
	kept = sriov_grow(&j->steps, &j->n, sizeof(*kept));
	if (!kept)
		return sriov_nomem(e);
	*kept = *s;
	kept->before = NULL; /* the plan's */
	kept->n_before = 0;
	kept->state = SRIOV_BEGUN;
	return (int)j->n - 1;
}

int journal_state(struct journal *j, size_t number, enum sriov_step_state state, struct err *e)
{
	j->steps[number].state = state;
	return append(j, json_pack("{s:i, s:s}", "n", (int)number, "state", state_names[state]),
		false, e);
}

void journal_close(struct journal *j)
{
	for (size_t i = 0; i < j->n; i++)
		sriov_step_free(&j->steps[i]);
	free(j->steps);
	fd_close(&j->fd);
	*j = JOURNAL_NONE;
}

int journal_remove(const struct sriov_world *w, const char *addr, struct err *e)
{
	char path[512];

	journal_path(w, addr, path, sizeof(path));
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(e, -errno, "%s can't be removed: %s", path, err_str(errno));
	sync_folder(w);
	return 0;
}

int journal_peek(const struct sriov_world *w, const char *addr, char owner[TOPO_NAME_MAX + 1],
	bool *made, struct err *e)
{
	char path[512], *text;
	struct journal j = JOURNAL_NONE;
	struct err none = { 0 };
	size_t kept = 0;
	int r;

	owner[0] = '\0';
	*made = false;
	journal_path(w, addr, path, sizeof(path));
	r = fd_read_file(path, JOURNAL_MAX, &text, NULL, &none);
	if (r == -ENOENT)
		return 0;
	if (r)
		return err_host(e, r, "%s", none.text);
	r = take_text(&j, path, text, &kept, e);
	free(text);
	for (size_t i = 0; i < j.n; i++)
		*made |= j.steps[i].kind == SRIOV_NUM_VFS && j.steps[i].state != SRIOV_UNDONE;
	/* A journal whose header was being written claims nothing yet. */
	snprintf(owner, TOPO_NAME_MAX + 1, "%s", j.owner);
	journal_close(&j);
	return r;
}

int sriov_owner(
	const struct sriov_world *w, const char *addr, char out[TOPO_NAME_MAX + 1], struct err *e)
{
	bool made;

	return journal_peek(w, addr, out, &made, e);
}

int journal_each(const struct sriov_world *w, int (*fn)(void *arg, const char *addr), void *arg)
{
	DIR *d = opendir(w->run);
	const char *name;
	int r = 0;

	while (d && !r && (name = sysfs_next(d))) {
		size_t len = strlen(name), cut = sizeof(SUFFIX) - 1;
		char addr[PFS_ADDR_LEN], text[64];

		if (len <= cut || len >= sizeof(text) || strcmp(name + len - cut, SUFFIX))
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)(len - cut), name);
		if (!pfs_addr(text, addr))
			r = fn(arg, addr);
	}
	if (d)
		closedir(d);
	return r;
}
