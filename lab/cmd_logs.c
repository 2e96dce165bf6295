/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs: the logs of a lab's daemons, one after the other in time: every line that our programs
 * write begins with its time, and a line without one belongs to the line before it. With several
 * parts each line is led by its part's name.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "lab/cmd.h"
#include "lab/lab.h"
#include "lab/plan.h"

#define FOLLOW_MS 100
#define STAMP_LEN 24 /* "2026-11-22T17:47:10.123Z" */

struct part {
	char name[TOPO_NAME_MAX + 16];
	int fd;
	char *line; /* what was read of a line that has no end yet */
	size_t len;
	char stamp[STAMP_LEN + 1]; /* of the last line that had one */
};

struct entry {
	char stamp[STAMP_LEN + 1];
	size_t part, seq;
	char *text;
};

struct logs {
	size_t n_parts, n_entries;
	struct part *parts;
	struct entry *entries;
	int name_width;
};

static void add_part(struct logs *l, const struct lab *lab, const char *name)
{
	char path[LAB_PATH_MAX];
	struct part *p;

	l->parts = lab_realloc(l->parts, l->n_parts + 1, sizeof *l->parts);
	p = &l->parts[l->n_parts++];
	*p = (struct part){ .fd = open(lab_file(lab, path, "%s.log", name), O_RDONLY | O_CLOEXEC) };
	snprintf(p->name, sizeof p->name, "%s", name);
	if ((int)strlen(name) > l->name_width)
		l->name_width = (int)strlen(name);
}

static bool has_stamp(const char *line, size_t len)
{
	return len > STAMP_LEN && isdigit((unsigned char)line[0]) && line[4] == '-' &&
		line[10] == 'T' && line[STAMP_LEN - 1] == 'Z';
}

static void add_line(struct logs *l, size_t i, const char *line, size_t len)
{
	struct part *p = &l->parts[i];
	struct entry *e;

	l->entries = lab_realloc(l->entries, l->n_entries + 1, sizeof *l->entries);
	e = &l->entries[l->n_entries];
	*e = (struct entry){ .part = i, .seq = l->n_entries++ };
	if (has_stamp(line, len))
		snprintf(p->stamp, sizeof p->stamp, "%.*s", STAMP_LEN, line);
	memcpy(e->stamp, p->stamp, sizeof e->stamp);
	e->text = lab_asprintf("%.*s", (int)len, line);
}

/* Takes in what has been written since; whole lines become entries. */
static void read_part(struct logs *l, size_t i)
{
	struct part *p = &l->parts[i];
	char buf[16384];
	ssize_t n;

	while (p->fd >= 0 && (n = read(p->fd, buf, sizeof buf)) > 0) {
		char *end, *at;

		p->line = lab_realloc(p->line, p->len + (size_t)n, 1);
		memcpy(p->line + p->len, buf, (size_t)n);
		p->len += (size_t)n;
		at = p->line;
		while ((end = memchr(at, '\n', p->len - (size_t)(at - p->line)))) {
			add_line(l, i, at, (size_t)(end - at));
			at = end + 1;
		}
		p->len -= (size_t)(at - p->line);
		memmove(p->line, at, p->len);
	}
}

static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->stamp, y->stamp);

	return r ? r : (x->seq > y->seq) - (x->seq < y->seq);
}

static void print_entries(struct logs *l)
{
	if (l->n_entries)
		qsort(l->entries, l->n_entries, sizeof *l->entries, by_time);
	for (size_t i = 0; i < l->n_entries; i++) {
		if (l->n_parts > 1)
			printf("%-*s | ", l->name_width, l->parts[l->entries[i].part].name);
		puts(l->entries[i].text);
		free(l->entries[i].text);
	}
	l->n_entries = 0;
	fflush(stdout);
}

static void print_rest(struct logs *l)
{
	for (size_t i = 0; i < l->n_parts; i++) {
		if (l->parts[i].len)
			add_line(l, i, l->parts[i].line, l->parts[i].len);
	}
	print_entries(l);
}

/* Until Ctrl-C, or until `down` has removed the run folder. */
static void follow(struct logs *l, const struct lab *lab)
{
	while (access(lab->dir, F_OK) == 0 && !ferror(stdout)) {
		clock_sleep_ns(FOLLOW_MS * NS_PER_MS);
		for (size_t i = 0; i < l->n_parts; i++)
			read_part(l, i);
		print_entries(l);
	}
}

/* Who serves a VM disks or folders: a.disks, a.fs0. What it says has no times. */
static void choose_server(
	struct logs *l, const struct lab *lab, const struct step *s, const char *part)
{
	char name[TOPO_NAME_MAX + 16];

	snprintf(name, sizeof name, "%s%s", s->name, s->kind == STEP_DISKS ? ".disks" : "");
	if (!part || strcmp(part, name) == 0)
		add_part(l, lab, name);
}

/* The parts that LAB[/PART] means; without PART: the switch and every VM with its servers. */
static int choose(struct logs *l, const struct lab *lab, const char *part, struct err *e)
{
	size_t n = part ? strlen(part) : 0;

	if (!part || strcmp(part, "switch") == 0)
		add_part(l, lab, "switch");
	for (size_t i = 0; i < lab->plan->n_steps; i++) {
		const struct step *s = &lab->plan->steps[i];

		if (step_is_server(s))
			choose_server(l, lab, s, part);
		if (!step_is_node(s))
			continue;
		if (!part || strcmp(part, s->name) == 0)
			add_part(l, lab, s->name);
		else if (n > 8 && strncmp(part, s->name, n - 8) == 0 && !s->name[n - 8] &&
			strcmp(part + n - 8, ".console") == 0)
			add_part(l, lab, part);
	}
	if (!l->n_parts)
		return err_request(e, -ENOENT,
			"lab %s has no part \"%s\": it is \"switch\", a VM's name, or that and "
			"\".console\", \".disks\" or \".fs0\"",
			lab->name, part);
	if (l->n_parts == 1 && l->parts[0].fd < 0)
		return err_set(e, -ENOENT, "%s/%s.log is not there", lab->dir, l->parts[0].name);
	return 0;
}

int cmd_logs(const struct cmd_args *a)
{
	const char *slash = strchr(a->arg[0], '/');
	char *name = lab_asprintf("%.*s", (int)strcspn(a->arg[0], "/"), a->arg[0]);
	struct lab *lab = NULL;
	struct logs l = { 0 };
	struct err e = { 0 };
	int r = lab_open(name, &lab, &e);

	if (!r)
		r = choose(&l, lab, slash ? slash + 1 : NULL, &e);
	for (size_t i = 0; !r && i < l.n_parts; i++)
		read_part(&l, i);
	if (!r) {
		print_entries(&l);
		if (a->given & CMD_FOLLOW)
			follow(&l, lab);
		print_rest(&l);
	}
	for (size_t i = 0; i < l.n_parts; i++) {
		fd_close(&l.parts[i].fd);
		free(l.parts[i].line);
	}
	free(l.parts);
	free(l.entries);
	lab_free(lab);
	free(name);
	return r ? lab_fail(&e) : 0;
}
