/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where frames go: the stage between peek and deliver. On our copies of the headers only; it
 * writes nothing of a guest's. By the worker that has the burst.
 */
#ifndef LANYARD_VSWITCH_DP_DECIDE_H
#define LANYARD_VSWITCH_DP_DECIDE_H

#include <x86intrin.h>

#include "vswitch/dp/forward.h"

/* The clock that rates go by. */
static inline uint64_t dp_cycles(const struct dp_forwarder *f)
{
	return f->cycles ? f->cycles() : __rdtsc();
}

/* Around the use of a port's meters. */
static inline void dp_meter_lock(struct dp_port *p)
{
	while (__atomic_exchange_n(&p->meter_lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&p->meter_lock, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
}

static inline void dp_meter_unlock(struct dp_port *p)
{
	__atomic_store_n(&p->meter_lock, 0, __ATOMIC_RELEASE);
}

/* Every frame of f->burst, which came in by q, of network net: learns its source, stages it by
 * output queue or counts in burst.drops why not. now_s: the second of ages. Fills burst.bytes. */
void dp_decide(struct dp_forwarder *f, const struct dp_view *v, struct dp_inq *q,
	const struct dp_view_net *net, uint32_t now_s);

#endif
