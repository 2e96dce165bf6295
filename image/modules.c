/* SPDX-License-Identifier: Apache-2.0 */
#include "image/modules.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "image/image.h"

#define TABLE_BYTES_MAX (64u << 20)
#define DEPTH_MAX       64

struct module {
	char name[MODULE_NAME_MAX];
	const char *path;  /* in the text of modules.dep; NULL: built in */
	const char *needs; /* the rest of its line: paths, what is to be loaded first last */
	bool seen;         /* in the order already, or on its way there */
};

struct modules {
	char *folder;
	char *dep, *builtin, *softdep, *alias;
	char *modinfo;
	size_t modinfo_len;
	struct module *v; /* sorted by name */
	size_t n;
};

/* The name of a module of len bytes of path or alias; false if it is none. */
static bool name_of(const char *path, size_t len, char out[MODULE_NAME_MAX])
{
	size_t from = len, n = 0;

	while (from > 0 && path[from - 1] != '/')
		from--;
	for (size_t i = from; i < len && path[i] != '.'; i++) {
		if (n + 1 >= MODULE_NAME_MAX || !isgraph((unsigned char)path[i]))
			return false;
		out[n++] = path[i] == '-' ? '_' : path[i];
	}
	out[n] = '\0';
	return n > 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct module *)a)->name, ((const struct module *)b)->name);
}

static struct module *find(const struct modules *m, const char *name)
{
	struct module key;

	if (!m->n || !name_of(name, strlen(name), key.name))
		return NULL;
	return bsearch(&key, m->v, m->n, sizeof(key), by_name);
}

/* The next line of *at, NUL-terminated in place; NULL at the end. */
static char *next_line(char **at)
{
	char *line = *at;

	if (!line || !*line)
		return NULL;
	char *end = line + strcspn(line, "\n");
	*at = *end ? end + 1 : end;
	*end = '\0';
	return line;
}

/* The next word of *at, its length in *len; NULL at the end. */
static const char *next_word(const char **at, size_t *len)
{
	const char *word = *at + strspn(*at, " \t\r");

	*len = strcspn(word, " \t\r");
	*at = word + *len;
	return *len ? word : NULL;
}

static bool safe_path(const char *path, size_t len)
{
	if (!len || path[0] == '/' || len >= IMAGE_PATH_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool begins = i == 0 || path[i - 1] == '/';

		if (begins && len - i >= 2 && path[i] == '.' && path[i + 1] == '.' &&
			(len - i == 2 || path[i + 2] == '/'))
			return false;
	}
	return true;
}

static int add_row(struct modules *m, size_t *room, const char *path, size_t len, bool built_in,
	const char *needs, struct err *e)
{
	struct module row = { .path = built_in ? NULL : path, .needs = needs };

	if (!name_of(path, len, row.name))
		return 0;
	if (!built_in && !safe_path(path, len))
		return err_host(e, -EBADMSG,
			"%s/modules.dep names \"%.100s\", which is no path below that folder: make "
			"it anew with depmod",
			m->folder, path);
	if (m->n == *room) {
		size_t more = *room ? *room * 2 : 1024;
		struct module *v = realloc(m->v, more * sizeof(*v));

		if (!v)
			return err_set(e, -ENOMEM, "out of memory");
		m->v = v;
		*room = more;
	}
	m->v[m->n++] = row;
	return 0;
}

static int read_rows(struct modules *m, struct err *e)
{
	char *at = m->dep, *line;
	size_t room = 0;
	int rc = 0;

	while (!rc && (line = next_line(&at))) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		rc = add_row(m, &room, line, strlen(line), false, colon + 1, e);
	}
	at = m->builtin;
	while (!rc && (line = next_line(&at)))
		rc = add_row(m, &room, line, strlen(line), true, "", e);
	if (!rc && m->n)
		qsort(m->v, m->n, sizeof(*m->v), by_name);
	return rc;
}

struct modules *modules_parse(const char *folder, const struct modules_text *t, struct err *e)
{
	struct modules *m = calloc(1, sizeof(*m));

	if (m) {
		m->folder = strdup(folder);
		m->dep = strdup(t->dep);
		m->builtin = strdup(t->builtin ? t->builtin : "");
		m->softdep = strdup(t->softdep ? t->softdep : "");
		m->alias = strdup(t->alias ? t->alias : "");
		m->modinfo_len = t->modinfo ? t->modinfo_len : 0;
		m->modinfo = calloc(m->modinfo_len + 1, 1);
	}
	if (!m || !m->folder || !m->dep || !m->builtin || !m->softdep || !m->alias || !m->modinfo) {
		err_set(e, -ENOMEM, "out of memory");
		modules_free(m);
		return NULL;
	}
	if (m->modinfo_len)
		memcpy(m->modinfo, t->modinfo, m->modinfo_len);
	if (read_rows(m, e)) {
		modules_free(m);
		return NULL;
	}
	return m;
}

static char *read_table(const char *folder, const char *name, size_t *len)
{
	char path[IMAGE_PATH_MAX], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return fd_read_file(path, TABLE_BYTES_MAX, &text, len, NULL) ? NULL : text;
}

static void say_missing(const char *folder, struct err *e)
{
	const char *version = strrchr(folder, '/');
	struct stat st;

	version = version && version[1] ? version + 1 : folder;
	if (stat(folder, &st) == 0)
		err_host(e, -ENOENT,
			"the kernel's modules: %s has no readable modules.dep: run depmod %s, or "
			"install the package linux-image-%s again",
			folder, version, version);
	else
		err_host(e, -ENOENT,
			"no modules for kernel %s: the folder %s is missing: install the package "
			"linux-image-%s (Ubuntu: linux-modules-%s), or name the folder that has "
			"them in \"modules\"",
			version, folder, version, version);
}

struct modules *modules_load(const char *folder, struct err *e)
{
	size_t modinfo_len = 0;
	char *dep = read_table(folder, "modules.dep", NULL);
	char *builtin = read_table(folder, "modules.builtin", NULL);
	char *softdep = read_table(folder, "modules.softdep", NULL);
	char *alias = read_table(folder, "modules.alias", NULL);
	char *modinfo = read_table(folder, "modules.builtin.modinfo", &modinfo_len);
	struct modules *m = NULL;

	if (dep)
		m = modules_parse(folder,
			&(struct modules_text){
				dep, builtin, softdep, alias, modinfo, modinfo_len },
			e);
	else
		say_missing(folder, e);
	free(dep);
	free(builtin);
	free(softdep);
	free(alias);
	free(modinfo);
	return m;
}

void modules_free(struct modules *m)
{
	if (!m)
		return;
	free(m->folder);
	free(m->dep);
	free(m->builtin);
	free(m->softdep);
	free(m->alias);
	free(m->modinfo);
	free(m->v);
	free(m);
}

static int visit(struct modules *m, struct module *mod, struct modules_order *o, int depth);

/* Modules that `name` is another name for ("alias crc32c crc32c_generic"); any of them may do, and
 * those that this machine's CPU lacks refuse to load, which does no harm. */
static int visit_alias(
	struct modules *m, const char *name, size_t len, struct modules_order *o, int depth)
{
	static const char row[] = "alias ";
	int rc = 0;

	for (const char *at = m->alias; !rc && (at = strstr(at, row)); at++) {
		if (at != m->alias && at[-1] != '\n')
			continue;
		const char *word = at + sizeof(row) - 1;

		if (strncmp(word, name, len) || word[len] != ' ')
			continue;
		word += len + 1;
		char target[MODULE_NAME_MAX];
		if (!name_of(word, strcspn(word, " \t\r\n"), target))
			continue;
		struct module *mod = find(m, target);
		if (mod)
			rc = visit(m, mod, o, depth + 1);
	}
	return rc;
}

/* Its soft dependencies: "softdep NAME pre: A B post: C". */
static int visit_soft(
	struct modules *m, const char *name, bool pre, struct modules_order *o, int depth)
{
	int rc = 0;

	for (const char *at = m->softdep; !rc && *at; at += strcspn(at, "\n"), at += *at == '\n') {
		char line[2048], key[MODULE_NAME_MAX];
		size_t len = strcspn(at, "\n");
		const char *p = line, *word;
		bool now = false;

		if (len >= sizeof(line))
			continue;
		memcpy(line, at, len);
		line[len] = '\0';
		word = next_word(&p, &len);
		if (!word || len != 7 || strncmp(word, "softdep", 7))
			continue;
		word = next_word(&p, &len);
		if (!word || !name_of(word, len, key) || strcmp(key, name))
			continue;
		while (!rc && (word = next_word(&p, &len))) {
			if (word[len - 1] == ':') {
				now = !strncmp(word, pre ? "pre:" : "post:", len);
				continue;
			}
			if (!now || !name_of(word, len, key))
				continue;
			struct module *mod = find(m, key);
			rc = mod ? visit(m, mod, o, depth + 1)
				 : visit_alias(m, word, len, o, depth);
		}
	}
	return rc;
}

/* The modules that its line of modules.dep names, last first. */
static int visit_needs(
	struct modules *m, const struct module *mod, struct modules_order *o, int depth)
{
	size_t len = strlen(mod->needs);
	int rc = 0;

	while (!rc && len) {
		while (len && strchr(" \t\r", mod->needs[len - 1]))
			len--;
		size_t end = len;
		while (len && !strchr(" \t\r", mod->needs[len - 1]))
			len--;
		char name[MODULE_NAME_MAX];
		if (end == len || !name_of(mod->needs + len, end - len, name))
			continue;
		struct module *need = find(m, name);
		if (need)
			rc = visit(m, need, o, depth + 1);
	}
	return rc;
}

static int append(struct modules_order *o, const char *path)
{
	if ((o->n & (o->n - 1)) == 0) {
		size_t room = o->n ? o->n * 2 : 1;
		const char **paths = realloc(o->paths, room * sizeof(*paths));

		if (!paths)
			return -ENOMEM;
		o->paths = paths;
	}
	o->paths[o->n++] = path;
	return 0;
}

static int visit(struct modules *m, struct module *mod, struct modules_order *o, int depth)
{
	int rc;

	if (mod->seen)
		return 0;
	if (depth > DEPTH_MAX)
		return -ELOOP;
	mod->seen = true;
	rc = visit_soft(m, mod->name, true, o, depth);
	if (!rc)
		rc = visit_needs(m, mod, o, depth);
	if (!rc && mod->path)
		rc = append(o, mod->path);
	return rc ? rc : visit_soft(m, mod->name, false, o, depth);
}

int modules_add(struct modules *m, const char *name, struct modules_order *o, struct err *e)
{
	struct module *mod = find(m, name);

	if (!mod)
		return err_request(e, -ENOENT,
			"no module \"%s\": it is neither in %s/modules.dep nor built in (modules.builtin "
			"there): check its name, or name a kernel that has it",
			name, m->folder);
	int rc = visit(m, mod, o, 0);
	if (rc == -ELOOP)
		return err_host(e, rc,
			"%s/modules.dep: module \"%s\" needs others more than %d deep: make it anew "
			"with depmod",
			m->folder, name, DEPTH_MAX);
	return rc ? err_set(e, rc, "out of memory") : 0;
}

/* Whether one character is in the class that begins at p ("[0-9a]"); *end: what follows it. */
static bool in_class(const char *p, char c, const char **end)
{
	bool found = false;

	for (p++; *p && *p != ']'; p++) {
		if (p[1] == '-' && p[2] && p[2] != ']') {
			found |= c >= p[0] && c <= p[2];
			p += 2;
		} else {
			found |= *p == c;
		}
	}
	*end = *p ? p + 1 : p;
	return found;
}

/* A shell's pattern up to a blank or the end, against all of text. Not by fnmatch, whose time may
 * grow without bound with what a table says. */
static bool matches(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;

	for (;;) {
		const char *next = pattern + 1;
		bool end = !*pattern || strchr(" \t\r\n", *pattern);

		if (!end && *pattern == '*') {
			star = next;
			from = text;
			pattern = next;
			continue;
		}
		if (end && !*text)
			return true;
		if (!end && *text &&
			(*pattern == '[' ? in_class(pattern, *text, &next)
					 : *pattern == '?' || *pattern == *text)) {
			pattern = next;
			text++;
			continue;
		}
		if (!star || !*from)
			return false;
		pattern = star;
		text = ++from;
	}
}

/* "NAME.alias=PATTERN" of what is built in. */
static bool built_in_matches(const struct modules *m, const char *modalias)
{
	for (size_t at = 0; at < m->modinfo_len; at += strlen(m->modinfo + at) + 1) {
		const char *alias = strstr(m->modinfo + at, ".alias=");

		if (alias && matches(alias + 7, modalias))
			return true;
	}
	return false;
}

int modules_add_device(
	struct modules *m, const char *modalias, struct modules_order *o, struct err *e)
{
	static const char row[] = "alias ";
	bool found = built_in_matches(m, modalias);
	int rc = 0;

	for (const char *at = m->alias; !rc && *at; at += strcspn(at, "\n"), at += *at == '\n') {
		char name[MODULE_NAME_MAX];

		if (strncmp(at, row, sizeof(row) - 1) || !matches(at + sizeof(row) - 1, modalias))
			continue;
		const char *word = at + sizeof(row) - 1;
		word += strcspn(word, " \n");
		word += strspn(word, " ");
		struct module *mod =
			name_of(word, strcspn(word, " \t\r\n"), name) ? find(m, name) : NULL;
		if (mod)
			rc = visit(m, mod, o, 0);
		found |= mod != NULL;
	}
	if (rc)
		return err_set(
			e, rc, "%s: out of memory, or modules that need each other", m->folder);
	if (!found)
		return err_request(e, -ENOENT,
			"the guest's kernel has no driver for its NIC (%s): no alias in "
			"%s/modules.alias matches: install the package that has it, or name "
			"another kernel",
			modalias, m->folder);
	return 0;
}

void modules_order_free(struct modules_order *o)
{
	free(o->paths);
	*o = (struct modules_order){ 0 };
}
