/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two rings of a split queue as they lie in memory (virtio 1.2, 2.7.6 and 2.7.8): both begin
 * with flags and index, their entries follow. Data only; of what follows the entries (used_event,
 * avail_event) its users make nothing. vring.c, which serves queues, works on bytes: to it a ring
 * may be packed as well.
 */
#ifndef LANYARD_VMM_SPLIT_RING_H
#define LANYARD_VMM_SPLIT_RING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct split_avail {
	uint16_t flags, idx, head[];
};

struct split_used {
	uint16_t flags, idx;
	struct {
		uint32_t head, len;
	} e[];
};

static_assert(offsetof(struct split_avail, head) == 4, "virtio 2.7.6");
static_assert(offsetof(struct split_used, e) == 4, "virtio 2.7.8");

#endif
