/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "image/unpack.h"

#define CHUNK (64u << 10)

struct item {
	char *path; /* without leading slash */
	mode_t mode;
	dev_t dev;
	char *source; /* a file of the host, or NULL */
	bool unpack;
	void *bytes; /* a link's target, or a file's content; or NULL */
	size_t len;
};

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

static void item_free(void *p)
{
	struct item *x = p;

	if (!x)
		return;
	free(x->path);
	free(x->source);
	free(x->bytes);
	free(x);
}

/* path as the archive has it: no slash in front or at the end, no empty, "." or ".." part, below
 * usr/ what Debian has there. */
static int clean(const char *path, char out[IMAGE_PATH_MAX], struct err *e)
{
	static const char *const merged[] = { "bin", "sbin", "lib", "lib64" };
	size_t n = 0;

	if (path[0] != '/' || strlen(path) + 8 >= IMAGE_PATH_MAX)
		return err_request(e, -EINVAL,
			"\"%.200s\" is no path of a guest: it must begin with / and have less than "
			"%d bytes",
			path, IMAGE_PATH_MAX - 8);
	for (const char *p = path; *p;) {
		p += strspn(p, "/");
		size_t len = strcspn(p, "/");
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return err_request(e, -EINVAL,
				"\"%.200s\": a path of a guest must not have \"..\" in it", path);
		if (len && !(len == 1 && p[0] == '.')) {
			for (size_t i = 0; !n && p[len] && i < 4; i++)
				if (strlen(merged[i]) == len && !strncmp(p, merged[i], len))
					n = (size_t)(stpcpy(out, "usr") - out);
			if (n)
				out[n++] = '/';
			memcpy(out + n, p, len);
			n += len;
		}
		p += len;
	}
	out[n] = '\0';
	return 0;
}

/* Whether two entries of one path are one thing; a folder may be named again with another mode. */
static bool alike(const struct item *a, const struct item *b)
{
	struct stat sa, sb;

	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		return false;
	if (S_ISDIR(a->mode))
		return true;
	if (a->source && b->source)
		return !strcmp(a->source, b->source) ||
			(stat(a->source, &sa) == 0 && stat(b->source, &sb) == 0 &&
				sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
	return !a->source && !b->source && a->dev == b->dev && a->len == b->len &&
		(!a->len || !memcmp(a->bytes, b->bytes, a->len));
}

/* Takes x. 0; 1: it is there already. */
static int insert(struct tree *t, struct item *x, struct err *e)
{
	if (!x->path[0]) { /* the root itself: the kernel has it */
		bool folder = S_ISDIR(x->mode);

		item_free(x);
		return folder ? 1 : err_request(e, -EEXIST, "\"/\" is a folder of a guest's");
	}
	if (t->n >= IMAGE_ENTRIES_MAX) {
		item_free(x);
		return err_request(e, -EFBIG,
			"an initramfs has at most %d files and folders: name fewer, or use a share, "
			"a disk or the host's root",
			IMAGE_ENTRIES_MAX);
	}
	struct item **at = tsearch(x, &t->entries, by_path);
	if (!at) {
		item_free(x);
		return err_set(e, -ENOMEM, "out of memory");
	}
	if (*at == x) {
		t->n++;
		return 0;
	}
	int rc = 1;
	if (!alike(*at, x))
		rc = err_request(e, -EEXIST,
			"/%s is to be two things in the guest: %s and %s; put one of them "
			"elsewhere",
			x->path, (*at)->source ? (*at)->source : "one of Lanyard's own",
			x->source ? x->source : "one of Lanyard's own");
	item_free(x);
	return rc;
}

static struct item *item_new(const char *clean_path, mode_t mode)
{
	struct item *x = calloc(1, sizeof(*x));

	if (x && !(x->path = strdup(clean_path))) {
		free(x);
		return NULL;
	}
	if (x)
		x->mode = mode;
	return x;
}

/* The folders above path (which is clean). */
static int add_parents(struct tree *t, const char *path, struct err *e)
{
	char up[IMAGE_PATH_MAX];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(up, path, (size_t)(slash - path));
		up[slash - path] = '\0';
		struct item *x = item_new(up, S_IFDIR | 0755);
		int rc = x ? insert(t, x, e) : err_set(e, -ENOMEM, "out of memory");
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add(struct tree *t, const char *path, mode_t mode, dev_t dev, const char *source,
	bool unpack, const void *bytes, size_t len, struct err *e)
{
	char at[IMAGE_PATH_MAX];
	int rc = clean(path, at, e);

	if (!rc)
		rc = add_parents(t, at, e);
	if (rc)
		return rc;
	struct item *x = item_new(at, mode);
	if (!x)
		return err_set(e, -ENOMEM, "out of memory");
	x->dev = dev;
	x->unpack = unpack;
	x->len = len;
	if ((source && !(x->source = strdup(source))) || (bytes && !(x->bytes = malloc(len + 1)))) {
		item_free(x);
		return err_set(e, -ENOMEM, "out of memory");
	}
	if (bytes)
		memcpy(x->bytes, bytes, len);
	return insert(t, x, e);
}

int tree_add_folder(struct tree *t, const char *path, mode_t mode, struct err *e)
{
	int rc = add(t, path, S_IFDIR | (mode & 07777), 0, NULL, false, NULL, 0, e);

	return rc < 0 ? rc : 0;
}

int tree_add_file(struct tree *t, const char *path, const char *source, mode_t mode, bool unpack,
	struct err *e)
{
	return add(t, path, S_IFREG | (mode & 07777), 0, source, unpack, NULL, 0, e);
}

int tree_add_bytes(
	struct tree *t, const char *path, const void *bytes, size_t len, mode_t mode, struct err *e)
{
	int rc = add(t, path, S_IFREG | (mode & 07777), 0, NULL, false, bytes, len, e);

	return rc < 0 ? rc : 0;
}

int tree_add_link(struct tree *t, const char *path, const char *target, struct err *e)
{
	int rc = add(t, path, S_IFLNK | 0777, 0, NULL, false, target, strlen(target), e);

	return rc < 0 ? rc : 0;
}

int tree_add_merged(struct tree *t, const char *name, struct err *e)
{
	struct item *x = item_new(name, S_IFLNK | 0777);
	char target[64];

	snprintf(target, sizeof(target), "usr/%s", name);
	if (!x || !(x->bytes = strdup(target))) {
		item_free(x);
		return err_set(e, -ENOMEM, "out of memory");
	}
	x->len = strlen(target);
	int rc = insert(t, x, e);
	return rc < 0 ? rc : 0;
}

int tree_add_device(struct tree *t, const char *path, mode_t mode, dev_t dev, struct err *e)
{
	int rc = add(t, path, mode, dev, NULL, false, NULL, 0, e);

	return rc < 0 ? rc : 0;
}

bool tree_has(const struct tree *t, const char *path)
{
	char at[IMAGE_PATH_MAX];
	struct item key = { .path = at };

	return clean(path, at, NULL) == 0 && tfind(&key, &t->entries, by_path);
}

/* Exactly as many bytes as it had when it was opened. */
static int write_source(const struct item *x, struct cpio *c, struct err *e)
{
	char buf[CHUNK];
	struct stat st;
	int rc;

	int fd = open(x->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = err_request(e, -errno, "cannot read %s: %s", x->source, err_str(errno));
		fd_close(&fd);
		return rc;
	}
	uint64_t left = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	rc = cpio_entry(c, x->path, x->mode, left, 0, e);
	while (!rc && left) {
		ssize_t n = read(fd, buf, left < sizeof(buf) ? left : sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_set(e, -errno, "cannot read %s: %s", x->source, err_str(errno));
		else if (n == 0)
			rc = err_set(e, -EIO, "%s became shorter while it was read", x->source);
		else
			rc = cpio_data(c, buf, (size_t)n, e);
		left -= n > 0 ? (uint64_t)n : 0;
	}
	close(fd);
	return rc;
}

static int write_unpacked(const struct item *x, struct cpio *c, struct err *e)
{
	uint8_t *bytes;
	size_t len;
	int rc = unpack_file(x->source, &bytes, &len, e);

	if (rc)
		return rc;
	rc = cpio_entry(c, x->path, x->mode, len, 0, e);
	if (!rc)
		rc = cpio_data(c, bytes, len, e);
	free(bytes);
	return rc;
}

static int write_entry(const struct item *x, struct cpio *c, struct err *e)
{
	int rc;

	if (x->source)
		return x->unpack ? write_unpacked(x, c, e) : write_source(x, c, e);
	rc = cpio_entry(c, x->path, x->mode, x->len, x->dev, e);
	return rc || !x->len ? rc : cpio_data(c, x->bytes, x->len, e);
}

struct walk {
	struct cpio *c;
	struct err *e;
	int rc;
};

static void walk_write(const void *node, VISIT when, void *arg)
{
	const struct item *x = *(struct item *const *)node;
	struct walk *w = arg;

	if ((when == postorder || when == leaf) && !w->rc)
		w->rc = write_entry(x, w->c, w->e);
}

int tree_write(const struct tree *t, struct cpio *c, struct err *e)
{
	struct walk w = { c, e, 0 };

	twalk_r(t->entries, walk_write, &w);
	return w.rc;
}

void tree_free(struct tree *t)
{
	tdestroy(t->entries, item_free);
	*t = (struct tree){ 0 };
}
