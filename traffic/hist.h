/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A latency histogram with bounded relative error: log-linear buckets, 128 to each power of two.
 * Values below 256 are exact; above, a bucket is at most 1/128 (0.79 %) of its lower end wide and
 * traffic_hist_quantile answers its middle, so the error is at most 0.4 %. Values from 2^40 on
 * (7 minutes at 2.4 GHz) fall into the last bucket; min, max and sum stay exact.
 * Freestanding. One writer; readers in the same thread.
 */
#ifndef LANYARD_TRAFFIC_HIST_H
#define LANYARD_TRAFFIC_HIST_H

#include <stdint.h>

#define TRAFFIC_HIST_SUB_BITS 7
#define TRAFFIC_HIST_LINEAR   (2u << TRAFFIC_HIST_SUB_BITS) /* 256: below, a bucket a value */
#define TRAFFIC_HIST_MAX_BITS 40
#define TRAFFIC_HIST_BUCKETS   \
	(TRAFFIC_HIST_LINEAR + \
		((TRAFFIC_HIST_MAX_BITS - TRAFFIC_HIST_SUB_BITS - 1) << TRAFFIC_HIST_SUB_BITS))

struct traffic_hist {
	uint64_t count, min, max, sum; /* min is UINT64_MAX while count is 0 */
	uint64_t bucket[TRAFFIC_HIST_BUCKETS];
};

static inline uint32_t traffic_hist_index(uint64_t v)
{
	uint32_t e;

	if (v < TRAFFIC_HIST_LINEAR)
		return (uint32_t)v;
	e = 63 - (uint32_t)__builtin_clzll(v);
	if (e >= TRAFFIC_HIST_MAX_BITS)
		return TRAFFIC_HIST_BUCKETS - 1;
	/* v >> (e - 7) is 128..255: the power's number and the place in it come out in one. */
	return ((e - TRAFFIC_HIST_SUB_BITS) << TRAFFIC_HIST_SUB_BITS) +
		(uint32_t)(v >> (e - TRAFFIC_HIST_SUB_BITS));
}

static inline void traffic_hist_add(struct traffic_hist *h, uint64_t v)
{
	h->bucket[traffic_hist_index(v)]++;
	h->count++;
	h->sum += v;
	if (v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
}

void traffic_hist_init(struct traffic_hist *h);

/* The smallest value of bucket i, and how many values the bucket holds. */
uint64_t traffic_hist_lower(uint32_t i);
uint64_t traffic_hist_width(uint32_t i);

/* The value below or at which q_ppm millionths of the values lie (500000: the median); 0 if there
 * are none. Never outside min..max. */
uint64_t traffic_hist_quantile(const struct traffic_hist *h, uint32_t q_ppm);

void traffic_hist_merge(struct traffic_hist *into, const struct traffic_hist *from);

#endif
