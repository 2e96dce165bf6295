/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in Linux guests, by the agents that a bench talks to anyway (lab/exec.h is for whoever
 * does not). What a command writes is kept. One thread, the command's.
 */
#ifndef LANYARD_LAB_BENCH_GUEST_H
#define LANYARD_LAB_BENCH_GUEST_H

#include "lab/bench_env.h"
#include "lab/exec.h"

struct guest_command {
	struct bench_env *env;
	size_t node;
	json_int_t id;               /* 0: none runs */
	struct exec_output out, err; /* what it wrote so far */
	int status, signal;          /* once it has ended */
};

/* argv: stolen. -ENOENT (ERR_REQUEST): the guest has no such program. To be ended with
 * guest_command_end. */
int guest_command_start(
	struct guest_command *c, struct bench_env *env, size_t node, json_t *argv, struct err *e);

/* Waits in the guest for up to wait_ms. 1: it has ended; 0; -errno. */
int guest_command_poll(struct guest_command *c, int wait_ms, struct err *e);

/* Kills it if it runs, frees what it wrote. */
void guest_command_end(struct guest_command *c);

#endif
