/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: threads of our own, pinned if asked, that move frames and do nothing else.
 *
 *	polling --(nothing yet)--> backing off --(longer)--> asleep in epoll --(kick)--> polling
 *
 * In a busy-polling switch the last state does not exist. Each round a worker takes the view, does
 * one burst of each of its active rings (poll.h), and reports a quiescent state; asleep it is
 * offline, so that grace periods don't wait for it. It never allocates, logs, or takes the control
 * side's lock.
 */
#ifndef LANYARD_VSWITCH_DP_WORKER_H
#define LANYARD_VSWITCH_DP_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vswitch/dp/forward.h"
#include "vswitch/dp/poll.h"
#include "vswitch/dp/view.h"

struct rte_rcu_qsbr;

/* What all workers and the control side share. */
struct dp_shared {
	const struct dp_view *view; /* control: w (release), worker: r (acquire) */
	uint32_t now_s;             /* control: w each second, worker: r */
	bool stop;                  /* control: w once, worker: r */
	bool busy;                  /* constant: never sleep */
	uint64_t spin_cycles;       /* constant: idle TSC cycles before going to sleep */
	int fault_fd;               /* eventfd; worker: w when a port's fault is set */
	struct rte_rcu_qsbr *qsbr;
};

#define DP_WOKEN_MAX 16

struct dp_worker {
	struct dp_shared *shared;
	uint32_t index;
	int cpu;      /* -1: not pinned */
	int epoll_fd; /* control: adds kick fds (edge-triggered), worker: waits */
	int wake_fd;  /* eventfd; control: w */
	bool running;
	pthread_t thread;
	struct dp_forwarder forwarder;
	struct dp_poll poll;
	uint64_t last;                   /* TSC at the end of its last round */
	const void *woken[DP_WOKEN_MAX]; /* queues whose kicks ended its last sleep: to compare */
	uint32_t n_woken;
	struct dp_worker_stats stats; /* worker: w, control: r */
};

/* Memory for the grace periods of n workers; before the first worker. -ENOMEM. */
int dp_shared_init(struct dp_shared *s, uint32_t n_workers, struct err *e);
void dp_shared_fini(struct dp_shared *s);

/* Starts a worker. cpu < 0: not pinned. n_slots: queues, each way, that it must be able to hold. */
int dp_worker_start(struct dp_worker *w, struct dp_shared *s, uint32_t index, uint32_t n_workers,
	int cpu, uint32_t n_slots, struct err *e);
/* After s->stop was set. Safe on a worker that never started. */
void dp_worker_join(struct dp_worker *w);

/* The kick fd of a queue that this worker serves, or is going to (control side). -errno. */
int dp_worker_watch(struct dp_worker *w, int kick_fd, const struct dp_inq *q);
void dp_worker_unwatch(struct dp_worker *w, int kick_fd);
void dp_worker_wake(struct dp_worker *w);

/* Returns when every worker has passed a quiescent state since the call. Control side, vhost
 * thread: not workers. */
void dp_grace_period(struct dp_shared *s);

#endif
