/* SPDX-License-Identifier: Apache-2.0 */
/* See eth.h. */
#include "vswitch/dp/eth.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <string.h>

#include "base/ether.h"
#include "vswitch/dp/copy.h"
#include "vswitch/dp/emit.h"
#include "vswitch/dp/offload.h"

#define TCP_CSUM_AT 16 /* where the checksum lies in the headers: which protocol it is */
#define UDP_CSUM_AT 6

/* The pieces of a frame in several mbufs, behind its header copy. */
static void segs_of(struct dp_burst *b, struct dp_frame *f, const struct rte_mbuf *m)
{
	uint32_t skip = f->hdr_len;

	if (m->nb_segs > RING_SEGS_MAX || b->n_segs + m->nb_segs + 1 > DP_BURST_SEGS) {
		b->drops[DP_DROP_rx_segments]++;
		f->len = 0;
		return;
	}
	b->n_segs++; /* an entry for dp_frame_deepen */
	f->segs = &b->segs[b->n_segs];
	for (; m; m = m->next) {
		uint32_t take = skip < m->data_len ? skip : m->data_len;

		skip -= take;
		if (take < m->data_len)
			f->segs[f->n_segs++] =
				(struct ring_seg){ rte_pktmbuf_mtod_offset(m, uint8_t *, take),
					m->data_len - take };
	}
	b->n_segs += f->n_segs;
	if (f->n_segs == 1)
		f->rest = f->segs[0].base;
}

static void frame_of(struct dp_burst *b, struct dp_frame *f, struct rte_mbuf *m)
{
	uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);

	f->mbuf = m;
	f->meta = 0;
	f->deep = 0;
	f->len = m->pkt_len;
	f->hdr_len = f->len < DP_HDR_COPY ? (uint16_t)f->len : DP_HDR_COPY;
	f->n_segs = 0;
	f->segs = NULL;
	if (likely(m->data_len >= f->hdr_len)) {
		copy_upto_64(f->hdr, at, f->hdr_len);
	} else {
		const void *p = rte_pktmbuf_read(m, 0, f->hdr_len, f->hdr);

		if (p && p != f->hdr)
			memcpy(f->hdr, p, f->hdr_len);
	}
	if (unlikely(m->nb_segs > 1)) {
		segs_of(b, f, m);
	} else if (f->len > DP_HDR_COPY) {
		f->rest = at + DP_HDR_COPY;
		f->n_segs = 1;
	}
}

static uint32_t eth_peek(struct dp_inq *q, struct dp_burst *b)
{
	struct dp_eth_rx *rx = q->edge_queue;
	struct rte_mbuf *m[DP_BURST];
	uint32_t n = rte_eth_rx_burst(rx->port, rx->queue, m, DP_BURST);

	if (unlikely(rx->armed) && n) {
		rte_eth_dev_rx_intr_disable(rx->port, rx->queue);
		rx->armed = false;
	}
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(rte_pktmbuf_mtod(m[i], void *));
	b->n_segs = 0;
	for (uint32_t i = 0; i < n; i++)
		frame_of(b, &b->frame[i], m[i]);
	b->n = n;
	b->mbufs = n > 0; /* without frames there is no release */
	return n;
}

static void eth_release(struct dp_inq *q, struct dp_burst *b)
{
	struct rte_mbuf *m[DP_BURST];

	for (uint32_t i = 0; i < b->n; i++)
		m[i] = b->frame[i].mbuf;
	rte_pktmbuf_free_bulk(m, b->n);
	b->mbufs = false;
}

/* The device is to say when a frame comes. Looked at once more afterwards: it may have come. */
static bool eth_arm(struct dp_inq *q)
{
	struct dp_eth_rx *rx = q->edge_queue;

	if (rx->interrupts)
		rx->armed = rte_eth_dev_rx_intr_enable(rx->port, rx->queue) == 0;
	return rte_eth_rx_queue_count(rx->port, rx->queue) <= 0;
}

/* The frame's own mbuf with a reference more, or NULL: it can't be lent. */
static struct rte_mbuf *lend(const struct dp_eth_tx *tx, const struct dp_frame *f)
{
	struct rte_mbuf *m = f->mbuf;

	if (m->nb_segs > tx->segs_max || f->len < tx->min_len ||
		rte_mempool_avail_count(m->pool) < DP_ETH_POOL_KEPT)
		return NULL;
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	m->tx_offload = 0;
	for (struct rte_mbuf *s = m; s; s = s->next)
		rte_mbuf_refcnt_update(s, 1);
	return m;
}

/* An mbuf, or a chain, that holds len bytes; its pieces in seg. NULL: there are no more. */
static struct rte_mbuf *chain_new(
	const struct dp_eth_tx *tx, uint32_t len, uint32_t n, struct ring_seg *seg)
{
	struct rte_mbuf *m[RING_SEGS_MAX];

	if (rte_pktmbuf_alloc_bulk(tx->pool, m, n))
		return NULL;
	m[0]->pkt_len = len;
	m[0]->nb_segs = (uint16_t)n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t take = len < tx->room ? len : tx->room;

		m[i]->data_len = (uint16_t)take;
		m[i]->next = i + 1 < n ? m[i + 1] : NULL;
		seg[i] = (struct ring_seg){ rte_pktmbuf_mtod(m[i], uint8_t *), take };
		len -= take;
	}
	return m[0];
}

/* What the device is to do to the packet, as DPDK says it. */
static void ask(struct rte_mbuf *m, const struct emit_packet *p)
{
	const struct virtio_net_hdr *h = &p->hdr;
	const uint8_t *bytes = p->src[0].base;
	uint32_t l2 = ETHER_HDR_LEN, l3_type = bytes[12] << 8 | bytes[13];

	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	if (l3_type == 0x8100) {
		l2 += 4;
		l3_type = bytes[16] << 8 | bytes[17];
	}
	m->l2_len = l2;
	m->l3_len = h->csum_start - l2;
	m->ol_flags |= l3_type == 0x0800 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		m->ol_flags |= h->csum_offset == TCP_CSUM_AT ? RTE_MBUF_F_TX_TCP_CKSUM
							     : RTE_MBUF_F_TX_UDP_CKSUM;
		return;
	}
	m->l4_len = h->hdr_len - h->csum_start;
	m->tso_segsz = h->gso_size;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM;
	if (l3_type == 0x0800)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
}

/* What of the device's offloads can be had for this frame: TCP and UDP right behind an IP header,
 * and the whole of it in as many mbufs as the device takes. */
static uint32_t accept_for(const struct dp_eth_tx *tx, const struct dp_frame *f)
{
	const uint8_t *l3 = f->hdr + ETHER_HDR_LEN + (f->meta & DP_META_TAGGED ? 4 : 0);
	uint32_t l3_len = f->off.csum_start - (uint32_t)(l3 - f->hdr);
	uint8_t proto;

	if (!(f->meta & DP_META_OFFLOAD) || !tx->accept)
		return 0;
	if ((uint32_t)(l3 - f->hdr) + 24 > f->hdr_len || f->off.csum_start > f->hdr_len)
		return 0;
	if (l3[-2] == 0x08 && l3[-1] == 0x00 && l3_len == (l3[0] & 0x0fu) * 4)
		proto = l3[9];
	else if (l3[-2] == 0x86 && l3[-1] == 0xdd && l3_len == 40)
		proto = l3[6];
	else
		return 0;
	if (proto != (f->off.csum_offset == TCP_CSUM_AT ? 6 : 17) ||
		(proto == 17 && f->off.csum_offset != UDP_CSUM_AT))
		return 0;
	if (f->off.gso_type && (f->len + 4 + tx->room - 1) / tx->room > tx->segs_max)
		return DP_OFF_CSUM & tx->accept;
	return tx->accept;
}

/* Packets that are ready to go, and the frame that each belongs to. */
struct outgoing {
	const struct dp_eth_tx *tx;
	uint32_t n;
	bool asks; /* one of them wants an offload */
	struct rte_mbuf *m[DP_BURST];
	uint8_t of[DP_BURST]; /* its frame's place in idx */
};

/* Hands all over to the device. lost[]: marks frames of which a packet found no place. */
static void outgoing_flush(struct outgoing *o, bool *lost)
{
	const struct dp_eth_tx *tx = o->tx;
	uint32_t n = o->n, ok;

	if (!n)
		return;
	ok = o->asks ? rte_eth_tx_prepare(tx->port, tx->queue, o->m, (uint16_t)n) : n;
	ok = rte_eth_tx_burst(tx->port, tx->queue, o->m, (uint16_t)ok);
	for (uint32_t i = ok; i < n; i++) {
		lost[o->of[i]] = true;
		rte_pktmbuf_free(o->m[i]);
	}
	o->n = 0;
	o->asks = false;
}

static void outgoing_add(struct outgoing *o, struct rte_mbuf *m, uint8_t of, bool *lost)
{
	if (o->n == DP_BURST)
		outgoing_flush(o, lost);
	o->m[o->n] = m;
	o->of[o->n++] = of;
}

/* One packet in mbufs of ours. False: there are none, or it takes too many. */
static bool packet_copy(struct outgoing *o, const struct emit_packet *p, uint8_t of, bool *lost)
{
	static const uint8_t zeros[64];
	const struct dp_eth_tx *tx = o->tx;
	uint32_t len = p->len < tx->min_len ? tx->min_len : p->len;
	uint32_t n = (len + tx->room - 1) / tx->room;
	struct ring_seg seg[RING_SEGS_MAX];
	struct scatter s = { .seg = seg };
	struct rte_mbuf *m = NULL;

	if (n <= tx->segs_max && n <= RING_SEGS_MAX)
		m = chain_new(tx, len, n, seg);
	if (!m)
		return false;
	emit_copy(p, &s);
	scatter_put(&s, zeros, len - p->len);
	ask(m, p);
	if (m->ol_flags)
		o->asks = true;
	outgoing_add(o, m, of, lost);
	return true;
}

/* A frame in mbufs of ours: one packet, or the segments that it is cut to. */
static bool frame_copy(struct outgoing *o, const struct dp_frame *f, const struct dp_egress *eg,
	uint8_t of, struct dp_queue_stats *st, bool *lost)
{
	const struct emit_packet *p;
	struct emit e;

	emit_begin(&e, f, eg, accept_for(o->tx, f));
	while ((p = emit_next(&e)))
		if (!packet_copy(o, p, of, lost))
			return false;
	if (e.cut)
		dp_count(&st->soft_segmented, 1);
	else if (e.summed)
		dp_count(&st->soft_checksums, 1);
	return true;
}

static uint32_t eth_deliver(struct dp_outq *q, const struct dp_egress *eg, struct dp_frame *frame,
	uint8_t *idx, uint32_t n, uint64_t *bytes, struct dp_queue_stats *st)
{
	/* Frames are always a burst's. */
	const struct dp_burst *b = (const struct dp_burst *)(const void *)((uint8_t *)frame -
		offsetof(struct dp_burst, frame));
	struct outgoing o = { .tx = q->edge_queue };
	bool lost[DP_BURST] = { false };
	uint32_t sent = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct dp_frame *f = &frame[idx[i]];
		struct rte_mbuf *m = b->mbufs && emit_is_plain(f, eg) ? lend(o.tx, f) : NULL;

		if (m)
			outgoing_add(&o, m, (uint8_t)i, lost);
		else if (!frame_copy(&o, f, eg, (uint8_t)i, st, lost))
			lost[i] = true;
	}
	outgoing_flush(&o, lost);
	for (uint32_t i = 0; i < n; i++) {
		if (lost[i])
			continue;
		*bytes += frame[idx[i]].len;
		idx[sent++] = idx[i];
	}
	if (unlikely(sent < n))
		dp_count(&st->drops[DP_DROP_tx_ring_full], n - sent);
	return sent;
}

const struct dp_edge_ops dp_eth_ops = {
	.peek = eth_peek,
	.release = eth_release,
	.deliver = eth_deliver,
	.arm = eth_arm,
};
