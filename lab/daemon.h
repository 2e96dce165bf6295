/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and stopping of the daemons. They are detached (a session of their own, no terminal,
 * output to a log) and outlive us; what identifies them is pid and start time, and once opened a
 * pidfd.
 */
#ifndef LANYARD_LAB_DAEMON_H
#define LANYARD_LAB_DAEMON_H

#include <stddef.h>

#include "base/err.h"
#include "base/proc.h"
#include "lab/strs.h"

/* A deadline, in ms, as patient as LANYARD_PATIENCE says: how many times slower than usual this
 * host is (1 unless it is set; an emulated one is ten times slower). */
int daemon_ms(int ms);

/* argv[0] is the program's path. Output is appended to log. *pidfd is the caller's. */
int daemon_start(
	char *const argv[], const char *log, struct proc_id *id, int *pidfd, struct err *e);

/* A pidfd of that very process, or -ESRCH. */
int daemon_open(struct proc_id id);

/*
 * Ends the process: asks (JSON-RPC `method` on `control`; NULL: not), then SIGTERM, then SIGKILL,
 * each with a deadline; forced (NULL or a word such as "SIGKILL") tells what it took. No such
 * process is success. -ETIMEDOUT: it lives even so.
 */
int daemon_stop(struct proc_id id, const char *control, const char *method, const char **forced,
	struct err *e);

/* The process that was started with `--control control`, or as another's program is told its
 * socket, as after a crash before its pid was
 * written down. -ESRCH if there is none. */
int daemon_find(const char *control, struct proc_id *id);

/* All our daemons with a `--control` inside folder dir; calls fn for each. */
void daemon_each(
	const char *dir, void (*fn)(struct proc_id id, const char *control, void *arg), void *arg);

/* "was killed by SIGKILL", "ended with status 1" if it was our child, else "ended"; to out.
 * Returns the status, or -1 if it was another end or isn't known. */
int daemon_fate(int pidfd, char *out, size_t size);

/* The last n lines of the log that aren't empty. */
void daemon_log_tail(const char *log, size_t n, struct strs *out);

/* What a log line says: without time and level. */
const char *daemon_log_text(const char *line);

/* Why the daemon ended, if the line is its last word ("ended: ...", docs/control.md); or NULL. */
const char *daemon_last_word(const char *line);

#endif
