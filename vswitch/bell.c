/* SPDX-License-Identifier: Apache-2.0 */
/* See bell.h. */
#include "vswitch/bell.h"

#include <errno.h>
#include <poll.h>
#include <rte_vhost.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#undef NS_PER_S /* DPDK has one of its own; ours is the same number */
#include "base/clock.h"
#include "base/log.h"

#define BELL_WAIT_MS 1000

/* vhost-user: GET_FEATURES, version 1, no payload. It changes nothing and is always answered. */
static const uint32_t question[3] = { 1, 1, 0 };

static const struct rte_vhost_device_ops no_ops;

/* librte_vhost connects while it starts a client, so the connection waits for us already. */
static int bell_accept(int listener)
{
	uint64_t deadline = clock_now_ns() + BELL_WAIT_MS * NS_PER_MS;
	int ret = fd_wait(listener, POLLIN, deadline);

	if (ret)
		return ret;
	ret = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return ret < 0 ? -errno : ret;
}

void sw_bell_start(struct sw_bell *b, const char *control)
{
	struct err e = { 0 };
	int listener;

	b->fd = -1;
	if (snprintf(b->path, sizeof(b->path), "%s.bell", control) >= (int)sizeof(b->path)) {
		b->path[0] = '\0';
		return;
	}
	listener = fd_unix_listen(b->path, &e);
	if (listener < 0) {
		log_warn("no bell: %s", e.text);
		b->path[0] = '\0';
		return;
	}
	if (rte_vhost_driver_register(
		    b->path, RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT) == 0) {
		if (rte_vhost_driver_callback_register(b->path, &no_ops) == 0 &&
			rte_vhost_driver_start(b->path) == 0)
			b->fd = bell_accept(listener);
		if (b->fd < 0) {
			rte_vhost_driver_unregister(b->path);
			log_warn("no bell: librte_vhost did not connect to %s; new ports may take "
				 "a second to be noticed",
				b->path);
		}
	}
	fd_close(&listener);
	unlink(b->path);
}

void sw_bell_ring(struct sw_bell *b)
{
	char answers[256];

	if (b->fd < 0)
		return;
	while (recv(b->fd, answers, sizeof(answers), MSG_DONTWAIT) > 0)
		; /* of earlier questions */
	if (send(b->fd, question, sizeof(question), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_warn("librte_vhost's thread can't be woken: %s", err_str(errno));
}

void sw_bell_stop(struct sw_bell *b)
{
	if (b->fd < 0)
		return;
	fd_close(&b->fd);
	rte_vhost_driver_unregister(b->path);
}
