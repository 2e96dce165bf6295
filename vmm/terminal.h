/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that lanyard-vmm was started from, as a guest's console. It is made raw, so that
 * every key reaches the guest, and is put back as it was at the end: by terminal_close, or, when
 * the process is killed or crashes, by a small process that waits for just that. Output keeps its
 * newlines translated, so that our own log lines look right.
 *
 * Ctrl-A is ours: Ctrl-A X ends the machine, Ctrl-A Ctrl-A is one Ctrl-A. Where standard input is
 * no terminal, every byte is the guest's.
 */
#ifndef LANYARD_VMM_TERMINAL_H
#define LANYARD_VMM_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include "base/err.h"

struct terminal {
	int in, out;  /* non-blocking, of their own */
	bool is_raw;  /* in is a terminal, and was made raw */
	bool escaped; /* Ctrl-A was the last key */
	struct termios before;
	int guard_fd; /* the guard waits for this to close */
	pid_t guard;
};

/* Opens standard input and output anew. Before any thread is made and before there is guest memory,
 * since it forks. ERR_REQUEST. terminal_close
 * after a failure too. */
int terminal_open(struct terminal *t, struct err *e);
void terminal_close(struct terminal *t);

/* Takes what is ours out of n bytes that were typed; returns how many are left for the guest. *end:
 * the machine is to end. */
size_t terminal_filter(struct terminal *t, char *bytes, size_t n, bool *end);

#endif
