/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of vhost-user: see frontend.h. Requests are checked against the table of
 * messages before they leave, replies before they are believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "vhost-user/frontend.h"

struct vu_frontend {
	int fd;
	int cancel_fd;
	int timeout_ms;
	int dead; /* 0, or the -errno that ended the connection */
	uint64_t features;
	uint64_t protocol;         /* agreed on */
	uint64_t protocol_offered; /* all that the back end has */
	uint32_t queue_num;
	char path[FD_UNIX_PATH_MAX + 1];
};

static int vu_die(struct vu_frontend *f, int code)
{
	f->dead = code;
	return code;
}

/* Waits for events; the message is named in the sentence. */
static int vu_wait(
	struct vu_frontend *f, short events, uint64_t deadline_ns, const char *name, struct err *e)
{
	struct pollfd p[2] = { { .fd = f->fd, .events = events },
		{ .fd = f->cancel_fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_now_ns();
		uint64_t left = now < deadline_ns ? deadline_ns - now : 0;
		int n = poll(p, 2, (int)((left + NS_PER_MS - 1) / NS_PER_MS));

		if (n < 0 && errno != EINTR)
			return err_set(e, vu_die(f, -errno), "vhost-user %s: poll %s: %s", name,
				f->path, err_str(errno));
		if (n > 0 && p[1].revents)
			return err_set(e, vu_die(f, -ECANCELED),
				"vhost-user %s on %s: given up, we are ending", name, f->path);
		if (n > 0 && p[0].revents)
			return 0;
		if (n == 0 && !left)
			return err_set(e, vu_die(f, -ETIMEDOUT),
				"vhost-user %s: the back end at %s did not answer within %d ms",
				name, f->path, f->timeout_ms);
	}
}

static int vu_gone(struct vu_frontend *f, const char *name, int code, struct err *e)
{
	if (code == 0 || code == -ECONNRESET || code == -EPIPE)
		return err_set(e, vu_die(f, -EPIPE), "vhost-user %s: the back end at %s went away",
			name, f->path);
	return err_set(e, vu_die(f, code), "vhost-user %s on %s: %s", name, f->path, err_str(code));
}

static int vu_send(struct vu_frontend *f, const char *name, const void *buf, size_t len,
	const int *fds, size_t n_fds, uint64_t deadline_ns, struct err *e)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n;

		if (n_fds) {
			n = fd_send_fds(f->fd, p, len, fds, n_fds);
		} else {
			n = send(f->fd, p, len, MSG_NOSIGNAL);
			n = n < 0 ? -errno : n;
		}
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			int err = vu_wait(f, POLLOUT, deadline_ns, name, e);

			if (err)
				return err;
			continue;
		}
		if (n <= 0)
			return vu_gone(f, name, (int)n, e);
		n_fds = 0;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Replies of ours carry no fds; any that come are closed by fd_recv_fds. */
static int vu_recv(struct vu_frontend *f, const char *name, void *buf, size_t len,
	uint64_t deadline_ns, struct err *e)
{
	uint8_t *p = buf;

	while (len) {
		int none[1];
		size_t n_fds = 0;
		ssize_t n;
		int err = vu_wait(f, POLLIN, deadline_ns, name, e);

		if (err)
			return err;
		n = fd_recv_fds(f->fd, p, len, none, &n_fds);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			return vu_gone(f, name, (int)n, e);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One reply to `request`, whose payload must be min..max bytes. */
static int vu_recv_reply(struct vu_frontend *f, uint32_t request, const char *name, void *payload,
	size_t min, size_t max, uint64_t deadline_ns, struct err *e)
{
	struct vu_header h;
	uint32_t size, flags;
	int err = vu_recv(f, name, &h, sizeof(h), deadline_ns, e);

	if (err)
		return err;
	size = le32_get(h.size);
	flags = le32_get(h.flags);
	if (le32_get(h.request) != request)
		return err_set(e, vu_die(f, -EPROTO),
			"vhost-user %s: the back end at %s answered with message %u instead", name,
			f->path, le32_get(h.request));
	if ((flags & VU_VERSION_MASK) != VU_VERSION || !(flags & VU_FLAG_REPLY))
		return err_set(e, vu_die(f, -EPROTO),
			"vhost-user %s: the back end at %s sent flags 0x%x, expected version 1 and "
			"the reply flag (0x5)",
			name, f->path, flags);
	if (size < min || size > max)
		return err_set(e, vu_die(f, -EPROTO),
			"vhost-user %s: the back end at %s sent a reply of %u bytes, expected %zu "
			"to %zu",
			name, f->path, size, min, max);
	err = vu_recv(f, name, payload, size, deadline_ns, e);
	return err ? err : (int)size;
}

/* What REPLY_ACK asks for: 0 is success. */
static int vu_recv_ack(struct vu_frontend *f, uint32_t request, const char *name,
	uint64_t deadline_ns, struct err *e)
{
	le64_t ack;
	int n = vu_recv_reply(f, request, name, &ack, sizeof(ack), sizeof(ack), deadline_ns, e);

	if (n < 0)
		return n;
	if (le64_get(ack))
		return err_set(e, -EREMOTEIO,
			"vhost-user %s: the back end at %s refused it (status %llu)", name, f->path,
			(unsigned long long)le64_get(ack));
	return 0;
}

int vu_call(struct vu_frontend *f, enum vu_request request, const void *payload, size_t len,
	const int *fds, size_t n_fds, void *reply, size_t reply_max, struct err *e)
{
	const struct vu_op *op = vu_op_of(request);
	uint64_t deadline = clock_now_ns() + (uint64_t)f->timeout_ms * NS_PER_MS;
	struct {
		struct vu_header h;
		uint8_t payload[sizeof(union vu_payload)];
	} m = { 0 };
	uint32_t flags = VU_VERSION;
	bool ack;
	int err;

	if (!op)
		return err_set(e, -EINVAL, "vhost-user: there is no message %d", (int)request);
	if (f->dead)
		return err_set(e, f->dead, "vhost-user %s: the connection to %s has ended: %s",
			op->name, f->path, err_str(f->dead));
	if (len < op->request_min || len > op->request_max || n_fds < op->fds_min ||
		n_fds > op->fds_max || (op->reply_max && (!reply || reply_max < op->reply_min)))
		return err_set(e, -EINVAL,
			"vhost-user %s: %zu bytes, %zu fds are not what the message holds",
			op->name, len, n_fds);

	ack = !op->reply_max && (f->protocol & 1ull << VU_PF_REPLY_ACK) &&
		request != VU_SET_PROTOCOL_FEATURES;
	if (ack)
		flags |= VU_FLAG_NEED_REPLY;
	m.h = (struct vu_header){ le32_of(request), le32_of(flags), le32_of((uint32_t)len) };
	if (len)
		memcpy(m.payload, payload, len);
	err = vu_send(f, op->name, &m, sizeof(m.h) + len, fds, n_fds, deadline, e);
	if (err)
		return err;
	if (op->reply_max) {
		size_t max = reply_max < op->reply_max ? reply_max : op->reply_max;

		return vu_recv_reply(f, request, op->name, reply, op->reply_min, max, deadline, e);
	}
	return ack ? vu_recv_ack(f, request, op->name, deadline, e) : 0;
}

int vu_from_fd(int fd, const char *path, int timeout_ms, int cancel_fd, struct vu_frontend **out,
	struct err *e)
{
	struct vu_frontend *f = calloc(1, sizeof(*f));
	int flags = fcntl(fd, F_GETFL);

	*out = NULL;
	if (!f || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		int code = f ? -errno : -ENOMEM;

		free(f);
		fd_close(&fd);
		return err_set(e, code, "vhost-user socket %s: %s", path, err_str(code));
	}
	f->fd = fd;
	f->cancel_fd = cancel_fd;
	f->timeout_ms = timeout_ms;
	f->queue_num = 1;
	strncpy(f->path, path, sizeof(f->path) - 1);
	*out = f;
	return 0;
}

int vu_connect(
	const char *path, int timeout_ms, int cancel_fd, struct vu_frontend **out, struct err *e)
{
	int fd = fd_unix_connect(path, timeout_ms, e);

	*out = NULL;
	return fd < 0 ? fd : vu_from_fd(fd, path, timeout_ms, cancel_fd, out, e);
}

void vu_close(struct vu_frontend *f)
{
	if (!f)
		return;
	fd_close(&f->fd);
	free(f);
}

int vu_fd(const struct vu_frontend *f)
{
	return f->fd;
}

uint64_t vu_features(const struct vu_frontend *f)
{
	return f->features;
}

uint64_t vu_protocol_features(const struct vu_frontend *f)
{
	return f->protocol;
}

uint32_t vu_queue_num(const struct vu_frontend *f)
{
	return f->queue_num;
}

int vu_expect_kind(const struct vu_frontend *f, enum vu_kind kind, struct err *e)
{
	static const char *const wanted[] = {
		[VU_KIND_ANY] = "a device",
		[VU_KIND_NET] = "a network port",
		[VU_KIND_BLK] = "a disk",
		[VU_KIND_FS] = "a shared folder",
	};
	enum vu_kind found = vu_kind_guess(f->features, f->protocol_offered);

	if (kind == VU_KIND_ANY || found == VU_KIND_ANY || found == kind)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		"the back end at %s is of the wrong type: expected %s, found %s (features 0x%llx, "
		"protocol features 0x%llx): check which socket belongs to which device",
		f->path, wanted[kind], vu_kind_name(found), (unsigned long long)f->features,
		(unsigned long long)f->protocol_offered);
}

static int vu_get_u64(struct vu_frontend *f, enum vu_request request, uint64_t *v, struct err *e)
{
	le64_t reply;
	int n = vu_call(f, request, NULL, 0, NULL, 0, &reply, sizeof(reply), e);

	if (n < 0)
		return n;
	*v = le64_get(reply);
	return 0;
}

static int vu_set_u64(struct vu_frontend *f, enum vu_request request, uint64_t v, struct err *e)
{
	le64_t payload = le64_of(v);

	return vu_call(f, request, &payload, sizeof(payload), NULL, 0, NULL, 0, e);
}

static int vu_set_state(
	struct vu_frontend *f, enum vu_request request, uint32_t index, uint32_t num, struct err *e)
{
	struct vu_vring_state s = { le32_of(index), le32_of(num) };

	return vu_call(f, request, &s, sizeof(s), NULL, 0, NULL, 0, e);
}

/* SET_VRING_KICK, CALL, ERR: the fd goes along, or a bit says that there is none. */
static int vu_set_ring_fd(
	struct vu_frontend *f, enum vu_request request, uint32_t index, int fd, struct err *e)
{
	le64_t payload = le64_of((index & VU_VRING_INDEX_MASK) | (fd < 0 ? VU_VRING_NO_FD : 0));

	return vu_call(f, request, &payload, sizeof(payload), &fd, fd < 0 ? 0 : 1, NULL, 0, e);
}

int vu_negotiate(struct vu_frontend *f, uint64_t want_protocol, struct err *e)
{
	uint64_t protocol = 0, queues = 1;
	int err = vu_get_u64(f, VU_GET_FEATURES, &f->features, e);

	if (err)
		return err;
	if (f->features & 1ull << VU_F_PROTOCOL_FEATURES) {
		err = vu_get_u64(f, VU_GET_PROTOCOL_FEATURES, &protocol, e);
		if (err)
			return err;
		f->protocol_offered = protocol;
		protocol &= want_protocol;
		err = vu_set_u64(f, VU_SET_PROTOCOL_FEATURES, protocol, e);
		if (err)
			return err;
		f->protocol = protocol;
	}
	if (protocol & 1ull << VU_PF_MQ) {
		err = vu_get_u64(f, VU_GET_QUEUE_NUM, &queues, e);
		if (err)
			return err;
		if (queues < 1 || queues > 128)
			return err_set(e, vu_die(f, -EPROTO),
				"vhost-user GET_QUEUE_NUM: the back end at %s says %llu queues, "
				"expected 1 to 128",
				f->path, (unsigned long long)queues);
	}
	f->queue_num = (uint32_t)queues;
	return vu_call(f, VU_SET_OWNER, NULL, 0, NULL, 0, NULL, 0, e);
}

int vu_set_features(struct vu_frontend *f, uint64_t features, struct err *e)
{
	features |= f->features & 1ull << VU_F_PROTOCOL_FEATURES;
	if (features & ~f->features)
		return err_set(e, -EINVAL,
			"vhost-user SET_FEATURES: the back end at %s does not offer features "
			"0x%llx",
			f->path, (unsigned long long)(features & ~f->features));
	return vu_set_u64(f, VU_SET_FEATURES, features, e);
}

int vu_set_mem_table(struct vu_frontend *f, const struct vu_region *r, size_t n, struct err *e)
{
	struct vu_mem_table t = { .n_regions = le32_of((uint32_t)n) };
	int fds[VU_REGIONS_MAX];

	if (n < 1 || n > VU_REGIONS_MAX)
		return err_set(e, -EINVAL,
			"vhost-user SET_MEM_TABLE: %zu regions, expected 1 to %d", n,
			VU_REGIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		t.region[i] = (struct vu_mem_region){ le64_of(r[i].gpa), le64_of(r[i].size),
			le64_of(r[i].user_addr), le64_of(r[i].mmap_offset) };
		fds[i] = r[i].fd;
	}
	return vu_call(f, VU_SET_MEM_TABLE, &t,
		offsetof(struct vu_mem_table, region) + n * sizeof(t.region[0]), fds, n, NULL, 0,
		e);
}

int vu_start_ring(struct vu_frontend *f, const struct vu_ring *r, struct err *e)
{
	struct vu_vring_addr a = { .index = le32_of(r->index),
		.desc = le64_of(r->desc),
		.avail = le64_of(r->avail),
		.used = le64_of(r->used) };
	int err;

	if ((err = vu_set_state(f, VU_SET_VRING_NUM, r->index, r->size, e)) ||
		(err = vu_set_state(f, VU_SET_VRING_BASE, r->index, r->base, e)) ||
		(err = vu_call(f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0, NULL, 0, e)))
		return err;
	if (r->err_fd >= 0 && (err = vu_set_ring_fd(f, VU_SET_VRING_ERR, r->index, r->err_fd, e)))
		return err;
	if ((err = vu_set_ring_fd(f, VU_SET_VRING_CALL, r->index, r->call_fd, e)))
		return err;
	return vu_set_ring_fd(f, VU_SET_VRING_KICK, r->index, r->kick_fd, e);
}

int vu_enable_ring(struct vu_frontend *f, uint32_t index, bool enable, struct err *e)
{
	if (!(f->features & 1ull << VU_F_PROTOCOL_FEATURES))
		return 0;
	return vu_set_state(f, VU_SET_VRING_ENABLE, index, enable, e);
}

int vu_stop_ring(struct vu_frontend *f, uint32_t index, uint32_t *base, struct err *e)
{
	struct vu_vring_state s = { le32_of(index), le32_of(0) }, reply = { 0 };
	int n = vu_call(f, VU_GET_VRING_BASE, &s, sizeof(s), NULL, 0, &reply, sizeof(reply), e);

	if (n < 0)
		return n;
	if (le32_get(reply.index) != index)
		return err_set(e, vu_die(f, -EPROTO),
			"vhost-user GET_VRING_BASE: the back end at %s answered for ring %u, "
			"expected %u",
			f->path, le32_get(reply.index), index);
	if (base)
		*base = le32_get(reply.num);
	return 0;
}

int vu_get_config(struct vu_frontend *f, uint32_t offset, void *buf, size_t len, struct err *e)
{
	struct vu_config c = { .offset = le32_of(offset), .size = le32_of((uint32_t)len) }, reply;
	size_t n = offsetof(struct vu_config, data) + len;
	int got;

	if (!(f->protocol & 1ull << VU_PF_CONFIG) || len < 1 || len > VU_CONFIG_MAX)
		return err_set(e, -EOPNOTSUPP,
			"vhost-user GET_CONFIG: the back end at %s has no configuration space "
			"of %zu bytes",
			f->path, len);
	got = vu_call(f, VU_GET_CONFIG, &c, n, NULL, 0, &reply, sizeof(reply), e);
	if (got < 0)
		return got;
	if ((size_t)got != n || le32_get(reply.size) != len)
		return err_set(e, -EREMOTEIO,
			"vhost-user GET_CONFIG: the back end at %s refused %zu bytes at %u",
			f->path, len, offset);
	memcpy(buf, reply.data, len);
	return 0;
}

int vu_set_mtu(struct vu_frontend *f, uint16_t mtu, struct err *e)
{
	if (!(f->protocol & 1ull << VU_PF_NET_MTU))
		return 0;
	return vu_set_u64(f, VU_NET_SET_MTU, mtu, e);
}
