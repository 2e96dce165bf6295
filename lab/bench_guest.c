/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_guest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "lab/strs.h"

#define KEEP_MAX (16u << 20) /* bytes of each stream */

/* params: stolen. */
static json_t *call(
	const struct guest_command *c, const char *method, json_t *params, struct err *e)
{
	json_t *reply = rpc_call(c->env->agent[c->node], method, params, BENCH_CALL_TIMEOUT_MS, e);

	if (!reply)
		err_prefix(e, "guest %s", c->env->t->nodes[c->node].name);
	return reply;
}

int guest_command_start(
	struct guest_command *c, struct bench_env *env, size_t node, json_t *argv, struct err *e)
{
	struct err why = { 0 };
	json_t *reply;

	*c = (struct guest_command){ .env = env, .node = node };
	reply = call(
		c, "exec", json_pack("{s:o, s:{}, s:s}", "argv", argv, "env", "cwd", "/"), &why);
	if (!reply) {
		if (e)
			*e = why;
		return why.code ? why.code : -EIO;
	}
	c->id = json_integer_value(json_object_get(reply, "id"));
	json_decref(reply);
	return 0;
}

static int keep(const json_t *reply, const char *key, char **out, size_t *n, struct err *e)
{
	const char *text = json_string_value(json_object_get(reply, key));
	size_t len = text ? strlen(text) : 0;
	ssize_t got;

	*out = lab_realloc(*out, *n + len + 4, 1);
	got = base64_decode(text ? text : "", len, (uint8_t *)*out + *n);
	if (got < 0)
		return err_set(e, -EPROTO, "the agent sent no base 64");
	*n += (size_t)got;
	(*out)[*n] = '\0';
	return *n > KEEP_MAX
		? err_set(e, -EFBIG, "the command wrote more than %u MiB", KEEP_MAX >> 20)
		: 0;
}

int guest_command_poll(struct guest_command *c, int wait_ms, struct err *e)
{
	json_t *reply =
		call(c, "exec_poll", json_pack("{s:I, s:i}", "id", c->id, "wait_ms", wait_ms), e);
	int rc;

	if (!reply)
		return -EIO;
	rc = keep(reply, "out", &c->out, &c->n_out, e);
	if (!rc)
		rc = keep(reply, "err", &c->err, &c->n_err, e);
	if (!rc && json_is_true(json_object_get(reply, "ended"))) {
		c->status = (int)json_integer_value(json_object_get(reply, "status"));
		c->signal = (int)json_integer_value(json_object_get(reply, "signal"));
		c->id = 0;
		rc = 1;
	}
	json_decref(reply);
	return rc;
}

void guest_command_end(struct guest_command *c)
{
	if (c->id) {
		json_decref(call(c, "exec_kill",
			json_pack("{s:I, s:i}", "id", c->id, "signal", SIGKILL), NULL));
		/* Its id is gone once its end was told. */
		guest_command_poll(c, 1000, NULL);
	}
	free(c->out);
	free(c->err);
	*c = (struct guest_command){ 0 };
}
