/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traffic engine in a Linux guest, on packet sockets (traffic/packet/port.h): the same engine
 * and the same requests as in the probe, so that whatever NIC the guest has, virtio-net or a VF, is
 * measured alike.
 *
 * The first request opens a port on each NIC and starts a thread, which is the engine's alone: it
 * polls while frames are due or come, and sleeps until then. Requests (traffic_start,
 * traffic_status, traffic_stop) are lines that it answers between two rounds; the agent's thread
 * waits for that.
 */
#ifndef LANYARD_GUEST_LINUX_TRAFFIC_H
#define LANYARD_GUEST_LINUX_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "base/err.h"

struct traffic;

/* Whether it is for traffic_serve. */
bool traffic_is_request(const char *method);

/*
 * Answers a request's line. *t: NULL before the first one; made then. config: the guest's. The
 * reply is malloc'd, ended by NUL, without its newline; "" for a notification; NULL with *e: there
 * is no engine (a NIC that is not there or can't be opened).
 */
char *traffic_serve(
	struct traffic **t, const json_t *config, const char *line, size_t len, struct err *e);
void traffic_free(struct traffic *t); /* NULL is nothing */

#endif
