/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_hist.h"

#include <errno.h>

#include "traffic/hist.h"

static uint64_t to_ns(uint64_t tsc, double tsc_hz)
{
	return (uint64_t)((double)tsc * 1e9 / tsc_hz + 0.5);
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

int bench_hist_add(struct hdr *h, const json_t *latency, double tsc_hz, struct err *e)
{
	const json_t *buckets = json_object_get(latency, "buckets"), *b;
	uint64_t min = number(latency, "min_tsc"), max = number(latency, "max_tsc"), sum = 0;
	size_t i, last = json_array_size(buckets);

	if (!json_is_array(buckets))
		return err_set(e, -EPROTO, "a receive flow's latency lacks its \"buckets\"");
	json_array_foreach (buckets, i, b) {
		uint64_t lower = (uint64_t)json_integer_value(json_array_get(b, 0));
		uint64_t n = (uint64_t)json_integer_value(json_array_get(b, 1));
		uint64_t middle = lower + traffic_hist_width(traffic_hist_index(lower)) / 2;

		sum += n;
		if (n && i == 0) {
			hdr_add(h, to_ns(min, tsc_hz), 1);
			n--;
		}
		if (n && i == last - 1) {
			hdr_add(h, to_ns(max, tsc_hz), 1);
			n--;
		}
		middle = middle < min ? min : middle > max ? max : middle;
		if (n)
			hdr_add(h, to_ns(middle, tsc_hz), n);
	}
	if (sum != number(latency, "count"))
		return err_set(e, -EPROTO,
			"a latency histogram counts %llu frames, but its buckets hold %llu",
			(unsigned long long)number(latency, "count"), (unsigned long long)sum);
	return 0;
}
