/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the agent: a request being answered, and what its parts share. */
#ifndef LANYARD_TRAFFIC_AGENT_CALL_H
#define LANYARD_TRAFFIC_AGENT_CALL_H

#include "traffic/agent.h"

#define RPC_PARSE_ERROR      (-32700)
#define RPC_INVALID_REQUEST  (-32600)
#define RPC_METHOD_NOT_FOUND (-32601)
#define RPC_INVALID_PARAMS   (-32602)
#define RPC_FAILED           (-32000)

#define CLASS_FAILED  1 /* enum err_class of base/err.h, which is not freestanding */
#define CLASS_REQUEST 2
#define ERRNO_EINVAL  22
#define ERRNO_E2BIG   7

/* One request being answered. */
struct call {
	struct agent *a;
	struct json_doc doc;
	struct json_out out;
	int params;     /* token of the params object, or -1 */
	const char *id; /* the id as it was written, or "null" */
	size_t id_len;
};

struct failure {
	int code, class, err;
	const char *text;
};

/* A method returns NULL and has put its result, or says what is wrong (and a->field where). */
typedef const struct failure *(*method_fn)(struct call *c);

/* agent.c */
void agent_copy_text(char *out, size_t size, const char *s); /* cut to fit */
void agent_set_field(struct agent *a, const char *field);
const struct failure *agent_invalid(struct failure *f, const char *text);
/* Every key of object `obj` must be one of `known` (ends with NULL); else names it in a->field. */
bool agent_keys_known(struct call *c, int obj, const char *const *known);
extern const struct failure agent_unknown_key;

/* agent_flows.c */
const struct failure *agent_traffic_start(struct call *c);

#endif
