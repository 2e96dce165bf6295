/* SPDX-License-Identifier: Apache-2.0 */
/* The control side of token buckets: see dp/meter.c. */
#include <rte_meter.h>

#include "vswitch/policy.h"

int sw_rate_set(struct dp_rate *r, uint64_t rate, uint64_t burst)
{
	struct rte_meter_srtcm_params params = { .cir = rate, .cbs = burst };
	struct rte_meter_srtcm_profile p;
	int ret = rte_meter_srtcm_profile_config(&p, &params);

	if (ret)
		return ret;
	*r = (struct dp_rate){ p.cbs, p.cir_period, p.cir_bytes_per_period };
	return 0;
}
