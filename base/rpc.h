/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC 2.0, one object a line, over a UNIX stream socket (mode 0600). The only client and the
 * only server of the project. Batches (arrays) are refused with Invalid Request.
 *
 * An error reply's "error" object is {"code": int, "message": sentence, "data": {"field": ...,
 * "class": 1..4, "errno": n}}; the client turns it back into the struct err that made it.
 */
#ifndef LANYARD_BASE_RPC_H
#define LANYARD_BASE_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "base/err.h"
#include "base/loop.h"

/* Codes of JSON-RPC 2.0, section 5.1; ours are -32000 (see data). */
#define RPC_PARSE_ERROR      -32700
#define RPC_INVALID_REQUEST  -32600
#define RPC_METHOD_NOT_FOUND -32601
#define RPC_INVALID_PARAMS   -32602
#define RPC_INTERNAL_ERROR   -32603
#define RPC_FAILED           -32000

#define RPC_LINE_MAX   (8u << 20)   /* bytes in a request or reply */
#define RPC_UNREAD_MAX (256u << 10) /* bytes of notifications that a client may leave unread */

/* The type of a parameter that its method looks at itself: anything, null included. */
#define RPC_ANY JSON_NULL

/* Parameters are data: each method lists its own, and they are checked before the handler runs.
 * An unknown key is an error. Ends with a zero name. */
struct rpc_param {
	const char *name;
	json_type type; /* JSON_INTEGER also stands for a bound check min..max when max > min;
	                 * JSON_TRUE stands for a boolean */
	bool required;
	json_int_t min, max;
};

/* Returns 0 with *result set (a new reference; NULL means null), or -errno with *e filled. Runs
 * on the loop's thread; params is an object (empty if the request had none) and borrowed. */
typedef int (*rpc_fn)(void *ctx, const json_t *params, json_t **result, struct err *e);

struct rpc_method {
	const char *name;
	rpc_fn fn;
	const struct rpc_param *params; /* NULL: none taken */
};

struct rpc_server;

/* Listens at path (see fd_unix_listen). methods ends with a zero name and must outlive the
 * server. The socket file is unlinked by rpc_server_free. */
struct rpc_server *rpc_server_new(struct loop *l, const char *path,
	const struct rpc_method *methods, void *ctx, struct err *e);
void rpc_server_free(struct rpc_server *s);

/*
 * A stream of notifications. A method calls rpc_server_subscribe to have its caller get them, from
 * its reply on and until the connection ends; -ENOTCONN outside of a method. rpc_server_notify
 * sends one to each of them, and takes params. It never waits: a client that leaves more than
 * RPC_UNREAD_MAX bytes unread loses its connection. Loop's thread.
 */
int rpc_server_subscribe(struct rpc_server *s);
void rpc_server_notify(struct rpc_server *s, const char *method, json_t *params);

/* One request text (len bytes, no newline) to its reply text, malloc'd, or NULL for a
 * notification. Pure but for the handler: what tests and fuzzers call. */
char *rpc_serve_text(const struct rpc_method *methods, void *ctx, const char *text, size_t len);

/* An error's reply text, malloc'd; id NULL: null. NULL: no memory. */
char *rpc_error_text(const json_t *id, int code, const struct err *e);

/* The client: blocking calls with a deadline. Ids start at a random number and replies with other
 * ids are passed over, so that a late reply to an earlier, dead caller is never taken for ours
 * (the agent channel is one byte stream for all callers, one after the other). */
struct rpc;

struct rpc *rpc_connect(const char *path, int timeout_ms, struct err *e);
struct rpc *rpc_from_fd(int fd); /* takes the fd */
void rpc_close(struct rpc *r);
/* params: stolen (may be NULL). Returns a new reference to the result, or NULL with *e.
 * -ETIMEDOUT: no reply in time; -EPIPE: the peer went away. */
json_t *rpc_call(struct rpc *r, const char *method, json_t *params, int timeout_ms, struct err *e);

#endif
