/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_guest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

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

static int keep(const json_t *reply, const char *key, struct exec_output *o, struct err *e)
{
	ssize_t n = exec_output_add(o, reply, key, KEEP_MAX);

	if (n == -EPROTO)
		return err_set(e, -EPROTO, "the agent sent no base 64");
	return n < 0 ? err_set(e, (int)n, "the command wrote more than %u MiB", KEEP_MAX >> 20) : 0;
}

int guest_command_poll(struct guest_command *c, int wait_ms, struct err *e)
{
	json_t *reply =
		call(c, "exec_poll", json_pack("{s:I, s:i}", "id", c->id, "wait_ms", wait_ms), e);
	int rc;

	if (!reply)
		return -EIO;
	rc = keep(reply, "out", &c->out, e);
	if (!rc)
		rc = keep(reply, "err", &c->err, e);
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
	free(c->out.bytes);
	free(c->err.bytes);
	*c = (struct guest_command){ 0 };
}
