/* SPDX-License-Identifier: Apache-2.0 */
/* See tun.h. */
#include "vswitch/dp/tun.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <x86intrin.h>

#include "vswitch/dp/copy.h"
#include "vswitch/dp/emit.h"
#include "vswitch/dp/offload.h"

/* What the kernel asks for, and what it takes: see queue_open in vswitch/tapif.c. */
#define KERNEL_OFFLOADS (DP_OFF_CSUM | DP_OFF_TSO4 | DP_OFF_TSO6 | DP_OFF_ECN)

static void frame_of(struct dp_frame *f, uint8_t *at, size_t len)
{
	f->len = (uint32_t)len;
	f->hdr_len = len < DP_HDR_COPY ? (uint16_t)len : DP_HDR_COPY;
	copy_upto_64(f->hdr, at, f->hdr_len);
	f->rest = at + f->hdr_len;
	f->n_segs = len > DP_HDR_COPY;
	f->segs = NULL;
	f->meta = 0;
	f->deep = 0;
}

/* The kernel's request, by the same rules as a guest's. */
static void offload_of(struct dp_burst *b, struct dp_frame *f, const uint8_t *at)
{
	struct virtio_net_hdr h;

	memcpy(&h, at, sizeof(h));
	if (likely(!h.flags && !h.gso_type))
		return;
	if (f->len >= DP_HDR_COPY / 4 && dp_offload_check(b, f, &h, KERNEL_OFFLOADS))
		return;
	b->drops[DP_DROP_rx_bad_offload]++;
	f->len = 0;
}

static uint32_t tun_peek(struct dp_inq *q, struct dp_burst *b)
{
	struct dp_tun *t = q->edge_queue;
	uint32_t n = 0;

	if (t->idle_tsc && __rdtsc() - t->idle_tsc < t->pace_cycles)
		return 0;
	b->n_segs = 0;
	while (n < DP_TUN_BURST) {
		uint8_t *at = t->buf + (size_t)n * DP_TUN_STEP;
		ssize_t got = read(t->fd, at, DP_TUN_ROOM);

		if (got < (ssize_t)sizeof(struct virtio_net_hdr))
			break;
		frame_of(&b->frame[n], at + sizeof(struct virtio_net_hdr),
			(size_t)got - sizeof(struct virtio_net_hdr));
		offload_of(b, &b->frame[n++], at);
	}
	t->idle_tsc = n < DP_TUN_BURST ? __rdtsc() : 0;
	b->n = n;
	return n;
}

static void tun_release(struct dp_inq *q, struct dp_burst *b)
{
	/* The buffers are ours, and free again as soon as the burst is over. */
}

static struct iovec piece(const void *base, size_t len)
{
	return (struct iovec){ (void *)(uintptr_t)base, len };
}

/* 0, or why the frame did not leave. */
static int tun_write(struct dp_tun *t, const struct iovec *iov, uint32_t n)
{
	if (writev(t->fd, iov, (int)n) >= 0)
		return 0;
	/* EIO: the interface was set down; the control side sees that within a second. */
	return errno == EIO ? DP_DROP_tx_port_down : DP_DROP_tx_ring_full;
}

static int write_plain(struct dp_tun *t, const struct dp_frame *f)
{
	static const struct virtio_net_hdr none;
	struct iovec iov[RING_SEGS_MAX + 3];
	uint32_t n = 0;

	iov[n++] = piece(&none, sizeof(none));
	iov[n++] = piece(f->hdr, f->hdr_len);
	if (f->n_segs == 1)
		iov[n++] = piece(f->rest, f->len - f->hdr_len);
	else
		for (uint32_t i = 0; i < f->n_segs; i++)
			iov[n++] = piece(f->segs[i].base, f->segs[i].len);
	return tun_write(t, iov, n);
}

/* With its tag edited, and what it asks for passed on: one packet, since the kernel takes all. */
static int write_edited(struct dp_tun *t, const struct dp_frame *f, const struct dp_egress *eg)
{
	struct iovec iov[RING_SEGS_MAX + 4];
	const struct emit_packet *p;
	struct emit e;

	emit_begin(&e, f, eg, KERNEL_OFFLOADS);
	p = emit_next(&e);
	iov[0] = piece(&p->hdr, sizeof(p->hdr));
	for (uint32_t i = 0; i < p->n_src; i++)
		iov[1 + i] = piece(p->src[i].base, p->src[i].len);
	return tun_write(t, iov, 1 + p->n_src);
}

static uint32_t tun_deliver(struct dp_outq *o, const struct dp_egress *eg, struct dp_frame *frame,
	uint8_t *idx, uint32_t n, uint64_t *bytes, struct dp_queue_stats *st)
{
	struct dp_tun *t = o->edge_queue;
	uint32_t sent = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct dp_frame *f = &frame[idx[i]];
		int drop =
			likely(emit_is_plain(f, eg)) ? write_plain(t, f) : write_edited(t, f, eg);

		if (unlikely(drop)) {
			dp_count(&st->drops[drop], 1);
			continue;
		}
		*bytes += f->len;
		idx[sent++] = idx[i];
	}
	return sent;
}

const struct dp_edge_ops dp_tun_ops = {
	.peek = tun_peek,
	.release = tun_release,
	.deliver = tun_deliver,
};
