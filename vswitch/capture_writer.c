/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capture's thread: from the workers' rings to the socket. See capture.h.
 *
 * Each record goes into the stream after all earlier ones of all workers. A worker stamps its
 * records just before it publishes them, so with several workers the newest ones are held back for
 * a moment: a worker may be about to publish an older one.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/pcapng.h"
#include "vswitch/capture.h"
#include "vswitch/eal.h"

#define OUT_SIZE    (1u << 20)
#define OUT_CHUNK   (256u << 10) /* written as soon as there is so much */
#define IDLE_MS     1            /* between looks at empty rings */
#define HOLD_MS     2            /* of the newest records, with several workers */
#define STATS_MS    1000         /* between statistics blocks, if anything has changed */
#define PATIENCE_MS 5000         /* at the end: with a reader that takes nothing */
#define NICE        5

/* TSC to the time of day. The offset between wall clock and CLOCK_MONOTONIC is taken once, so that
 * stamps go forward even if the wall clock is set meanwhile. */
struct stamps {
	uint64_t hz, wall_ns;  /* of monotonic time 0 */
	uint64_t tsc, mono_ns; /* that belong together */
	uint64_t last_ns;
};

struct writer {
	struct sw_capture *c;
	struct stamps stamps;
	uint64_t start_ns;                   /* wall */
	uint64_t stats_mono_ns, stats_total; /* of the last statistics block */
	uint64_t progress_ns;                /* CLOCK_MONOTONIC: the reader took something */
	bool finishing, closed;              /* closed: the last block is in out */
	size_t n, sent;                      /* bytes in out, of them sent */
	uint8_t *out;                        /* OUT_SIZE bytes, whole blocks */
	const struct tap_rec **front;        /* by ring */
	uint64_t *head;                      /* by ring */
};

static uint64_t wall_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* A pair of TSC and monotonic time: of several tries, the one that was interrupted least. */
static void stamps_anchor(struct stamps *s)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t a = __rdtsc(), ns = clock_now_ns(), b = __rdtsc();

		if (b - a >= best)
			continue;
		best = b - a;
		s->tsc = a + (b - a) / 2;
		s->mono_ns = ns;
	}
}

static uint64_t stamps_ns(struct stamps *s, uint64_t tsc)
{
	__int128 ns = (__int128)(int64_t)(tsc - s->tsc) * (int64_t)NS_PER_S / (int64_t)s->hz;
	uint64_t at = s->wall_ns + s->mono_ns + (uint64_t)(int64_t)ns;

	/* A new anchor may lie a little before where the old one led. */
	if (at < s->last_ns)
		at = s->last_ns;
	s->last_ns = at;
	return at;
}

static uint64_t lost_total(const struct sw_capture *c)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < c->n_rings; i++)
		n += dp_counter_read(&c->rings[i].lost);
	return n;
}

static void stats_put(struct writer *w, bool last)
{
	uint64_t lost = lost_total(w->c), now = clock_now_ns();
	struct pcapng_stats s = { .time_ns = w->stamps.wall_ns + now,
		.start_ns = w->start_ns,
		.end_ns = last ? w->stamps.wall_ns + now : 0,
		.received = w->c->frames + lost,
		.dropped = lost };

	w->n += pcapng_put_isb(w->out + w->n, &s);
	w->stats_mono_ns = now;
	w->stats_total = s.received;
}

/* The ring whose front is the oldest, and older than `before`; -1: none. */
static int oldest(const struct writer *w, uint64_t before)
{
	int best = -1;

	for (uint32_t i = 0; i < w->c->n_rings; i++) {
		if (w->front[i] && (int64_t)(w->front[i]->tsc - before) < 0) {
			before = w->front[i]->tsc;
			best = (int)i;
		}
	}
	return best;
}

static void packet_put(struct writer *w, const struct tap_rec *rec)
{
	struct pcapng_packet p = { .time_ns = stamps_ns(&w->stamps, rec->tsc),
		.cap_len = rec->cap_len,
		.len = rec->len,
		.dir = rec->dir == TAP_RX ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
		.data = rec->data };

	w->n += pcapng_put_epb(w->out + w->n, &p);
	dp_count(&w->c->frames, 1);
	dp_count(&w->c->bytes, rec->len);
}

/* From the rings to out, a chunk at most. */
static void packets_put(struct writer *w)
{
	struct sw_capture *c = w->c;
	uint64_t hold = c->n_rings > 1 && !w->finishing ? w->stamps.hz / 1000 * HOLD_MS : 0;
	uint64_t before = __rdtsc() - hold;
	int i;

	for (uint32_t r = 0; r < c->n_rings; r++) {
		w->head[r] = tap_ring_head(&c->rings[r]);
		w->front[r] = tap_ring_front(&c->rings[r], w->head[r]);
	}
	while (w->n < OUT_CHUNK && (i = oldest(w, before)) >= 0) {
		packet_put(w, w->front[i]);
		tap_ring_take(&c->rings[i], w->front[i]);
		w->front[i] = tap_ring_front(&c->rings[i], w->head[i]);
	}
	for (uint32_t r = 0; r < c->n_rings; r++)
		tap_ring_give_back(&c->rings[r]);
}

static bool rings_empty(struct writer *w)
{
	for (uint32_t i = 0; i < w->c->n_rings; i++)
		if (tap_ring_front(&w->c->rings[i], tap_ring_head(&w->c->rings[i])))
			return false;
	return true;
}

static void asks_set(struct sw_capture *c, const char *why)
{
	if (c->asks)
		return;
	__atomic_store_n(&c->asks, why, __ATOMIC_RELEASE);
	fd_event_signal(c->event_fd);
}

/* As much of out as the socket takes now. -errno: there is no reader any more. */
static int out_send(struct writer *w)
{
	while (w->sent < w->n) {
		ssize_t n = send(
			w->c->sock, w->out + w->sent, w->n - w->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		w->sent += (size_t)n;
		w->progress_ns = clock_now_ns();
	}
	w->n = w->sent = 0;
	return 0;
}

/* Something more for out, if all that was in it has gone. */
static void out_fill(struct writer *w)
{
	uint64_t now = clock_now_ns();

	packets_put(w);
	if (now - w->stats_mono_ns >= STATS_MS * NS_PER_MS) {
		if (w->c->frames + lost_total(w->c) != w->stats_total)
			stats_put(w, false);
		w->stats_mono_ns = now;
		stamps_anchor(&w->stamps);
	}
	if (w->finishing && !w->closed && w->n < OUT_CHUNK && rings_empty(w)) {
		stats_put(w, true);
		w->closed = true;
	}
}

/* Waits for room, orders, the reader's end, or time. False: there is no reader any more. */
static bool wait(struct writer *w, bool moved)
{
	bool pending = w->sent < w->n;
	struct pollfd p[] = {
		{ .fd = w->c->sock },
		{ .fd = w->c->order_fd, .events = POLLIN },
	};

	p[0].events = (short)((pending ? POLLOUT : 0) | (w->c->asks ? 0 : POLLRDHUP));
	if (poll(p, 2, pending ? STATS_MS : moved ? 0 : IDLE_MS) < 0)
		return true;
	if (p[1].revents)
		fd_event_take(w->c->order_fd);
	if (p[0].revents & (POLLHUP | POLLERR))
		return false;
	if (p[0].revents & POLLRDHUP)
		asks_set(w->c, "its reader asked for it");
	return true;
}

/* Until all is written, or there is no use; says why, if it was not ordered. */
static const char *write_all(struct writer *w)
{
	struct sw_capture *c = w->c;

	for (;;) {
		enum sw_capture_order order = __atomic_load_n(&c->order, __ATOMIC_ACQUIRE);
		bool moved;

		if (order == SW_CAPTURE_ABORT)
			return NULL;
		if (order == SW_CAPTURE_FINISH && !w->finishing) {
			w->finishing = true;
			w->progress_ns = clock_now_ns();
		}
		if (w->sent == w->n && !w->closed)
			out_fill(w);
		moved = w->n > 0;
		if (out_send(w))
			return "its reader has gone";
		if (w->closed && w->n == 0)
			return NULL;
		if (w->finishing && clock_now_ns() - w->progress_ns > PATIENCE_MS * NS_PER_MS)
			return "its reader took nothing for 5 s";
		if (!wait(w, moved))
			return "its reader has gone";
	}
}

/* Packets that the reader can't have whole were not kept after all. */
static void unsent_take_back(struct writer *w)
{
	for (size_t at = 0; at < w->n;) {
		struct pcapng_packet p;
		struct pcapng_block b;
		long len = pcapng_block(w->out + at, w->n - at, &b);

		if (len <= 0)
			return;
		at += (size_t)len;
		if (at > w->sent && b.type == PCAPNG_EPB && !pcapng_get_epb(&b, &p)) {
			w->c->frames--;
			w->c->bytes -= p.len;
		}
	}
}

static void begin(struct writer *w)
{
	char what[160];
	struct sw_capture *c = w->c;

	snprintf(what, sizeof(what),
		"port %s of lanyard-switch; inbound: from the guest into the switch", c->port_name);
	w->stamps.hz = eal_tsc_hz();
	w->stamps.wall_ns = wall_now_ns() - clock_now_ns();
	stamps_anchor(&w->stamps);
	w->start_ns = w->stamps.wall_ns + c->start_ns;
	w->stats_mono_ns = w->progress_ns = clock_now_ns();
	w->n = pcapng_put_shb(w->out, "lanyard-switch " LANYARD_VERSION);
	w->n += pcapng_put_idb(w->out + w->n, c->port_name, what, c->rings[0].snaplen);
}

void *sw_capture_write(void *arg)
{
	struct sw_capture *c = arg;
	struct writer w = { .c = c,
		.out = malloc(OUT_SIZE),
		.front = calloc(c->n_rings, sizeof(*w.front)),
		.head = calloc(c->n_rings, sizeof(*w.head)) };
	const char *why = "no memory for its thread";

	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread; a lower one than it may have stays */
	if (w.out && w.front && w.head) {
		begin(&w);
		why = write_all(&w);
		unsent_take_back(&w);
	}
	if (why)
		asks_set(c, why);
	shutdown(c->sock, SHUT_RDWR);
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	fd_event_signal(c->event_fd);
	free(w.out);
	free(w.front);
	free(w.head);
	return NULL;
}
