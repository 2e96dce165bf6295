/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* proc(5): "pid (comm) state ppid ...": comm may hold anything, so look for its last ')'. */
static int proc_stat(pid_t pid, char *state, uint64_t *start_ticks)
{
	char path[32], buf[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return -ESRCH;
	buf[n] = '\0';
	char *p = strrchr(buf, ')');
	if (!p || p[1] != ' ' || !p[2])
		return -ESRCH;
	p += 2;
	*state = *p;
	/* The state is field 3, the start time field 22. */
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return -ESRCH;
		p++;
	}
	*start_ticks = strtoull(p, NULL, 10);
	return 0;
}

int proc_id_of(pid_t pid, struct proc_id *id)
{
	char state;
	int rc = proc_stat(pid, &state, &id->start_ticks);

	if (rc)
		return rc;
	if (state == 'Z' || state == 'X')
		return -ESRCH;
	id->pid = pid;
	return 0;
}

bool proc_is_alive(struct proc_id id)
{
	struct proc_id now;

	return id.pid > 0 && !proc_id_of(id.pid, &now) && now.start_ticks == id.start_ticks;
}
