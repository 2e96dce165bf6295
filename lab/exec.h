/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command run in a guest by its agent: input there, output and error back, its end. Blocking, one
 * thread; SIGINT, SIGTERM and SIGHUP meanwhile go to the command.
 */
#ifndef LANYARD_LAB_EXEC_H
#define LANYARD_LAB_EXEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "lab/lab.h"

struct exec_request {
	const struct lab *lab;
	const char *node;
	json_t *argv; /* a list of strings */
	json_t *env;  /* an object of strings */
	const char *cwd;
	double timeout_s; /* 0: none */
	double wait_s;    /* for the channel, if another has it; 0: the usual */
	bool keep;        /* output is kept, not passed on */
};

struct exec_output {
	char *bytes; /* NUL behind them; NULL: none yet */
	size_t len;
};

/* Adds what an agent's reply has in base 64 at that key; o->bytes is to be freed. How many bytes;
 * -EPROTO: it is no base 64; -EFBIG: they would be more than max. */
ssize_t exec_output_add(struct exec_output *o, const json_t *reply, const char *key, size_t max);

struct exec_result {
	int status; /* of the command, if no signal ended it */
	int signal; /* or 0 */
	bool timed_out;
	struct exec_output out, err; /* if kept */
};

/* 0: the command ran, and *r says how it ended. Else *e: -ENOENT, -EACCES (ERR_REQUEST): the guest
 * can't run it; others: it could not be asked, or was lost sight of. */
int exec_run(const struct exec_request *q, struct exec_result *r, struct err *e);
void exec_result_free(struct exec_result *r);

#endif
