/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

struct rpc {
	int fd;
	json_int_t next_id;
	char *in;
	size_t len, room;
	char peer[FD_UNIX_PATH_MAX + 1]; /* for messages */
};

struct rpc *rpc_from_fd(int fd)
{
	struct rpc *r = calloc(1, sizeof(*r));
	uint32_t start = 1;

	if (!r) {
		fd_close(&fd);
		return NULL;
	}
	if (getrandom(&start, sizeof(start), GRND_NONBLOCK) != sizeof(start))
		start = (uint32_t)clock_now_ns();
	r->fd = fd;
	/* Below 2^31, so that any peer keeps it exactly. */
	r->next_id = (start & 0x3fffffff) + 1;
	snprintf(r->peer, sizeof(r->peer), "peer");
	return r;
}

struct rpc *rpc_connect(const char *path, int timeout_ms, struct err *e)
{
	int fd = fd_unix_connect(path, timeout_ms, e);

	if (fd < 0)
		return NULL;
	struct rpc *r = rpc_from_fd(fd);
	if (!r)
		err_set(e, -ENOMEM, "out of memory");
	else
		snprintf(r->peer, sizeof(r->peer), "%s", path);
	return r;
}

void rpc_close(struct rpc *r)
{
	if (!r)
		return;
	fd_close(&r->fd);
	free(r->in);
	free(r);
}

static int rpc_send(struct rpc *r, const char *text, size_t len, uint64_t deadline_ns)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(r->fd, text + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			at += (size_t)n;
			continue;
		}
		int rc = errno == EAGAIN ? fd_wait(r->fd, POLLOUT, deadline_ns)
			: errno == EINTR ? 0
					 : -errno;
		if (rc)
			return rc;
	}
	return 0;
}

/* The next line of the peer, malloc'd, or NULL and *rc. */
static char *rpc_read_line(struct rpc *r, uint64_t deadline_ns, int *rc)
{
	size_t scanned = 0;

	for (;;) {
		char *nl =
			r->len > scanned ? memchr(r->in + scanned, '\n', r->len - scanned) : NULL;
		if (nl) {
			size_t n = (size_t)(nl - r->in);
			char *line = strndup(r->in, n);

			r->len -= n + 1;
			memmove(r->in, nl + 1, r->len);
			*rc = line ? 0 : -ENOMEM;
			return line;
		}
		scanned = r->len;
		if (r->room - r->len < 4096) {
			size_t room = r->room ? r->room * 2 : 16384;
			char *in = r->len <= RPC_LINE_MAX ? realloc(r->in, room) : NULL;

			if (!in) {
				*rc = r->len > RPC_LINE_MAX ? -EMSGSIZE : -ENOMEM;
				return NULL;
			}
			r->in = in;
			r->room = room;
		}
		*rc = fd_wait(r->fd, POLLIN, deadline_ns);
		if (*rc)
			return NULL;
		ssize_t n = recv(r->fd, r->in + r->len, r->room - r->len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0) {
			*rc = n == 0 || errno == ECONNRESET ? -EPIPE : -errno;
			return NULL;
		}
		r->len += (size_t)n;
	}
}

static void err_from_reply(const json_t *error, struct err *e)
{
	const json_t *data = json_object_get(error, "data");
	const char *message = json_string_value(json_object_get(error, "message"));
	json_int_t class = json_integer_value(json_object_get(data, "class"));
	json_int_t code = json_integer_value(json_object_get(data, "errno"));
	const char *field = json_string_value(json_object_get(data, "field"));

	err_set(e, code > 0 && code < 4096 ? (int)-code : -EREMOTEIO, "%s",
		message ? message : "the peer answered with an error without a sentence");
	if (e && class >= ERR_FAILED && class <= ERR_MISSED)
		e->class = (enum err_class) class;
	if (field)
		err_field(e, field);
}

/* NULL and 0 in *mine: a reply to somebody else, or noise. */
static json_t *reply_result(const char *line, json_int_t id, bool *mine, struct err *e)
{
	json_t *reply = json_loads(line, 0, NULL);
	const json_t *got = json_object_get(reply, "id");
	json_t *error = json_object_get(reply, "error");
	json_t *result = json_object_get(reply, "result");

	/* An error with a null id answers a request that could not be read: ours. */
	*mine = (json_is_integer(got) && json_integer_value(got) == id) ||
		(json_is_null(got) && error);
	if (!*mine) {
		result = NULL;
	} else if (error) {
		err_from_reply(error, e);
		result = NULL;
	} else if (!result) {
		err_set(e, -EPROTO, "the reply has neither result nor error");
	}
	json_incref(result);
	json_decref(reply);
	return result;
}

json_t *rpc_call(struct rpc *r, const char *method, json_t *params, int timeout_ms, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	json_int_t id = r->next_id++;
	json_t *result = NULL;
	bool mine = false;
	char *line;
	int rc;

	json_t *req = json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0", "id", id, "method",
		method, "params", params);
	char *text = req ? json_dumps(req, JSON_COMPACT) : NULL;
	json_decref(req);
	if (!text) {
		err_set(e, -ENOMEM, "%s: the request cannot be written as JSON", method);
		return NULL;
	}
	/* One message, newline included. */
	size_t len = strlen(text);
	text[len] = '\n';
	rc = rpc_send(r, text, len + 1, deadline);
	free(text);
	/* A server that has no place for us says so and closes, maybe before we have asked. */
	if (rc == -EPIPE)
		rc = 0;
	while (!rc && !mine && (line = rpc_read_line(r, deadline, &rc))) {
		result = reply_result(line, id, &mine, e);
		free(line);
	}
	if (rc == -ETIMEDOUT)
		err_set(e, rc, "%s: no answer to \"%s\" within %d ms", r->peer, method, timeout_ms);
	else if (rc == -EPIPE)
		err_set(e, rc, "%s: the other end went away during \"%s\"", r->peer, method);
	else if (rc)
		err_set(e, rc, "%s: \"%s\": %s", r->peer, method, err_str(rc));
	return result;
}
