/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user front end: one connection to a back end, spoken in blocking calls with a
 * deadline each. Who calls: the thread that owns the connection (a NIC's link thread, a test),
 * one at a time; nothing here locks or makes threads.
 *
 *	vu_connect -> vu_negotiate (features, protocol features, queue number, owner)
 *	-> vu_set_features -> vu_set_mem_table -> for each ring: vu_start_ring, vu_enable_ring
 *	... the rings run without us ...
 *	-> for each ring: vu_stop_ring -> (again from vu_set_features) -> vu_close
 *
 * No call waits longer than the connection's timeout: a back end that does not answer gives
 * -ETIMEDOUT, one that went away -EPIPE, one that talks nonsense -EPROTO. After any of these the
 * connection is dead: every later call gives the same error, and the caller closes it. A request
 * that the back end refuses (REPLY_ACK with a value) is -EREMOTEIO, and the connection lives.
 * Every sentence names the message and the socket.
 *
 * The front end never waits for what it did not ask: the back end's own requests (the back-end
 * channel) are not offered.
 */
#ifndef LANYARD_VHOST_USER_FRONTEND_H
#define LANYARD_VHOST_USER_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vhost-user/proto.h"

struct vu_frontend;

/* A piece of guest memory that the back end may map. fd stays the caller's. */
struct vu_region {
	uint64_t gpa;       /* guest-physical address */
	uint64_t size;      /* bytes */
	uint64_t user_addr; /* the address that rings are given in: ours, or any the caller likes */
	uint64_t mmap_offset; /* where in fd the region begins */
	int fd;
};

/* A ring. Addresses are user addresses (see vu_region), not guest-physical ones. */
struct vu_ring {
	uint32_t index;
	uint32_t size;              /* descriptors */
	uint64_t desc, avail, used; /* packed: descriptors, driver's and device's event area */
	/* Next available index to be looked at. Packed: of the available side the place (15 bits)
	 * and the wrap counter, then the same of the used side. */
	uint32_t base;
	int kick_fd; /* written to by the guest; -1: the back end polls */
	int call_fd; /* written to by the back end; -1: none */
	int err_fd;  /* or -1: not sent */
};

/* Connects within timeout_ms, which is also the deadline of every later reply. cancel_fd: an fd
 * (an eventfd, say) that ends every wait with -ECANCELED as soon as it is readable, or -1. */
int vu_connect(
	const char *path, int timeout_ms, int cancel_fd, struct vu_frontend **out, struct err *e);
/* As vu_connect, with a connected stream socket, which becomes the front end's also on failure.
 * path is for messages. */
int vu_from_fd(int fd, const char *path, int timeout_ms, int cancel_fd, struct vu_frontend **out,
	struct err *e);
void vu_close(struct vu_frontend *f); /* NULL is nothing */

/* The socket, to learn of the back end's end (POLLRDHUP) between calls. */
int vu_fd(const struct vu_frontend *f);

/*
 * GET_FEATURES; GET/SET_PROTOCOL_FEATURES (want_protocol: a mask, of which the offered are taken)
 * and GET_QUEUE_NUM where offered; SET_OWNER.
 */
int vu_negotiate(struct vu_frontend *f, uint64_t want_protocol, struct err *e);
uint64_t vu_features(const struct vu_frontend *f);          /* that the back end offers */
uint64_t vu_protocol_features(const struct vu_frontend *f); /* agreed on */
/* Whether the back end is for such a device, as far as can be told; else -EOPNOTSUPP and why. */
int vu_expect_kind(const struct vu_frontend *f, enum vu_kind kind, struct err *e);
/* What GET_QUEUE_NUM said: queue pairs of a net device, rings of any other. 1 without MQ. */
uint32_t vu_queue_num(const struct vu_frontend *f);

/* Features acknowledged by the guest; VU_F_PROTOCOL_FEATURES is added where it was offered. */
int vu_set_features(struct vu_frontend *f, uint64_t features, struct err *e);
int vu_set_mem_table(struct vu_frontend *f, const struct vu_region *r, size_t n, struct err *e);

/* SET_VRING_NUM, BASE, ADDR, KICK, CALL and ERR. The ring stays disabled if protocol features
 * were offered, and runs otherwise. */
int vu_start_ring(struct vu_frontend *f, const struct vu_ring *r, struct err *e);
/* SET_VRING_ENABLE; nothing if the back end has no protocol features. */
int vu_enable_ring(struct vu_frontend *f, uint32_t index, bool enable, struct err *e);
/* GET_VRING_BASE: after it the back end touches the ring no more. base may be NULL. */
int vu_stop_ring(struct vu_frontend *f, uint32_t index, uint32_t *base, struct err *e);

/* GET_CONFIG: len bytes (at most VU_CONFIG_MAX) from offset; -EOPNOTSUPP without VU_PF_CONFIG. */
int vu_get_config(struct vu_frontend *f, uint32_t offset, void *buf, size_t len, struct err *e);
/* NET_SET_MTU; nothing without VU_PF_NET_MTU. */
int vu_set_mtu(struct vu_frontend *f, uint16_t mtu, struct err *e);

/* The pieces, for clients that mean to get it wrong (tests) or do it differently. request: a
 * row of the table; payload, len and fds are checked against it. reply: NULL, or where the reply's
 * payload goes (its size must be within the table's bounds and at most reply_max). Returns the
 * reply's payload size. */
int vu_call(struct vu_frontend *f, enum vu_request request, const void *payload, size_t len,
	const int *fds, size_t n_fds, void *reply, size_t reply_max, struct err *e);

#endif
