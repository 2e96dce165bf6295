/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request of a disk's queue: read from the guest, given to the host, answered. Its header is read
 * once, its data goes between the file and the guest's memory directly. Whatever it says, and
 * whatever the host answers, ends in its status. Called by the queue's thread (blk_queue.c).
 * Section numbers are those of virtio 1.2.
 */
#include "vmm/blk_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"

#define RETRIES_MAX  16
#define ERRORS_SHOWN 16 /* of the host's, in the log */

#define ZERO_BYTES 4096u
#define HEAD_BYTES 16u /* of a request's header (5.2.6) */

static uint8_t zero_bytes[ZERO_BYTES]; /* never written to */

/* --- a request's end ------------------------------------------------------------------------- */

static void request_free(struct blk_queue *q, struct blk_request *r)
{
	q->free[q->n_free++] = (uint8_t)(r - q->req);
}

static void request_end(struct blk_queue *q, struct blk_request *r, uint8_t status)
{
	if (q->running) { /* else the ring, and its memory, are somebody else's by now */
		*(volatile uint8_t *)r->status = status;
		vring_push(&q->q->ring, &r->chain, 1 + (status ? 0 : r->written));
	}
	request_free(q, r);
}

static void request_refuse(struct blk_queue *q, struct blk_request *r, uint8_t status)
{
	blk_count(q->b, BLK_REFUSED, 1);
	request_end(q, r, status);
}

/* The host could not. */
static void request_fail(struct blk_queue *q, struct blk_request *r, int err)
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

static void request_done(struct blk_queue *q, struct blk_request *r)
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
static void take_zeroes(struct blk_request *r)
{
	uint64_t left = r->left;

	r->data = r->iov;
	for (r->n_data = 0; left && r->n_data < BLK_SEG_MAX; r->n_data++) {
		size_t n = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;

		r->iov[r->n_data] = (struct iovec){ .iov_base = zero_bytes, .iov_len = n };
		left -= n;
	}
}

static void request_submit(struct blk_queue *q, struct blk_request *r)
{
	uint64_t number = (uint64_t)(r - q->req);
	struct io_uring_sqe *sqe = blk_queue_sqe(q);
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
static void request_advance(struct blk_request *r, uint32_t n)
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

void blk_request_answer(struct blk_queue *q, struct blk_request *r, int res)
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
static void take_bytes(struct blk_request *r, void *to, uint32_t n)
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
static bool take_status(struct blk_request *r)
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
static void start_move(struct blk_queue *q, struct blk_request *r, uint64_t sector, uint32_t bytes)
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
static void start_range(struct blk_queue *q, struct blk_request *r)
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

static void start_get_id(struct blk_queue *q, struct blk_request *r)
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
bool blk_request_start(struct blk_queue *q, struct blk_request *r, struct err *e)
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
