/* SPDX-License-Identifier: Apache-2.0 */
/* A console's pseudo-terminal: see pty.h. */
#include "vmm/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"

#define SLAVES "/dev/pts/"

static const char *link_name(const struct pty *p)
{
	const char *slash = strrchr(p->link, '/');

	return slash ? slash + 1 : p->link;
}

/* The folder is kept open: by the time of the end paths may lead elsewhere. */
static int folder_open(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	free(copy);
	return fd;
}

static int make_link(struct pty *p, const char *path, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n;

	p->folder = folder_open(path);
	if (p->folder < 0)
		return err_request(e, -errno, "console: %s: its folder: %s", path, err_str(errno));
	p->link = strdup(path);
	if (!p->link)
		return err_set(e, -ENOMEM, "out of memory");
	n = readlinkat(p->folder, link_name(p), target, sizeof(target));
	if (n > (ssize_t)strlen(SLAVES) && !strncmp(target, SLAVES, strlen(SLAVES)))
		unlinkat(p->folder, link_name(p), 0); /* of one that was killed */
	if (symlinkat(p->slave, p->folder, link_name(p)) == 0)
		return 0;
	free(p->link);
	p->link = NULL;
	if (errno == EEXIST)
		return err_request(e, -EEXIST,
			"console: %s is there already and is no link to a terminal: name another "
			"path for --console-pty, or remove it",
			path);
	return err_request(e, -errno, "console: link %s: %s", path, err_str(errno));
}

int pty_open(struct pty *p, const char *link, struct err *e)
{
	struct termios t;
	int slave, err = 0;

	*p = (struct pty){ .watch = -1, .folder = -1 };
	p->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (p->master < 0 || unlockpt(p->master) ||
		(err = ptsname_r(p->master, p->slave, sizeof(p->slave))))
		return err_host(e, err ? -err : -errno,
			"console: no pseudo-terminal could be made: %s (is devpts mounted at "
			"/dev/pts?)",
			err_str(err ? err : errno));
	slave = open(p->slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &t)) {
		err = -errno;
		fd_close(&slave);
		return err_host(e, err, "console: %s: %s", p->slave, err_str(err));
	}
	cfmakeraw(&t);
	tcsetattr(slave, TCSANOW, &t);
	fd_close(&slave);
	p->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p->watch < 0 || inotify_add_watch(p->watch, p->slave, IN_OPEN | IN_CLOSE) < 0)
		return err_host(e, -errno, "console: inotify on %s: %s", p->slave, err_str(errno));
	return make_link(p, link, e);
}

/* Whether nobody has the slave. */
static bool hung_up(const struct pty *p)
{
	struct pollfd at = { .fd = p->master };

	return poll(&at, 1, 0) == 1 && (at.revents & POLLHUP);
}

bool pty_opened(struct pty *p, bool *anew)
{
	struct inotify_event ev; /* a file's, not a folder's: without a name */
	bool opened = false, closed = p->closed;

	*anew = false;
	while (read(p->watch, &ev, sizeof(ev)) == sizeof(ev)) {
		if (ev.mask & IN_OPEN) {
			opened = true;
			*anew |= closed;
		}
		closed = ev.mask & IN_CLOSE;
	}
	/* Somebody may open it before the hang-up is seen, which ends then. */
	p->closed = closed && hung_up(p);
	return opened;
}

void pty_close(struct pty *p)
{
	char target[PATH_MAX];
	ssize_t n = -1;

	if (p->link)
		n = readlinkat(p->folder, link_name(p), target, sizeof(target));
	if (n == (ssize_t)strlen(p->slave) && !memcmp(target, p->slave, (size_t)n))
		unlinkat(p->folder, link_name(p), 0);
	free(p->link);
	p->link = NULL;
	fd_close(&p->folder);
	fd_close(&p->watch);
	fd_close(&p->master);
}
