/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of one node that lab/check.c makes for those that are to start. */
#ifndef LANYARD_LAB_CHECK_NODE_H
#define LANYARD_LAB_CHECK_NODE_H

#include "config/topology.h"
#include "lab/host.h"
#include "lab/paths.h"
#include "lab/plan.h"

/* A VM of any guest: kernel, modules, files, disks, shares, and who serves them. ERR_REQUEST: the
 * file is wrong; ERR_HOST: the host lacks something. Both with FILE:LINE:COL. */
int check_node(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct host *h, const struct topo_node *n, struct err *e);

/* wanted: hugepages of 1 GiB, up to and with node `last`. */
int check_pages_1g(const struct topology *t, const struct host *h, uint64_t wanted,
	const struct topo_node *last, struct err *e);

#endif
