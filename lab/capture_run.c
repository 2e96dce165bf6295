/* SPDX-License-Identifier: Apache-2.0 */
/* See capture.h: the stream's blocks on their way. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab/capture.h"
#include "lab/capture_line.h"
#include "lab/strs.h"

#define READ_SIZE (256u << 10)
#define END_MS    10000 /* from asking for the end to the stream's: the switch may be busy */

void capture_finish(struct capture *c)
{
	if (c->ending)
		return;
	c->ending = true;
	c->until_ns = clock_now_ns() + END_MS * NS_PER_MS;
	shutdown(c->sock, SHUT_WR);
}

void capture_signalled(struct capture *c)
{
	struct signalfd_siginfo info;

	if (read(c->signal_fd, &info, sizeof info) != sizeof info)
		return;
	c->give_up = c->ending;
	capture_finish(c);
}

/* Blocks in one piece that go out together. */
struct batch {
	const uint8_t *from;
	size_t len;
	uint64_t frames;
};

/* How many packets lie whole in the first `done` bytes. */
static uint64_t packets_in(const struct batch *b, size_t done)
{
	struct pcapng_block block;
	uint64_t n = 0;

	for (size_t at = 0; at < b->len;) {
		at += (size_t)pcapng_block(b->from + at, b->len - at, &block);
		n += at <= done && block.type == PCAPNG_EPB;
	}
	return n;
}

static int batch_write(struct capture *c, struct batch *b, struct err *e)
{
	long done = b->len && !c->out_gone ? capture_write(c, b->from, b->len, e) : 0;
	uint64_t whole;

	whole = done == (long)b->len ? b->frames : done > 0 ? packets_in(b, (size_t)done) : 0;
	c->frames += whole;
	c->spilled += b->frames - whole;
	b->len = 0;
	b->frames = 0;
	return done < 0 ? (int)done : 0;
}

static uint64_t lines_in(const char *text, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

/* The packets of a batch as text. */
static int batch_print(struct capture *c, struct batch *b, struct err *e)
{
	char *text = lab_realloc(NULL, b->frames + 1, CAPTURE_LINE_MAX);
	struct pcapng_packet p;
	struct pcapng_block block;
	uint64_t lines = 0;
	size_t n = 0;
	long done;

	for (size_t at = 0; at < b->len;) {
		at += (size_t)pcapng_block(b->from + at, b->len - at, &block);
		if (block.type == PCAPNG_EPB && pcapng_get_epb(&block, &p) == 0)
			n += capture_line(text + n, &p);
	}
	done = c->out_gone ? 0 : capture_write(c, text, n, e);
	if (done > 0)
		lines = lines_in(text, (size_t)done);
	c->frames += lines;
	c->spilled += b->frames - lines;
	b->len = 0;
	b->frames = 0;
	free(text);
	return done < 0 ? (int)done : 0;
}

static int batch_out(struct capture *c, struct batch *b, struct err *e)
{
	int r = c->file ? batch_write(c, b, e) : batch_print(c, b, e);

	if (c->out_gone)
		capture_finish(c);
	return r;
}

/* All whole blocks that are here. -EINVAL: it is no pcapng. */
static int blocks_handle(struct capture *c, struct err *e)
{
	struct batch b = { .from = c->in };
	struct pcapng_block block;
	struct pcapng_stats s;
	size_t at = 0;
	long len;
	int r = 0;

	while (!r && (len = pcapng_block(c->in + at, c->n - at, &block)) > 0) {
		bool packet = block.type == PCAPNG_EPB;

		if (block.type == PCAPNG_ISB && pcapng_get_isb(&block, &s) == 0) {
			c->dropped = s.dropped;
			c->whole = s.end_ns != 0;
		}
		if (packet && c->count && c->frames + b.frames >= c->count) {
			/* One too many: it is passed over. */
			r = batch_out(c, &b, e);
			b.from = c->in + at + len;
			capture_finish(c);
		} else {
			b.len += (size_t)len;
			b.frames += packet;
		}
		at += (size_t)len;
	}
	if (!r && len < 0)
		return err_set(e, -EINVAL, "what the switch sends is no pcapng");
	if (!r)
		r = batch_out(c, &b, e);
	if (c->count && c->frames >= c->count)
		capture_finish(c);
	c->n -= at;
	memmove(c->in, c->in + at, c->n);
	return r;
}

/* 1: the stream has ended. */
static int stream_read(struct capture *c, struct err *e)
{
	ssize_t n;

	if (c->room - c->n < READ_SIZE) {
		c->room = c->n + READ_SIZE;
		c->in = lab_realloc(c->in, c->room, 1);
	}
	n = recv(c->sock, c->in + c->n, c->room - c->n, 0);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return 1;
	c->n += (size_t)n;
	return blocks_handle(c, e);
}

static int timeout_ms(const struct capture *c)
{
	uint64_t now = clock_now_ns();

	if (!c->until_ns)
		return -1;
	return now >= c->until_ns ? 0 : (int)((c->until_ns - now) / NS_PER_MS) + 1;
}

int capture_run(struct capture *c, struct err *e)
{
	int r = 0;

	while (!c->give_up) {
		struct pollfd p[] = {
			{ .fd = c->sock, .events = POLLIN },
			{ .fd = c->signal_fd, .events = POLLIN },
			/* A reader that leaves (| head) is seen at once, not at the next frame. */
			{ .fd = c->out_gone ? -1 : c->out },
		};
		int n = poll(p, 3, timeout_ms(c));

		if (n < 0 && errno != EINTR)
			return err_set(e, -errno, "poll: %s", err_str(errno));
		if (p[1].revents)
			capture_signalled(c);
		if (p[2].revents & POLLERR) {
			c->out_gone = true;
			capture_finish(c);
		}
		if (p[0].revents)
			r = stream_read(c, e);
		if (r)
			return r < 0 ? r : 0;
		if (timeout_ms(c) != 0)
			continue;
		if (c->ending)
			return err_set(e, -ETIMEDOUT,
				"the switch did not end the capture within %d s", END_MS / 1000);
		capture_finish(c);
	}
	return 0;
}
