/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vhost_user.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/vhost_link.h"

static struct vhost_user *user_of(struct vhost_back *b)
{
	return (struct vhost_user *)b; /* its first member */
}

static const struct vu_frontend *frontend_of(const struct vhost_back *b)
{
	return ((const struct vhost_user *)b)->f;
}

static int user_start(struct vhost_back *b, struct err *e)
{
	struct vhost_user *u = user_of(b);

	if (!u->listen)
		return 0;
	u->listen_fd = fd_unix_listen(b->name, e);
	return u->listen_fd < 0 ? u->listen_fd : 0;
}

static void user_fini(struct vhost_back *b)
{
	struct vhost_user *u = user_of(b);

	if (u->listen_fd >= 0)
		unlink(b->name);
	fd_close(&u->listen_fd);
}

/* Takes who connected to our socket. */
static int user_accept(struct vhost_user *u, int cancel_fd, struct err *e)
{
	const char *socket = u->back.name;
	int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return err_set(
			e, -errno, "a back end's connection to %s: %s", socket, err_str(errno));
	return vu_from_fd(fd, socket, VHOST_LINK_REPLY_MS, cancel_fd, &u->f, e);
}

static int user_open(struct vhost_back *b, int cancel_fd, struct err *e)
{
	struct vhost_user *u = user_of(b);
	int err = u->listen ? user_accept(u, cancel_fd, e)
			    : vu_connect(b->name, VHOST_LINK_REPLY_MS, cancel_fd, &u->f, e);

	if (err)
		return err;
	err = vu_negotiate(u->f, u->protocol, e);
	if (!err && u->connected)
		err = u->connected(u->arg, u->f, e);
	return err;
}

static void user_close(struct vhost_back *b)
{
	struct vhost_user *u = user_of(b);

	vu_close(u->f);
	u->f = NULL;
}

/* Between calls a back end has nothing to say: it hung up, or talks out of turn. */
static struct pollfd user_watch(const struct vhost_back *b)
{
	const struct vhost_user *u = (const struct vhost_user *)b;

	if (u->f)
		return (struct pollfd){ .fd = vu_fd(u->f), .events = POLLIN | POLLRDHUP };
	return (struct pollfd){ .fd = u->listen_fd, .events = POLLIN };
}

static uint64_t user_features(const struct vhost_back *b)
{
	return vu_features(frontend_of(b));
}

static unsigned user_queues(const struct vhost_back *b)
{
	return vu_queue_num(frontend_of(b));
}

static int user_set_features(struct vhost_back *b, uint64_t features, struct err *e)
{
	return vu_set_features(user_of(b)->f, features, e);
}

static int user_set_memory(struct vhost_back *b, const struct vu_region *r, size_t n, struct err *e)
{
	return vu_set_mem_table(user_of(b)->f, r, n, e);
}

static int user_start_ring(struct vhost_back *b, const struct vu_ring *r, struct err *e)
{
	return vu_start_ring(user_of(b)->f, r, e);
}

static int user_enable_ring(struct vhost_back *b, unsigned i, bool on, struct err *e)
{
	return vu_enable_ring(user_of(b)->f, i, on, e);
}

static int user_stop_ring(struct vhost_back *b, unsigned i, uint32_t *base, struct err *e)
{
	return vu_stop_ring(user_of(b)->f, i, base, e);
}

static const struct vhost_back_ops user_ops = {
	.key = "socket",
	.thread = SANDBOX_LINK,
	.start = user_start,
	.fini = user_fini,
	.open = user_open,
	.close = user_close,
	.watch = user_watch,
	.features = user_features,
	.queues = user_queues,
	.set_features = user_set_features,
	.set_memory = user_set_memory,
	.start_ring = user_start_ring,
	.enable_ring = user_enable_ring,
	.stop_ring = user_stop_ring,
};

void vhost_user_init(struct vhost_user *u, const char *socket, uint64_t protocol,
	int (*connected)(void *arg, struct vu_frontend *f, struct err *e), void *arg)
{
	*u = (struct vhost_user){ .back = { .ops = &user_ops, .name = socket },
		.protocol = protocol,
		.connected = connected,
		.arg = arg,
		.listen_fd = -1 };
	snprintf(u->back.what, sizeof(u->back.what), "the back end at %s", socket);
}
