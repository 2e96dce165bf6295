/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: one memfd, mapped once, shown to the guest as one or two regions (the second from
 * 4 GiB on), shared with back ends by fd. Made by the main thread before any other exists and
 * constant from then on; its bytes belong to the guest, who may change them at any time: read what
 * you check once, into a local.
 */
#ifndef LANYARD_VMM_GMEM_H
#define LANYARD_VMM_GMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* A guest-physical address: never a pointer. */
typedef struct {
	uint64_t v;
} gpa_t;

struct gmem_region {
	uint64_t gpa, size;
	uint64_t offset; /* in the memfd, and in the mapping */
	uint8_t *host;
};

struct gmem {
	int fd;
	bool huge;
	uint64_t size;
	void *map;
	unsigned n;
	struct gmem_region r[2];
};

#define GMEM_GRAIN (2ull << 20) /* sizes are multiples of it */

/*
 * size bytes, in 2 MiB pages if want_huge and so many are free, else in plain pages; g->huge tells,
 * and *why (>= 256 bytes) says what was missing ("" if nothing was asked or missing). Pages are
 * reserved here, so that a shortage is an error now and never a SIGBUS later. ERR_REQUEST for size
 * 0 or no multiple of 2 MiB, ERR_HOST if the host has less.
 */
int gmem_new(struct gmem *g, uint64_t size, bool want_huge, char *why, struct err *e);
void gmem_free(struct gmem *g); /* also after a failed gmem_new */

/* For tests: a mapping of the caller's, laid out like a real one. */
void gmem_wrap(struct gmem *g, void *map, uint64_t size);

/* The host address of len bytes at a, all in one region, or NULL. Does not overflow. */
void *gmem_at(const struct gmem *g, gpa_t a, uint64_t len);

/* Where RAM ends: the first address above all regions. */
uint64_t gmem_end(const struct gmem *g);

#endif
