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

/* Everything staged for one output queue. */
static void stage_flush(struct dp_forwarder *f, const struct dp_view *v, struct dp_outq *o,
	struct dp_stage *s, uint32_t *faults)
{
	const struct dp_egress *eg = &v->ports[o->port->id].egress;
	uint64_t bytes = 0;
	uint32_t sent;
	int fd = -1;

	if (f->shared)
		out_lock(o);
	if (unlikely(__atomic_load_n(&o->port->fault, __ATOMIC_RELAXED))) {
		sent = 0;
		dp_count_shared(&o->port->drops_down, s->n);
	} else if (unlikely(o->edge)) {
		sent = o->edge->deliver(
			o, eg, f->burst.frame, s->idx, s->n, &bytes, o->stats);
	} else {
		sent = dp_deliver(
			&o->ring, eg, f->burst.frame, s->idx, s->n, &bytes, o->stats);
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
	s->n = 0;
}

static void burst_count(struct dp_forwarder *f, struct dp_queue_stats *st, struct dp_net_stats *net)
{
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
	const struct dp_view_net *net = &v->nets[q->net];
	struct dp_burst *b = &f->burst;
	uint32_t n;

	if (unlikely(__atomic_load_n(&q->port->fault, __ATOMIC_RELAXED)))
		return 0;
	n = likely(!q->edge) ? dp_peek(&q->ring, b) : q->edge->peek(q, b);
	if (n) {
		f->n_touched = 0;
		dp_decide(f, v, q, net, now_s);
		for (uint32_t t = 0; t < f->n_touched; t++) {
			uint16_t slot = f->touched[t];

			stage_flush(f, v, v->outs[slot], &f->stage[slot], faults);
		}
		release(q, b);
		burst_count(f, q->stats, net->stats);
	}
	if (unlikely(q->ring.fault))
		port_fail(q->port, q->ring.fault, faults);
	return n;
}
