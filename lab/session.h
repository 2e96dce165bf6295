/* SPDX-License-Identifier: Apache-2.0 */
/* What lab_up and lab_down hold while they work: the folder's lock, the progress lines, signals
 * taken by a signalfd. */
#ifndef LANYARD_LAB_SESSION_H
#define LANYARD_LAB_SESSION_H

#include <signal.h>

#include "lab/carry.h"
#include "lab/host.h"
#include "lab/lab.h"
#include "lab/paths.h"

struct session {
	struct paths paths;
	struct host host;
	struct folder folder;
	struct progress progress;
	struct strs foreign;
	struct carry carry;
	sigset_t old_mask;
	struct sigaction old_pipe;
};

/* Blocks SIGINT, SIGTERM and SIGHUP; with `interruptible` they end the work in carry_pause, else
 * they wait until session_end. */
int session_begin(struct session *s, const struct lab_opts *o, bool interruptible, struct err *e);
void session_end(struct session *s);

#endif
