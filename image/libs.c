/* SPDX-License-Identifier: Apache-2.0 */
#include "image/libs.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define CACHE_BYTES_MAX (16u << 20)
#define CACHE_MAGIC     "glibc-ld.so.cache1.1"
#define FLAGS_X86_64    0x0303 /* glibc: sysdeps/generic/ldconfig.h, libc6 and x86-64 */

/* glibc: sysdeps/generic/dl-cache.h, struct cache_file_new */
struct cache_head {
	char magic[20];
	uint32_t n, strings_len;
	uint8_t flags, padding[3];
	uint32_t extension, unused[3];
};
static_assert(sizeof(struct cache_head) == 48, "as ldconfig writes it");

struct cache_entry {
	int32_t flags;
	uint32_t name, path, os; /* name, path: from the start of the file */
	uint64_t hwcap;
};
static_assert(sizeof(struct cache_entry) == 24, "as ldconfig writes it");

/* What Debian's and Fedora's loaders look into at last. */
static const char *const own_folders[] = {
	"/lib/x86_64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu",
	"/lib64",
	"/usr/lib64",
	"/lib",
	"/usr/lib",
};

void libs_open(struct libs *l, const char *path)
{
	if (fd_read_file(path, CACHE_BYTES_MAX, &l->cache, &l->len, NULL))
		*l = (struct libs){ 0 };
}

void libs_close(struct libs *l)
{
	free(l->cache);
	*l = (struct libs){ 0 };
}

static const char *cache_string(const char *cache, size_t len, uint32_t at)
{
	return at < len && memchr(cache + at, '\0', len - at) ? cache + at : NULL;
}

const char *libs_cached(const char *cache, size_t len, const char *name)
{
	struct cache_head h;
	struct cache_entry x;

	if (len < sizeof(h))
		return NULL;
	memcpy(&h, cache, sizeof(h));
	if (memcmp(h.magic, CACHE_MAGIC, sizeof(h.magic)))
		return NULL;
	for (uint64_t i = 0; i < h.n && sizeof(h) + (i + 1) * sizeof(x) <= len; i++) {
		memcpy(&x, cache + sizeof(h) + i * sizeof(x), sizeof(x));
		/* Variants for one kind of CPU are not for a guest, whose CPU may be masked. */
		if (x.flags != FLAGS_X86_64 || x.hwcap)
			continue;
		const char *s = cache_string(cache, len, x.name);
		if (!s || strcmp(s, name))
			continue;
		s = cache_string(cache, len, x.path);
		if (s && s[0] == '/')
			return s;
	}
	return NULL;
}

static bool try_folder(const char *folder, size_t len, const char *name, char out[IMAGE_PATH_MAX])
{
	int n = snprintf(out, IMAGE_PATH_MAX, "%.*s/%s", (int)len, folder, name);

	return n > 0 && n < IMAGE_PATH_MAX && out[0] == '/' && access(out, R_OK) == 0;
}

/* A list of folders with colons between; $ORIGIN is the folder of user. */
static bool try_list(const char *list, const char *user, const char *name, char out[IMAGE_PATH_MAX])
{
	static const char *const origins[] = { "$ORIGIN", "${ORIGIN}" };
	const char *slash = strrchr(user, '/');

	for (const char *p = list; p && *p; p += *p == ':') {
		size_t len = strcspn(p, ":"), used = 0;
		char folder[IMAGE_PATH_MAX];
		int n = 0;

		if (len >= IMAGE_PATH_MAX)
			return false;
		for (size_t i = 0; slash && i < 2 && !used; i++)
			if (!strncmp(p, origins[i], strlen(origins[i])))
				used = strlen(origins[i]);
		if (used && used <= len)
			n = snprintf(folder, sizeof(folder), "%.*s%.*s", (int)(slash - user), user,
				(int)(len - used), p + used);
		else
			n = snprintf(folder, sizeof(folder), "%.*s", (int)len, p);
		p += len;
		if (n > 0 && n < IMAGE_PATH_MAX && !strchr(folder, '$') &&
			try_folder(folder, (size_t)n, name, out))
			return true;
	}
	return false;
}

int libs_find(const struct libs *l, const char *name, const char *user, const struct elf_needs *n,
	const char *program_rpath, char out[IMAGE_PATH_MAX])
{
	const char *cached;

	if (strchr(name, '/')) {
		snprintf(out, IMAGE_PATH_MAX, "%s", name);
		return name[0] == '/' && access(name, R_OK) == 0 ? 0 : -ENOENT;
	}
	if (!n->runpath &&
		(try_list(n->rpath, user, name, out) || try_list(program_rpath, user, name, out)))
		return 0;
	if (try_list(n->runpath, user, name, out))
		return 0;
	/* The loader's own folders first, though it asks the cache first: in a guest the cache may
	 * be absent, and what is in both is the same. */
	for (size_t i = 0; i < sizeof(own_folders) / sizeof(own_folders[0]); i++)
		if (try_folder(own_folders[i], strlen(own_folders[i]), name, out))
			return 0;
	cached = l->cache ? libs_cached(l->cache, l->len, name) : NULL;
	if (!cached || access(cached, R_OK) < 0)
		return -ENOENT;
	snprintf(out, IMAGE_PATH_MAX, "%s", cached);
	return 1;
}
