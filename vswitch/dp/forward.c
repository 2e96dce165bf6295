/* SPDX-License-Identifier: Apache-2.0 */
/* See forward.h. Frames of one sender's queue keep their order towards every receiver's queue. */
#include "vswitch/dp/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vswitch/dp/decide.h"

const char *dp_drop_name(enum dp_drop d)
{
	static const char *const name[] = {
#define X(n, t) #n,
		DP_DROPS(X)
#undef X
	};

	return (unsigned)d < DP_DROP_MAX ? name[d] : "unknown";
}

const char *dp_drop_text(enum dp_drop d)
{
	static const char *const text[] = {
#define X(n, t) t,
		DP_DROPS(X)
#undef X
	};

	return (unsigned)d < DP_DROP_MAX ? text[d] : "unknown";
}

int dp_forwarder_init(struct dp_forwarder *f, uint32_t n_slots, bool shared)
{
	memset(f, 0, sizeof(*f));
	f->n_slots = n_slots;
	f->shared = shared;
	f->touched = calloc(n_slots ? n_slots : 1, sizeof(*f->touched));
	f->stage = calloc(n_slots ? n_slots : 1, sizeof(*f->stage));
	if (!f->touched || !f->stage) {
		dp_forwarder_fini(f);
		return -ENOMEM;
	}
	return 0;
}

void dp_forwarder_fini(struct dp_forwarder *f)
{
	free(f->touched);
	free(f->stage);
	f->touched = NULL;
	f->stage = NULL;
}

/* The eventfd to write after a publication, or -1: the guest doesn't want to know. Counts it. */
static int notify_fd(struct ring *r, struct dp_queue_stats *stats)
{
	int fd;

	if (!ring_wants_notify(r))
		return -1;
	fd = __atomic_load_n(&r->call_fd, __ATOMIC_ACQUIRE);
	if (fd >= 0)
		dp_count(&stats->notifications, 1);
	return fd;
}

static void notify(int fd)
{
	uint64_t one = 1;

	/* A full eventfd (EAGAIN) has the guest told already; a dead one is the control side's to
	 * notice. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

static void out_lock(struct dp_outq *o)
{
	while (__atomic_exchange_n(&o->lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&o->lock, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
}

static void port_fail(struct dp_port *p, enum ring_fault fault, uint32_t *faults)
{
	enum ring_fault none = RING_OK;

	if (__atomic_compare_exchange_n(
		    &p->fault, &none, fault, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		++*faults;
}

/* Frames idx[0..n) into one output queue; idx[] is left with those that were delivered, whose
 * number is returned. */
static uint32_t out_deliver(struct dp_forwarder *f, struct dp_outq *o, const struct dp_egress *eg,
	uint8_t *idx, uint32_t n, uint32_t *faults)
{
	uint64_t bytes = 0;
	uint32_t sent;
	int fd = -1;

	if (f->shared)
		out_lock(o);
	if (unlikely(__atomic_load_n(&o->port->fault, __ATOMIC_RELAXED))) {
		sent = 0;
		dp_count_shared(&o->port->drops_down, n);
	} else if (unlikely(o->edge)) {
		sent = o->edge->deliver(o, eg, f->burst.frame, idx, n, &bytes, o->stats);
	} else {
		sent = dp_deliver(&o->ring, eg, f->burst.frame, idx, n, &bytes, o->stats);
		if (unlikely(o->ring.fault))
			port_fail(o->port, o->ring.fault, faults);
	}
	if (sent) {
		dp_count(&o->stats->traffic.frames, sent);
		dp_count(&o->stats->traffic.bytes, bytes);
		if (likely(!o->edge))
			fd = notify_fd(&o->ring, o->stats);
	}
	if (f->shared)
		__atomic_store_n(&o->lock, 0, __ATOMIC_RELEASE);
	notify(fd);
	return sent;
}

static void captures_feed(struct dp_forwarder *f, const struct dp_view_taps *taps,
	const struct dp_egress *eg, const uint8_t *idx, uint32_t n)
{
	for (uint32_t t = 0; t < taps->n; t++)
		if (taps->tap[t].rings)
			tap_keep(&taps->tap[t].rings[f->worker], f->burst.frame, idx, n, eg);
}

/* Copies for a mirror's target, by its first queue: a mirror keeps the order of what it shows. */
static void mirror(struct dp_forwarder *f, const struct dp_view *v, uint16_t port,
	const struct dp_egress *eg, const uint8_t *idx, uint32_t n, uint32_t *faults)
{
	const struct dp_view_port *to = &v->ports[port];
	uint8_t copy[DP_BURST];

	if (!to->n_outs) {
		dp_count_shared(&to->port->drops_down, n);
		return;
	}
	memcpy(copy, idx, n);
	n = out_deliver(f, v->outs[to->out_slot], eg, copy, n, faults);
	/* No mirror has a target that is mirrored itself, so there is an end here. */
	if (n)
		captures_feed(f, &to->taps[TAP_TX], eg, copy, n);
}

/* Copies of a port's frames to whoever wants them. eg: how they left; NULL for received ones. */
static void taps_feed(struct dp_forwarder *f, const struct dp_view *v,
	const struct dp_view_taps *taps, const struct dp_egress *eg, const uint8_t *idx, uint32_t n,
	uint32_t *faults)
{
	static const struct dp_egress as_it_came = { .raw = true };

	captures_feed(f, taps, eg, idx, n);
	for (uint32_t t = 0; t < taps->n; t++)
		if (!taps->tap[t].rings)
			mirror(f, v, taps->tap[t].mirror_to, eg ? eg : &as_it_came, idx, n, faults);
}

/* Everything staged for one output queue. */
static void stage_flush(struct dp_forwarder *f, const struct dp_view *v, struct dp_outq *o,
	struct dp_stage *s, uint32_t *faults)
{
	const struct dp_view_port *p = &v->ports[o->port->id];
	uint32_t sent = out_deliver(f, o, &p->egress, s->idx, s->n, faults);

	if (unlikely(p->taps[TAP_TX].n) && sent)
		taps_feed(f, v, &p->taps[TAP_TX], &p->egress, s->idx, sent, faults);
	s->n = 0;
}

/* What a port received, to its taps: all but what peek has dropped. */
static void received_feed(struct dp_forwarder *f, const struct dp_view *v,
	const struct dp_view_port *p, uint32_t *faults)
{
	uint8_t idx[DP_BURST];
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->burst.n; i++)
		if (f->burst.frame[i].len)
			idx[n++] = (uint8_t)i;
	if (n)
		taps_feed(f, v, &p->taps[TAP_RX], NULL, idx, n, faults);
}

/* A mirror's target is there to listen: instead of dp_decide. */
static void drop_all(struct dp_burst *b)
{
	b->bytes = 0;
	for (uint32_t i = 0; i < b->n; i++) {
		b->bytes += b->frame[i].len;
		b->drops[DP_DROP_rx_mirror] += b->frame[i].len != 0;
	}
}

static void burst_count(struct dp_forwarder *f, struct dp_inq *q, struct dp_net_stats *net)
{
	struct dp_queue_stats *st = q->stats;
	struct dp_burst *b = &f->burst;

	dp_count(&st->traffic.frames, b->n);
	dp_count(&st->traffic.bytes, b->bytes);
	for (int d = 0; d < DP_DROP_MAX; d++) {
		if (unlikely(b->drops[d])) {
			dp_count(&st->drops[d], b->drops[d]);
			b->drops[d] = 0;
		}
	}
	if (unlikely(f->flooded)) {
		dp_count(&st->flooded, f->flooded);
		dp_count_shared(&net->flooded, f->flooded);
		f->flooded = 0;
	}
	if (unlikely(f->learned | f->moved)) {
		dp_count_shared(&net->learned, f->learned);
		dp_count_shared(&net->moved, f->moved);
		f->learned = f->moved = 0;
	}
	if (unlikely(f->unlearned)) {
		dp_count_shared(&q->port->unlearned, f->unlearned);
		f->unlearned = 0;
	}
}

static inline void release(struct dp_inq *q, struct dp_burst *b)
{
	if (unlikely(q->edge)) {
		q->edge->release(q, b);
		return;
	}
	dp_release(&q->ring, b);
	if (unlikely(q->ring.armed))
		ring_disarm(&q->ring);
	notify(notify_fd(&q->ring, q->stats));
}

uint32_t dp_forward(struct dp_forwarder *f, const struct dp_view *v, struct dp_inq *q,
	uint32_t now_s, uint32_t *faults)
{
	const struct dp_view_port *p = &v->ports[q->port->id];
	const struct dp_view_net *net = &v->nets[q->net];
	struct dp_burst *b = &f->burst;
	uint32_t n;

	if (unlikely(__atomic_load_n(&q->port->fault, __ATOMIC_RELAXED)))
		return 0;
	n = likely(!q->edge) ? dp_peek(&q->ring, b) : q->edge->peek(q, b);
	if (n) {
		f->n_touched = 0;
		if (unlikely(p->taps[TAP_RX].n))
			received_feed(f, v, p, faults);
		if (unlikely(p->mirror_target))
			drop_all(b);
		else
			dp_decide(f, v, q, net, now_s);
		for (uint32_t t = 0; t < f->n_touched; t++) {
			uint16_t slot = f->touched[t];

			stage_flush(f, v, v->outs[slot], &f->stage[slot], faults);
		}
		release(q, b);
		burst_count(f, q, net->stats);
	}
	if (unlikely(q->ring.fault))
		port_fail(q->port, q->ring.fault, faults);
	return n;
}
