/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/hist.h"

void traffic_hist_init(struct traffic_hist *h)
{
	__builtin_memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

uint64_t traffic_hist_lower(uint32_t i)
{
	uint32_t e;

	if (i < TRAFFIC_HIST_LINEAR)
		return i;
	e = (i >> TRAFFIC_HIST_SUB_BITS) - 1; /* how far the bucket's 128..255 is shifted */
	return (uint64_t)((i & ((1u << TRAFFIC_HIST_SUB_BITS) - 1)) + (1u << TRAFFIC_HIST_SUB_BITS))
		<< e;
}

uint64_t traffic_hist_width(uint32_t i)
{
	return i < TRAFFIC_HIST_LINEAR ? 1 : 1ull << ((i >> TRAFFIC_HIST_SUB_BITS) - 1);
}

uint64_t traffic_hist_quantile(const struct traffic_hist *h, uint32_t q_ppm)
{
	uint64_t rank, seen = 0, v;
	uint32_t i;

	if (!h->count)
		return 0;
	/* ceil(count * q), in two parts so that no count overflows. */
	rank = h->count / 1000000 * q_ppm + (h->count % 1000000 * q_ppm + 999999) / 1000000;
	if (!rank)
		rank = 1;
	for (i = 0; i < TRAFFIC_HIST_BUCKETS - 1; i++) {
		seen += h->bucket[i];
		if (seen >= rank)
			break;
	}
	if (i == TRAFFIC_HIST_BUCKETS - 1)
		return h->max;
	v = traffic_hist_lower(i) + traffic_hist_width(i) / 2;
	if (v < h->min)
		v = h->min;
	return v > h->max ? h->max : v;
}

void traffic_hist_merge(struct traffic_hist *into, const struct traffic_hist *from)
{
	for (uint32_t i = 0; i < TRAFFIC_HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	into->count += from->count;
	into->sum += from->sum;
	if (from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
}
