/* SPDX-License-Identifier: Apache-2.0 */
/* Which process is meant: a pid and its start time, so that a pid used again is never mistaken. */
#ifndef LANYARD_BASE_PROC_H
#define LANYARD_BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_id {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
};

int proc_id_of(pid_t pid, struct proc_id *id); /* -ESRCH if there is none, or it is a zombie */
bool proc_is_alive(struct proc_id id);         /* that very process runs; a zombie does not */

#endif
