/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending. A slot that was filled for this flow before is only stamped: one cache line written
 * for a 64-byte frame, two for a longer one. Slots that other flows used (several flows on one
 * port share its ring) are filled again.
 *
 * A slot keeps its size: of a flow that sends a mix, buffers get sizes in the mix's order when they
 * are first used, and later the order is that in which they come round.
 */
#include "traffic/rounds.h"

#define CATCH_UP_MS 500

static void slot_fill(
	struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s, uint64_t kind)
{
	struct traffic_port *p = e->port[f->spec.port];

	s->owner = f->owner + kind;
	s->seed = e->seeds++;
	if (s->len != f->tmpl[kind].len)
		p->ops->tx_set_len(p, s, f->tmpl[kind].len);
	traffic_frame_fill(&f->tmpl[kind], s->frame, s->seed);
}

/* Makes the slot one of this flow's, if it is not yet; its template. */
static const struct traffic_template *slot_ready(
	struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s)
{
	uint64_t kind = s->owner - f->owner;

	if (__builtin_expect(kind >= f->n_tmpl, 0)) {
		kind = f->mix_next++;
		if (f->mix_next == f->n_tmpl)
			f->mix_next = 0;
		slot_fill(e, f, s, kind);
	}
	return &f->tmpl[kind];
}

/* A slot of this flow gets another pattern, of the same size. */
static void slot_renew(struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s)
{
	uint64_t kind = s->owner - f->owner;

	if (kind < f->n_tmpl && f->tmpl[kind].len > TRAFFIC_LEN_BODY)
		slot_fill(e, f, s, kind);
}

/* How many frames this flow wants to send now, up to a burst. */
static uint32_t wanted(struct traffic_flow *f, uint64_t now)
{
	uint32_t n = TRAFFIC_BURST;

	if (__builtin_expect(now < f->begin_tsc, 0))
		return 0;
	if (f->spec.frames) {
		uint64_t left = f->spec.frames - f->frames;

		if (left < n)
			n = (uint32_t)left;
	}
	if (f->spec.rate_mfps) {
		/* Frames due before the end still go out. */
		if (f->end_tsc && now >= f->end_tsc)
			now = f->end_tsc - 1;
		return traffic_pacer_release(&f->pacer, now, n);
	}
	return f->end_tsc && now >= f->end_tsc ? 0 : n;
}

static void count_sent(struct traffic_engine *e, struct traffic_flow *f, uint32_t n, uint64_t last)
{
	f->frames += n;
	f->bytes += (uint64_t)n * ETHER_FCS_LEN;
	f->last_tsc = last;
	e->port[f->spec.port]->tx_frames += n;
}

static void send_flat(struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s,
	uint32_t n, uint64_t now)
{
	uint64_t seq = f->frames, bytes = 0;

	f->renew_in = f->renew_in > n ? f->renew_in - n : 0;
	if (!f->renew_in) {
		slot_renew(e, f, s);
		f->renew_in = TRAFFIC_RENEW;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct traffic_template *t = slot_ready(e, f, &s[i]);

		traffic_frame_stamp(t, s[i].frame, seq + i, now);
		bytes += t->len;
	}
	f->bytes += bytes;
	if (!f->first_tsc)
		f->first_tsc = now;
	count_sent(e, f, n, now);
}

static void send_paced(
	struct traffic_engine *e, struct traffic_flow *f, struct traffic_slot *s, uint32_t n)
{
	uint64_t seq = f->frames, now = 0;

	if (seq % TRAFFIC_RENEW == 0)
		slot_renew(e, f, s);
	for (uint32_t i = 0; i < n; i++) {
		const struct traffic_template *t = slot_ready(e, f, &s[i]);

		now = traffic_tsc();
		if ((int64_t)(now - f->pacer.next_tsc) > (int64_t)f->late_max_tsc)
			f->late_max_tsc = now - f->pacer.next_tsc;
		traffic_pacer_advance(&f->pacer);
		traffic_frame_stamp(t, s[i].frame, seq + i, now);
		f->bytes += t->len;
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
	if (f->spec.rate_mfps ? f->pacer.next_tsc >= f->end_tsc : !want)
		return true;
	return now - f->end_tsc > e->tsc_hz / 1000 * CATCH_UP_MS;
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
