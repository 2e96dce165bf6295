/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/modload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "guest/linux/say.h"

#define LIST_BYTES_MAX (1u << 20)

static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int rc = syscall(SYS_finit_module, fd, "", 0) < 0 ? -errno : 0;
	close(fd);
	return rc == -EEXIST || rc == -ENODEV ? 0 : rc;
}

void modload_list(const char *list, json_t *problems)
{
	char *text, *save, *line;

	if (access(list, F_OK) < 0 || fd_read_file(list, LIST_BYTES_MAX, &text, NULL, NULL))
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int rc = load(line);

		if (rc)
			say_problem(problems, "module %s: %s", line, err_str(rc));
	}
	free(text);
}
