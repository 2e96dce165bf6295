/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define RECORD_MAX (16u << 20) /* bytes */

enum field_type { F_TEXT, F_LIST, F_NUMBER, F_BOOL, F_OBJECT };

/* What a step has in the record, but for "kind", "state" and "process". Absent means empty or 0. */
static const struct field {
	const char *name;
	enum field_type type;
	size_t offset;
} fields[] = {
	{ "name", F_TEXT, offsetof(struct step, name) },
	{ "network", F_TEXT, offsetof(struct step, network) },
	{ "mac", F_TEXT, offsetof(struct step, mac) },
	{ "socket", F_TEXT, offsetof(struct step, socket) },
	{ "log", F_TEXT, offsetof(struct step, log) },
	{ "path", F_TEXT, offsetof(struct step, path) },
	{ "args", F_LIST, offsetof(struct step, args) },
	{ "mtu", F_NUMBER, offsetof(struct step, mtu) },
	{ "ageing_s", F_NUMBER, offsetof(struct step, ageing_s) },
	{ "queues", F_NUMBER, offsetof(struct step, queues) },
	{ "external", F_BOOL, offsetof(struct step, external) },
	{ "unmergeable", F_BOOL, offsetof(struct step, unmergeable) },
	{ "slow", F_BOOL, offsetof(struct step, slow) },
	{ "leads_to", F_TEXT, offsetof(struct step, leads_to) },
	{ "device", F_TEXT, offsetof(struct step, device) },
	{ "policy", F_OBJECT, offsetof(struct step, policy) },
	{ "back", F_OBJECT, offsetof(struct step, back) },
	{ "pages", F_NUMBER, offsetof(struct step, pages) },
	{ "pages_raised", F_NUMBER, offsetof(struct step, pages_raised) },
};

#define N_FIELDS (sizeof fields / sizeof fields[0])

static const char *const state_names[] = { "planned", "begun", "done" };

static json_t *strs_to_json(const struct strs *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(a, json_string(l->v[i]));
	return a;
}

static json_t *field_to_json(const struct field *f, const struct step *s)
{
	const void *at = (const char *)s + f->offset;
	const struct strs *l = at;
	const char *text;

	switch (f->type) {
	case F_TEXT:
		text = *(char *const *)at;
		return text ? json_string(text) : NULL;
	case F_LIST:
		return l->n ? strs_to_json(l) : NULL;
	case F_NUMBER:
		return *(const uint64_t *)at ? json_integer((json_int_t) * (const uint64_t *)at)
					     : NULL;
	case F_BOOL:
		return *(const bool *)at ? json_true() : NULL;
	case F_OBJECT:
		return json_incref(*(json_t *const *)at);
	}
	return NULL;
}

static json_t *step_to_json(const struct step *s)
{
	json_t *j = json_pack(
		"{s:s, s:s}", "kind", step_kind_name(s->kind), "state", state_names[s->state]);

	for (size_t i = 0; i < N_FIELDS; i++) {
		json_t *v = field_to_json(&fields[i], s);

		if (v)
			json_object_set_new(j, fields[i].name, v);
	}
	if (s->proc.pid)
		json_object_set_new(j, "process",
			json_pack("{s:i, s:I}", "pid", (int)s->proc.pid, "start_ticks",
				(json_int_t)s->proc.start_ticks));
	return j;
}

json_t *record_to_json(const struct plan *p)
{
	json_t *steps = json_array(), *cpus = json_array();

	for (size_t i = 0; i < p->n_steps; i++)
		json_array_append_new(steps, step_to_json(&p->steps[i]));
	for (size_t i = 0; i < p->place.n; i++) {
		const struct lab_cpu *c = &p->place.cpus[i];

		json_array_append_new(cpus,
			json_pack("{s:s, s:i, s:i, s:i}", "who", c->who, "node", c->node, "index",
				c->index, "cpu", c->cpu));
	}
	return json_pack("{s:i, s:s, s:s, s:s, s:I, s:i, s:o, s:o, s:o}", "version", RECORD_VERSION,
		"lab", p->lab, "file", p->file, "dir", p->dir, "up_since_s",
		(json_int_t)p->up_since_s, "numa_node", p->place.home, "cpus", cpus, "warnings",
		strs_to_json(&p->warnings), "steps", steps);
}

static int strs_from_json(const json_t *j, struct strs *l)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(j))
		return -EINVAL;
	json_array_foreach (j, i, v) {
		if (!json_is_string(v))
			return -EINVAL;
		strs_add(l, "%s", json_string_value(v));
	}
	return 0;
}

static int field_from_json(const struct field *f, const json_t *v, struct step *s)
{
	void *at = (char *)s + f->offset;

	switch (f->type) {
	case F_TEXT:
		if (!json_is_string(v))
			return -EINVAL;
		*(char **)at = lab_strdup(json_string_value(v));
		return 0;
	case F_LIST:
		return strs_from_json(v, at);
	case F_NUMBER:
		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return -EINVAL;
		*(uint64_t *)at = (uint64_t)json_integer_value(v);
		return 0;
	case F_BOOL:
		if (!json_is_boolean(v))
			return -EINVAL;
		*(bool *)at = json_is_true(v);
		return 0;
	case F_OBJECT:
		if (!json_is_object(v))
			return -EINVAL;
		*(json_t **)at = json_deep_copy(v);
		return *(json_t **)at ? 0 : -ENOMEM;
	}
	return -EINVAL;
}

/* The index of text among names, or -1. */
static int find_name(const char *text, const char *const *names, size_t n)
{
	for (size_t i = 0; text && i < n; i++) {
		if (strcmp(text, names[i]) == 0)
			return (int)i;
	}
	return -1;
}

/* What undoing and status dereference must be there. */
static bool step_is_whole(const struct step *s)
{
	switch (s->kind) {
	case STEP_FOLDER:
		return s->path;
	case STEP_SWITCH:
		return s->socket && s->log && s->args.n;
	case STEP_NETWORK:
		return s->name;
	case STEP_PORT:
		return s->name && s->network &&
			(s->leads_to ? s->device != NULL : s->socket && s->mac);
	case STEP_BRIDGE:
		return s->name && s->device;
	case STEP_TAP:
		return s->name && s->device && s->network;
	case STEP_PF:
		return s->name && s->device && s->policy;
	case STEP_CONFIGURE:
		return s->policy;
	case STEP_VM:
	case STEP_PROCESS:
		return s->name && s->socket && s->log && s->args.n;
	case STEP_IMAGE:
		return s->name && s->path && s->policy;
	case STEP_DISKS:
		return s->name && s->socket && s->log && s->args.n;
	case STEP_SHARE:
		return s->name && s->socket && s->log && s->args.n && s->network;
	case STEP_GUEST:
		return s->name;
	case STEP_HUGEPAGES:
		return !s->pages_raised || s->path;
	case STEP_LINKS:
	case STEP_KIND_N:
		break;
	}
	return true;
}

static int step_from_json(json_t *j, struct plan *p, struct err *e)
{
	const char *kinds[STEP_KIND_N], *kind_text, *state_text;
	json_t *process = NULL;
	struct step *s;
	int kind, state;

	for (int i = 0; i < STEP_KIND_N; i++)
		kinds[i] = step_kind_name((enum step_kind)i);
	kind_text = json_string_value(json_object_get(j, "kind"));
	state_text = json_string_value(json_object_get(j, "state"));
	kind = find_name(kind_text, kinds, STEP_KIND_N);
	state = find_name(state_text, state_names, 3);
	if (kind < 0 || state < 0)
		return err_set(e, -EINVAL, "step %zu has no known kind and state", p->n_steps);
	s = plan_add(p, (enum step_kind)kind);
	s->state = (enum step_state)state;
	for (size_t i = 0; i < N_FIELDS; i++) {
		const json_t *v = json_object_get(j, fields[i].name);

		if (v && field_from_json(&fields[i], v, s))
			return err_set(e, -EINVAL, "%s of step %zu is of a wrong type",
				fields[i].name, p->n_steps - 1);
	}
	process = json_object_get(j, "process");
	if (process) {
		s->proc.pid = (pid_t)json_integer_value(json_object_get(process, "pid"));
		s->proc.start_ticks =
			(uint64_t)json_integer_value(json_object_get(process, "start_ticks"));
		if (s->proc.pid <= 1)
			return err_set(e, -EINVAL, "step %zu has no valid pid", p->n_steps - 1);
	}
	if (!step_is_whole(s))
		return err_set(
			e, -EINVAL, "step %zu (%s) lacks a field", p->n_steps - 1, kind_text);
	return 0;
}

static int cpus_from_json(const json_t *j, struct placement *place, struct err *e)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(j))
		return err_set(e, -EINVAL, "cpus is not a list");
	place->cpus = lab_calloc(json_array_size(j), sizeof *place->cpus);
	json_array_foreach (j, i, v) {
		struct lab_cpu *c = &place->cpus[i];
		const char *who;

		if (json_unpack((json_t *)v, "{s:s, s:i, s:i, s:i}", "who", &who, "node", &c->node,
			    "index", &c->index, "cpu", &c->cpu))
			return err_set(e, -EINVAL, "entry %zu of cpus is incomplete", i);
		snprintf(c->who, sizeof c->who, "%s", who);
		place->n++;
	}
	return 0;
}

int record_from_json(const json_t *j, struct plan *p, struct err *e)
{
	const char *lab, *file, *dir;
	json_t *steps, *cpus, *warnings, *v;
	json_int_t up_since;
	json_error_t je;
	int version, r;
	size_t i;

	*p = (struct plan){ 0 };
	if (json_unpack_ex((json_t *)j, &je, 0, "{s:i, s:s, s:s, s:s, s:I, s:i, s:o, s:o, s:o}",
		    "version", &version, "lab", &lab, "file", &file, "dir", &dir, "up_since_s",
		    &up_since, "numa_node", &p->place.home, "cpus", &cpus, "warnings", &warnings,
		    "steps", &steps))
		return err_set(e, -EINVAL, "%s", je.text);
	if (version != RECORD_VERSION)
		return err_set(e, -EINVAL, "version %d, but this lanyard knows version %d", version,
			RECORD_VERSION);
	if (strlen(lab) >= sizeof p->lab || strlen(file) >= sizeof p->file ||
		strlen(dir) >= sizeof p->dir)
		return err_set(e, -EINVAL, "a name is too long");
	strcpy(p->lab, lab);
	strcpy(p->file, file);
	strcpy(p->dir, dir);
	p->up_since_s = (uint64_t)up_since;
	r = cpus_from_json(cpus, &p->place, e);
	if (r)
		return r;
	if (strs_from_json(warnings, &p->warnings) || !json_is_array(steps))
		return err_set(e, -EINVAL, "warnings or steps is not a list");
	json_array_foreach (steps, i, v) {
		r = step_from_json(v, p, e);
		if (r)
			return r;
	}
	return 0;
}

int record_write(int dirfd, const struct plan *p, struct err *e)
{
	json_t *j = record_to_json(p);
	char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	int fd = -1, r = -ENOMEM;

	if (!text)
		goto out;
	fd = openat(dirfd, "record.json.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		goto out;
	}
	r = fd_write_full(fd, text, strlen(text));
	if (!r && renameat(dirfd, "record.json.new", dirfd, "record.json") < 0)
		r = -errno;
out:
	if (r)
		err_set(e, r, "the record %s/record.json can't be written: %s", p->dir, err_str(r));
	fd_close(&fd);
	free(text);
	json_decref(j);
	return r;
}

int record_read(int dirfd, struct plan *p, struct err *e)
{
	char path[64], *text = NULL;
	json_error_t je;
	json_t *j;
	size_t len;
	int r;

	*p = (struct plan){ 0 };
	snprintf(path, sizeof path, "/proc/self/fd/%d/record.json", dirfd);
	r = fd_read_file(path, RECORD_MAX, &text, &len, NULL);
	if (r == -ENOENT)
		return err_set(e, r, "there is no record");
	if (r)
		return err_set(e, r, "the record can't be read: %s", err_str(r));
	j = json_loadb(text, len, 0, &je);
	free(text);
	if (!j)
		return err_set(e, -EINVAL, "the record is damaged: line %d: %s", je.line, je.text);
	r = record_from_json(j, p, e);
	if (r)
		err_prefix(e, "the record is damaged");
	json_decref(j);
	return r;
}
