/* SPDX-License-Identifier: Apache-2.0 */
/* Small files below a folder, and the world that is made of them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

#include "base/clock.h"
#include "base/fd.h"
#include "sriov/nl.h"
#include "sriov/own.h"

#define FORMAT(path, fmt)                               \
	char path[SRIOV_PATH_MAX];                      \
	do {                                            \
		va_list ap;                             \
		va_start(ap, fmt);                      \
		vsnprintf(path, sizeof(path), fmt, ap); \
		va_end(ap);                             \
	} while (0)

static int read_text(int dir, const char *path, char *out, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	out[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	if (n < 0) {
		n = -errno;
		close(fd);
		return (int)n;
	}
	close(fd);
	while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == ' '))
		n--;
	out[n] = '\0';
	return 0;
}

int sysfs_read(int dir, char *out, size_t size, const char *fmt, ...)
{
	FORMAT(path, fmt);
	return read_text(dir, path, out, size);
}

int sysfs_number(int dir, long long *out, const char *fmt, ...)
{
	char text[64], *end;
	int r;

	FORMAT(path, fmt);
	*out = 0;
	r = read_text(dir, path, text, sizeof(text));
	if (r)
		return r;
	*out = strtoll(text, &end, 0);
	return end == text ? -EINVAL : 0;
}

int sysfs_link(int dir, char *out, size_t size, const char *fmt, ...)
{
	char to[512], *slash;
	ssize_t n;

	FORMAT(path, fmt);
	out[0] = '\0';
	n = readlinkat(dir, path, to, sizeof(to) - 1);
	if (n < 0)
		return -errno;
	to[n] = '\0';
	slash = strrchr(to, '/');
	snprintf(out, size, "%s", slash ? slash + 1 : to);
	return 0;
}

bool sysfs_exists(int dir, const char *fmt, ...)
{
	FORMAT(path, fmt);
	return faccessat(dir, path, F_OK, 0) == 0;
}

DIR *sysfs_dir(int dir, const char *fmt, ...)
{
	DIR *d;
	int fd;

	FORMAT(path, fmt);
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

const char *sysfs_next(DIR *d)
{
	struct dirent *de;

	while ((de = readdir(d)))
		if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
			return de->d_name;
	return NULL;
}

int sysfs_write(const struct sriov_world *w, const char *text, int timeout_ms, struct err *e,
	const char *fmt, ...)
{
	int r;

	FORMAT(path, fmt);
	r = w->write(w, path, text, timeout_ms);
	if (!r)
		return 0;
	if (r == -ETIMEDOUT)
		return err_set(e, r,
			"the kernel did not come back within %d s from writing \"%.*s\" to /sys/%s: "
			"a driver is at work, or hangs (dmesg); `lanyard sriov release` undoes the "
			"rest once it is done",
			timeout_ms / 1000, (int)strcspn(text, "\n"), text, path);
	if (r == -EACCES || r == -EPERM || r == -EROFS)
		return err_host(
			e, r, "/sys/%s can't be written: %s; be root (sudo)", path, err_str(r));
	return err_set(e, r, "writing \"%.*s\" to /sys/%s: %s", (int)strcspn(text, "\n"), text,
		path, err_str(r));
}

static int write_now(int dir, const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, len) != (ssize_t)len)
		r = errno ? errno : EIO;
	close(fd);
	return r;
}

/* The child's exit status is its errno; it can't be reaped while the kernel holds it. */
static int wait_child(pid_t pid, int timeout_ms)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0, r = 0;

	if (pidfd >= 0) {
		r = fd_wait(pidfd, POLLIN, clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS);
		close(pidfd);
	}
	if (r == -ETIMEDOUT) {
		kill(pid, SIGKILL); /* ends it when the kernel comes back */
		waitpid(pid, NULL, WNOHANG);
		return r;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int sysfs_write_host(
	const struct sriov_world *w, const char *path, const char *text, int timeout_ms)
{
	pid_t pid;

	if (!timeout_ms)
		return -write_now(w->sys, path, text);
	/* Not a thread: a process whose thread is stuck in the kernel can't end. */
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(write_now(w->sys, path, text) & 0xff);
	return wait_child(pid, timeout_ms);
}

void *sriov_grow(void *list, size_t *n, size_t size)
{
	void **at = list, *grown;

	/* Doubled at each power of two. */
	if ((*n & (*n - 1)) == 0) {
		grown = realloc(*at, (*n ? 2 * *n : 1) * size);
		if (!grown)
			return NULL;
		*at = grown;
	}
	return memset((char *)*at + (*n)++ * size, 0, size);
}

int sriov_nomem(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- the world ---- */

/* The kernel does not count what a process locks that has CAP_IPC_LOCK. */
static uint64_t memlock_limit(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };
	struct rlimit limit;

	if (syscall(SYS_capget, &head, caps) == 0 && caps[0].effective & 1u << CAP_IPC_LOCK)
		return UINT64_MAX;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

static int open_folder(const char *root, const char *name, struct err *e)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : err_host(e, -errno, "%s: %s", path, err_str(errno));
}

int sriov_world_open(struct sriov_world *w, const char *root, const char *run, struct err *e)
{
	int r = 0;

	*w = (struct sriov_world){ .sys = -1,
		.proc = -1,
		.write = sysfs_write_host,
		.memlock = memlock_limit(),
		.write_ms = SRIOV_WRITE_MS,
		.link_ms = SRIOV_LINK_MS };
	snprintf(w->run, sizeof(w->run), "%s", run && *run ? run : SRIOV_RUN);
	w->sys = open_folder(root ? root : "", "sys", e);
	if (w->sys >= 0)
		w->proc = open_folder(root ? root : "", "proc", e);
	if (w->sys < 0 || w->proc < 0)
		r = w->sys < 0 ? w->sys : w->proc;
	if (!r && !root) {
		w->nl = sriov_nl_open(e);
		r = w->nl ? 0 : -EPROTO;
	}
	if (r)
		sriov_world_close(w);
	return r;
}

void sriov_world_close(struct sriov_world *w)
{
	sriov_nl_free(w->nl);
	w->nl = NULL;
	fd_close(&w->sys);
	fd_close(&w->proc);
}
