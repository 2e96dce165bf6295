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
	uint64_t page_size; /* 4 KiB, 2 MiB or 1 GiB */
	uint64_t size;
	void *map;
	unsigned n;
	struct gmem_region r[2];
};

#define GMEM_GRAIN (2ull << 20) /* sizes are multiples of it */

enum gmem_pages {
	GMEM_AUTO, /* 2 MiB pages if so many are free, else plain ones */
	GMEM_2M,   /* these, or it is an error */
	GMEM_1G,
	GMEM_PLAIN,
};

/*
 * size bytes in such pages; *why (>= 256 bytes) says what was missing for GMEM_AUTO ("" if nothing
 * was). Pages are reserved here, so that a shortage is an error now and never a SIGBUS later.
 * ERR_REQUEST for size 0 or no multiple of 2 MiB (GMEM_1G: 1 GiB), ERR_HOST if the host has less.
 */
int gmem_new(struct gmem *g, uint64_t size, enum gmem_pages pages, char *why, struct err *e);
void gmem_free(struct gmem *g); /* also after a failed gmem_new */

/* For tests: a mapping of the caller's, laid out like a real one. */
void gmem_wrap(struct gmem *g, void *map, uint64_t size);

/* The host address of len bytes at a, all in one region, or NULL. Does not overflow. */
void *gmem_at(const struct gmem *g, gpa_t a, uint64_t len);

/* Where RAM ends: the first address above all regions. */
uint64_t gmem_end(const struct gmem *g);

#endif
