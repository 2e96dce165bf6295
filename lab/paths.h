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
	char init[LAB_PATH_MAX];    /* LANYARD_INIT: lanyard-init, of Linux guests */
	char self[LAB_PATH_MAX];    /* lanyard itself */
	/* Others' programs; where Debian has them if they aren't anywhere. */
	char virtiofsd[LAB_PATH_MAX]; /* LANYARD_VIRTIOFSD */
	char storage[LAB_PATH_MAX];   /* LANYARD_STORAGE_DAEMON: qemu-storage-daemon */
};

void paths_read(struct paths *p);

/* 0, or -ENOENT (ERR_HOST) with the first program that is missing and where it was looked for.
 * processes: lanyard-traffic is needed too; linux_guests: lanyard-init. */
int paths_check(const struct paths *p, bool processes, bool linux_guests, struct err *e);

/* The same for a program of another project's: the sentence names its package. */
int paths_check_virtiofsd(const struct paths *p, struct err *e);
int paths_check_storage(const struct paths *p, struct err *e);

#endif
