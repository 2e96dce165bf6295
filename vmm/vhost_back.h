/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who serves a device's rings, as the device's link (vhost_link.h) sees it. There are two:
 *
 *	vhost_user.h	a process at the other end of a socket, which may come and go
 *	vhost_net.h	the host's kernel, which moves frames between the rings and a tap
 *
 * A back end is opened, told features, memory and rings, and closed; then it may be opened again.
 * All calls are the link's thread's, but for start and fini.
 */
#ifndef LANYARD_VMM_VHOST_BACK_H
#define LANYARD_VMM_VHOST_BACK_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vhost-user/frontend.h"
#include "vmm/sandbox.h"

struct vhost_back;

struct vhost_back_ops {
	const char *key;          /* of its name in `info` */
	enum sandbox_kind thread; /* what the link's thread may do */
	int look_ms; /* one that is open may be gone without a wake-up: how often to look; 0: no */

	/* Main thread, before the link's is there. May be NULL. */
	int (*start)(struct vhost_back *b, struct err *e);
	void (*fini)(struct vhost_back *b); /* main thread, the link's has ended; closed */

	/* cancel_fd ends each wait of it and of the calls below (-ECANCELED). After a failure close
	 * is due all the same. */
	int (*open)(struct vhost_back *b, int cancel_fd, struct err *e);
	void (*close)(struct vhost_back *b); /* open or not */
	/* When this is ready, an open one is gone; one that is not open is worth an attempt (fd -1:
	 * it always is). */
	struct pollfd (*watch)(const struct vhost_back *b);

	/* Of one that was opened: what it offers; queues of the device's kind (a NIC's pairs). */
	uint64_t (*features)(const struct vhost_back *b);
	unsigned (*queues)(const struct vhost_back *b);

	/* An open one is handed the rings: the device's features, then memory, then each ring,
	 * which is served while it is enabled. stop_ring: it is not touched any more, and *base is
	 * where it stands. Rings are those of virtio (vu_ring). */
	int (*set_features)(struct vhost_back *b, uint64_t features, struct err *e);
	int (*set_memory)(struct vhost_back *b, const struct vu_region *r, size_t n, struct err *e);
	int (*start_ring)(struct vhost_back *b, const struct vu_ring *r, struct err *e);
	int (*enable_ring)(struct vhost_back *b, unsigned i, bool on, struct err *e);
	int (*stop_ring)(struct vhost_back *b, unsigned i, uint32_t *base, struct err *e);
};

struct vhost_back {
	const struct vhost_back_ops *ops;
	const char *name; /* the socket, the tap; the owner's */
	char what[256];   /* "the back end at SOCKET", "tap NAME": for sentences */
};

#endif
