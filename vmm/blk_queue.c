/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of a disk: its thread takes requests out of the ring, gives them to the host through an
 * io_uring of its own, and gives them back with a status in whatever order they end. Kicks and
 * wake-ups are polled for through the same io_uring, so that the thread sleeps in one place.
 * Section numbers are those of virtio 1.2.
 *
 * At most REQUESTS are under way; the others wait in the ring. A request's header is read once, its
 * data goes between the file and the guest's memory directly.
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
#include "vmm/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define REQUESTS     128               /* under way in a queue */
#define IOV_MAX_REQ  (BLK_SEG_MAX + 4) /* header and status may be cut up */
#define POPS_MAX     1024              /* then others are looked at */
#define RETRIES_MAX  16
#define ERRORS_SHOWN 16 /* of the host's, in the log */

#define ZERO_BYTES 4096u
#define HEAD_BYTES 16u /* of a request's header (5.2.6) */

/* Besides requests, whose user_data is their number. */
enum { DATA_KICK = REQUESTS, DATA_WAKE, DATA_CANCEL };

struct request {
	struct vring_chain chain;
	struct iovec iov[IOV_MAX_REQ];
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
	struct request *req;
	uint8_t free[REQUESTS]; /* a stack of numbers of req */
	unsigned n_free;

	bool running;  /* the ring may be touched */
	bool aborting; /* cancels were sent */
	bool woken;    /* look */
	bool kick_polled, wake_polled;
};

static uint8_t zero_bytes[ZERO_BYTES]; /* never written to */

/* --- io_uring -------------------------------------------------------------------------------- */

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
	int err = io_uring_queue_init(2 * REQUESTS, ring, IORING_SETUP_R_DISABLED);
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

/* The caller prepares it, and then sets user_data. */
static struct io_uring_sqe *sqe_get(struct blk_queue *q)
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
	struct io_uring_sqe *sqe = *polled ? NULL : sqe_get(q);

	if (!sqe)
		return;
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	sqe->user_data = data;
	*polled = true;
}

/* --- a request's end ------------------------------------------------------------------------- */

static void request_free(struct blk_queue *q, struct request *r)
{
	q->free[q->n_free++] = (uint8_t)(r - q->req);
}

static void request_end(struct blk_queue *q, struct request *r, uint8_t status)
{
	if (q->running) { /* else the ring, and its memory, are somebody else's by now */
		*(volatile uint8_t *)r->status = status;
		vring_push(&q->q->ring, &r->chain, 1 + (status ? 0 : r->written));
	}
	request_free(q, r);
}

static void request_refuse(struct blk_queue *q, struct request *r, uint8_t status)
{
	blk_count(q->b, BLK_REFUSED, 1);
	request_end(q, r, status);
}

/* The host could not. */
static void request_fail(struct blk_queue *q, struct request *r, int err)
{
	static const char *const names[] = { [VIRTIO_BLK_T_IN] = "read",
		[VIRTIO_BLK_T_OUT] = "write",
		[VIRTIO_BLK_T_FLUSH] = "flush",
		[VIRTIO_BLK_T_DISCARD] = "discard",
		[VIRTIO_BLK_T_WRITE_ZEROES] = "write of zeroes" };
	unsigned long before = atomic_fetch_add(&q->b->counts[BLK_FAILED], 1);

	if (q->running && before < ERRORS_SHOWN)
		log_warn("%s: %s of %llu bytes at %llu: %s", q->b->d.name, names[r->type],
			(unsigned long long)r->left, (unsigned long long)r->at,
			err ? err_str(err) : "the file ends before it: was it cut?");
	request_end(q, r, VIRTIO_BLK_S_IOERR);
}

static void request_done(struct blk_queue *q, struct request *r)
{
	static const struct {
		enum blk_count n, bytes;
	} counts[] = { [VIRTIO_BLK_T_IN] = { BLK_READS, BLK_READ_BYTES },
		[VIRTIO_BLK_T_OUT] = { BLK_WRITES, BLK_WRITTEN_BYTES },
		[VIRTIO_BLK_T_FLUSH] = { BLK_FLUSHES, BLK_COUNTS },
		[VIRTIO_BLK_T_DISCARD] = { BLK_DISCARDS, BLK_COUNTS },
		[VIRTIO_BLK_T_WRITE_ZEROES] = { BLK_ZEROES, BLK_COUNTS } };

	blk_count(q->b, counts[r->type].n, 1);
	if (counts[r->type].bytes != BLK_COUNTS)
		blk_count(q->b, counts[r->type].bytes,
			r->type == VIRTIO_BLK_T_IN ? r->written : r->chain.read_len - HEAD_BYTES);
	request_end(q, r, VIRTIO_BLK_S_OK);
}

/* --- to the host ----------------------------------------------------------------------------- */

/* A piece of zeroes as data to write. */
static void take_zeroes(struct request *r)
{
	uint64_t left = r->left;

	r->data = r->iov;
	for (r->n_data = 0; left && r->n_data < BLK_SEG_MAX; r->n_data++) {
		size_t n = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;

		r->iov[r->n_data] = (struct iovec){ .iov_base = zero_bytes, .iov_len = n };
		left -= n;
	}
}

static void request_submit(struct blk_queue *q, struct request *r)
{
	uint64_t number = (uint64_t)(r - q->req);
	struct io_uring_sqe *sqe = sqe_get(q);
	int fd = q->b->file.fd, unmap = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (!sqe) {
		request_fail(q, r, -EBUSY);
		return;
	}
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		io_uring_prep_readv(sqe, fd, r->data, r->n_data, r->at);
		break;
	case VIRTIO_BLK_T_OUT:
		io_uring_prep_writev(sqe, fd, r->data, r->n_data, r->at);
		break;
	case VIRTIO_BLK_T_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case VIRTIO_BLK_T_DISCARD:
		io_uring_prep_fallocate(sqe, fd, unmap, (off_t)r->at, (off_t)r->left);
		break;
	default: /* VIRTIO_BLK_T_WRITE_ZEROES */
		if (r->by_writing) {
			take_zeroes(r);
			io_uring_prep_writev(sqe, fd, r->data, r->n_data, r->at);
		} else {
			io_uring_prep_fallocate(sqe, fd,
				r->unmap ? unmap : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				(off_t)r->at, (off_t)r->left);
		}
	}
	sqe->user_data = number;
}

/* n bytes of the data are done. */
static void request_advance(struct request *r, uint32_t n)
{
	r->at += n;
	r->left -= n;
	while (n && r->n_data) {
		size_t here = n < r->data->iov_len ? n : r->data->iov_len;

		r->data->iov_base = (uint8_t *)r->data->iov_base + here;
		r->data->iov_len -= here;
		n -= (uint32_t)here;
		if (!r->data->iov_len) {
			r->data++;
			r->n_data--;
		}
	}
}

/* The host's answer. */
static void request_answer(struct blk_queue *q, struct request *r, int res)
{
	bool moves = r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_OUT || r->by_writing;

	if (!q->running) {
		request_free(q, r);
	} else if ((res == -EINTR || res == -EAGAIN) && r->retries++ < RETRIES_MAX) {
		request_submit(q, r);
	} else if (res == -EOPNOTSUPP && r->type == VIRTIO_BLK_T_DISCARD) {
		request_refuse(q, r, VIRTIO_BLK_S_UNSUPP);
	} else if (res == -EOPNOTSUPP && r->type == VIRTIO_BLK_T_WRITE_ZEROES && !r->by_writing) {
		r->by_writing = true;
		request_submit(q, r);
	} else if (res < 0 || (moves && (!res || (uint64_t)res > r->left))) {
		request_fail(q, r, res);
	} else if (moves && (uint64_t)res < r->left) {
		request_advance(r, (uint32_t)res);
		request_submit(q, r);
	} else {
		request_done(q, r);
	}
}

/* --- from the guest -------------------------------------------------------------------------- */

/* Takes n bytes, which are there, off the front of the data. They are copied once, and may lie in
 * several parts (2.7.4). */
static void take_bytes(struct request *r, void *to, uint32_t n)
{
	uint8_t *p = to;

	while (n) {
		size_t here = n < r->data->iov_len ? n : r->data->iov_len;

		memcpy(p, r->data->iov_base, here);
		p += here;
		n -= (uint32_t)here;
		r->data->iov_base = (uint8_t *)r->data->iov_base + here;
		r->data->iov_len -= here;
		if (!r->data->iov_len) {
			r->data++;
			r->n_data--;
		}
	}
}

/* The last writable byte is the status. */
static bool take_status(struct request *r)
{
	struct vring_chain *c = &r->chain;
	struct iovec *last;

	if (!c->n_write)
		return false;
	last = &r->iov[c->n_read + c->n_write - 1];
	last->iov_len--;
	r->status = (uint8_t *)last->iov_base + last->iov_len;
	if (!last->iov_len)
		c->n_write--;
	return true;
}

static bool range_is_ok(const struct blk *b, uint64_t sector, uint64_t bytes)
{
	uint64_t all = b->file.size / BLK_SECTOR;

	return bytes % BLK_SECTOR == 0 && sector <= all && bytes / BLK_SECTOR <= all - sector;
}

/* IN, OUT: data as r->data says. */
static void start_move(struct blk_queue *q, struct request *r, uint64_t sector, uint32_t bytes)
{
	if (!range_is_ok(q->b, sector, bytes) ||
		(r->type == VIRTIO_BLK_T_OUT && q->b->file.readonly)) {
		request_refuse(q, r, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->at = sector * BLK_SECTOR;
	r->left = bytes;
	if (bytes)
		request_submit(q, r);
	else
		request_done(q, r);
}

/* 5.2.6: DISCARD and WRITE_ZEROES name ranges; we said that one is the most. */
static void start_range(struct blk_queue *q, struct request *r)
{
	struct {
		uint64_t sector;
		uint32_t sectors, flags;
	} range;
	const struct blk *b = q->b;
	bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;

	if (b->file.readonly) {
		request_refuse(q, r, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (!zeroes && !b->file.discards) {
		request_refuse(q, r, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (r->chain.read_len != HEAD_BYTES + sizeof(range)) {
		request_refuse(q, r, VIRTIO_BLK_S_IOERR);
		return;
	}
	take_bytes(r, &range, sizeof(range));
	if (range.flags & ~1u || (range.flags && !zeroes)) { /* 1: unmap */
		request_refuse(q, r, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (range.sectors > BLK_RANGE_MAX ||
		!range_is_ok(b, range.sector, (uint64_t)range.sectors * BLK_SECTOR)) {
		request_refuse(q, r, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->at = range.sector * BLK_SECTOR;
	r->left = (uint64_t)range.sectors * BLK_SECTOR;
	r->unmap = range.flags;
	if (r->left)
		request_submit(q, r);
	else
		request_done(q, r);
}

static void start_get_id(struct blk_queue *q, struct request *r)
{
	char id[DISK_SERIAL_MAX] = "";
	uint32_t done = 0;

	if (q->b->setup->serial)
		memcpy(id, q->b->setup->serial, strnlen(q->b->setup->serial, sizeof(id)));
	for (; r->n_data && done < sizeof(id); r->data++, r->n_data--) {
		size_t n = sizeof(id) - done;

		if (n > r->data->iov_len)
			n = r->data->iov_len;
		memcpy(r->data->iov_base, id + done, n);
		done += (uint32_t)n;
	}
	r->written = done;
	request_end(q, r, VIRTIO_BLK_S_OK);
}

/* 5.2.6, struct virtio_blk_req. False: the ring is broken. */
static bool request_start(struct blk_queue *q, struct request *r, struct err *e)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} head;
	struct iovec *writable = r->iov + r->chain.n_read;

	if (!take_status(r) || r->chain.read_len < HEAD_BYTES) {
		err_set(e, -EBADMSG,
			"a request of %u readable and %u writable bytes: expected a header of %u "
			"and a place for the status",
			r->chain.read_len, r->chain.write_len, HEAD_BYTES);
		request_free(q, r);
		return false;
	}
	r->data = r->iov;
	r->n_data = r->chain.n_read;
	take_bytes(r, &head, HEAD_BYTES);
	r->type = head.type;
	switch (head.type) {
	case VIRTIO_BLK_T_IN:
		r->data = writable;
		r->n_data = r->chain.n_write;
		r->written = r->chain.write_len - 1;
		start_move(q, r, head.sector, r->written);
		break;
	case VIRTIO_BLK_T_OUT:
		start_move(q, r, head.sector, r->chain.read_len - HEAD_BYTES);
		break;
	case VIRTIO_BLK_T_FLUSH:
		request_submit(q, r);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		start_range(q, r);
		break;
	case VIRTIO_BLK_T_GET_ID:
		r->data = writable;
		r->n_data = r->chain.n_write;
		start_get_id(q, r);
		break;
	default:
		request_refuse(q, r, VIRTIO_BLK_S_UNSUPP);
	}
	return true;
}

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
		struct request *r;

		if (!q->n_free)
			break; /* the end of one goes on here */
		if (i == POPS_MAX) {
			fd_event_signal(q->b->d.kick_fd[q->q->index]);
			break;
		}
		r = &q->req[q->free[q->n_free - 1]];
		got = vring_pop(ring, &r->chain, r->iov, IOV_MAX_REQ, &e);
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
		if (!request_start(q, r, &e)) {
			ring->broken = true;
			got = -EBADMSG;
			break;
		}
	}
	if (got < 0)
		vserve_broken(q->q, &e);
}

/* --- the thread ------------------------------------------------------------------------------ */

static bool is_free(const struct blk_queue *q, unsigned number)
{
	for (unsigned i = 0; i < q->n_free; i++)
		if (q->free[i] == number)
			return true;
	return false;
}

static void cancel_all(struct blk_queue *q)
{
	for (unsigned i = 0; i < REQUESTS && !q->aborting; i++) {
		struct io_uring_sqe *sqe = is_free(q, i) ? NULL : sqe_get(q);

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
		} else if (data < REQUESTS) {
			request_answer(q, &q->req[data], res);
		}
	}
}

/* False: the end. */
static bool look(struct blk_queue *q)
{
	bool busy = q->n_free < REQUESTS;

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
	for (unsigned i = 0; i < REQUESTS; i++)
		q->free[q->n_free++] = (uint8_t)(REQUESTS - 1 - i);
	q->req = calloc(REQUESTS, sizeof(*q->req));
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
