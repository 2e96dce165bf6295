/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/nic_ring.h"

#include "vmm/split_ring.h"

uint16_t nic_ring_resume_receive(const void *used)
{
	const struct split_used *u = used;

	return __atomic_load_n(&u->idx, __ATOMIC_ACQUIRE);
}

uint16_t nic_ring_resume_transmit(const void *avail, void *used, uint16_t size)
{
	const struct split_avail *a = avail;
	struct split_used *u = used;
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
