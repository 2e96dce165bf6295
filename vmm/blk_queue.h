/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of a disk's queue share: blk_queue.c, its thread and its io_uring, and
 * blk_request.c, what becomes of a request. All of it is the queue's thread's alone.
 */
#ifndef LANYARD_VMM_BLK_QUEUE_H
#define LANYARD_VMM_BLK_QUEUE_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/blk.h"

#define BLK_REQUESTS    128               /* under way in a queue */
#define BLK_REQUEST_IOV (BLK_SEG_MAX + 4) /* header and status may be cut up */

struct blk_request {
	struct vring_chain chain;
	struct iovec iov[BLK_REQUEST_IOV];
	struct iovec *data; /* what is left of the data: n_data of iov */
	unsigned n_data;
	uint32_t type;
	uint64_t at, left; /* bytes, in the file */
	uint8_t *status;
	uint32_t written; /* bytes of data for the guest, if it ends well */
	unsigned retries;
	bool unmap;      /* zeroes: the file may give them back */
	bool by_writing; /* zeroes, where the file has no call for them */
};

struct blk_queue {
	struct blk *b;
	struct vserve_queue *q;
	struct io_uring ring;
	struct blk_request *req;
	uint8_t free[BLK_REQUESTS]; /* a stack of numbers of req */
	unsigned n_free;

	bool running;  /* the ring may be touched */
	bool aborting; /* cancels were sent */
	bool woken;    /* look */
	bool kick_polled, wake_polled;
};

/* An entry of its io_uring, or NULL. The caller prepares it, and then sets user_data: a request's
 * number, or what blk_queue.c has besides. */
struct io_uring_sqe *blk_queue_sqe(struct blk_queue *q);

/* A chain that was taken out of the ring. False: it makes no sense, the ring is broken. */
bool blk_request_start(struct blk_queue *q, struct blk_request *r, struct err *e);
/* The host's answer to it. */
void blk_request_answer(struct blk_queue *q, struct blk_request *r, int res);

#endif
