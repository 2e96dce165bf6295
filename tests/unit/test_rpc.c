/* SPDX-License-Identifier: Apache-2.0 */
/* JSON-RPC: the pure text server, then server and client over a socket. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/rpc.h"

static int fn_add(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	*result = json_integer(json_integer_value(json_object_get(params, "a")) +
		json_integer_value(json_object_get(params, "b")));
	(*(int *)ctx)++;
	return 0;
}

static int fn_fail(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	err_host(e, -ENODEV, "no /dev/kvm: load the module");
	return err_field(e, "kvm");
}

static int fn_big(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	size_t n = (size_t)json_integer_value(json_object_get(params, "n"));
	char *s = malloc(n);

	memset(s, 'x', n);
	*result = json_stringn(s, n);
	free(s);
	return 0;
}

static int fn_none(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return 0;
}

/* The server of the socket tests: who is asked for a stream needs it. */
static struct rpc_server *server;

static int fn_events(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return rpc_server_subscribe(server);
}

/* n notifications of about 1 KiB, with numbers from 0 on. */
static int fn_shout(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	json_int_t n = json_integer_value(json_object_get(params, "n"));
	char pad[1000];

	memset(pad, 'x', sizeof(pad));
	for (json_int_t i = 0; i < n; i++)
		rpc_server_notify(
			server, "event", json_pack("{s:I, s:s%}", "i", i, "pad", pad, sizeof(pad)));
	return 0;
}

static const struct rpc_param add_params[] = {
	{ "a", JSON_INTEGER, true, 0, 100 },
	{ "b", JSON_INTEGER, false },
	{ "flag", JSON_TRUE, false },
	{ 0 },
};
static const struct rpc_param big_params[] = { { "n", JSON_INTEGER, true }, { 0 } };
static const struct rpc_method methods[] = {
	{ "add", fn_add, add_params },
	{ "fail", fn_fail, NULL },
	{ "big", fn_big, big_params },
	{ "none", fn_none, NULL },
	{ "events", fn_events, NULL },
	{ "shout", fn_shout, big_params },
	{ 0 },
};

/* The reply to req, compared as JSON; want NULL: no reply at all. */
static void expect(const char *req, const char *want)
{
	int calls = 0;
	char *got = rpc_serve_text(methods, &calls, req, strlen(req));

	if (!want) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	json_t *g = json_loads(got, 0, NULL), *w = json_loads(want, 0, NULL);
	assert_non_null(g);
	assert_non_null(w);
	if (!json_equal(g, w))
		fail_msg("request %s\n got %s\nwant %s", req, got, want);
	json_decref(g);
	json_decref(w);
	free(got);
}

#define BAD(code, cls, eno, msg)                                                       \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":" #code ",\"message\":" msg \
	",\"data\":{\"class\":" #cls ",\"errno\":" #eno "}}}"
#define BADF(code, cls, eno, msg, field)                                               \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":" #code ",\"message\":" msg \
	",\"data\":{\"class\":" #cls ",\"errno\":" #eno ",\"field\":\"" field "\"}}}"

static void test_text(void **state)
{
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\",\"params\":{\"a\":1,\"b\":2}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":3}");
	expect("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"none\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":null}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"add\",\"params\":{\"a\":1}}", NULL);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"nope\"}", NULL);
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}",
		BAD(-32601, 2, 38, "\"unknown method \\\"nope\\\"\""));
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\"}",
		BADF(-32602, 2, 22, "\"add: parameter \\\"a\\\" is missing\"", "a"));
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\",\"params\":{\"a\":1,\"c\":2}}",
		BADF(-32602, 2, 22, "\"add: unknown parameter \\\"c\\\"\"", "c"));
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\",\"params\":{\"a\":\"1\"}}",
		BADF(-32602, 2, 22, "\"add: parameter \\\"a\\\" must be an integer, not a string\"",
			"a"));
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\",\"params\":{\"a\":101}}",
		BADF(-32602, 2, 34, "\"add: parameter \\\"a\\\" is 101; it must be from 0 to 100\"",
			"a"));
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\",\"params\":{\"a\":1,\"flag\":0}}",
		BADF(-32602, 2, 22,
			"\"add: parameter \\\"flag\\\" must be true or false, not an integer\"",
			"flag"));
	expect("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fail\"}",
		BADF(-32000, 3, 19, "\"no /dev/kvm: load the module\"", "kvm"));
}

/* What is no request is answered with a null id and one of the two codes of the standard. */
static void test_not_requests(void **state)
{
	static const struct {
		const char *text;
		int code;
	} t[] = {
		{ "", RPC_PARSE_ERROR },
		{ "{", RPC_PARSE_ERROR },
		{ "{\"a\":1,\"a\":2}", RPC_PARSE_ERROR },
		{ "\xff\xfe", RPC_PARSE_ERROR },
		{ "[]", RPC_INVALID_REQUEST },
		{ "{}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"add\"}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"add\"}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"add\",\"params\":[1]}",
			RPC_INVALID_REQUEST },
	};
	int calls = 0;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *got = rpc_serve_text(methods, &calls, t[i].text, strlen(t[i].text));
		json_t *g = json_loads(got, 0, NULL);

		assert_true(json_is_null(json_object_get(g, "id")));
		assert_int_equal(t[i].code,
			json_integer_value(json_object_get(json_object_get(g, "error"), "code")));
		json_decref(g);
		free(got);
	}
	assert_int_equal(calls, 0);
}

struct served {
	struct loop *l;
	struct rpc_server *s;
	int calls;
	pthread_t thread;
	char dir[64], path[100];
};

static void *serve(void *arg)
{
	loop_run(((struct served *)arg)->l);
	return NULL;
}

static int serve_start(void **state)
{
	static struct served s;
	struct err e;

	memset(&s, 0, sizeof(s));
	strcpy(s.dir, "/tmp/lanyard-unit-XXXXXX");
	if (!mkdtemp(s.dir))
		return -1;
	snprintf(s.path, sizeof(s.path), "%s/rpc", s.dir);
	s.l = loop_new(&e);
	s.s = server = rpc_server_new(s.l, s.path, methods, &s.calls, &e);
	*state = &s;
	return s.s && !pthread_create(&s.thread, NULL, serve, &s) ? 0 : -1;
}

static int serve_stop(void **state)
{
	struct served *s = *state;

	loop_stop(s->l);
	pthread_join(s->thread, NULL);
	rpc_server_free(s->s);
	loop_free(s->l);
	return rmdir(s->dir); /* fails if the socket is left */
}

static void test_socket(void **state)
{
	struct served *s = *state;
	struct err e = { 0 };
	struct rpc *r = rpc_connect(s->path, 1000, &e);

	assert_non_null(r);
	for (int i = 0; i < 3; i++) {
		json_t *v = rpc_call(r, "add", json_pack("{s:i,s:i}", "a", i, "b", 1), 1000, &e);

		assert_int_equal(json_integer_value(v), i + 1);
		json_decref(v);
	}
	assert_null(rpc_call(r, "fail", NULL, 1000, &e));
	assert_int_equal(e.code, -ENODEV);
	assert_int_equal(e.class, ERR_HOST);
	assert_string_equal(e.field, "kvm");
	/* Larger than any socket buffer. */
	json_t *v = rpc_call(r, "big", json_pack("{s:i}", "n", 3000000), 5000, &e);
	assert_int_equal(json_string_length(v), 3000000);
	json_decref(v);
	rpc_close(r);
	assert_null(rpc_connect("/nonexistent/rpc", 100, &e));
	assert_int_equal(e.code, -ENOENT);
}

/* A client that asks and never reads stalls only itself; pieces of lines are put together. */
static void test_bad_clients(void **state)
{
	struct served *s = *state;
	struct err e;
	int lazy = fd_unix_connect(s->path, 1000, &e);
	static const char ask[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":{\"n\":2000000}}\n";

	for (int i = 0; i < 10; i++)
		assert_int_equal(fd_write_full(lazy, ask, sizeof(ask) - 1), 0);
	struct rpc *r = rpc_connect(s->path, 1000, &e);
	json_t *v = rpc_call(r, "add", json_pack("{s:i}", "a", 5), 2000, &e);
	assert_int_equal(json_integer_value(v), 5);
	json_decref(v);
	close(lazy);

	int slow = fd_unix_connect(s->path, 1000, &e);
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"none\"}\n"
				   "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"none\"}\n";
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		assert_int_equal(fd_write_full(slow, text + i, 1), 0);
	static const char want[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":null}\n"
				   "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":null}\n";
	char got[sizeof(want)] = { 0 };
	assert_int_equal(fd_read_full(slow, got, sizeof(want) - 1), 0);
	assert_string_equal(got, want);
	close(slow);
	/* A half line, then gone. */
	slow = fd_unix_connect(s->path, 1000, &e);
	assert_int_equal(fd_write_full(slow, text, 10), 0);
	close(slow);
	v = rpc_call(r, "add", json_pack("{s:i}", "a", 6), 2000, &e);
	assert_int_equal(json_integer_value(v), 6);
	json_decref(v);
	rpc_close(r);
}

/* A line of fd, parsed. */
static json_t *read_line(int fd)
{
	char buf[2000];
	size_t n = 0;

	do
		assert_int_equal(fd_read_full(fd, buf + n, 1), 0);
	while (buf[n++] != '\n');
	json_t *v = json_loadb(buf, n, 0, NULL);
	assert_non_null(v);
	return v;
}

static void ask(int fd, const char *text)
{
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void expect_event(int fd, json_int_t i)
{
	json_t *v = read_line(fd);

	assert_string_equal(json_string_value(json_object_get(v, "method")), "event");
	assert_null(json_object_get(v, "id"));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(v, "params"), "i")), i);
	json_decref(v);
}

#define SUBSCRIBE "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events\"}\n"

/* Notifications reach those who asked, the caller of the method that makes them among them; one
 * that does not read loses its connection, and nobody else waits for it. */
static void test_notifications(void **state)
{
	struct served *s = *state;
	struct err e;
	int reader = fd_unix_connect(s->path, 1000, &e);
	int lazy = fd_unix_connect(s->path, 1000, &e);
	int other = fd_unix_connect(s->path, 1000, &e);
	char byte;

	ask(reader, SUBSCRIBE);
	json_decref(read_line(reader));
	ask(lazy, SUBSCRIBE);
	json_decref(read_line(lazy));
	ask(other,
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"shout\",\"params\":{\"n\":3}}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"none\"}\n");
	for (int i = 5; i <= 6; i++) {
		json_t *v = read_line(other);

		assert_int_equal(json_integer_value(json_object_get(v, "id")), i);
		json_decref(v);
	}
	for (int i = 0; i < 3; i++)
		expect_event(reader, i);
	/* Its own: in order, then the reply. */
	ask(reader, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"shout\",\"params\":{\"n\":20}}\n");
	for (int i = 0; i < 20; i++)
		expect_event(reader, i);
	json_decref(read_line(reader));

	for (int round = 0; round < 20; round++) {
		ask(reader,
			"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"shout\",\"params\":{"
			"\"n\":100}}\n");
		for (int i = 0; i < 100; i++)
			expect_event(reader, i);
		json_decref(read_line(reader));
	}
	/* 2 MB later the lazy one gets what was in the socket, and then the end. */
	while (read(lazy, &byte, 1) == 1)
		;
	close(lazy);
	close(reader);
	/* Nobody is left to tell, and nobody minds. */
	ask(other, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"shout\",\"params\":{\"n\":3}}\n");
	json_decref(read_line(other));
	close(other);
	assert_int_equal(rpc_server_subscribe(s->s), -ENOTCONN);
}

struct peer {
	int fd;
	const char *text;
};

/* Reads one request, writes a text, closes. $ID in the text stands for the request's id. */
static void *peer_run(void *arg)
{
	struct peer *p = arg;
	char buf[1000], out[2000];
	ssize_t n = read(p->fd, buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = '\0';
	json_t *req = json_loads(buf, 0, NULL);
	const char *id = strstr(p->text, "$ID");
	snprintf(out, sizeof(out), "%.*s%lld%s", (int)(id - p->text), p->text,
		(long long)json_integer_value(json_object_get(req, "id")), id + 3);
	json_decref(req);
	fd_write_full(p->fd, out, strlen(out));
	close(p->fd);
	return NULL;
}

static json_t *call_peer(const char *text, struct err *e)
{
	int sv[2];
	pthread_t t;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	struct peer p = { sv[1], text };
	pthread_create(&t, NULL, peer_run, &p);
	struct rpc *r = rpc_from_fd(sv[0]);
	json_t *v = rpc_call(r, "x", NULL, 2000, e);
	pthread_join(t, NULL);
	rpc_close(r);
	return v;
}

static void test_client(void **state)
{
	struct err e = { 0 };

	/* Noise, somebody else's reply, then ours. */
	json_t *v = call_peer("hello\n{\"id\":-4,\"result\":1}\n{\"id\":$ID,\"result\":2}\n", &e);
	assert_int_equal(json_integer_value(v), 2);
	json_decref(v);
	assert_null(call_peer("{\"id\":$ID}\n", &e));
	assert_int_equal(e.code, -EPROTO);
	assert_null(call_peer("{\"id\":$ID,\"result\":", &e));
	assert_int_equal(e.code, -EPIPE);
	assert_null(call_peer("{\"id\":$ID,\"error\":{\"code\":-32000}}\n", &e));
	assert_int_equal(e.code, -EREMOTEIO);

	int sv[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	struct rpc *r = rpc_from_fd(sv[0]);
	assert_null(rpc_call(r, "x", NULL, 50, &e));
	assert_int_equal(e.code, -ETIMEDOUT);
	assert_string_equal(e.text, "peer: no answer to \"x\" within 50 ms");
	rpc_close(r);
	close(sv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_not_requests),
		cmocka_unit_test_setup_teardown(test_socket, serve_start, serve_stop),
		cmocka_unit_test_setup_teardown(test_bad_clients, serve_start, serve_stop),
		cmocka_unit_test_setup_teardown(test_notifications, serve_start, serve_stop),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
