/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of an open-loop sender: frame k is due at start + k * 1000 * tsc_hz / rate_mfps,
 * rounded down, exactly: a remainder is carried along, so the rate has no drift however long it
 * runs. Freestanding.
 */
#ifndef LANYARD_TRAFFIC_PACER_H
#define LANYARD_TRAFFIC_PACER_H

#include <stdint.h>

struct traffic_pacer {
	uint64_t next_tsc;         /* when the next frame is due */
	uint64_t step, rest, rate; /* TSC a frame = step + rest / rate */
	uint64_t carry;
};

/* rate_mfps: frames per 1000 s, not 0. tsc_hz below 2^54 / 1000. */
static inline void traffic_pacer_init(
	struct traffic_pacer *p, uint64_t start_tsc, uint64_t tsc_hz, uint64_t rate_mfps)
{
	p->next_tsc = start_tsc;
	p->step = tsc_hz * 1000 / rate_mfps;
	p->rest = tsc_hz * 1000 % rate_mfps;
	p->rate = rate_mfps;
	p->carry = 0;
}

static inline void traffic_pacer_advance(struct traffic_pacer *p)
{
	p->next_tsc += p->step;
	p->carry += p->rest;
	if (p->carry >= p->rate) {
		p->carry -= p->rate;
		p->next_tsc++;
	}
}

/* How many frames are due before or at `tsc`, at most `max`; *p stays as it is. */
static inline uint32_t traffic_pacer_due(const struct traffic_pacer *p, uint64_t tsc, uint32_t max)
{
	struct traffic_pacer q = *p;
	uint32_t n = 0;

	while (n < max && q.next_tsc <= tsc) {
		traffic_pacer_advance(&q);
		n++;
	}
	return n;
}

#endif
