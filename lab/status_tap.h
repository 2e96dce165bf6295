/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges and taps in the status of a lab. */
#ifndef LANYARD_LAB_STATUS_TAP_H
#define LANYARD_LAB_STATUS_TAP_H

#include <jansson.h>
#include <stdio.h>

#include "lab/plan.h"

/* "bridges": each network of that kind, its interface, its taps, and what of it is missing. */
json_t *status_bridges(const struct plan *p);

/* The same for people. */
void status_print_bridges(const json_t *doc, FILE *out, int width);

#endif
