/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a client of the control socket, in pieces: each line gets a reply that is an
 * object with an id, or an error; notifications come between; nothing else does. Input: the first
 * byte says how the rest is cut into pieces.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct rpc_server *server;
static char path[64];

static int fn_echo(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	*result = json_incref((json_t *)params);
	return 0;
}

static int fn_events(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return rpc_server_subscribe(server);
}

static int fn_shout(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	rpc_server_notify(server, "event", json_incref((json_t *)params));
	return 0;
}

static int fn_fail(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return err_request_at(
		e, -EINVAL, "s", "%s", json_string_value(json_object_get(params, "s")));
}

static const struct rpc_param params[] = { { "s", JSON_STRING, true },
	{ "n", JSON_INTEGER, false, 0, 9 }, { "b", JSON_TRUE, false }, { "r", JSON_REAL, false },
	{ "o", JSON_OBJECT, false }, { "a", JSON_ARRAY, false }, { "x", RPC_ANY, false }, { 0 } };
static const struct rpc_method methods[] = { { "echo", fn_echo, params },
	{ "events", fn_events, NULL }, { "shout", fn_shout, params }, { "fail", fn_fail, params },
	{ 0 } };

static void clean_up(void)
{
	rpc_server_free(server);
	loop_free(loop);
}

static void make_server(void)
{
	struct err e;

	log_set_level(LOG_ERROR - 1);
	snprintf(path, sizeof(path), "/tmp/lanyard-fuzz-rpc.%d", (int)getpid());
	loop = loop_new(&e);
	server = loop ? rpc_server_new(loop, path, methods, NULL, &e) : NULL;
	if (!server)
		abort();
	atexit(clean_up);
}

/* Whole lines that came, each a reply or a notification. */
static void check_replies(const char *text, size_t len)
{
	const char *nl;

	for (; (nl = memchr(text, '\n', len)); len -= (size_t)(nl + 1 - text), text = nl + 1) {
		json_error_t je;
		json_t *o = json_loadb(text, (size_t)(nl - text), JSON_ALLOW_NUL, &je);
		bool event = json_object_get(o, "method");

		/* An id is given back as it came: a number that jansson wrote and can't read. */
		if (!o && json_error_code(&je) == json_error_numeric_overflow)
			continue;
		if (!json_is_object(o) || (!event && !json_object_get(o, "id")) ||
			(!event && !json_object_get(o, "result") == !json_object_get(o, "error")))
			abort();
		json_decref(o);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char got[1 << 20];
	size_t piece, n_got = 0;
	ssize_t n;
	struct err e;
	int fd;

	if (!server)
		make_server();
	if (size < 1 || size > 8192 || (fd = fd_unix_connect(path, 1000, &e)) < 0)
		return 0;
	piece = data[0] ? data[0] : 8192;
	data++;
	size--;
	while (size) {
		size_t now = size < piece ? size : piece;

		if (send(fd, data, now, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)now)
			break;
		data += now;
		size -= now;
		while (loop_step(loop, 0) > 0)
			;
		while (n_got < sizeof(got) &&
			(n = recv(fd, got + n_got, sizeof(got) - n_got, MSG_DONTWAIT)) > 0)
			n_got += (size_t)n;
	}
	check_replies(got, n_got);
	close(fd);
	while (loop_step(loop, 0) > 0)
		;
	return 0;
}
