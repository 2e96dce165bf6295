/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets: librte_meter's single-rate one, with no excess. Its check is an inline function
 * of a header, so the data path still links no DPDK.
 */
#include <rte_meter.h>

#include "vswitch/dp/policy.h"

bool dp_meter_take(struct dp_bucket *b, const struct dp_rate *r, uint64_t now, uint32_t n)
{
	struct rte_meter_srtcm m = { .time = b->time, .tc = b->tokens };
	struct rte_meter_srtcm_profile p = {
		.cbs = r->burst, .cir_period = r->period, .cir_bytes_per_period = r->per_period
	};
	enum rte_color color;

	/* Another worker that shares the bucket may have looked at its clock after us. */
	if ((int64_t)(now - m.time) < 0)
		now = m.time;
	color = rte_meter_srtcm_color_blind_check(&m, &p, now, n);
	*b = (struct dp_bucket){ m.time, m.tc };
	return color == RTE_COLOR_GREEN;
}
