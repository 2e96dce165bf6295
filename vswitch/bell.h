/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bell for librte_vhost's thread. Up to 23.11 that thread learns of a new listening socket only
 * when its poll returns, up to a second later: a lab would wait that long for its links. So the
 * switch keeps one vhost-user connection to itself, with no device behind it, and asks a question
 * on it whenever a socket was added: the thread wakes, answers, and polls all sockets from then on.
 *
 * Control thread only.
 */
#ifndef LANYARD_VSWITCH_BELL_H
#define LANYARD_VSWITCH_BELL_H

#include "base/fd.h"

struct sw_bell {
	int fd; /* our end; -1: no bell, sockets are noticed later */
	char path[FD_UNIX_PATH_MAX + 1];
};

/* Connects librte_vhost to a socket made beside `control`, which is unlinked again at once. A bell
 * that can't be had is a warning in the log, no error. EAL must run. */
void sw_bell_start(struct sw_bell *b, const char *control);
void sw_bell_ring(struct sw_bell *b);
void sw_bell_stop(struct sw_bell *b);

#endif
