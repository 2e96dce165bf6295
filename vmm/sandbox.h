/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement: once all that the machine needs is open, the process gives up the rest.
 *
 *	sandbox_prepare	main thread, while it is the only one: user, capabilities, name spaces,
 *			limits; makes the filters
 *	sandbox_enter	each thread for itself, as the first thing that it does (the main thread as
 *			the last of its start): Landlock and the seccomp filter of its kind
 *
 * What is a process's is here, once; what each kind of thread may call is a table in
 * sandbox_filter.c. A call that is not in it kills the process (SIGSYS), and the log's last line
 * says which it was. Without sandbox_prepare, sandbox_enter does nothing: tests, --sandbox off.
 */
#ifndef LANYARD_VMM_SANDBOX_H
#define LANYARD_VMM_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum sandbox_kind {
	SANDBOX_MAIN,  /* event loop, RPC, serial lines; resets */
	SANDBOX_VCPU,  /* KVM_RUN, registers of devices */
	SANDBOX_LINK,  /* connects to back ends */
	SANDBOX_TAP,   /* the same of a tap's NIC: vhost-net is told of rings */
	SANDBOX_SERVE, /* serves queues: io_uring, copies */
	SANDBOX_KINDS,
};

#define SANDBOX_PATHS_MAX 64

/* As a name: a user that no other process of the host is; for who is not root, who he is. */
#define SANDBOX_USER_OWN "own"

struct sandbox_setup {
	const char *user;                     /* name, number or SANDBOX_USER_OWN; NULL: stay
	                                       * who we are */
	const char *paths[SANDBOX_PATHS_MAX]; /* of sockets that are connected to or unlinked later
	                                       * on; their folders are all that is seen */
	unsigned n_paths;
	bool vfio; /* there are passed-through devices, which want calls of their own */
};

/* What became of it: of the kernel's mechanisms not all are there for everybody. */
struct sandbox_state {
	bool on;
	unsigned uid;
	bool landlock, namespaces;
};

int sandbox_prepare(const struct sandbox_setup *s, struct err *e);
/* Aborts the process if its filter cannot be had. */
void sandbox_enter(enum sandbox_kind kind);
const struct sandbox_state *sandbox_state(void);

/* sandbox_filter.c: makes all filters; installs one in this thread (0 or -errno). */
int sandbox_filter_make(bool vfio, struct err *e);
int sandbox_filter_enter(enum sandbox_kind kind);

#endif
