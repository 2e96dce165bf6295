/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of a disk: its thread takes requests out of the ring, gives them to the host through an
 * io_uring of its own, and gives them back with a status in whatever order they end
 * (blk_request.c). Kicks and wake-ups are polled for through the same io_uring, so that the thread
 * sleeps in one place.
 *
 * At most BLK_REQUESTS are under way; the others wait in the ring.
 *
 * What the thread calls once it runs (for a seccomp filter):
 *	io_uring_enter		submit and sleep
 *	read, write		eventfds: kick, wake, interrupt; the log (stderr)
 *	futex			the device lock
 *	clock_gettime		the log's time, where the vDSO has none
 *	madvise, exit, rt_sigprocmask	at its end
 * What io_uring does on its behalf (readv, writev, fsync, fallocate, poll, cancel) is no system
 * call of this thread.
 */
#include "vmm/blk_queue.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define POPS_MAX 1024 /* then others are looked at */

/* user_data, besides requests' numbers. */
enum { DATA_KICK = BLK_REQUESTS, DATA_WAKE, DATA_CANCEL };

/* --- its io_uring ---------------------------------------------------------------------------- */

static int ring_refused(struct err *e, int err)
{
	if (err == -ENOMEM)
		return err_host(e, err,
			"disks need io_uring: %s; allow more locked memory (ulimit -l), or use "
			"fewer queues",
			err_str(err));
	return err_host(e, err,
		"disks need io_uring, which this host refuses (%s): expected Linux 5.6 or later, "
		"`sysctl kernel.io_uring_disabled=0`, and, in a container, a seccomp profile that "
		"allows io_uring_setup",
		err_str(err));
}

static const int needed[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
	IORING_OP_FALLOCATE, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL };
#define N_NEEDED (sizeof(needed) / sizeof(needed[0]))

/* From now on it does nothing else: what it does is no system call, and the sandbox's filter does
 * not see it. */
static int ring_restrict(struct io_uring *ring)
{
	struct io_uring_restriction may[N_NEEDED];
	int err;

	memset(may, 0, sizeof(may));
	for (size_t i = 0; i < N_NEEDED; i++) {
		may[i].opcode = IORING_RESTRICTION_SQE_OP;
		may[i].sqe_op = (uint8_t)needed[i];
	}
	/* Debian 12's liburing declares functions for these, and lacks them. */
	err = (int)syscall(
		SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, may, N_NEEDED);
	if (!err)
		err = (int)syscall(SYS_io_uring_register, ring->ring_fd,
			IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return err ? -errno : 0;
}

static int ring_open(struct io_uring *ring, struct err *e)
{
	int err = io_uring_queue_init(2 * BLK_REQUESTS, ring, IORING_SETUP_R_DISABLED);
	struct io_uring_probe *probe;
	bool all = true;

	if (err)
		return ring_refused(e, err);
	probe = io_uring_get_probe_ring(ring);
	for (size_t i = 0; i < N_NEEDED; i++)
		all = all && probe && io_uring_opcode_supported(probe, needed[i]);
	io_uring_free_probe(probe);
	err = all ? ring_restrict(ring) : -ENOSYS;
	if (!err)
		return 0;
	io_uring_queue_exit(ring);
	return ring_refused(e, err);
}

struct io_uring_sqe *blk_queue_sqe(struct blk_queue *q)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	if (!sqe) { /* there is room for all requests and their cancelling: not seen */
		io_uring_submit(&q->ring);
		sqe = io_uring_get_sqe(&q->ring);
	}
	return sqe;
}

static void poll_for(struct blk_queue *q, int fd, uint64_t data, bool *polled)
{
	struct io_uring_sqe *sqe = *polled ? NULL : blk_queue_sqe(q);

	if (!sqe)
		return;
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	sqe->user_data = data;
	*polled = true;
}

/* --- the thread ------------------------------------------------------------------------------ */

/* Up to POPS_MAX requests out of the ring. */
static void serve(struct blk_queue *q)
{
	struct vring_dev *ring = &q->q->ring;
	struct err e;
	int got = 0;

	if (ring->broken)
		return;
	vring_disarm(ring);
	for (unsigned i = 0;; i++) {
		struct blk_request *r;

		if (!q->n_free)
			break; /* the end of one goes on here */
		if (i == POPS_MAX) {
			fd_event_signal(q->b->d.kick_fd[q->q->index]);
			break;
		}
		r = &q->req[q->free[q->n_free - 1]];
		got = vring_pop(ring, &r->chain, r->iov, BLK_REQUEST_IOV, &e);
		if (!got && !vring_arm(ring))
			break;
		if (!got)
			continue;
		if (got < 0)
			break;
		q->n_free--;
		r->at = r->left = 0;
		r->written = 0;
		r->retries = 0;
		r->by_writing = false;
		if (!blk_request_start(q, r, &e)) {
			ring->broken = true;
			got = -EBADMSG;
			break;
		}
	}
	if (got < 0)
		vserve_broken(q->q, &e);
}

static bool is_free(const struct blk_queue *q, unsigned number)
{
	for (unsigned i = 0; i < q->n_free; i++)
		if (q->free[i] == number)
			return true;
	return false;
}

static void cancel_all(struct blk_queue *q)
{
	for (unsigned i = 0; i < BLK_REQUESTS && !q->aborting; i++) {
		struct io_uring_sqe *sqe = is_free(q, i) ? NULL : blk_queue_sqe(q);

		if (!sqe)
			continue;
		io_uring_prep_cancel64(sqe, i, 0);
		sqe->user_data = DATA_CANCEL;
	}
	q->aborting = true;
}

static void reap(struct blk_queue *q)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&q->ring, &cqe) == 0) {
		uint64_t data = cqe->user_data;
		int res = cqe->res;

		io_uring_cqe_seen(&q->ring, cqe);
		if (data == DATA_KICK) {
			q->kick_polled = false;
			if (q->running)
				fd_event_take(q->b->d.kick_fd[q->q->index]);
		} else if (data == DATA_WAKE) {
			q->wake_polled = false;
			q->woken = true;
		} else if (data < BLK_REQUESTS) {
			blk_request_answer(q, &q->req[data], res);
		}
	}
}

/* False: the end. */
static bool look(struct blk_queue *q)
{
	bool busy = q->n_free < BLK_REQUESTS;

	/* Draining is looked at again at its end, for no one else says so. */
	if (!q->woken && (q->running || busy))
		return true;
	q->woken = false;
	switch (vserve_look(q->q, busy)) {
	case VSERVE_QUIT:
		return false;
	case VSERVE_START:
		q->aborting = false;
		q->running = true;
		break;
	case VSERVE_RUN:
		break;
	case VSERVE_ABORT:
		q->running = false;
		cancel_all(q);
		break;
	case VSERVE_DRAIN:
	case VSERVE_IDLE:
		q->running = false;
		break;
	}
	return true;
}

void *blk_queue_run(void *arg)
{
	struct vserve_queue *sq = arg;
	struct blk_queue *q = sq->own;

	q->woken = true;
	while (look(q)) {
		if (q->running) {
			serve(q);
			if (vring_wants_interrupt(&sq->ring))
				vdev_interrupt(&q->b->d, sq->index);
			poll_for(q, q->b->d.kick_fd[sq->index], DATA_KICK, &q->kick_polled);
		}
		poll_for(q, sq->wake_fd, DATA_WAKE, &q->wake_polled);
		io_uring_submit_and_wait(&q->ring, 1);
		reap(q);
	}
	return NULL;
}

int blk_queue_new(struct blk *b, struct vserve_queue *sq, struct blk_queue **out, struct err *e)
{
	struct blk_queue *q = calloc(1, sizeof(*q));
	int err;

	*out = NULL;
	if (!q)
		return err_set(e, -ENOMEM, "out of memory");
	q->b = b;
	q->q = sq;
	/* The lowest numbers first: of a disk with little to do, little of it is ever touched. */
	for (unsigned i = 0; i < BLK_REQUESTS; i++)
		q->free[q->n_free++] = (uint8_t)(BLK_REQUESTS - 1 - i);
	q->req = calloc(BLK_REQUESTS, sizeof(*q->req));
	err = q->req ? ring_open(&q->ring, e) : err_set(e, -ENOMEM, "out of memory");
	if (err) {
		free(q->req);
		free(q);
		return err_prefix(e, "%s", b->d.name);
	}
	sq->own = q;
	*out = q;
	return 0;
}

void blk_queue_free(struct blk_queue *q)
{
	if (!q)
		return;
	io_uring_queue_exit(&q->ring);
	free(q->req);
	free(q);
}
