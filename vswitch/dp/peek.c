/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a sender's descriptors to frames: see frame.h.
 *
 * Three passes over the burst, so that each pass finds its cache lines on their way: descriptors,
 * then data, then the copy of the headers. The virtio-net header is read only if the sender
 * negotiated an offload: else it says nothing (virtio 1.2, 5.1.6.2: its fields are zero then).
 */
#include "vswitch/dp/copy.h"
#include "vswitch/dp/frame.h"
#include "vswitch/dp/offload.h"
#include "vswitch/dp/peek.h"
#include "vswitch/dp/ring_packed.h"

#include <errno.h>

/* The pieces of a chain with its virtio-net header taken off: any layout is legal. */
static int segs_skip(struct ring_seg **seg, int n, uint32_t skip)
{
	struct ring_seg *s = *seg;

	while (n && skip >= s->len) {
		skip -= s->len;
		s++;
		n--;
	}
	if (n) {
		s->base += skip;
		s->len -= skip;
	}
	*seg = s;
	return n;
}

/* Copies the frame's first bytes out of its pieces and leaves the rest in them. */
static void hdr_gather(struct dp_frame *f)
{
	struct ring_seg *s = f->segs;
	int n = f->n_segs;
	uint32_t got = 0;

	while (got < f->hdr_len) {
		uint32_t take = s->len < f->hdr_len - got ? s->len : f->hdr_len - got;

		copy_upto_64(f->hdr + got, s->base, take);
		got += take;
		n = segs_skip(&s, n, take);
	}
	f->segs = s;
	f->n_segs = (uint16_t)n;
	if (n == 1)
		f->rest = s->base;
}

const uint8_t *dp_frame_deepen(struct dp_burst *b, struct dp_frame *f, uint32_t *len)
{
	uint32_t i = (uint32_t)(f - b->frame), want = f->len < DP_DEEP_MAX ? f->len : DP_DEEP_MAX;
	uint32_t got = f->hdr_len;
	uint8_t *deep = b->deep[i];
	struct ring_seg *s;
	int n = f->n_segs;

	*len = want;
	if (want == f->hdr_len)
		return f->hdr;
	if (f->deep)
		return deep;
	if (n == 1) {
		s = &b->segs[DP_BURST_SEGS + 2 * i + 1];
		*s = (struct ring_seg){ f->rest, f->len - f->hdr_len };
	} else {
		s = f->segs; /* peek_chain left an entry free in front */
	}
	memcpy(deep, f->hdr, f->hdr_len);
	while (got < want) {
		uint32_t take = s->len < want - got ? s->len : want - got;

		memcpy(deep + got, s->base, take);
		got += take;
		n = segs_skip(&s, n, take);
	}
	*--s = (struct ring_seg){ deep + f->hdr_len, want - f->hdr_len };
	f->segs = s;
	f->n_segs = (uint16_t)(n + 1);
	f->rest = s->base;
	f->deep = (uint16_t)want;
	return deep;
}

/* The virtio-net header's request out of a chain's first pieces, which hold it whole. */
static void net_hdr_gather(struct dp_frame *f, const struct ring_seg *s)
{
	uint8_t *to = (uint8_t *)&f->off;
	uint32_t left = sizeof(f->off);

	for (; left; s++) {
		uint32_t take = s->len < left ? s->len : left;

		memcpy(to, s->base, take);
		to += take;
		left -= take;
	}
}

/* A request is rare on most rings, and its fields are then checked from our copy. */
static void request_check(struct ring *r, struct dp_burst *b, struct dp_frame *f)
{
	const struct virtio_net_hdr h = f->off;

	if (!(h.flags | h.gso_type) || dp_offload_check(b, f, &h, r->may))
		return;
	b->drops[DP_DROP_rx_bad_offload]++;
	f->len = 0; /* dropped */
}

int dp_peek_chain(struct ring *r, struct dp_burst *b, uint32_t i, uint16_t ahead)
{
	struct dp_frame *f = &b->frame[i];
	struct ring_seg *seg = &b->segs[b->n_segs + 1]; /* an entry for dp_frame_deepen */
	struct ring_chain c = { 0 };
	uint32_t len;
	int n = ring_chain_at(r, ahead, false, seg, &len, &c);

	b->head[i] = c.id;
	b->links[i] = c.n;
	f->len = 0;
	f->meta = 0;
	f->deep = 0;
	f->rest = f->hdr; /* a dropped frame's: somewhere, with no bytes */
	f->segs = NULL;
	f->n_segs = 0;
	if (n == -E2BIG) {
		b->drops[DP_DROP_rx_segments]++;
		return 0;
	}
	if (n < 0)
		return n;
	if (len < r->hdr_len) {
		ring_fail(r, RING_FAULT_SHORT_CHAIN);
		return -EINVAL;
	}
	f->len = len - r->hdr_len;
	b->n_segs += (uint32_t)n + 1;
	if (r->may)
		net_hdr_gather(f, seg);
	n = segs_skip(&seg, n, r->hdr_len);
	f->segs = seg;
	f->n_segs = (uint16_t)n;
	if (n)
		__builtin_prefetch(seg->base);
	if (f->len == 0)
		b->drops[DP_DROP_rx_runt]++;
	return 0;
}

/* Descriptor -> where the frame lies. reg: the region that the ring's last address was in, copied
 * so that it stays in registers. Returns -EINVAL after a fault. */
static inline int peek_one(
	struct ring *r, const struct dp_region *reg, struct dp_burst *b, uint32_t i)
{
	uint16_t head = b->head[i];
	struct vring_desc d;
	uint8_t *host;

	if (unlikely(head >= r->size)) {
		ring_fail(r, RING_FAULT_BAD_HEAD);
		return -EINVAL;
	}
	d = ring_desc_read(&r->desc[head]);
	if (unlikely(d.flags || d.len <= r->hdr_len))
		return dp_peek_chain(r, b, i, (uint16_t)i);
	host = dp_region_host(reg, d.addr, d.len);
	if (unlikely(!host)) {
		host = dp_mem_host(r->mem, &r->mem_hint, d.addr, d.len);
		if (!host) /* torn between regions, or a fault */
			return dp_peek_chain(r, b, i, (uint16_t)i);
	}
	dp_peek_found(r, &b->frame[i], host, d.len);
	return 0;
}

static inline void hdr_copy(struct dp_frame *f)
{
	f->hdr_len = f->len < DP_HDR_COPY ? (uint16_t)f->len : DP_HDR_COPY;
	if (unlikely(f->segs)) {
		hdr_gather(f);
		return;
	}
	copy_upto_64(f->hdr, f->rest, f->hdr_len);
	f->rest += f->hdr_len;
	f->n_segs = f->len > DP_HDR_COPY;
}

/* Whose header lies in front of the frame: chains have had theirs gathered. */
static void requests_check(struct ring *r, struct dp_burst *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct dp_frame *f = &b->frame[i];

		if (!f->len)
			continue;
		if (!f->segs)
			memcpy(&f->off, f->rest - f->hdr_len - r->hdr_len, sizeof(f->off));
		request_check(r, b, f);
	}
}

void dp_peek_headers(struct ring *r, struct dp_burst *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		hdr_copy(&b->frame[i]);
	if (r->may)
		requests_check(r, b);
}

uint32_t dp_peek(struct ring *r, struct dp_burst *b)
{
	const struct dp_region reg = r->mem->region[r->mem_hint];
	uint32_t n, i;

	if (r->packed)
		return dp_peek_packed(r, b);
	n = ring_split_avail(r, 1);
	if (n > DP_BURST)
		n = DP_BURST;
	b->n_segs = 0;
	for (i = 0; i < n; i++) {
		b->head[i] = ring_head(r, (uint16_t)i);
		__builtin_prefetch(&r->desc[b->head[i] & r->mask]);
	}
	for (i = 0; i < n; i++) {
		if (unlikely(b->n_segs + RING_SEGS_MAX + 1 > DP_BURST_SEGS))
			break;
		if (unlikely(peek_one(r, &reg, b, i)))
			break;
	}
	b->n = i;
	dp_peek_headers(r, b);
	return i;
}

void dp_release(struct ring *r, const struct dp_burst *b)
{
	struct vring_used_elem *used = r->used->ring;
	uint16_t at = r->used_next, mask = r->mask;

	if (r->packed) {
		dp_release_packed(r, b);
		return;
	}
	for (uint32_t i = 0; i < b->n; i++)
		ring_use_at(used, (uint16_t)(at + i) & mask, b->head[i], 0);
	r->used_next = (uint16_t)(at + b->n);
	r->avail_next = (uint16_t)(r->avail_next + b->n);
	ring_split_publish(r);
}
