/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end at the other end of a UNIX socket (vhost-user/frontend.h). As a rule we connect;
 * where it is a client (Open vSwitch's dpdkvhostuserclient), we listen. It may go away and come
 * back at any time.
 */
#ifndef LANYARD_VMM_VHOST_USER_H
#define LANYARD_VMM_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/vhost_back.h"

struct vhost_user {
	struct vhost_back back;
	uint64_t protocol; /* protocol features wanted: bits of enum vu_protocol_feature */
	/* It was negotiated with; what else it is to be told or asked before anything relies on it.
	 * A failure hangs up. Link's thread, without the device lock. May be NULL. */
	int (*connected)(void *arg, struct vu_frontend *f, struct err *e);
	void *arg;
	bool listen; /* set before start */

	int listen_fd;         /* or -1 */
	struct vu_frontend *f; /* NULL: not open */
};

/* socket is borrowed. */
void vhost_user_init(struct vhost_user *u, const char *socket, uint64_t protocol,
	int (*connected)(void *arg, struct vu_frontend *f, struct err *e), void *arg);

#endif
