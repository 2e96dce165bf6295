/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From frames to a receiver's posted buffers: see frame.h.
 *
 * The short path is a frame that fits one buffer of one descriptor: three passes over the burst
 * (descriptor, destination lines, copy). Everything else (chained and indirect buffers, a frame
 * over several merged buffers, tags to edit, requests to carry out) goes frame by frame through
 * deliver_general.
 */
#include "vswitch/dp/deliver.h"

#include <errno.h>

/* The most that one packet may take: 64 KiB in buffers of 256 bytes. */
#define MERGE_MAX 256

/* A packet into as many buffers as it takes. *at: entries of the available ring that are taken
 * already, moved on. False with the reason in *drop: nothing was taken. */
static bool deliver_packet(
	struct ring *r, uint16_t *at, const struct emit_packet *p, enum dp_drop *drop)
{
	struct ring_seg seg[MERGE_MAX + RING_SEGS_MAX];
	struct virtio_net_hdr_mrg_rxbuf h = { .hdr = p->hdr };
	struct ring_chain chain[MERGE_MAX];
	uint32_t room[MERGE_MAX];
	uint32_t left = p->len + r->hdr_len, n = 0, n_segs = 0;
	struct scatter s = { .seg = seg };
	uint16_t next = *at;

	while (left) {
		uint32_t len;
		int walked;

		*drop = DP_DROP_tx_buffer_small;
		if (n == MERGE_MAX || n_segs > MERGE_MAX || (n && !r->mergeable))
			return false;
		walked = ring_chain_at(r, next, true, seg + n_segs, &len, &chain[n]);
		if (walked == -E2BIG)
			return false;
		if (walked >= 0 && len < r->hdr_len) {
			ring_fail(r, RING_FAULT_SHORT_CHAIN);
			walked = -EINVAL;
		}
		if (walked < 0) {
			*drop = walked == -EAGAIN ? DP_DROP_tx_ring_full : DP_DROP_tx_bad_ring;
			return false;
		}
		n_segs += (uint32_t)walked;
		next = (uint16_t)(next + chain[n].n);
		room[n] = len < left ? len : left;
		left -= room[n++];
	}
	h.num_buffers = (uint16_t)n;
	scatter_put(&s, (uint8_t *)&h, r->hdr_len);
	emit_copy(p, &s);
	for (uint32_t i = 0; i < n; i++)
		ring_chain_use(r, &chain[i], room[i]);
	*at = next;
	return true;
}

/* The general case: any buffers, anything to be done to the frame. False with the reason in *drop;
 * of a big frame that was cut, some segments may have been delivered then. */
static bool deliver_general(struct ring *r, uint16_t *at, const struct dp_frame *f,
	const struct dp_egress *eg, struct dp_queue_stats *st, enum dp_drop *drop)
{
	const struct emit_packet *p;
	struct emit e;

	emit_begin(&e, f, eg, r->accept);
	while ((p = emit_next(&e)))
		if (!deliver_packet(r, at, p, drop))
			return false;
	if (e.cut)
		dp_count(&st->soft_segmented, 1);
	else if (e.summed)
		dp_count(&st->soft_checksums, 1);
	return true;
}

/* One buffer of one writable descriptor that holds need bytes, or NULL: the general case. */
static inline uint8_t *buffer_simple(
	struct ring *r, const struct dp_region *reg, uint16_t head, uint32_t need)
{
	struct vring_desc d;
	uint8_t *host;

	if (unlikely(head >= r->size))
		return NULL;
	d = ring_desc_read(&r->desc[head]);
	if (unlikely(d.flags != VRING_DESC_F_WRITE || d.len < need))
		return NULL;
	host = dp_region_host(reg, d.addr, d.len);
	return likely(host) ? host : dp_mem_host(r->mem, &r->mem_hint, d.addr, d.len);
}

/* Finds buffers for as many frames as there are simple ones. Returns how many. */
static inline uint32_t buffers_find(struct ring *r, uint16_t at, const struct dp_egress *eg,
	const struct dp_frame *frame, const uint8_t *idx, uint32_t n, uint8_t **dst, uint16_t *head)
{
	const struct dp_region reg = r->mem->region[r->mem_hint];
	uint32_t i, hdr_len = r->hdr_len;

	for (i = 0; i < n; i++) {
		head[i] = ring_head(r, (uint16_t)(at + i));
		__builtin_prefetch(&r->desc[head[i] & r->mask]);
	}
	for (i = 0; i < n; i++) {
		if (unlikely(!is_plain(r, &frame[idx[i]], eg)))
			break;
		dst[i] = buffer_simple(r, &reg, head[i], frame[idx[i]].len + hdr_len);
		if (unlikely(!dst[i]))
			break;
		__builtin_prefetch(dst[i]);
		prefetch_write(dst[i] + hdr_len);
	}
	return i;
}

/* Delivers frames for as long as each fits a simple buffer. Returns how many. */
static uint32_t deliver_simple(struct ring *r, uint16_t at, const struct dp_egress *eg,
	const struct dp_frame *frame, const uint8_t *idx, uint32_t n, uint64_t *bytes)
{
	/* Locals: the compiler must think that a frame's bytes overwrite the ring's fields. */
	struct vring_used_elem *used = r->used->ring;
	uint16_t used_next = r->used_next, mask = r->mask;
	uint8_t hdr_len = r->hdr_len;
	uint8_t *dst[DP_BURST];
	uint16_t head[DP_BURST];
	uint32_t avail = ring_split_avail(r, (uint16_t)(at + n));
	uint64_t sum = 0;

	avail = avail > at ? avail - at : 0;
	n = buffers_find(r, at, eg, frame, idx, n < avail ? n : avail, dst, head);
	for (uint32_t i = 0; i < n; i++) {
		const struct dp_frame *f = &frame[idx[i]];
		uint32_t len = f->len;

		ring_use_at(used, (uint16_t)(used_next + i) & mask, head[i], len + hdr_len);
		deliver_put(dst[i], hdr_len, f);
		sum += len;
	}
	r->used_next = (uint16_t)(used_next + n);
	*bytes += sum;
	return n;
}

uint32_t dp_deliver(struct ring *r, const struct dp_egress *eg, const struct dp_frame *frame,
	uint8_t *idx, uint32_t n, uint64_t *bytes, struct dp_queue_stats *st)
{
	uint32_t done = 0, sent = 0;
	uint16_t taken = 0;

	while (done < n) {
		uint32_t k = (r->packed ? deliver_packed : deliver_simple)(
			r, taken, eg, frame, idx + done, n - done, bytes);
		enum dp_drop why = DP_DROP_tx_bad_ring;

		if (unlikely(sent != done))
			memmove(idx + sent, idx + done, k);
		done += k;
		sent += k;
		taken = (uint16_t)(taken + k);
		if (done == n)
			break;
		if (!r->fault && deliver_general(r, &taken, &frame[idx[done]], eg, st, &why)) {
			*bytes += frame[idx[done]].len;
			idx[sent++] = idx[done++];
			continue;
		}
		if (why == DP_DROP_tx_buffer_small) {
			dp_count(&st->drops[why], 1); /* the next frame may be smaller */
			done++;
			continue;
		}
		dp_count(&st->drops[why], n - done);
		break;
	}
	ring_advance(r, taken);
	ring_publish(r);
	return sent;
}
