/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define DEFAULT_RUN "/run/lanyard"

static int no_folder(const char *dir, int code, struct err *e)
{
	if (code == -EACCES || code == -EPERM || code == -EROFS)
		return err_host(e, code,
			"%s can't be used: %s; be root (sudo), or name a folder of "
			"your own in LANYARD_RUN",
			dir, err_str(code));
	return err_set(e, code, "%s can't be used: %s", dir, err_str(code));
}

static void folder_path(struct folder *f, const char *run, const char *lab)
{
	*f = FOLDER_CLOSED;
	snprintf(f->dir, sizeof f->dir, "%.*s/%s", LAB_PATH_MAX - TOPO_NAME_MAX - 2, run, lab);
}

int folder_open(struct folder *f, const char *run, const char *lab, struct err *e)
{
	folder_path(f, run, lab);
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return f->fd < 0 ? no_folder(f->dir, -errno, e) : 0;
}

static int make_folder(const struct folder *f, const char *run, struct err *e)
{
	if (mkdir(run, 0755) < 0 && errno != EEXIST)
		return no_folder(run, -errno, e);
	if (mkdir(f->dir, 0700) < 0 && errno != EEXIST)
		return no_folder(f->dir, -errno, e);
	return 0;
}

static int lock_busy(const struct folder *f, const char *lab, struct err *e)
{
	char text[32] = "";
	ssize_t n = pread(f->lock_fd, text, sizeof text - 1, 0);

	text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
	return err_set(e, -EBUSY,
		"lab %s is being changed by another lanyard (pid %s): wait for it, then try again",
		lab, text[0] ? text : "unknown");
}

/* 1: the lock file was removed by a `down` before we had it: try again. */
static int take_lock(struct folder *f, const char *lab, bool create, struct err *e)
{
	struct stat st;

	f->lock_fd = openat(f->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->lock_fd < 0)
		return errno == ENOENT ? 1 : no_folder(f->dir, -errno, e);
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return lock_busy(f, lab, e);
	if (fstat(f->lock_fd, &st) < 0 || st.st_nlink == 0)
		return 1;
	if (create && fchmod(f->fd, 0700) < 0)
		return no_folder(f->dir, -errno, e);
	if (ftruncate(f->lock_fd, 0) == 0)
		dprintf(f->lock_fd, "%d\n", (int)getpid());
	return 0;
}

int folder_lock(struct folder *f, const char *run, const char *lab, bool create, struct err *e)
{
	int r;

	do {
		folder_path(f, run, lab);
		r = create ? make_folder(f, run, e) : 0;
		if (r)
			return r;
		f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (f->fd < 0 && errno == ENOENT && create)
			r = 1;
		else if (f->fd < 0)
			r = no_folder(f->dir, -errno, e);
		else
			r = take_lock(f, lab, create, e);
		if (r)
			folder_close(f);
	} while (r > 0);
	return r;
}

void folder_close(struct folder *f)
{
	fd_close(&f->lock_fd);
	fd_close(&f->fd);
}

/* What a node has in its lab's folder, after its name. */
static const char *const of_node[] = { ".sock", ".log", ".agent", ".console", ".console.log",
	".initrd", ".disks.pid", ".disks.log" };

#define N_OF_NODE (sizeof of_node / sizeof of_node[0])

/* ... and of each disk and share of its, by number: ".fs0.vhost". The virtiofsd in Rust writes a
 * ".vhost.pid", and leaves it. */
static const char *const of_part[] = { ".vhost", ".vhost.pid", ".log", ".dir" };

#define N_OF_PART (sizeof of_part / sizeof of_part[0])

static bool is_numbered(const char *end)
{
	static const char *const parts[] = { ".fs", ".disk" };

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(parts[i]), digits = 0;

		if (strncmp(end, parts[i], n) == 0)
			digits = strspn(end + n, "0123456789");
		for (size_t k = 0; digits && k < N_OF_PART; k++)
			if (strcmp(end + n + digits, of_part[k]) == 0)
				return true;
	}
	return false;
}

static bool is_of_node(const char *end)
{
	for (size_t j = 0; j < N_OF_NODE; j++)
		if (strcmp(end, of_node[j]) == 0)
			return true;
	return is_numbered(end);
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

bool folder_is_ours(const struct plan *p, const char *name)
{
	static const char *const fixed[] = { "record.json", "record.json.new", "topology.json",
		"lock", "switch.sock", "switch.log" };

	/* Left by a `lanyard capture` that was killed in its first moment. */
	if (strncmp(name, "capture.", 8) == 0 && ends_in(name, ".sock"))
		return true;
	for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
		if (strcmp(name, fixed[i]) == 0)
			return true;
	}
	for (size_t j = 0; !p && j < N_OF_NODE; j++) {
		if (ends_in(name, of_node[j]))
			return true;
	}
	if (!p)
		return ends_in(name, ".vhost") ||
			(strchr(name, '.') && is_numbered(strchr(name, '.')));
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		const char *slash =
			s->kind == STEP_PORT && s->socket ? strrchr(s->socket, '/') : NULL;
		size_t n = step_is_node(s) ? strlen(s->name) : 0;

		if (slash && strcmp(slash + 1, name) == 0)
			return true;
		if (n && strncmp(name, s->name, n) == 0 && is_of_node(name + n))
			return true;
	}
	return false;
}

/* Of a file of ours, by its name. A socket that somebody listens on isn't, nor another file. */
static int remove_ours(const struct folder *f, const char *name)
{
	static const char *const sockets[] = { ".sock", ".agent", ".console", ".vhost" };

	for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++) {
		char path[LAB_PATH_MAX + 256];

		if (!ends_in(name, sockets[i]))
			continue;
		snprintf(path, sizeof path, "%s/%s", f->dir, name);
		return fd_unix_clear_stale(path, NULL);
	}
	if (ends_in(name, ".dir")) /* where a folder was shown read-only: empty to us */
		return unlinkat(f->fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
	return unlinkat(f->fd, name, 0) < 0 ? -errno : 0;
}

void folder_forget_node(const struct folder *f, const char *node)
{
	DIR *d = f->fd >= 0 ? fdopendir(openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
			    : NULL;
	size_t n = strlen(node);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (strncmp(de->d_name, node, n) == 0 && is_of_node(de->d_name + n))
			remove_ours(f, de->d_name);
	if (d)
		closedir(d);
}

void folder_remove(struct folder *f, const struct plan *p, struct strs *foreign)
{
	DIR *d = f->fd >= 0 ? fdopendir(dup(f->fd)) : NULL;
	struct dirent *de;

	while (d && (de = readdir(d))) {
		const char *name = de->d_name;

		if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "lock"))
			continue;
		if (!folder_is_ours(p, name) || remove_ours(f, name))
			strs_add(foreign, "%s/%s", f->dir, name);
	}
	if (d)
		closedir(d);
	if (f->fd >= 0)
		unlinkat(f->fd, "lock", 0);
	rmdir(f->dir);
	if (strncmp(f->dir, DEFAULT_RUN "/", sizeof DEFAULT_RUN) == 0)
		rmdir(DEFAULT_RUN);
	folder_close(f);
}
