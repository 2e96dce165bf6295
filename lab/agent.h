/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent channel of a guest, which has one client at a time, taken and given back: a client
 * that needs it for long lets go of it every now and then, so that several get on at once. Whoever
 * finds it taken tries again until a deadline.
 */
#ifndef LANYARD_LAB_AGENT_H
#define LANYARD_LAB_AGENT_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rpc.h"
#include "lab/lab.h"

struct agent {
	char path[LAB_PATH_MAX];         /* of the socket */
	char who[2 * TOPO_NAME_MAX + 2]; /* "LAB/NODE", for messages */
	struct rpc *rpc;                 /* NULL: not held */
	uint64_t since_ns;               /* held since */
	double take_s;                   /* how long to wait for others to let go; 30 */
};

void agent_init(struct agent *a, const struct lab *l, const char *node);
void agent_release(struct agent *a);

/*
 * One call; params: stolen. The channel is taken if it isn't held, which waits for take_s at most
 * (-EBUSY then), and is held for 0.1 s. -ETIMEDOUT: the guest doesn't answer.
 */
json_t *agent_call(
	struct agent *a, const char *method, json_t *params, int timeout_ms, struct err *e);

#endif
