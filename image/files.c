/* SPDX-License-Identifier: Apache-2.0 */
#include "image/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define SCRIPT_LINE_MAX 256

/* A file in the tree whose needs are not there yet. */
struct files_pending {
	struct files_pending *next;
	char *path, *program_rpath;
	bool strict; /* named, or needed by one that is: what it needs must be there */
};

/* Where programs are looked for that a script names to env(1). */
static const char *const path_folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
	"/usr/bin", "/sbin", "/bin" };

void files_init(
	struct files *f, struct tree *t, const char *below, bool alone, const char *libs_cache)
{
	*f = (struct files){ .tree = t, .below = below, .alone = alone };
	if (!alone)
		libs_open(&f->libs, libs_cache);
}

static void pending_free(struct files_pending *p)
{
	free(p->path);
	free(p->program_rpath);
	free(p);
}

void files_free(struct files *f)
{
	while (f->pending) {
		struct files_pending *p = f->pending;

		f->pending = p->next;
		pending_free(p);
	}
	libs_close(&f->libs);
}

static int push(struct files *f, const char *path, const char *program_rpath, bool strict)
{
	struct files_pending *p = f->alone ? NULL : calloc(1, sizeof(*p));

	if (f->alone)
		return 0;
	if (p) {
		p->path = strdup(path);
		p->program_rpath = program_rpath ? strdup(program_rpath) : NULL;
		p->strict = strict;
	}
	if (!p || !p->path || (program_rpath && !p->program_rpath)) {
		if (p)
			pending_free(p);
		return -ENOMEM;
	}
	p->next = f->pending;
	f->pending = p;
	return 0;
}

static int add_regular(struct files *f, const char *from, const char *to, mode_t mode,
	const char *program_rpath, bool strict, struct err *e)
{
	char at[IMAGE_PATH_MAX];

	if (snprintf(at, sizeof(at), "%s%s", f->below, to) >= (int)sizeof(at))
		return err_request(e, -ENAMETOOLONG, "%.200s...: the path is too long", to);
	int rc = tree_add_file(f->tree, at, from, mode & 0777, false, e);
	if (rc)
		return rc < 0 ? rc : 0;
	return push(f, from, program_rpath, strict) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int join(char out[IMAGE_PATH_MAX], const char *folder, const char *name, struct err *e)
{
	if (snprintf(out, IMAGE_PATH_MAX, "%s/%s", strcmp(folder, "/") ? folder : "", name) >=
		IMAGE_PATH_MAX)
		return err_request(
			e, -ENAMETOOLONG, "%.200s.../%s: the path is too long", folder, name);
	return 0;
}

static int add_folder(
	struct files *f, const char *from, const char *to, mode_t mode, int depth, struct err *e);

/* One entry of a folder. Sockets, pipes and devices are left out. */
static int add_inside(struct files *f, const char *from, const char *to, int depth, struct err *e)
{
	char target[IMAGE_PATH_MAX], at[IMAGE_PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(from, &st) < 0)
		return err_request(e, -errno, "cannot read %s: %s", from, err_str(errno));
	if (S_ISDIR(st.st_mode))
		return add_folder(f, from, to, st.st_mode, depth + 1, e);
	if (S_ISREG(st.st_mode))
		return add_regular(f, from, to, st.st_mode, NULL, false, e);
	if (!S_ISLNK(st.st_mode))
		return 0;
	n = readlink(from, target, sizeof(target) - 1);
	if (n < 0)
		return err_request(e, -errno, "cannot read %s: %s", from, err_str(errno));
	target[n] = '\0';
	snprintf(at, sizeof(at), "%s%s", f->below, to);
	return tree_add_link(f->tree, at, target, e);
}

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

static int add_folder(
	struct files *f, const char *from, const char *to, mode_t mode, int depth, struct err *e)
{
	char at[IMAGE_PATH_MAX], inner[IMAGE_PATH_MAX], inner_to[IMAGE_PATH_MAX];
	struct dirent **names = NULL;
	int rc, n;

	if (depth > IMAGE_DEPTH_MAX)
		return err_request(e, -ELOOP, "%s: folders lie more than %d deep: use a share",
			from, IMAGE_DEPTH_MAX);
	if (snprintf(at, sizeof(at), "%s%s", f->below, to) >= (int)sizeof(at))
		return err_request(e, -ENAMETOOLONG, "%.200s...: the path is too long", to);
	rc = tree_add_folder(f->tree, at, mode & 01777, e);
	if (rc)
		return rc;
	/* Sorted: what is found first must not depend on the file system. */
	n = scandir(from, &names, not_dots, alphasort);
	if (n < 0)
		return err_request(
			e, -errno, "cannot read the folder %s: %s", from, err_str(errno));
	for (int i = 0; i < n; i++) {
		if (!rc)
			rc = join(inner, from, names[i]->d_name, e);
		if (!rc)
			rc = join(inner_to, to, names[i]->d_name, e);
		if (!rc)
			rc = add_inside(f, inner, inner_to, depth, e);
		free(names[i]);
	}
	free(names);
	return rc;
}

int files_add(struct files *f, const char *from, const char *to, struct err *e)
{
	struct stat st;

	if (!to)
		to = from;
	if (from[0] != '/' || to[0] != '/')
		return err_request(e, -EINVAL,
			"files: \"%s\" to \"%s\": both must be absolute paths, beginning with /",
			from, to);
	if (stat(from, &st) < 0)
		return err_request(e, -errno,
			"files: %s, to be put into the guest, cannot be read: %s: check the path",
			from, err_str(errno));
	if (S_ISDIR(st.st_mode))
		return add_folder(f, from, to, st.st_mode, 0, e);
	if (S_ISREG(st.st_mode))
		return add_regular(f, from, to, st.st_mode, NULL, true, e);
	return err_request(e, -EINVAL,
		"files: %s is neither a file nor a folder: a guest can't have it", from);
}

/* A file that another needs, at the host's own path. */
static int add_needed(struct files *f, const char *path, const struct files_pending *by,
	const char *rpath, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
		if (!by->strict)
			return 0;
		return err_host(e, -ENOENT, "%s needs %s, which this host lacks: install it",
			by->path, path);
	}
	return add_regular(f, path, path, st.st_mode, rpath, by->strict, e);
}

static int add_libraries(
	struct files *f, const struct files_pending *p, const struct elf_needs *n, struct err *e)
{
	/* A library's own DT_RPATH goes first, then that of the program it was loaded for. */
	const char *rpath = n->interpreter && !n->runpath ? n->rpath : p->program_rpath;
	char path[IMAGE_PATH_MAX];
	int rc = 0;

	if (n->interpreter)
		rc = add_needed(f, n->interpreter, p, NULL, e);
	for (size_t i = 0; !rc && i < n->n_needed; i++) {
		int found = libs_find(&f->libs, n->needed[i], p->path, n, p->program_rpath, path);

		if (found < 0 && !p->strict)
			continue;
		if (found < 0)
			return err_host(e, -ENOENT,
				"library %.200s, which %s needs, is not on this host (looked for in "
				"its DT_RUNPATH, %s and the system's folders): install the package "
				"that has it",
				n->needed[i], p->path, LIBS_CACHE);
		f->want_cache |= found == 1;
		rc = add_needed(f, path, p, rpath, e);
	}
	return rc;
}

/* "#!/usr/bin/env python3": env and python3; "#!/bin/sh -e": sh. line is changed. */
static int add_interpreter(
	struct files *f, const struct files_pending *p, char *line, struct err *e)
{
	char path[IMAGE_PATH_MAX], *save;
	char *program = strtok_r(line, " \t\r\n", &save);
	char *word = strtok_r(NULL, " \t\r\n", &save);

	if (!program || program[0] != '/')
		return 0;
	int rc = add_needed(f, program, p, NULL, e);
	const char *slash = strrchr(program, '/');
	if (rc || strcmp(slash, "/env"))
		return rc;
	while (word && (word[0] == '-' || strchr(word, '=')))
		word = strtok_r(NULL, " \t\r\n", &save);
	if (!word || strchr(word, '/'))
		return 0;
	for (size_t i = 0; i < sizeof(path_folders) / sizeof(path_folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", path_folders[i], word);
		if (access(path, X_OK) == 0)
			return add_needed(f, path, p, NULL, e);
	}
	return p->strict ? err_host(e, -ENOENT,
				   "%s needs the program %s, which is not on this host: "
				   "install it",
				   p->path, word)
			 : 0;
}

/* The bytes of a file, mapped; NULL if it is empty or can't be. */
static void *map_file(const char *path, size_t *len)
{
	void *bytes = MAP_FAILED;
	struct stat st;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		*len = (size_t)st.st_size;
		bytes = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	close(fd);
	return bytes == MAP_FAILED ? NULL : bytes;
}

static int add_needs(struct files *f, const struct files_pending *p, struct err *e)
{
	char line[SCRIPT_LINE_MAX + 1];
	struct elf_needs n;
	size_t len = 0;
	int rc = 0;

	uint8_t *bytes = map_file(p->path, &len);
	if (!bytes)
		return 0;
	if (len > 2 && bytes[0] == '#' && bytes[1] == '!') {
		size_t k = len - 2 < SCRIPT_LINE_MAX ? len - 2 : SCRIPT_LINE_MAX;

		memcpy(line, bytes + 2, k);
		line[k] = '\0';
		line[strcspn(line, "\n")] = '\0';
		rc = add_interpreter(f, p, line, e);
	} else {
		int kind = elf_read(bytes, len, &n);

		if (kind == 1)
			rc = add_libraries(f, p, &n, e);
		else if (kind < 0 && p->strict)
			rc = err_request(e, kind,
				"%s is a damaged ELF file: which libraries it needs cannot be read",
				p->path);
	}
	munmap(bytes, len);
	return rc;
}

int files_finish(struct files *f, struct err *e)
{
	int rc = 0;

	while (!rc && f->pending) {
		struct files_pending *p = f->pending;

		f->pending = p->next;
		rc = add_needs(f, p, e);
		pending_free(p);
	}
	return rc;
}
