/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first word from a guest's agent. `hello` is asked again and again, since what is asked before
 * the guest listens may be lost, and the answer to any of the questions will do: a guest so slow
 * that each answer comes after the next question would else never be heard.
 */
#ifndef LANYARD_LAB_HELLO_H
#define LANYARD_LAB_HELLO_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct hello {
	const char *path; /* of the agent's socket */
	int fd;           /* -1: not connected */
	uint64_t first_id, n_asked;
	uint64_t next_ns, wait_ns; /* when to ask again, and how long after that */
	char line[65536];
	size_t len;
};

void hello_init(struct hello *h, const char *path);
void hello_free(struct hello *h);

/* Asks if it is time to, and reads what has come; never waits. The agent's answer (a new
 * reference), or NULL. */
json_t *hello_step(struct hello *h, uint64_t now_ns);

#endif
