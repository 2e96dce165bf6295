/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pseudo-terminal for a console: we hold the master; whoever opens the slave, which a symbolic
 * link of a chosen name leads to, is the client. The master alone does not tell when somebody opens
 * the slave, so that is watched by inotify; that the last one closed it shows as a hang-up. The
 * slave is made raw: what we write is not echoed back to us. Main thread.
 */
#ifndef LANYARD_VMM_PTY_H
#define LANYARD_VMM_PTY_H

#include <stdbool.h>

#include "base/err.h"

struct pty {
	int master; /* non-blocking */
	int watch;  /* readable: somebody opened or closed the slave */
	int folder; /* where the link is */
	char *link; /* its path, or NULL: none was made */
	char slave[64];
	bool closed; /* when its closing was last seen, nobody had it any more */
};

/* Makes the terminal and the link. A link that leads to a pseudo-terminal is replaced; anything
 * else there is an error. pty_close after a failure too. */
int pty_open(struct pty *p, const char *link, struct err *e);
/* Takes what the watch has to say: whether somebody opened the slave; anew: after somebody closed
 * it, so fast perhaps that no hang-up was seen. */
bool pty_opened(struct pty *p, bool *anew);
/* Removes the link, if it is still ours. */
void pty_close(struct pty *p);

#endif
