/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the host has hugepages to spare. */
#ifndef LANYARD_BASE_HUGEPAGES_H
#define LANYARD_BASE_HUGEPAGES_H

#include <stdbool.h>
#include <stdint.h>

/* So many MiB are free in hugepages of one size. */
bool hugepages_free(uint64_t mb);

#endif
