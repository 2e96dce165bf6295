/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of CPUs as text, "0,2,3". */
#ifndef LANYARD_BASE_CPULIST_H
#define LANYARD_BASE_CPULIST_H

#include <sched.h>
#include <stddef.h>

/* The set, to out[size], cut at a comma if it doesn't fit; "" if it is empty. Returns out. Pure. */
char *cpulist_text(const cpu_set_t *set, char *out, size_t size);

/* Those that the calling thread may run on. */
char *cpulist_allowed(char *out, size_t size);

#endif
