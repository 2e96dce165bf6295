/* SPDX-License-Identifier: Apache-2.0 */
#include "sriov/nl.h"

#include <errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

#define ANSWER_MS 30000 /* a driver may do its work under the same lock first */
#define FIRST_LEN 16384

struct real {
	struct sriov_nl nl;
	struct nl_sock *sock;
	char *buf;
	size_t size;
};

int sriov_nl_receive(int fd, int timeout_ms, char **buf, size_t *size)
{
	uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	ssize_t len;
	char *grown;
	int r = fd_wait(fd, POLLIN, deadline_ns);

	if (r)
		return r;
	/* How long it is, with nothing taken. */
	do
		len = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	if ((size_t)len > *size || !*buf) {
		*size = (size_t)len > FIRST_LEN ? (size_t)len : FIRST_LEN;
		grown = realloc(*buf, *size);
		if (!grown)
			return -ENOMEM;
		*buf = grown;
	}
	do
		len = recv(fd, *buf, *size, MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	return len < 0 ? -errno : (int)len;
}

/* The kernel's sentence, which stands behind the request that it sends back, or not (CAPPED). */
static void keep_words(struct sriov_nl *nl, const struct nlmsghdr *h)
{
	const struct nlmsgerr *error = NLMSG_DATA(h);
	size_t at = sizeof(*error), len = NLMSG_PAYLOAD(h, 0);
	const struct nlattr *a;
	int rest;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED) && error->msg.nlmsg_len > sizeof(error->msg))
		at += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	if (at >= len)
		return;
	nla_for_each_attr(a, (struct nlattr *)((char *)NLMSG_DATA(h) + at), (int)(len - at),
		rest) if (nla_type(a) == NLMSGERR_ATTR_MSG && nla_len(a) > 0)
		snprintf(nl->said, sizeof(nl->said), "%.*s", nla_len(a), (const char *)nla_data(a));
}

/* 1: go on; 0: acknowledged; -errno. */
static int one_answer(struct sriov_nl *nl, const struct nlmsghdr *h, sriov_nl_fn fn, void *arg)
{
	const struct nlmsgerr *error = NLMSG_DATA(h);
	int r;

	if (h->nlmsg_type == NLMSG_DONE)
		return 0;
	if (h->nlmsg_type == NLMSG_ERROR) {
		if (NLMSG_PAYLOAD(h, 0) < sizeof(*error))
			return -EPROTO;
		if (error->error)
			keep_words(nl, h);
		return error->error;
	}
	if (h->nlmsg_type == NLMSG_OVERRUN)
		return -ENOBUFS;
	r = fn && h->nlmsg_type != NLMSG_NOOP ? fn(arg, h) : 0;
	return r ? r : 1;
}

static int real_talk(struct sriov_nl *nl, struct nl_msg *msg, sriov_nl_fn fn, void *arg)
{
	struct real *real = (struct real *)nl;
	int fd = nl_socket_get_fd(real->sock), r;
	uint32_t seq;

	nl->said[0] = '\0';
	if (nl_send_auto(real->sock, msg) < 0)
		return -EIO;
	seq = nlmsg_hdr(msg)->nlmsg_seq;
	for (;;) {
		int len = sriov_nl_receive(fd, ANSWER_MS, &real->buf, &real->size);

		if (len < 0)
			return len;
		for (struct nlmsghdr *h = (struct nlmsghdr *)real->buf; nlmsg_ok(h, len);
			h = nlmsg_next(h, &len)) {
			if (h->nlmsg_seq != seq) /* of a talk that was given up */
				continue;
			r = one_answer(nl, h, fn, arg);
			if (r <= 0)
				return r;
		}
	}
}

static void real_free(struct sriov_nl *nl)
{
	struct real *real = (struct real *)nl;

	nl_socket_free(real->sock);
	free(real->buf);
	free(real);
}

struct sriov_nl *sriov_nl_open(struct err *e)
{
	struct real *real = calloc(1, sizeof(*real));
	int on = 1, r;

	if (real)
		real->sock = nl_socket_alloc();
	if (!real || !real->sock) {
		free(real);
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	real->nl.talk = real_talk;
	real->nl.free = real_free;
	r = nl_connect(real->sock, NETLINK_ROUTE);
	if (r < 0) {
		err_host(e, -EPROTO, "no netlink socket could be opened: %s", nl_geterror(r));
		real_free(&real->nl);
		return NULL;
	}
	setsockopt(nl_socket_get_fd(real->sock), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	return &real->nl;
}

void sriov_nl_free(struct sriov_nl *nl)
{
	if (nl)
		nl->free(nl);
}
