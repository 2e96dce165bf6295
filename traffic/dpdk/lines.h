/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A UNIX socket that takes lines and answers each with one, for one client at a time: the agent
 * channel of a node that has no guest. A second client is told so and closed, as at a VM's.
 * Runs on the loop's thread.
 */
#ifndef LANYARD_TRAFFIC_DPDK_LINES_H
#define LANYARD_TRAFFIC_DPDK_LINES_H

#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"

struct lines_ops {
	size_t line_max; /* bytes, without the newline */
	/* Answers a line (NULL: one that was too long, and is lost); *reply is the callee's, valid
	 * until the next call. Returns its length, 0: none. */
	size_t (*line)(void *ctx, const char *line, size_t len, const char **reply);
	const char *busy; /* to a second client */
};

struct lines;

/* ops must outlive it. NULL with *e. lines_free unlinks the socket's file. */
struct lines *lines_new(
	struct loop *l, const char *path, const struct lines_ops *ops, void *ctx, struct err *e);
void lines_free(struct lines *s);

#endif
