/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of traffic, as a file names them: "NODE.NIC", or a list of such. Traffic entries have them
 * (traffic.c), and paths (path.c), which entries may name instead. Private to config/.
 */
#ifndef LANYARD_CONFIG_ENDS_H
#define LANYARD_CONFIG_ENDS_H

#include "config/decode.h"

struct ends {
	size_t n;
	struct topo_end end[TOPO_ENDS_MAX];
	struct topo_place place;
};

/* Rows' functions; *out is a struct ends. Pairs: a list of two or more. */
int ends_decode(struct dec *, const struct jtree *, const struct dec_field *, void *);
int ends_decode_pairs(struct dec *, const struct jtree *, const struct dec_field *, void *);

bool ends_same(const struct topo_end *a, const struct topo_end *b);

/* "paths" of a file (path.c); *out is a struct topology. */
int paths_decode(struct dec *, const struct jtree *, const struct dec_field *, void *);

/* The paths that an entry names: "all", or a list of names. */
struct path_names {
	size_t n, path[TOPO_PATHS_MAX]; /* indexes in the topology's paths */
	struct topo_place place, each[TOPO_PATHS_MAX];
};
int paths_decode_names(struct dec *, const struct jtree *, const struct dec_field *, void *);

#endif
