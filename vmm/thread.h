/* SPDX-License-Identifier: Apache-2.0 */
/* Threads with small stacks, a name and perhaps a CPU of their own. */
#ifndef LANYARD_VMM_THREAD_H
#define LANYARD_VMM_THREAD_H

#include <pthread.h>

#include "base/err.h"
#include "vmm/sandbox.h"

/*
 * cpu: pinned to before it runs, or -1. Signals that the caller blocked stay blocked in it. Before
 * fn, the thread enters the sandbox of its kind: SANDBOX_SERVE, or the one named; SANDBOX_KINDS: fn
 * does it.
 */
int thread_start(
	pthread_t *t, const char *name, int cpu, void *(*fn)(void *), void *arg, struct err *e);
int thread_start_as(enum sandbox_kind kind, pthread_t *t, const char *name, int cpu,
	void *(*fn)(void *), void *arg, struct err *e);

#endif
