/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a guest's memory can be had in huge pages of one size, asked before it is: the answer
 * names how many are missing, of which size, and what each NUMA node has. */
#ifndef LANYARD_VMM_HUGEPAGES_H
#define LANYARD_VMM_HUGEPAGES_H

#include <stdint.h>

#include "base/err.h"

/*
 * For `bytes`, a multiple of page_size (2 MiB, 1 GiB). root: "" for this host, or a folder that has
 * sys/ like it (tests). ERR_HOST: the host has none of that size, or too few are free. Others may
 * take them meanwhile: getting them may fail still.
 */
int hugepages_check(const char *root, uint64_t page_size, uint64_t bytes, struct err *e);

#endif
