/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a control thread: epoll over fds, timers and signals. One thread owns a loop;
 * only loop_stop may be called from others. Callbacks may add and delete any
 * handler, themselves included. Never used by a worker or a vCPU.
 */
#ifndef LANYARD_BASE_LOOP_H
#define LANYARD_BASE_LOOP_H

#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_handler; /* one fd, timer or signal; owned by the loop */

/* events: EPOLLIN, ... as delivered. For timers: how many periods passed. For signals: signo. */
typedef void (*loop_fn)(void *arg, uint32_t events);

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l); /* drops all handlers; closes no fd but its own */

/* The fd stays the caller's: delete the handler before closing it. NULL on ENOMEM / EPERM. */
struct loop_handler *loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fn fn, void *arg);
int loop_mod_fd(struct loop *l, struct loop_handler *h, uint32_t events);
/* First after delay_ns, then every period_ns (0: once; still to be deleted). */
struct loop_handler *loop_add_timer(
	struct loop *l, uint64_t delay_ns, uint64_t period_ns, loop_fn fn, void *arg);
int loop_set_timer(struct loop_handler *h, uint64_t delay_ns, uint64_t period_ns);
/* Blocks the signal in the calling thread (call before making threads) and takes it by signalfd. */
struct loop_handler *loop_add_signal(struct loop *l, int signo, loop_fn fn, void *arg);
void loop_del(struct loop *l, struct loop_handler *h); /* NULL is nothing */

int loop_run(struct loop *l);                  /* until loop_stop */
int loop_step(struct loop *l, int timeout_ms); /* one wait; number of handlers called */
void loop_stop(struct loop *l);                /* any thread */

#endif
