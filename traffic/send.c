/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending. A slot that was filled for this flow before is only stamped: one cache line written
 * for a 64-byte frame, two for a longer one. Slots that other flows used (several flows on one
 * port share its ring) are filled again.
 */
#include "traffic/rounds.h"

#define CATCH_UP_MS 50

static void slot_fill(struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s)
{
	struct traffic_port *p = e->port[f->spec.port];

	s->owner = f->owner;
	s->seed = e->seeds++;
	if (s->len != f->tmpl.len)
		p->ops->tx_set_len(p, s, f->tmpl.len);
	traffic_frame_fill(&f->tmpl, s->frame, s->seed);
}

/* How many frames this flow wants to send now, up to a burst. */
static uint32_t wanted(struct traffic_flow *f, uint64_t now)
{
	uint32_t n = TRAFFIC_BURST;

	if (f->spec.frames) {
		uint64_t left = f->spec.frames - f->frames;

		if (left < n)
			n = (uint32_t)left;
	}
	if (f->spec.rate_mfps) {
		/* Frames due before the end still go out. */
		if (f->end_tsc && now >= f->end_tsc)
			now = f->end_tsc - 1;
		return traffic_pacer_due(&f->pacer, now, n);
	}
	return f->end_tsc && now >= f->end_tsc ? 0 : n;
}

static void count_sent(struct traffic_engine *e, struct traffic_flow *f, uint32_t n, uint64_t last)
{
	f->frames += n;
	f->bytes += (uint64_t)n * f->spec.size;
	f->last_tsc = last;
	e->port[f->spec.port]->tx_frames += n;
}

static void send_flat(struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s,
	uint32_t n, uint64_t now)
{
	uint64_t seq = f->frames;

	if (f->tmpl.len > TRAFFIC_LEN_BODY) {
		f->renew_in = f->renew_in > n ? f->renew_in - n : 0;
		if (!f->renew_in) {
			s->owner = 0;
			f->renew_in = TRAFFIC_RENEW;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		if (__builtin_expect(s[i].owner != f->owner, 0))
			slot_fill(e, f, &s[i]);
		traffic_frame_stamp(&f->tmpl, s[i].frame, seq + i, now);
	}
	if (!f->first_tsc)
		f->first_tsc = now;
	count_sent(e, f, n, now);
}

static void send_paced(
	struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s, uint32_t n)
{
	uint64_t seq = f->frames, now = 0;

	if (f->tmpl.len > TRAFFIC_LEN_BODY && seq % TRAFFIC_RENEW == 0)
		s->owner = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (__builtin_expect(s[i].owner != f->owner, 0))
			slot_fill(e, f, &s[i]);
		now = traffic_tsc();
		if ((int64_t)(now - f->pacer.next_tsc) > (int64_t)f->late_max_tsc)
			f->late_max_tsc = now - f->pacer.next_tsc;
		traffic_pacer_advance(&f->pacer);
		traffic_frame_stamp(&f->tmpl, s[i].frame, seq + i, now);
		if (!f->first_tsc)
			f->first_tsc = now;
	}
	count_sent(e, f, n, now);
}

/* Frames of a paced flow that were due in its time may be late by CATCH_UP_MS. */
static bool time_is_over(
	const struct traffic_engine *e, const struct traffic_flow *f, uint64_t now, uint32_t want)
{
	if (!f->end_tsc || now < f->end_tsc)
		return false;
	return !want || now - f->end_tsc > e->tsc_hz / 1000 * CATCH_UP_MS;
}

uint32_t traffic_send_round(struct traffic_engine *e, struct traffic_flow *f)
{
	struct traffic_port *p = e->port[f->spec.port];
	uint64_t now = traffic_tsc();
	uint32_t want = wanted(f, now), n = 0;
	struct traffic_slot *slots;

	if (want) {
		n = p->ops->tx_get(p, want, &slots);
		if (!n) {
			f->ring_full++;
		} else {
			if (f->spec.rate_mfps)
				send_paced(e, f, slots, n);
			else
				send_flat(e, f, slots, n, now);
			p->ops->tx_commit(p, n);
		}
	}
	f->done = (f->spec.frames && f->frames == f->spec.frames) || time_is_over(e, f, now, want);
	return n;
}
