/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that run in a guest: started, fed, read from, ended. Each is the leader of a session of
 * its own, so that all it starts can be signalled at once, and has pipes for its three streams.
 *
 * Output is kept until it is taken. A stream of which EXEC_BUFFER bytes wait is not read from, so
 * that the command waits in its write; nothing is lost. What a command's own children write after
 * its end is thrown away, so that a daemon that it left behind lives on.
 *
 * One thread: the agent's. No call blocks but execs_step.
 */
#ifndef LANYARD_GUEST_LINUX_EXEC_H
#define LANYARD_GUEST_LINUX_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define EXEC_MAX    64          /* commands at a time */
#define EXEC_BUFFER (64u << 10) /* of each stream */

enum { EXEC_IN, EXEC_OUT, EXEC_ERR, EXEC_STREAMS };

struct exec_stream {
	int fd; /* -1: closed */
	uint8_t *bytes;
	size_t len;
	bool eof; /* input: close it when all is written */
};

struct exec {
	int id; /* 0: the slot is free */
	pid_t pid;
	bool reaped, forgotten; /* forgotten: told, its pipes are held by others */
	int status;             /* as of waitpid(2) */
	struct exec_stream streams[EXEC_STREAMS];
};

struct execs {
	struct exec slots[EXEC_MAX];
	int last_id;
	int signal_fd; /* of SIGCHLD and SIGTERM, which are blocked */
	bool ending;   /* SIGTERM came: what commands write is thrown away from now on */
};

struct exec_command {
	char *const *argv; /* NULL-terminated, at least one */
	char *const *env;  /* NULL-terminated, all of it */
	const char *cwd;
};

/* Blocks SIGCHLD, SIGTERM and SIGPIPE for the process. */
int execs_init(struct execs *x, struct err *e);
/* Kills what still runs, with SIGKILL. */
void execs_free(struct execs *x);

/* Returns the new command's id, > 0; ERR_REQUEST with what can't be run and why; -EAGAIN: EXEC_MAX
 * run. */
int execs_start(struct execs *x, const struct exec_command *c, struct err *e);

/* NULL and *e: no command has this id (or not any more). */
struct exec *execs_find(struct execs *x, int id, struct err *e);

/* Bytes of `len` that were taken for its standard input, 0 if it reads too slowly; eof: no more
 * comes after them. -EPIPE: it reads no more. */
ssize_t exec_write(struct exec *c, const void *buf, size_t len, bool eof, struct err *e);

/* Takes up to len bytes of EXEC_OUT or EXEC_ERR. */
size_t exec_take(struct exec *c, int stream, void *buf, size_t len);

/* To the command and all in its session's group. -ESRCH: it has ended. */
int exec_signal(struct exec *c, int signo, struct err *e);

/* It has ended, and all that it wrote was taken. */
bool exec_done(const struct exec *c);
/* Something can be taken, or it is done. */
bool exec_ready(const struct exec *c);

/* The id is free after this, and what it still writes is thrown away. */
void exec_forget(struct exec *c);

/* One or more have not ended. */
bool execs_running(const struct execs *x);

/* Moves bytes and collects ended commands; waits for that for timeout_ms (-1: for ever), or until
 * watch_fd (-1: none) can be read. Returns whether it can. */
bool execs_step(struct execs *x, int watch_fd, int timeout_ms);

#endif
