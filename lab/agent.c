/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/agent.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "lab/daemon.h"

#define TAKE_S     30 /* for others to let go */
#define CONNECT_MS 1000
#define HOLD_MS    100
#define GAP_NS     (5 * NS_PER_MS) /* in which another can take it */
#define RETRY_NS   (1 * NS_PER_MS)

void agent_init(struct agent *a, const struct lab *l, const char *node)
{
	*a = (struct agent){ .take_s = TAKE_S };
	lab_file(l, a->path, "%s.agent", node);
	snprintf(a->who, sizeof a->who, "%s/%s", l->name, node);
}

void agent_release(struct agent *a)
{
	rpc_close(a->rpc);
	a->rpc = NULL;
}

/* Held by another, as the VMM says it; or closed by it before we had read that. */
static bool is_taken(int code)
{
	return code == -EBUSY || code == -EPIPE;
}

static int connect_to(struct agent *a, struct err *e)
{
	if (a->rpc && clock_now_ns() - a->since_ns > HOLD_MS * NS_PER_MS) {
		agent_release(a);
		clock_sleep_ns(GAP_NS);
	}
	if (a->rpc)
		return 0;
	a->rpc = rpc_connect(a->path, daemon_ms(CONNECT_MS), e);
	a->since_ns = clock_now_ns();
	if (!a->rpc)
		err_prefix(e, "the agent of %s (lanyard status says how it is)", a->who);
	return a->rpc ? 0 : e->code;
}

json_t *agent_call(
	struct agent *a, const char *method, json_t *params, int timeout_ms, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)(a->take_s * (double)NS_PER_S);
	json_t *result = NULL;

	for (;;) {
		*e = (struct err){ 0 };
		if (connect_to(a, e))
			break;
		result = rpc_call(a->rpc, method, json_incref(params), timeout_ms, e);
		if (result)
			break;
		agent_release(a);
		if (!is_taken(e->code))
			break;
		if (clock_now_ns() > deadline) {
			err_set(e, -EBUSY,
				"the agent channel of %s is in use: it has one client at a time, and "
				"another (a `lanyard bench`?) has had it for %g s",
				a->who, a->take_s);
			break;
		}
		clock_sleep_ns(RETRY_NS);
	}
	json_decref(params);
	return result;
}
