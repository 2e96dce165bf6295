/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules: the list that image/ made, in its order. */
#ifndef LANYARD_GUEST_LINUX_MODLOAD_H
#define LANYARD_GUEST_LINUX_MODLOAD_H

#include <jansson.h>

/* Loads each path of the list (a line each). One that is there already, or has no hardware to
 * serve, is no problem; another that does not load is, and the rest goes on. No list: nothing to
 * do. */
void modload_list(const char *list, json_t *problems);

#endif
