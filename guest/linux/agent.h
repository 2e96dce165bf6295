/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of a Linux guest: answers JSON-RPC, a line each, on one channel (docs/control.md, "The
 * agent channel"). What it can do are the rows of agent_methods. It answers one request at a time;
 * while it waits for a command's output it goes on at once when the next request comes.
 *
 * One process; one thread, and another for the traffic engine once that is asked for
 * (traffic.h). Commands are its children. SIGTERM ends it when all of them have ended;
 * outside of a guest at once, with them.
 */
#ifndef LANYARD_GUEST_LINUX_AGENT_H
#define LANYARD_GUEST_LINUX_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "base/err.h"
#include "guest/linux/exec.h"
#include "guest/linux/traffic.h"

#define AGENT_LINE_MAX  65536 /* bytes, to the guest, without the newline */
#define AGENT_REPLY_MAX 65536 /* from it, with the newline */

enum agent_stop { AGENT_STOP_NONE, AGENT_STOP_POWEROFF, AGENT_STOP_REBOOT };

struct agent {
	int fd;
	const json_t *config; /* the guest's, or NULL */
	const char *root;     /* "none", "host", "disk" */
	json_t *problems;     /* sentences: what could not be set up; or NULL */
	struct execs execs;
	struct traffic *traffic; /* NULL: nobody has asked for any yet */
	/* Ends the guest; called when the reply has left. NULL: this agent is in no guest. */
	void (*stop)(enum agent_stop how);
	enum agent_stop stopping;
	char line[AGENT_LINE_MAX + 1];
	size_t len;
	bool skip;  /* the rest of a line that was too long */
	bool more;  /* the next request is here already */
	bool began; /* a request was understood: noise before it gets no answer */
};

/* Opens a terminal and makes it raw: bytes pass unchanged and nothing is echoed. Returns the fd. */
int agent_open(const char *path, struct err *e);

/* fd: taken. The rest of *a is the caller's, zeroes but for what is set before. */
int agent_init(struct agent *a, int fd, struct err *e);

/* Serves until the channel ends or SIGTERM (0), or it fails (-errno). */
int agent_run(struct agent *a, struct err *e);
void agent_free(struct agent *a);

#endif
