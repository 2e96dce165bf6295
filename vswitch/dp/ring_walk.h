/* SPDX-License-Identifier: Apache-2.0 */
/* A walk along a chain of descriptors: what both ring layouts share of it. For ring*.c only. */
#ifndef LANYARD_VSWITCH_DP_RING_WALK_H
#define LANYARD_VSWITCH_DP_RING_WALK_H

#include "vswitch/dp/ring.h"

struct ring_walk {
	struct ring *r;
	struct ring_seg *seg;
	int n_segs;
	uint64_t total;
	bool writable;
	bool too_many; /* pieces or links: checked to its end, but not to be used */
};

/* Adds one descriptor's buffer, in more than one piece if it runs on into another region. */
enum ring_fault ring_walk_buffer(struct ring_walk *w, uint64_t gpa, uint32_t len);

#endif
