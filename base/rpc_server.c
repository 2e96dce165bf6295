/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of JSON-RPC. A connection collects bytes until a newline, answers that line, and goes
 * on. While its reply can't be written whole (a client that does not read), nothing more is read
 * from it: it can stall only itself. Notifications are queued behind what is on its way already; a
 * connection whose queue is full is marked lost, and freed when its loop's turn comes, so that one
 * can be sent from within any method. Runs on its loop's thread only.
 */
#include "base/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define CONNS_MAX 64

struct conn {
	struct rpc_server *server;
	struct loop_handler *handler;
	int fd;
	char *in, *out;
	size_t in_len, in_room;
	size_t in_scanned; /* bytes of `in` known to hold no newline */
	size_t out_at, out_len;
	bool closing;    /* close when `out` is written */
	bool subscribed; /* gets notifications */
	bool lost;       /* to be freed */
	struct conn *next;
};

struct rpc_server {
	struct loop *loop;
	int fd;
	struct loop_handler *handler;
	const struct rpc_method *methods;
	void *ctx;
	char *path;
	struct conn *conns;
	unsigned n_conns;
	struct conn *serving; /* whose request a method works on, or NULL */
};

static char *reply_text(json_t *reply)
{
	char *text = json_dumps(reply, JSON_COMPACT);

	json_decref(reply);
	return text;
}

char *rpc_error_text(const json_t *id, int code, const struct err *e)
{
	json_t *error = json_pack("{s:i, s:s, s:{s:i, s:i}}", "code", code, "message", e->text,
		"data", "class", (int)e->class, "errno", -e->code);

	/* A sentence cut inside a UTF-8 character is no string for jansson. */
	if (!error)
		error = json_pack("{s:i, s:s}", "code", code, "message", "error text is not UTF-8");
	if (e->field[0])
		json_object_set_new(json_object_get(error, "data"), "field", json_string(e->field));
	return reply_text(json_pack(
		"{s:s, s:O?, s:o}", "jsonrpc", "2.0", "id", id ? id : json_null(), "error", error));
}

static const char *type_name(json_type t)
{
	switch (t) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NULL:
		return "null";
	}
	return "?";
}

static int param_check(const struct rpc_param *p, const json_t *v, struct err *e)
{
	bool fits = p->type == JSON_TRUE ? json_is_boolean(v)
		: p->type == JSON_REAL   ? json_is_number(v)
		: p->type == RPC_ANY     ? true
					 : json_typeof(v) == p->type;

	if (!fits)
		err_request(e, -EINVAL, "parameter \"%s\" must be %s, not %s", p->name,
			type_name(p->type), type_name(json_typeof(v)));
	else if (p->type == JSON_INTEGER && p->max > p->min &&
		(json_integer_value(v) < p->min || json_integer_value(v) > p->max))
		err_request(e, -ERANGE, "parameter \"%s\" is %lld; it must be from %lld to %lld",
			p->name, (long long)json_integer_value(v), (long long)p->min,
			(long long)p->max);
	else
		return 0;
	return err_field(e, p->name);
}

static int params_check(const struct rpc_method *m, const json_t *params, struct err *e)
{
	static const struct rpc_param none[] = { { 0 } };
	const struct rpc_param *list = m->params ? m->params : none;
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)params, key, v) {
		const struct rpc_param *p = list;

		while (p->name && strcmp(p->name, key))
			p++;
		if (!p->name) {
			err_request(e, -EINVAL, "%s: unknown parameter \"%.100s\"", m->name, key);
			return err_field(e, key);
		}
	}
	for (const struct rpc_param *p = list; p->name; p++) {
		v = json_object_get(params, p->name);
		if (!v && p->required) {
			err_request(
				e, -EINVAL, "%s: parameter \"%s\" is missing", m->name, p->name);
			return err_field(e, p->name);
		}
		if (v && param_check(p, v, e))
			return err_prefix(e, "%s", m->name);
	}
	return 0;
}

/* A known, well-formed method call: its reply, or NULL for a notification. */
static char *serve_call(
	const struct rpc_method *m, void *ctx, const json_t *id, json_t *params, struct err *e)
{
	json_t *empty = params ? NULL : json_object();
	json_t *result = NULL;
	char *reply = NULL;

	if (params_check(m, params ? params : empty, e)) {
		if (id)
			reply = rpc_error_text(id, RPC_INVALID_PARAMS, e);
	} else if (m->fn(ctx, params ? params : empty, &result, e)) {
		if (id)
			reply = rpc_error_text(id, RPC_FAILED, e);
	} else if (id) {
		reply = reply_text(json_pack("{s:s, s:O, s:o?}", "jsonrpc", "2.0", "id", id,
			"result", result ? json_incref(result) : json_null()));
	}
	json_decref(result);
	json_decref(empty);
	return reply;
}

char *rpc_serve_text(const struct rpc_method *methods, void *ctx, const char *text, size_t len)
{
	struct err e = { 0 };
	json_error_t je;
	char *reply = NULL;

	json_t *req = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!req) {
		err_request(&e, -EINVAL, "request is no JSON object: %s (column %d)", je.text,
			je.column);
		return rpc_error_text(NULL, RPC_PARSE_ERROR, &e);
	}
	const json_t *id = json_object_get(req, "id");
	const char *method = json_string_value(json_object_get(req, "method"));
	const char *version = json_string_value(json_object_get(req, "jsonrpc"));
	json_t *params = json_object_get(req, "params");

	if (!version || strcmp(version, "2.0") || !method ||
		(id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id)) ||
		(params && !json_is_object(params))) {
		err_request(&e, -EINVAL,
			"not a JSON-RPC 2.0 request: expected {\"jsonrpc\": \"2.0\", \"id\": ..., "
			"\"method\": \"...\", \"params\": {...}}");
		reply = rpc_error_text(NULL, RPC_INVALID_REQUEST, &e);
		goto out;
	}
	while (methods->name && strcmp(methods->name, method))
		methods++;
	if (methods->name) {
		reply = serve_call(methods, ctx, id, params, &e);
	} else if (id) {
		err_request(&e, -ENOSYS, "unknown method \"%.100s\"", method);
		reply = rpc_error_text(id, RPC_METHOD_NOT_FOUND, &e);
	}
out:
	json_decref(req);
	return reply;
}

static void conn_free(struct conn *c)
{
	struct rpc_server *s = c->server;
	struct conn **p = &s->conns;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	s->n_conns--;
	loop_del(s->loop, c->handler);
	fd_close(&c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Queues text and its newline behind what is there; takes it. */
static int conn_queue(struct conn *c, char *text)
{
	size_t len = strlen(text), waiting = c->out_len - c->out_at;
	char *line = realloc(text, waiting + len + 1);

	if (!line) {
		free(text);
		return -ENOMEM;
	}
	if (waiting) {
		memmove(line + waiting, line, len);
		memcpy(line, c->out + c->out_at, waiting);
	}
	line[waiting + len] = '\n';
	free(c->out);
	c->out = line;
	c->out_len = waiting + len + 1;
	c->out_at = 0;
	return 0;
}

/* Writes what is queued. 0: all of it; -EAGAIN: later; else the connection is lost. */
static int conn_flush(struct conn *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		c->out_at += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_len = 0;
	return c->closing ? -EPIPE : 0;
}

/* Answers each whole line of `in` until one's reply must wait. Same results as conn_flush. */
static int conn_serve(struct conn *c)
{
	struct rpc_server *s = c->server;

	for (;;) {
		char *nl = c->in_len > c->in_scanned
			? memchr(c->in + c->in_scanned, '\n', c->in_len - c->in_scanned)
			: NULL;
		if (!nl) {
			c->in_scanned = c->in_len;
			return 0;
		}
		size_t len = (size_t)(nl - c->in);
		s->serving = c;
		char *reply = rpc_serve_text(s->methods, s->ctx, c->in, len);
		s->serving = NULL;

		c->in_len -= len + 1;
		c->in_scanned = 0;
		memmove(c->in, nl + 1, c->in_len);
		int rc = reply ? conn_queue(c, reply) : 0;
		if (!rc)
			rc = c->lost ? -EPIPE : conn_flush(c);
		if (rc)
			return rc;
	}
}

static int conn_read(struct conn *c)
{
	if (c->in_room - c->in_len < 4096) {
		size_t room = c->in_room ? c->in_room * 2 : 8192;
		char *in;

		if (c->in_len > RPC_LINE_MAX) {
			struct err e;

			err_request(&e, -EMSGSIZE, "request line is longer than %u bytes",
				RPC_LINE_MAX);
			c->closing = true;
			c->in_len = c->in_scanned = 0;
			char *reply = rpc_error_text(NULL, RPC_INVALID_REQUEST, &e);
			return !reply || conn_queue(c, reply) ? -ENOMEM : conn_flush(c);
		}
		in = realloc(c->in, room);
		if (!in)
			return -ENOMEM;
		c->in = in;
		c->in_room = room;
	}
	ssize_t n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, 0);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->in_len += (size_t)n;
	return conn_serve(c);
}

static void conn_ready(void *arg, uint32_t events)
{
	struct conn *c = arg;
	int rc = 0;

	if (c->lost) {
		rc = -EPIPE;
	} else if (c->out_len) {
		if (events & (EPOLLERR | EPOLLHUP))
			rc = -EPIPE;
		else
			rc = conn_flush(c);
		if (!rc)
			rc = conn_serve(c); /* lines that waited for this reply to go */
	} else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		rc = conn_read(c);
	}
	if (rc && rc != -EAGAIN)
		conn_free(c);
	else
		loop_mod_fd(c->server->loop, c->handler, c->out_len ? EPOLLOUT : EPOLLIN);
}

static void server_accept(void *arg, uint32_t events)
{
	struct rpc_server *s = arg;

	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct conn *c = s->n_conns < CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		log_warn("%s: connection refused: %u are open", s->path, s->n_conns);
		close(fd);
		return;
	}
	c->server = s;
	c->fd = fd;
	c->next = s->conns;
	s->conns = c;
	s->n_conns++;
	c->handler = loop_add_fd(s->loop, fd, EPOLLIN, conn_ready, c);
	if (!c->handler)
		conn_free(c);
}

int rpc_server_subscribe(struct rpc_server *s)
{
	if (!s->serving)
		return -ENOTCONN;
	s->serving->subscribed = true;
	return 0;
}

/* Never frees c, which may be in use further up the stack. */
static void conn_notify(struct conn *c, const char *text)
{
	char *copy = strdup(text);
	int rc = copy ? conn_queue(c, copy) : -ENOMEM;

	/* Its own reply goes first: conn_serve writes both. */
	if (!rc && c != c->server->serving)
		rc = conn_flush(c);
	if (!rc || rc == -EAGAIN)
		rc = c->out_len - c->out_at > RPC_UNREAD_MAX ? -EMSGSIZE : 0;
	if (rc) {
		log_warn("%s: a client that reads no notifications is cut off", c->server->path);
		c->lost = true;
		shutdown(c->fd, SHUT_RDWR); /* it is ready for sure, and freed then */
		loop_mod_fd(c->server->loop, c->handler, EPOLLIN);
		return;
	}
	if (c->out_len)
		loop_mod_fd(c->server->loop, c->handler, EPOLLOUT);
}

void rpc_server_notify(struct rpc_server *s, const char *method, json_t *params)
{
	char *text = reply_text(
		json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params));

	for (struct conn *c = s->conns; text && c; c = c->next)
		if (c->subscribed && !c->lost)
			conn_notify(c, text);
	free(text);
}

struct rpc_server *rpc_server_new(struct loop *l, const char *path,
	const struct rpc_method *methods, void *ctx, struct err *e)
{
	struct rpc_server *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, -ENOMEM, "control socket: out of memory");
		return NULL;
	}
	s->loop = l;
	s->methods = methods;
	s->ctx = ctx;
	s->fd = fd_unix_listen(path, e);
	if (s->fd < 0) {
		err_prefix(e, "control socket");
		free(s);
		return NULL;
	}
	s->path = strdup(path);
	s->handler = loop_add_fd(l, s->fd, EPOLLIN, server_accept, s);
	if (!s->path || !s->handler) {
		err_set(e, -ENOMEM, "control socket %s: out of memory", path);
		rpc_server_free(s);
		return NULL;
	}
	return s;
}

void rpc_server_free(struct rpc_server *s)
{
	if (!s)
		return;
	while (s->conns)
		conn_free(s->conns);
	loop_del(s->loop, s->handler);
	fd_close(&s->fd);
	if (s->path)
		unlink(s->path);
	free(s->path);
	free(s);
}
