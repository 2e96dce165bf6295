/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/tree_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "guest/linux/say.h"

#define DEPTH_MAX  64
#define PATH_BYTES 4096

static int copy_file(int dir, const char *name, const char *to, mode_t mode)
{
	int in = openat(dir, name, O_RDONLY | O_CLOEXEC), rc = 0;
	ssize_t n;

	if (in < 0)
		return -errno;
	unlink(to);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 07777);
	if (out < 0)
		rc = -errno;
	while (!rc && (n = sendfile(out, in, NULL, 1 << 20)) != 0)
		if (n < 0 && errno != EINTR)
			rc = -errno;
	if (!rc && fchmod(out, mode & 07777) < 0)
		rc = -errno;
	fd_close(&in);
	fd_close(&out);
	return rc;
}

static int copy_link(int dir, const char *name, const char *to)
{
	char target[PATH_BYTES];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	unlink(to);
	return symlink(target, to) < 0 ? -errno : 0;
}

static void copy_folder(int dir, const char *below, int depth, json_t *problems);

static void copy_one(int dir, const char *name, const char *below, int depth, json_t *problems)
{
	char to[PATH_BYTES];
	struct stat st;
	int rc = 0;

	if (snprintf(to, sizeof(to), "%s/%s", below, name) >= (int)sizeof(to))
		rc = -ENAMETOOLONG;
	else if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	else if (S_ISREG(st.st_mode))
		rc = copy_file(dir, name, to, st.st_mode);
	else if (S_ISLNK(st.st_mode))
		rc = copy_link(dir, name, to);
	else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		if (mkdir(to, st.st_mode & 07777) < 0 && errno != EEXIST)
			rc = -errno;
		int inner = rc ? -1 : openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (inner >= 0)
			copy_folder(inner, to, depth + 1, problems);
		fd_close(&inner);
	}
	if (rc)
		say_problem(problems, "file %s: %s", to, err_str(rc));
}

static void copy_folder(int dir, const char *below, int depth, json_t *problems)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *x;

	if (!d) {
		fd_close(&fd);
		say_problem(problems, "files %s: %s", below, err_str(errno));
		return;
	}
	while ((x = readdir(d)))
		if (strcmp(x->d_name, ".") && strcmp(x->d_name, ".."))
			copy_one(dir, x->d_name, below, depth, problems);
	closedir(d);
}

void tree_copy(int dir, json_t *problems)
{
	copy_folder(dir, "", 0, problems);
}
