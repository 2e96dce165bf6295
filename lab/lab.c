/* SPDX-License-Identifier: Apache-2.0 */
/* Opening of a lab from its record, and small things that all commands share. */
#include "lab/lab.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "lab/folder.h"
#include "lab/paths.h"
#include "lab/plan.h"
#include "lab/record.h"

int lab_open(const char *name, struct lab **out, struct err *e)
{
	struct lab *l = lab_calloc(1, sizeof *l);
	struct folder f = FOLDER_CLOSED;
	char path[LAB_PATH_MAX], *text = NULL;
	struct paths paths;
	size_t len;
	int r;

	*out = NULL;
	l->plan = lab_calloc(1, sizeof *l->plan);
	snprintf(l->name, sizeof l->name, "%s", name);
	paths_read(&paths);
	r = strlen(name) > TOPO_NAME_MAX || strchr(name, '/') ? -ENOENT
							      : folder_open(&f, paths.run, name, e);
	if (!r)
		r = record_read(f.fd, l->plan, e);
	if (r == -ENOENT)
		err_request(e, r,
			"lab %s is not up (there is no %s/%s); lanyard up TOPOLOGY brings "
			"one up, lanyard status lists those that are",
			name, paths.run, name);
	else if (r == -EINVAL)
		err_prefix(e, "lab %s (lanyard down %s cleans it up)", name, name);
	if (r)
		goto out;
	snprintf(l->dir, sizeof l->dir, "%s", f.dir);
	r = fd_read_file(lab_file(l, path, "topology.json"), TOPO_FILE_MAX, &text, &len, e);
	if (!r)
		r = topology_parse(l->plan->file, text, len, &l->topology, e);
	if (r)
		goto out;
	l->n_cpus = l->plan->place.n;
	l->cpus = l->plan->place.cpus;
	l->n_warnings = l->plan->warnings.n;
	l->warnings = l->plan->warnings.v;
	*out = l;
	l = NULL;
out:
	folder_close(&f);
	free(text);
	lab_free(l);
	return r;
}

void lab_free(struct lab *l)
{
	if (!l)
		return;
	topology_free(l->topology);
	plan_clear(l->plan);
	free(l->plan);
	free(l);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void lab_list(struct strs *names)
{
	struct paths paths;
	struct dirent *de;
	DIR *d;

	paths_read(&paths);
	d = opendir(paths.run);
	while (d && (de = readdir(d))) {
		char path[2 * LAB_PATH_MAX];
		struct stat st;

		snprintf(path, sizeof path, "%s/%s/lock", paths.run, de->d_name);
		if (de->d_name[0] != '.' && (lstat(path, &st) == 0 || errno == EACCES))
			strs_add(names, "%s", de->d_name);
	}
	if (d)
		closedir(d);
	if (names->n)
		qsort(names->v, names->n, sizeof *names->v, by_name);
}

static void mark_plan(struct host *h, const struct plan *p)
{
	for (size_t i = 0; i < p->place.n; i++) {
		for (size_t j = 0; j < h->n_cpus; j++)
			h->cpus[j].taken += h->cpus[j].cpu == p->place.cpus[i].cpu;
	}
}

void lab_mark_taken(struct host *h, const char *except)
{
	struct strs names = { 0 };
	struct paths paths;

	paths_read(&paths);
	lab_list(&names);
	for (size_t i = 0; i < names.n; i++) {
		struct folder f = FOLDER_CLOSED;
		struct plan p = { 0 };

		if (strcmp(names.v[i], except) != 0 &&
			folder_open(&f, paths.run, names.v[i], NULL) == 0 &&
			record_read(f.fd, &p, NULL) == 0)
			mark_plan(h, &p);
		plan_clear(&p);
		folder_close(&f);
	}
	strs_free(&names);
}

char *lab_file(const struct lab *l, char *out, const char *fmt, ...)
{
	va_list ap;
	size_t n = (size_t)snprintf(out, LAB_PATH_MAX, "%s/", l->dir);

	va_start(ap, fmt);
	if (n < LAB_PATH_MAX)
		vsnprintf(out + n, LAB_PATH_MAX - n, fmt, ap);
	va_end(ap);
	return out;
}

bool lab_arg_is_file(const char *arg)
{
	size_t n = strlen(arg);
	struct stat st;

	return strchr(arg, '/') || (n > 5 && strcmp(arg + n - 5, ".json") == 0) ||
		(stat(arg, &st) == 0 && S_ISREG(st.st_mode));
}

int lab_fail(const struct err *e)
{
	fprintf(stderr, "lanyard: %s\n", e->text);
	return e->class ? (int)e->class : 1;
}
