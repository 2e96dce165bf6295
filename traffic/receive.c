/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving. A frame belongs to a flow by its addresses and id; then its head's check, its length
 * and every byte of its pattern must be right, or it is corrupt and nothing else in it is
 * believed. Frames of no flow are counted as `rx_other`.
 */
#include "traffic/rounds.h"

static bool flow_takes(const struct traffic_flow *f, uint32_t port, const uint8_t *d)
{
	uint32_t hi;

	__builtin_memcpy(&hi, d + 8, 4);
	return f->spec.port == port &&
		f->spec.id == (uint16_t)traffic_load64(d + TRAFFIC_OFF_WORD) &&
		f->peer_lo == (traffic_load64(d) & f->mask_lo) && f->peer_hi == (hi & f->mask_hi);
}

static struct traffic_flow *flow_find(struct traffic_engine *e, uint32_t port, const uint8_t *d)
{
	for (uint32_t i = 0; i < e->n_flows; i++) {
		struct traffic_flow *f = &e->flow[i];

		if (f->spec.role == TRAFFIC_RECEIVE && flow_takes(f, port, d))
			return f;
	}
	return NULL;
}

static bool frame_ok(const uint8_t *d, uint32_t len, bool body)
{
	if (!traffic_frame_head_ok(d) || traffic_frame_said_len(d) != len)
		return false;
	return !body || len == TRAFFIC_LEN_MIN || traffic_frame_body_ok(d, len);
}

static void flow_receive(
	struct traffic_flow *f, const uint8_t *d, uint32_t len, uint64_t now, bool body)
{
	uint64_t sent, seq;

	if (__builtin_expect(!frame_ok(d, len, body), 0)) {
		f->corrupt++;
		return;
	}
	f->frames++;
	f->bytes += len + ETHER_FCS_LEN;
	seq = traffic_load64(d + TRAFFIC_OFF_WORD) >> 16;
	if (__builtin_expect(seq > f->seq.next, 0))
		f->last_gap_tsc = now;
	traffic_seq_add(&f->seq, seq);
	sent = traffic_load64(d + TRAFFIC_OFF_TSC);
	/* Clocks of two CPUs may differ by a little: never below 0. */
	traffic_hist_add(&f->latency, now > sent ? now - sent : 0);
}

uint32_t traffic_receive_round(struct traffic_engine *e, uint32_t port)
{
	struct traffic_frame frames[TRAFFIC_BURST];
	struct traffic_port *p = e->port[port];
	struct traffic_flow *f = e->last_rx[port];
	uint32_t n = p->ops->rx_burst(p, frames, TRAFFIC_BURST), other = 0;
	uint64_t now;

	if (!n)
		return 0;
	now = traffic_tsc();
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *d = frames[i].data;

		if (frames[i].len < TRAFFIC_LEN_MIN) {
			other++;
			continue;
		}
		if (__builtin_expect(!f || !flow_takes(f, port, d), 0)) {
			struct traffic_flow *g = flow_find(e, port, d);

			if (!g) {
				other++;
				continue;
			}
			f = g;
		}
		if (!f->first_tsc)
			f->first_tsc = now;
		f->last_tsc = now;
		flow_receive(f, d, frames[i].len, now, !(f->frames & e->body_mask));
	}
	p->ops->rx_release(p);
	e->last_rx[port] = f;
	p->rx_frames += n;
	p->rx_other += other;
	return n;
}
