/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/tool.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define OUT_MAX (64u << 20) /* bytes */

extern char **environ;

bool tool_exists(const char *program)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path ? path : "/usr/bin:/bin"), *at = copy, *dir;
	bool found = false;

	while (copy && !found && (dir = strsep(&at, ":"))) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", *dir ? dir : ".", program);
		found = access(file, X_OK) == 0;
	}
	free(copy);
	return found;
}

static int spawn(char *const argv[], const int fd[3], pid_t *pid)
{
	posix_spawn_file_actions_t act;
	int rc = posix_spawn_file_actions_init(&act);

	if (rc)
		return -rc;
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&act, fd[i], i);
	rc = posix_spawnp(pid, argv[0], &act, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&act);
	return -rc;
}

/* All of a file from its beginning, as a string. */
static char *slurp(int fd)
{
	off_t len = lseek(fd, 0, SEEK_END);
	char *text = len >= 0 && len <= OUT_MAX ? malloc((size_t)len + 1) : NULL;

	if (text && pread(fd, text, (size_t)len, 0) == len) {
		text[len] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

/* Its input and outputs are files in memory: nobody waits for anybody, however much it is. */
int tool_run(char *const argv[], const char *input, char **out, struct err *e)
{
	int fd[3] = { -1, -1, -1 }, status = 0, rc = 0;
	char *said = NULL;
	pid_t pid;

	*out = NULL;
	for (int i = 0; i < 3 && !rc; i++)
		if ((fd[i] = memfd_create(argv[0], MFD_CLOEXEC)) < 0)
			rc = -errno;
	if (!rc)
		rc = fd_write_full(fd[0], input, strlen(input));
	if (!rc && lseek(fd[0], 0, SEEK_SET))
		rc = -errno;
	if (!rc)
		rc = spawn(argv, fd, &pid);
	if (rc) {
		err_set(e, rc, "%s does not start: %s", argv[0], err_str(rc));
		goto out;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*out = slurp(fd[1]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && *out)
		goto out;
	said = slurp(fd[2]);
	rc = err_set(e, -EIO, "%s failed: %.300s", argv[0],
		said && *said ? said + strspn(said, " \n") : "it said nothing");
	free(*out);
	*out = NULL;
out:
	free(said);
	for (int i = 0; i < 3; i++)
		fd_close(&fd[i]);
	return rc;
}
