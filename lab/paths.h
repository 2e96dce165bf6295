/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are: the run folder's root, and the programs that lie beside `lanyard` itself. */
#ifndef LANYARD_LAB_PATHS_H
#define LANYARD_LAB_PATHS_H

#include "base/err.h"
#include "lab/lab.h"

struct paths {
	char run[LAB_PATH_MAX]; /* LANYARD_RUN, or /run/lanyard */
	/* Each: its environment variable, else found from /proc/self/exe's folder in a build folder
	 * or an installation. "" if it isn't anywhere: paths_find says so. */
	char sw[LAB_PATH_MAX];      /* LANYARD_SWITCH: lanyard-switch */
	char vmm[LAB_PATH_MAX];     /* LANYARD_VMM: lanyard-vmm */
	char probe[LAB_PATH_MAX];   /* LANYARD_PROBE: probe.elf */
	char traffic[LAB_PATH_MAX]; /* LANYARD_TRAFFIC: lanyard-traffic */
};

void paths_read(struct paths *p);

/* 0, or -ENOENT (ERR_HOST) with the first program that is missing and where it was looked for.
 * processes: lanyard-traffic is needed too. */
int paths_check(const struct paths *p, bool processes, struct err *e);

#endif
