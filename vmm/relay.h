/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's queues passed on to its vhost-user back end by a thread of ours, for back ends that keep
 * no record of what they have begun (INFLIGHT_SHMFD; qemu-storage-daemon has none). They complete
 * out of order, so when one goes away nothing else says what it had not completed. See
 * relay_ring.h.
 *
 * The back end sees descriptors and data in the guest's memory as ever; its available and used
 * rings lie in a memfd of ours, new for each back end, so that an old one that still runs can't
 * write to the rings of the next. Costs a wake-up of this thread for a batch of requests and one
 * for a batch of completions.
 *
 *	idle -> relay_lend (rings made) -> relay_run -> relay_recall (waits until nothing is under
 *	way) -> relay_end -> idle;  relay_end alone if the back end was lost. All by the link thread
 *
 * The thread serves rings between relay_run and relay_end. Its lock is taken under the device lock,
 * never the other way round.
 */
#ifndef LANYARD_VMM_RELAY_H
#define LANYARD_VMM_RELAY_H

#include <stdbool.h>

#include "base/err.h"
#include "vhost-user/frontend.h"
#include "vmm/vdev.h"

struct relay;

/* link_wake_fd: signalled when the back end did wrong. Both fds stay the caller's. */
int relay_new(struct vdev *d, int link_wake_fd, struct relay **out, struct err *e);
int relay_start(struct relay *r, struct err *e); /* the thread */
void relay_free(struct relay *r);                /* NULL is nothing */

/* The driver has set its queues up anew: what was under way is none of its requests. */
void relay_forget(struct relay *r);
/*
 * Rings for a new back end of queues 0 .. n - 1 (those that are enabled), with what an earlier one
 * left uncompleted. region: more memory for the back end to map.
 */
int relay_lend(struct relay *r, const struct virtio_queue *q, unsigned n, struct vu_region *region,
	struct err *e);
/* What the back end gets instead of the driver's ring i: rings, base, kick and call. */
void relay_lend_ring(const struct relay *r, unsigned i, struct vu_ring *ring);
void relay_run(struct relay *r);

/* Passes on nothing more and waits until nothing is under way. -ETIMEDOUT, -ECANCELED (cancel_fd),
 * -EPIPE (the connection's end, seen on backend_fd). */
int relay_recall(struct relay *r, int backend_fd, int cancel_fd, int timeout_ms, struct err *e);
/* The back end uses the rings no more: takes what it completed last. */
void relay_end(struct relay *r);

/* 0, or what the back end did wrong (-EPROTO). */
int relay_check(struct relay *r, struct err *e);
unsigned relay_in_flight(struct relay *r);

#endif
