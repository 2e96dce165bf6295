/* SPDX-License-Identifier: Apache-2.0 */
/* What hosts' PFs count of the VFs that a lab's nodes have. */
#ifndef LANYARD_LAB_BENCH_VFS_H
#define LANYARD_LAB_BENCH_VFS_H

#include <jansson.h>

#include "config/topology.h"

/* Adds "vfs" to the switch's stats: by port name, "rx_dropped" and "tx_dropped" as the PF's driver
 * counts them. Where it tells nothing (igb), or the PF has gone, nothing is added. */
void bench_vfs_add(const struct topology *t, json_t *stats);

#endif
