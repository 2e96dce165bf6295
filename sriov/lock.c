/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of PFs between processes: RUN/ADDR.lock, held by flock, so that a process's end gives it up
 * however that comes. The file goes with the lock; who waited for one that is gone takes the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "sriov/own.h"

int run_folder(const struct sriov_world *w, struct err *e)
{
	if (mkdir(w->run, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno == EACCES || errno == EPERM || errno == EROFS)
		return err_host(
			e, -errno, "%s can't be made: %s; be root (sudo)", w->run, err_str(errno));
	return err_set(e, -errno, "%s can't be made: %s", w->run, err_str(errno));
}

static int busy(int fd, const char *addr, struct err *e)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
	return err_set(e, -EBUSY,
		"%s is being changed by another process (pid %s): wait for it, then try again",
		addr, text[0] ? text : "unknown");
}

/* The fd; 0: the file was removed by who had it: again. */
static int try_lock(const char *path, const char *addr, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644), r = 0;

	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
		return err_host(e, -errno, "%s: %s; be root (sudo)", path, err_str(errno));
	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, err_str(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? busy(fd, addr, e)
					 : err_set(e, -errno, "%s: %s", path, err_str(errno));
	else if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		r = 1;
	if (r) {
		close(fd);
		return r < 0 ? r : 0;
	}
	if (ftruncate(fd, 0) == 0)
		dprintf(fd, "%d\n", (int)getpid());
	return fd;
}

static int addr_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

int locks_take(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct locks *out, struct err *e)
{
	char path[512];
	int fd = 0, r = run_folder(w, e);

	*out = (struct locks){ .w = w };
	if (r)
		return r;
	out->addrs = calloc(n + 1, sizeof(*out->addrs));
	out->fds = calloc(n + 1, sizeof(*out->fds));
	if (!out->addrs || !out->fds) {
		locks_drop(out);
		return sriov_nomem(e);
	}
	memcpy(out->addrs, addrs, n * sizeof(*addrs));
	qsort(out->addrs, n, sizeof(*out->addrs), addr_order);
	while (out->n < n) {
		snprintf(path, sizeof(path), "%s/%s.lock", w->run, out->addrs[out->n]);
		do
			fd = try_lock(path, out->addrs[out->n], e);
		while (fd == 0);
		if (fd < 0) {
			locks_drop(out);
			return fd;
		}
		out->fds[out->n++] = fd;
	}
	return 0;
}

void locks_drop(struct locks *l)
{
	char path[512];

	for (size_t i = 0; i < l->n; i++) {
		snprintf(path, sizeof(path), "%s/%s.lock", l->w->run, l->addrs[i]);
		unlink(path);
		fd_close(&l->fds[i]);
	}
	if (l->w && strcmp(l->w->run, SRIOV_RUN) == 0)
		rmdir(SRIOV_RUN); /* if that was all in it */
	free(l->addrs);
	free(l->fds);
	*l = (struct locks){ 0 };
}
