/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int fd_unix_path_check(const char *path, struct err *e)
{
	size_t len = strlen(path);

	if (len == 0)
		return err_request(e, -EINVAL, "a socket's path is empty");
	if (len > FD_UNIX_PATH_MAX)
		return err_request(e, -ENAMETOOLONG,
			"socket path too long: \"%s\" has %zu bytes, a UNIX socket's path at most "
			"%d; choose a shorter folder or name",
			path, len, FD_UNIX_PATH_MAX);
	return 0;
}

/* A non-blocking stream socket, and path (already checked) as an address. */
static int unix_socket(const char *path, struct sockaddr_un *sa, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(e, -errno, "socket: %s", err_str(errno));
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, path, strlen(path) + 1);
	return fd;
}

int fd_unix_clear_stale(const char *path, struct err *e)
{
	struct sockaddr_un sa;
	struct stat st;

	int rc = fd_unix_path_check(path, e);
	if (rc)
		return rc;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %s", path, err_str(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_request(e, -EADDRINUSE,
			"%s is taken: a file that is no socket stands there; remove it or choose "
			"another path",
			path);
	int fd = unix_socket(path, &sa, e);
	if (fd < 0)
		return fd;
	rc = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
	close(fd);
	/* Only a refusal proves that nobody listens; EAGAIN is a listener with a full backlog. */
	if (rc != ECONNREFUSED)
		return err_request(
			e, -EADDRINUSE, "socket %s is taken: another process listens on it", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(
			e, -errno, "stale socket %s cannot be removed: %s", path, err_str(errno));
	return 0;
}

int fd_unix_listen(const char *path, struct err *e)
{
	struct sockaddr_un sa;

	int rc = fd_unix_clear_stale(path, e);
	if (rc)
		return rc;
	int fd = unix_socket(path, &sa, e);
	if (fd < 0)
		return fd;
	/* On Linux the socket's own mode is the file's: it is never open to others, not even
	 * between bind and chmod. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		listen(fd, 16) < 0) {
		rc = -errno;
		close(fd);
		return err_set(e, rc, "cannot listen on %s: %s", path, err_str(rc));
	}
	return fd;
}

int fd_unix_connect(const char *path, int timeout_ms, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct sockaddr_un sa;

	int rc = fd_unix_path_check(path, e);
	if (rc)
		return rc;
	int fd = unix_socket(path, &sa, e);
	if (fd < 0)
		return fd;
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		rc = -errno;
		/* EAGAIN: the listener's backlog is full, which poll does not wait for. */
		if (rc == -EAGAIN && clock_now_ns() < deadline) {
			clock_sleep_ns(NS_PER_MS);
			continue;
		}
		if (rc == -EINTR)
			continue;
		close(fd);
		if (rc == -EAGAIN)
			rc = -ETIMEDOUT;
		return err_set(e, rc, "cannot connect to %s: %s", path, err_str(rc));
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return fd;
}

#define FDS_MAX 32

ssize_t fd_send_fds(int sock, const void *buf, size_t len, const int *fds, size_t n_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} u = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > FDS_MAX)
		return -EINVAL;
	if (n_fds) {
		msg.msg_control = u.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	ssize_t n;
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t fd_recv_fds(int sock, void *buf, size_t len, int *fds, size_t *n_fds)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} u;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = u.space,
		.msg_controllen = sizeof(u.space) };
	size_t room = *n_fds;
	ssize_t n;

	*n_fds = 0;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < got; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*n_fds < room)
				fds[(*n_fds)++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

int fd_read_full(int fd, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, (char *)buf + at, len - at);

		if (n == 0)
			return -EPIPE;
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int fd_write_full(int fd, const void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, (const char *)buf + at, len - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int fd_wait(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = clock_now_ns();
		uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec ts = { .tv_sec = (time_t)(left / NS_PER_S),
			.tv_nsec = (long)(left % NS_PER_S) };
		int n = ppoll(&p, 1, &ts, NULL);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

void fd_event_signal(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0) {
		/* EAGAIN: it is full, so whoever waits on it wakes anyway. */
	}
}

uint64_t fd_event_take(int fd)
{
	uint64_t v = 0;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

int fd_read_file(const char *path, size_t max, char **out, size_t *len, struct err *e)
{
	size_t n = 0, room = 4096;
	char *buf = NULL;
	int rc;

	*out = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_request(e, -errno, "cannot read %s: %s", path, err_str(errno));
	for (;;) {
		char *more = realloc(buf, room + 1);

		if (!more) {
			rc = err_set(e, -ENOMEM, "%s: out of memory", path);
			goto fail;
		}
		buf = more;
		ssize_t got = read(fd, buf + n, room - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			rc = err_request(e, -errno, "cannot read %s: %s", path, err_str(errno));
			goto fail;
		}
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > max) {
			rc = err_request(
				e, -EFBIG, "%s is larger than the %zu bytes allowed", path, max);
			goto fail;
		}
		if (n == room)
			room *= 2;
	}
	close(fd);
	buf[n] = '\0';
	*out = buf;
	if (len)
		*len = n;
	return 0;
fail:
	free(buf);
	close(fd);
	return rc;
}
