/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run folder of a lab, RUN/LAB (docs/control.md lists what is in it), and its lock: whoever
 * changes the lab holds it. `status` and the other readers don't need it.
 */
#ifndef LANYARD_LAB_FOLDER_H
#define LANYARD_LAB_FOLDER_H

#include <stdbool.h>

#include "base/err.h"
#include "lab/plan.h"

struct folder {
	char dir[LAB_PATH_MAX];
	int fd;      /* of the folder; -1: not open */
	int lock_fd; /* holds the flock */
};

#define FOLDER_CLOSED ((struct folder){ .fd = -1, .lock_fd = -1 })

/*
 * Opens and locks RUN/LAB, made (with RUN) if `create`. -ENOENT: there is none, and not create.
 * -EBUSY: another lanyard holds the lock; the sentence names its pid. ERR_HOST: no permission.
 */
int folder_lock(struct folder *f, const char *run, const char *lab, bool create, struct err *e);

/* Opens it for reading, with no lock. */
int folder_open(struct folder *f, const char *run, const char *lab, struct err *e);

/*
 * Removes what a lab of that plan (NULL: any lab) may have in its folder, then the folder, and
 * the default RUN if that was all in it; names of other files, which stay, are added to *foreign.
 * The lock is given up.
 */
void folder_remove(struct folder *f, const struct plan *p, struct strs *foreign);
/* Removes the files of a node that is no more: its logs, its sockets. */
void folder_forget_node(const struct folder *f, const char *node);
void folder_close(struct folder *f); /* gives up the lock; leaves everything there */

/* Whether a lab of that plan (NULL: any) makes a file of that name. Pure. */
bool folder_is_ours(const struct plan *p, const char *name);

#endif
