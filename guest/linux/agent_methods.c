/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/agent_methods.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "guest/linux/agent.h"
#include "base/base64.h"
#include "guest/linux/nics.h"

#define WAIT_MS_MAX 1000
#define ARGS_MAX    1024
/* Of each stream in one reply: with both full, base 64 and the rest, it fits AGENT_REPLY_MAX. */
#define TAKE_MAX (23u << 10)
static_assert(2 * ((TAKE_MAX + 2) / 3 * 4) + 1024 < AGENT_REPLY_MAX, "a poll's reply is one line");

/* What a command finds in its environment unless it is told otherwise. */
static const char *const env_defaults[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LANG=C.UTF-8",
	"TERM=dumb",
	"USER=root",
};
#define N_DEFAULTS (sizeof(env_defaults) / sizeof(env_defaults[0]))

static int hello(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct agent *a = ctx;
	struct utsname u;

	uname(&u);
	*result = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:O*, s:o, s:o}", "guest", "linux",
		"version", LANYARD_VERSION, "kernel", u.release, "hostname", u.nodename, "root",
		a->root, "tsc", (json_int_t)__rdtsc(), "tsc_hz",
		json_object_get(a->config, "tsc_hz"), "nics", nics_describe(a->config), "problems",
		a->problems ? json_incref(a->problems) : json_array());
	return *result ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* A vector of strings, NULL-terminated, each the caller's to free; see strings_free. */
static void strings_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

static char **argv_of(const json_t *list, struct err *e)
{
	size_t n = json_array_size(list);
	char **v;

	if (!n || n > ARGS_MAX) {
		err_request_at(e, -EINVAL, "argv",
			"exec: \"argv\" must have 1 to %d strings, the program first; it has %zu",
			ARGS_MAX, n);
		return NULL;
	}
	v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || (i == 0 && !*s)) {
			err_request_at(e, -EINVAL, "argv", "exec: argv[%zu] is %s", i,
				s ? "empty: a program is expected" : "no string");
			strings_free(v);
			return NULL;
		}
		v[i] = strdup(s);
		if (!v[i])
			break;
	}
	if (!v || !v[n - 1]) {
		strings_free(v);
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	return v;
}

/* The defaults, less what `set` names, and what it says. */
static char **env_of(const json_t *set, struct err *e)
{
	char **v = calloc(N_DEFAULTS + json_object_size(set) + 1, sizeof(*v));
	const char *key;
	json_t *value;
	size_t n = 0;

	for (size_t i = 0; v && i < N_DEFAULTS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(env_defaults[i], "="),
			env_defaults[i]);
		if (!json_object_get(set, name) && !(v[n++] = strdup(env_defaults[i])))
			goto no_memory;
	}
	json_object_foreach ((json_t *)set, key, value) {
		if (!v)
			break;
		if (!json_is_string(value) || !*key || strchr(key, '=')) {
			err_request_at(e, -EINVAL, "env",
				"exec: env \"%.100s\": expected a name without \"=\", and a string",
				key);
			strings_free(v);
			return NULL;
		}
		if (asprintf(&v[n], "%s=%s", key, json_string_value(value)) < 0) {
			v[n] = NULL;
			goto no_memory;
		}
		n++;
	}
	if (v)
		return v;
no_memory:
	strings_free(v);
	err_set(e, -ENOMEM, "out of memory");
	return NULL;
}

static int run(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct agent *a = ctx;
	const char *cwd = json_string_value(json_object_get(params, "cwd"));
	int id = -ENOMEM;

	char **argv = argv_of(json_object_get(params, "argv"), e);
	char **env = argv ? env_of(json_object_get(params, "env"), e) : NULL;
	if (env)
		id = execs_start(
			&a->execs, &(struct exec_command){ argv, env, cwd ? cwd : "/" }, e);
	strings_free(argv);
	strings_free(env);
	if (id < 0)
		return e->code;
	*result = json_pack("{s:i}", "id", id);
	return 0;
}

static struct exec *command_of(struct agent *a, const json_t *params, struct err *e)
{
	json_int_t id = json_integer_value(json_object_get(params, "id"));

	return execs_find(&a->execs, (int)id, e);
}

static json_t *take(struct exec *c, int stream)
{
	static char text[(TAKE_MAX + 2) / 3 * 4 + 1];
	static uint8_t bytes[TAKE_MAX];
	size_t n = exec_take(c, stream, bytes, sizeof(bytes));

	base64_encode(bytes, n, text);
	return json_string(text);
}

static int run_poll(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct agent *a = ctx;
	json_int_t wait_ms = json_integer_value(json_object_get(params, "wait_ms"));
	uint64_t deadline = clock_now_ns() + (uint64_t)wait_ms * NS_PER_MS;
	struct exec *c = command_of(a, params, e);

	if (!c)
		return e->code;
	execs_step(&a->execs, -1, 0);
	while (!a->more && !exec_ready(c)) {
		uint64_t now = clock_now_ns();

		if (now >= deadline ||
			execs_step(&a->execs, a->fd,
				(int)((deadline - now + NS_PER_MS - 1) / NS_PER_MS)))
			break;
	}
	json_t *out = take(c, EXEC_OUT), *err = take(c, EXEC_ERR);
	bool done = exec_done(c);
	bool killed = done && WIFSIGNALED(c->status);

	*result = json_pack("{s:o, s:o, s:b, s:o, s:o}", "out", out, "err", err, "ended", done,
		"status", done && !killed ? json_integer(WEXITSTATUS(c->status)) : json_null(),
		"signal", killed ? json_integer(WTERMSIG(c->status)) : json_null());
	if (!*result)
		return err_set(e, -ENOMEM, "out of memory");
	if (done)
		exec_forget(c);
	return 0;
}

static int run_write(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct agent *a = ctx;
	const char *data = json_string_value(json_object_get(params, "data"));
	struct exec *c = command_of(a, params, e);
	size_t len = data ? strlen(data) : 0;
	ssize_t n = -ENOMEM;

	if (!c)
		return e->code;
	uint8_t *bytes = malloc(len + 3);
	if (!bytes)
		return err_set(e, -ENOMEM, "out of memory");
	n = base64_decode(data ? data : "", len, bytes);
	if (n < 0)
		n = err_request_at(e, -EINVAL, "data", "exec_write: \"data\" is no base 64");
	else
		n = exec_write(
			c, bytes, (size_t)n, json_is_true(json_object_get(params, "eof")), e);
	free(bytes);
	if (n < 0)
		return (int)n;
	*result = json_pack("{s:I}", "taken", (json_int_t)n);
	return 0;
}

static int run_kill(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct agent *a = ctx;
	struct exec *c = command_of(a, params, e);

	if (!c)
		return e->code;
	execs_step(&a->execs, -1, 0); /* it may have ended by now */
	*result = json_object();
	return exec_signal(c, (int)json_integer_value(json_object_get(params, "signal")), e);
}

static int stop(struct agent *a, enum agent_stop how, json_t **result, struct err *e)
{
	if (!a->stop)
		return err_request(
			e, -EOPNOTSUPP, "this agent is in no guest of its own: it can't stop one");
	a->stopping = how;
	*result = json_object();
	return 0;
}

static int stop_guest(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	const char *how = json_string_value(json_object_get(params, "how"));

	if (!how || !strcmp(how, "poweroff"))
		return stop(ctx, AGENT_STOP_POWEROFF, result, e);
	if (!strcmp(how, "reboot"))
		return stop(ctx, AGENT_STOP_REBOOT, result, e);
	return err_request_at(e, -EINVAL, "how",
		"stop_guest: \"how\" is \"%.100s\"; expected \"poweroff\" or \"reboot\"", how);
}

/* As of every guest's agent. */
static int shut_down(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return stop(ctx, AGENT_STOP_POWEROFF, result, e);
}

#define ID                                             \
	{                                              \
		"id", JSON_INTEGER, true, 1, INT32_MAX \
	}

static const struct rpc_param run_params[] = { { "argv", JSON_ARRAY, true }, { "env", JSON_OBJECT },
	{ "cwd", JSON_STRING }, { 0 } };
static const struct rpc_param poll_params[] = { ID,
	{ "wait_ms", JSON_INTEGER, false, 0, WAIT_MS_MAX }, { 0 } };
static const struct rpc_param write_params[] = { ID, { "data", JSON_STRING }, { "eof", JSON_TRUE },
	{ 0 } };
static const struct rpc_param kill_params[] = { ID, { "signal", JSON_INTEGER, true, 1, 64 },
	{ 0 } };
static const struct rpc_param stop_params[] = { { "how", JSON_STRING }, { 0 } };

const struct rpc_method agent_methods[] = {
	{ "hello", hello, NULL },
	{ "exec", run, run_params },
	{ "exec_poll", run_poll, poll_params },
	{ "exec_write", run_write, write_params },
	{ "exec_kill", run_kill, kill_params },
	{ "stop_guest", stop_guest, stop_params },
	{ "shutdown", shut_down, NULL },
	{ 0 },
};
