/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's channel: bytes to lines, lines to replies. What it answers is in agent_methods.c. */
#include "guest/linux/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/rpc.h"
#include "guest/linux/agent_methods.h"

int agent_open(const char *path, struct err *e)
{
	struct termios t;
	int rc;

	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_host(e, -errno, "the agent's channel %s: %s", path, err_str(errno));
	if (tcgetattr(fd, &t) < 0) {
		rc = err_host(e, -errno, "the agent's channel %s is no terminal: %s", path,
			err_str(errno));
		close(fd);
		return rc;
	}
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL | CREAD;
	t.c_cflag &= ~(tcflag_t)(HUPCL | CRTSCTS);
	cfsetspeed(&t, B115200);
	tcsetattr(fd, TCSANOW, &t);
	/* What came before was changed and echoed by the terminal: whoever asked will ask again. */
	tcflush(fd, TCIOFLUSH);
	return fd;
}

int agent_init(struct agent *a, int fd, struct err *e)
{
	a->fd = fd;
	return execs_init(&a->execs, e);
}

void agent_free(struct agent *a)
{
	traffic_free(a->traffic);
	execs_free(&a->execs);
	fd_close(&a->fd);
}

/* All of it; commands' pipes are served meanwhile, so that none stands still for a slow reader. */
static int send_all(struct agent *a, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(a->fd, text, len);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = a->fd, .events = POLLOUT };

			poll(&p, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int reply(struct agent *a, char *text)
{
	size_t len = strlen(text);

	text[len] = '\n'; /* in the NUL's place: the length says where it ends */
	int rc = send_all(a, text, len + 1);
	free(text);
	return rc;
}

static char *too_long(void)
{
	struct err e = { 0 };

	err_request(&e, -EMSGSIZE, "the request's line is longer than %d bytes", AGENT_LINE_MAX);
	return rpc_error_text(NULL, RPC_INVALID_REQUEST, &e);
}

/* The engine's requests are its own agent's to read and to answer. */
static char *serve_traffic(struct agent *a, const json_t *request, const char *line, size_t len)
{
	struct err e = { 0 };
	char *text = traffic_serve(&a->traffic, a->config, line, len, &e);

	return text ? text : rpc_error_text(json_object_get(request, "id"), RPC_FAILED, &e);
}

static int serve_line(struct agent *a, const char *line, size_t len)
{
	while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (!len)
		return 0;
	json_t *request = json_loadb(line, len, 0, NULL);
	const char *method = json_string_value(json_object_get(request, "method"));
	char *text = NULL;
	int rc = 0;

	if (a->began || json_is_object(request)) {
		a->began = true;
		text = traffic_is_request(method) ? serve_traffic(a, request, line, len)
						  : rpc_serve_text(agent_methods, a, line, len);
	}
	json_decref(request);
	if (text && !*text) { /* a notification's */
		free(text);
		text = NULL;
	}
	rc = text ? reply(a, text) : 0;
	if (!rc && a->stopping != AGENT_STOP_NONE && a->stop) {
		tcdrain(a->fd);
		a->stop(a->stopping);
		a->stopping = AGENT_STOP_NONE;
	}
	return rc;
}

/* Each whole line of a->line. */
static int serve_lines(struct agent *a)
{
	char *nl;
	int rc = 0;

	while (!rc && (nl = memchr(a->line, '\n', a->len))) {
		size_t len = (size_t)(nl - a->line);

		a->more = memchr(nl + 1, '\n', a->len - len - 1) != NULL;
		if (!a->skip)
			rc = serve_line(a, a->line, len);
		a->skip = false;
		a->len -= len + 1;
		memmove(a->line, nl + 1, a->len);
	}
	if (rc || a->len <= AGENT_LINE_MAX)
		return rc;
	a->len = 0;
	if (a->skip)
		return 0;
	a->skip = true;
	char *text = too_long();
	return text ? reply(a, text) : -ENOMEM;
}

int agent_run(struct agent *a, struct err *e)
{
	for (;;) {
		/* The guest ends: commands that were told so as well may have something to write,
		 * and must find their pipes open. */
		if (a->execs.ending && (!a->stop || !execs_running(&a->execs)))
			return 0;
		if (!execs_step(&a->execs, a->fd, -1))
			continue;
		ssize_t n = read(a->fd, a->line + a->len, sizeof(a->line) - a->len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		/* EIO: a pseudo-terminal whose other end was closed. */
		if (n == 0 || (n < 0 && errno == EIO))
			return 0;
		if (n < 0)
			return err_set(e, -errno, "the agent's channel: %s", err_str(errno));
		a->len += (size_t)n;
		int rc = serve_lines(a);
		if (rc)
			return err_set(e, rc, "the agent's channel: %s", err_str(rc));
	}
}
