/* SPDX-License-Identifier: Apache-2.0 */
/* See lines.h. */
#include "traffic/dpdk/lines.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"

#define SEND_S 5 /* a client that doesn't read its reply for so long is let go */

struct lines {
	struct loop *loop;
	const struct lines_ops *ops;
	void *ctx;
	char *path;
	int listen_fd, fd;
	struct loop_handler *listener, *client;
	size_t len;
	bool too_long; /* what comes up to the next newline is of a line that is given up */
	char *buf;     /* line_max bytes */
};

static void client_drop(struct lines *s)
{
	loop_del(s->loop, s->client);
	s->client = NULL;
	fd_close(&s->fd);
	s->len = 0;
	s->too_long = false;
}

/* Blocks, for a moment at most: a reply is smaller than a socket's buffer. */
static bool send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static bool line_ends(struct lines *s)
{
	const char *reply = NULL;
	size_t n = s->ops->line(s->ctx, s->too_long ? NULL : s->buf, s->len, &reply);

	s->len = 0;
	s->too_long = false;
	return !n || send_all(s->fd, reply, n);
}

static bool take(struct lines *s, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (data[i] == '\n') {
			if (!line_ends(s))
				return false;
		} else if (s->len == s->ops->line_max) {
			s->too_long = true;
		} else {
			s->buf[s->len++] = data[i];
		}
	}
	return true;
}

static void client_ready(void *arg, uint32_t events)
{
	struct lines *s = arg;
	char data[4096];
	ssize_t n = recv(s->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !take(s, data, (size_t)n))
		client_drop(s);
}

static bool has_left(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void client_arrives(void *arg, uint32_t events)
{
	struct timeval patience = { .tv_sec = SEND_S };
	struct lines *s = arg;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (s->fd >= 0 && has_left(s->fd))
		client_drop(s);
	if (s->fd >= 0) {
		send(fd, s->ops->busy, strlen(s->ops->busy), MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	s->fd = fd;
	s->client = loop_add_fd(s->loop, fd, EPOLLIN, client_ready, s);
	if (!s->client)
		client_drop(s);
}

struct lines *lines_new(
	struct loop *l, const char *path, const struct lines_ops *ops, void *ctx, struct err *e)
{
	struct lines *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, -ENOMEM, "no memory for %s", path);
		return NULL;
	}
	*s = (struct lines){ .loop = l, .ops = ops, .ctx = ctx, .listen_fd = -1, .fd = -1 };
	s->buf = malloc(ops->line_max);
	s->listen_fd = fd_unix_listen(path, e);
	if (s->listen_fd >= 0)
		s->path = strdup(path);
	if (s->path && s->buf)
		s->listener = loop_add_fd(l, s->listen_fd, EPOLLIN, client_arrives, s);
	if (s->listener)
		return s;
	if (s->listen_fd >= 0)
		err_set(e, -ENOMEM, "no memory for %s", path);
	lines_free(s);
	return NULL;
}

void lines_free(struct lines *s)
{
	if (!s)
		return;
	client_drop(s);
	loop_del(s->loop, s->listener);
	if (s->path)
		unlink(s->path);
	fd_close(&s->listen_fd);
	free(s->path);
	free(s->buf);
	free(s);
}
