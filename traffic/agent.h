/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: one line of JSON-RPC in, one line out (docs/control.md, "The agent channel"). Pure:
 * it knows the engine and a few functions of the machine, not how lines travel. One thread, the
 * probe's main loop. Host tests link it as it is.
 */
#ifndef LANYARD_TRAFFIC_AGENT_H
#define LANYARD_TRAFFIC_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ether.h"
#include "traffic/counters.h"
#include "traffic/engine.h"
#include "traffic/json.h"

#define AGENT_LINE_MAX  8192  /* to the guest, without the newline */
#define AGENT_REPLY_MAX 65536 /* from it, with the newline */
#define AGENT_TOKENS    1024

struct agent_nic {
	struct ether_mac mac;
	uint32_t mtu, queues;
	bool link;
	uint64_t features;
	uint64_t notifications_sent, interrupts;
};

struct agent_ops {
	uint32_t (*n_nics)(void *ctx);
	void (*nic)(void *ctx, uint32_t i, struct agent_nic *out);
	uint64_t (*halts)(void *ctx);
	/* NULL: there is no system beneath. Takes its time: called only for who asks for it. */
	void (*counters)(void *ctx, uint32_t i, struct nic_counters *out);
};

struct agent {
	const struct agent_ops *ops;
	void *ctx;
	struct traffic_engine *engine; /* port i is NIC i */
	const char *guest;             /* what `hello` says that it is */
	bool shutdown;                 /* the reply is to be sent, then the machine powered off */
	struct json_tok tok[AGENT_TOKENS];
	char field[64]; /* of the error at hand */
};

/*
 * Answers one line of len bytes (no newline) into reply, newline included. Returns the reply's
 * length; 0 for a notification, which is carried out but not answered.
 */
size_t agent_handle(struct agent *a, const char *line, size_t len, char *reply, size_t cap);

/* The answer to a line that was longer than AGENT_LINE_MAX and was thrown away. */
size_t agent_line_too_long(char *reply, size_t cap);

#endif
