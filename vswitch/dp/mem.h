/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory as the switch maps it: a few regions, immutable from the moment the table is
 * made until the last queue that uses it is gone. The one place where a guest's address becomes a
 * pointer of ours.
 */
#ifndef LANYARD_VSWITCH_DP_MEM_H
#define LANYARD_VSWITCH_DP_MEM_H

#include <stddef.h>
#include <stdint.h>

/* librte_vhost takes at most 8 regions from a front end (VHOST_MEMORY_MAX_NREGIONS). */
#define DP_REGIONS_MAX 8

struct dp_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *host;
};

struct dp_mem {
	uint32_t n_regions;
	struct dp_region region[DP_REGIONS_MAX];
};

/* The pointer to all of [gpa, gpa + len), or NULL if no single region holds it. */
static inline uint8_t *dp_region_host(const struct dp_region *r, uint64_t gpa, uint64_t len)
{
	uint64_t off = gpa - r->gpa; /* wraps to something huge when gpa lies below */

	if (off < r->size && len <= r->size - off)
		return r->host + off;
	return NULL;
}

/* As dp_region_host over the whole table. *hint is the region to try first (0 to begin with). */
static inline uint8_t *dp_mem_host(
	const struct dp_mem *m, uint32_t *hint, uint64_t gpa, uint64_t len)
{
	uint8_t *host = dp_region_host(&m->region[*hint], gpa, len);

	if (__builtin_expect(host != NULL, 1))
		return host;
	for (uint32_t i = 0; i < m->n_regions; i++) {
		host = dp_region_host(&m->region[i], gpa, len);
		if (host) {
			*hint = i;
			return host;
		}
	}
	return NULL;
}

/* The pointer to gpa, with *run (bytes wanted on entry) cut to what its region holds: a buffer may
 * run on from one region into the next. NULL if no region holds gpa. */
static inline uint8_t *dp_mem_host_run(const struct dp_mem *m, uint64_t gpa, uint32_t *run)
{
	for (uint32_t i = 0; i < m->n_regions; i++) {
		const struct dp_region *r = &m->region[i];
		uint64_t off = gpa - r->gpa;

		if (off < r->size) {
			if (*run > r->size - off)
				*run = (uint32_t)(r->size - off);
			return r->host + off;
		}
	}
	return NULL;
}

#endif
