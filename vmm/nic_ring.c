/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/nic_ring.h"

#include <stddef.h>

/* Both rings begin with flags and index; their entries follow. */
struct avail {
	uint16_t flags, idx, head[];
};

struct used {
	uint16_t flags, idx;
	struct {
		uint32_t head, len;
	} e[];
};

_Static_assert(offsetof(struct avail, head) == 4, "virtio 2.7.6");
_Static_assert(offsetof(struct used, e) == 4, "virtio 2.7.8");

uint16_t nic_ring_resume_receive(const void *used)
{
	const struct used *u = used;

	return __atomic_load_n(&u->idx, __ATOMIC_ACQUIRE);
}

uint16_t nic_ring_resume_transmit(const void *avail, void *used, uint16_t size)
{
	const struct avail *a = avail;
	struct used *u = used;
	uint16_t at = __atomic_load_n(&u->idx, __ATOMIC_ACQUIRE);
	uint16_t end = __atomic_load_n(&a->idx, __ATOMIC_ACQUIRE);

	if ((uint16_t)(end - at) > size)
		return at;
	for (; at != end; at++) {
		uint16_t slot = at % size;

		u->e[slot].head = __atomic_load_n(&a->head[slot], __ATOMIC_RELAXED);
		u->e[slot].len = 0;
	}
	__atomic_store_n(&u->idx, end, __ATOMIC_RELEASE);
	return end;
}
