/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile vhost-user back end: its replies are any bytes in any pieces, with file descriptors
 * where none belong, and then it hangs up. The front end goes through a device's life with it. What
 * it believes afterwards is within bounds, no call waits, none succeeds once one has ended the
 * connection, and no descriptor is left behind.
 *
 * Input: a byte that says how long pieces are, one whose bits say which pieces carry descriptors;
 * the rest are the replies.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "vhost-user/frontend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLIES_MAX 32768 /* all of them go into the socket's buffer */

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void play_back_end(int fd, int event, const uint8_t *data, size_t size)
{
	size_t piece = data[0] ? data[0] : 4096, sent = 0;

	for (unsigned i = 0; sent + 2 < size; i++) {
		size_t n = size - 2 - sent < piece ? size - 2 - sent : piece;
		int fds[3] = { event, event, event };
		ssize_t done = data[1] >> i % 8 & 1
			? fd_send_fds(fd, data + 2 + sent, n, fds, 1 + i % 3)
			: send(fd, data + 2 + sent, n, MSG_DONTWAIT);

		if (done <= 0)
			break;
		sent += (size_t)done;
	}
	shutdown(fd, SHUT_WR);
}

static int hand_over(struct vu_frontend *f, int event, struct err *e)
{
	struct vu_region region = { .size = 1 << 20, .user_addr = 1 << 20, .fd = event };
	struct vu_ring ring = { .size = 256, .kick_fd = event, .call_fd = event, .err_fd = -1 };
	uint32_t base;
	int err;

	if ((err = vu_set_features(f, vu_features(f), e)) ||
		(err = vu_set_mem_table(f, &region, 1, e)))
		return err;
	for (ring.index = 0; ring.index < 2; ring.index++)
		if ((err = vu_start_ring(f, &ring, e)) ||
			(err = vu_enable_ring(f, ring.index, true, e)))
			return err;
	return vu_stop_ring(f, 0, &base, e);
}

static void live(struct vu_frontend *f, int event)
{
	uint8_t config[64];
	struct err e = { 0 };
	int err = vu_negotiate(f, ~0ull, &e);

	check(vu_queue_num(f) >= 1 && vu_queue_num(f) <= 128);
	for (enum vu_kind k = VU_KIND_ANY; !err && k <= VU_KIND_FS; k++)
		vu_expect_kind(f, k, &e);
	memset(config, 0xa5, sizeof(config));
	if (!err)
		err = vu_get_config(f, 0, config, 60, &e);
	check(config[60] == 0xa5 && config[63] == 0xa5);
	if (!err || err == -EREMOTEIO || err == -EOPNOTSUPP)
		err = hand_over(f, event, &e);
	if (!err || err == -EREMOTEIO)
		err = vu_set_mtu(f, 1500, &e);
	if (err) {
		check(err < 0 && e.text[0]);
		check(err != -ETIMEDOUT);
	}
	if (err == -EPROTO || err == -EPIPE) /* it stays so */
		check(vu_set_features(f, vu_features(f), &e) == err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu_frontend *f;
	struct err e;
	int sv[2], event, last;

	if (size < 2 || size > REPLIES_MAX)
		return 0;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
	event = eventfd(0, EFD_CLOEXEC);
	play_back_end(sv[1], event, data, size);
	check(vu_from_fd(sv[0], "/fuzz", 10000, -1, &f, &e) == 0);
	live(f, event);
	vu_close(f);
	close(sv[1]);
	close(event);
	last = dup(0); /* the lowest number that is free: none was left open below */
	check(last <= sv[1]);
	close(last);
	return 0;
}
