/* SPDX-License-Identifier: Apache-2.0 */
/* See policy.h: what is demanded of each frame before it is decided where it goes. */
#include "vswitch/dp/policy.h"

#include "base/ether.h"
#include "vswitch/dp/decide.h"

static uint64_t drop(struct dp_burst *b, struct dp_frame *fr, enum dp_drop why)
{
	uint64_t len = fr->len;

	b->drops[why]++;
	fr->len = 0;
	return len;
}

/* Frames in their order, as long as there are tokens for them: a short one may pass where a long
 * one before it did not. */
static uint64_t police(struct dp_forwarder *f, struct dp_inq *q, const struct dp_rate *rate)
{
	struct dp_burst *b = &f->burst;
	uint64_t now = dp_cycles(f), bytes = 0;

	dp_meter_lock(q->port);
	for (uint32_t i = 0; i < b->n; i++)
		if (b->frame[i].len && !dp_meter_take(&q->port->police, rate, now, b->frame[i].len))
			bytes += drop(b, &b->frame[i], DP_DROP_rx_policed);
	dp_meter_unlock(q->port);
	return bytes;
}

uint64_t dp_policy_burst(struct dp_forwarder *f, struct dp_inq *q, const struct dp_policy *p)
{
	struct dp_burst *b = &f->burst;
	uint64_t bytes = 0;

	for (uint32_t i = 0; p->admin_down && i < b->n; i++)
		if (b->frame[i].len)
			bytes += drop(b, &b->frame[i], DP_DROP_rx_admin_down);
	for (uint32_t i = 0; p->spoof.n_macs && i < b->n; i++)
		if (b->frame[i].len >= ETHER_HDR_LEN &&
			!dp_spoof_passes(&p->spoof, b, &b->frame[i]))
			bytes += drop(b, &b->frame[i], DP_DROP_rx_spoofed);
	if (p->police.burst)
		bytes += police(f, q, &p->police);
	return bytes;
}
