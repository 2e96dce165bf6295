/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of an open-loop sender: frame k is due at start + k * 1000 * tsc_hz / rate_mfps,
 * rounded down, exactly: a remainder is carried along, so the rate has no drift however long it
 * runs. Freestanding.
 *
 * A sender that could not run for a while (its CPU was taken) is late with many frames at once.
 * Sent in one burst they would overflow rings that the set rate never fills, and the path would be
 * blamed for it. So a sender that is more than 20 ms late (two senders that share a CPU are late by
 * a time slice all the time) catches up at four times its rate, no faster.
 */
#ifndef LANYARD_TRAFFIC_PACER_H
#define LANYARD_TRAFFIC_PACER_H

#include <stdint.h>

struct traffic_pacer {
	uint64_t next_tsc;         /* when the next frame is due */
	uint64_t step, rest, rate; /* TSC a frame = step + rest / rate */
	uint64_t carry;
	uint64_t late_tsc;   /* 20 ms: from then on it catches up */
	uint64_t caught_tsc; /* the time up to which the catching up is used */
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
	p->late_tsc = tsc_hz / 50;
	p->caught_tsc = start_tsc;
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

/* How many of the due frames may go at `tsc`, at most `max`; they are taken for sent as far as
 * catching up goes. */
static inline uint32_t traffic_pacer_release(struct traffic_pacer *p, uint64_t tsc, uint32_t max)
{
	uint32_t n = traffic_pacer_due(p, tsc, max);
	uint64_t time, most, quarter = p->step / 4 + 1;

	if (!n || tsc - p->next_tsc <= p->late_tsc) {
		p->caught_tsc = tsc;
		return n;
	}
	/* Of the time in which it did not run, 5 ms or one frame's count. */
	time = tsc - p->caught_tsc;
	most = p->late_tsc / 4 > p->step ? p->late_tsc / 4 : p->step;
	if (time > most)
		time = most;
	if (time / quarter < n)
		n = (uint32_t)(time / quarter);
	p->caught_tsc = tsc - time + n * quarter;
	return n;
}

#endif
