/* SPDX-License-Identifier: Apache-2.0 */
/* See port.h. */
#include "traffic/dpdk/port.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* mbufs of a pool in the main thread's cache: DPDK lets it grow to 1.5 times its size. */
#define POOL_CACHE 256
#define RX_SHIFT   4

/* What the engine keeps with a buffer. A pool's memory is zero at first: no mark. */
struct mark {
	uint64_t owner;
	uint32_t seed, len;
};

static int mark_offset = -1; /* set once, before the first port; the same for all */

static struct mark *mark_of(struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, mark_offset, struct mark *);
}

/* Takes the line away from the CPU that has read it: a plain prefetch leaves it there too, and
 * writing then waits for it a second time. The compiler makes this of __builtin_prefetch only for
 * CPUs that it is told of; all of x86-64 take it (those that can't do it do nothing). */
static inline void fetch_to_write(uint8_t *line)
{
	__asm__ volatile("prefetchw %0" : : "m"(*line));
}

static void tx_fill(struct dpdk_port *p)
{
	p->tx_n = p->tx_committed = p->tx_done = 0;
	/* Raw mbufs: a freed one has one segment, one reference and no next (rte_mbuf.h). */
	if (rte_mempool_get_bulk(p->tx_pool, (void **)p->tx_mbuf, TRAFFIC_BURST))
		return;
	p->tx_n = TRAFFIC_BURST;
	for (uint32_t i = 0; i < TRAFFIC_BURST; i++) {
		struct rte_mbuf *m = p->tx_mbuf[i];
		const struct mark *k = mark_of(m);
		uint8_t *frame = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

		/* The frame's first line, and the one before, where the driver puts a header. */
		fetch_to_write(frame);
		__builtin_prefetch(frame - 1, 0);
		m->data_off = RTE_PKTMBUF_HEADROOM;
		m->data_len = (uint16_t)k->len;
		m->pkt_len = k->len;
		p->slot[i] = (struct traffic_slot){
			.frame = frame, .owner = k->owner, .seed = k->seed, .len = k->len
		};
	}
}

uint32_t dpdk_port_flush(struct dpdk_port *p)
{
	if (p->tx_done < p->tx_committed)
		p->tx_done += rte_eth_tx_burst(p->ethdev, 0, p->tx_mbuf + p->tx_done,
			(uint16_t)(p->tx_committed - p->tx_done));
	return p->tx_committed - p->tx_done;
}

static uint32_t tx_get(struct traffic_port *port, uint32_t n, struct traffic_slot **slots)
{
	struct dpdk_port *p = (struct dpdk_port *)port;
	uint32_t left;

	if (dpdk_port_flush(p))
		return 0;
	if (p->tx_committed == p->tx_n)
		tx_fill(p);
	left = p->tx_n - p->tx_committed;
	*slots = p->slot + p->tx_committed;
	return n < left ? n : left;
}

static void tx_set_len(struct traffic_port *port, struct traffic_slot *slot, uint32_t len)
{
	struct dpdk_port *p = (struct dpdk_port *)port;
	struct rte_mbuf *m = p->tx_mbuf[slot - p->slot];

	slot->len = len;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
}

static void tx_commit(struct traffic_port *port, uint32_t n)
{
	struct dpdk_port *p = (struct dpdk_port *)port;

	for (uint32_t i = p->tx_committed; i < p->tx_committed + n; i++) {
		struct mark *k = mark_of(p->tx_mbuf[i]);

		if (k->owner != p->slot[i].owner || k->seed != p->slot[i].seed)
			*k = (struct mark){ .owner = p->slot[i].owner,
				.seed = p->slot[i].seed,
				.len = p->slot[i].len };
	}
	p->tx_committed += n;
	dpdk_port_flush(p);
	if (p->tx_done == p->tx_n)
		tx_fill(p);
}

static uint32_t rx_burst(struct traffic_port *port, struct traffic_frame *frames, uint32_t n)
{
	struct dpdk_port *p = (struct dpdk_port *)port;
	uint32_t got = rte_eth_rx_burst(p->ethdev, 0, p->rx_mbuf, (uint16_t)n);

	p->rx_chained_now = false;
	for (uint32_t i = 0; i < got; i++) {
		struct rte_mbuf *m = p->rx_mbuf[i];

		frames[i].data = rte_pktmbuf_mtod(m, const uint8_t *);
		frames[i].len = m->pkt_len;
		rte_prefetch0(frames[i].data);
		if (unlikely(m->nb_segs > 1)) {
			p->rx_chained++;
			p->rx_chained_now = true;
			/* Longer than any of ours: of no flow. */
			if (m->pkt_len > port->max_len)
				frames[i].len = 0;
			else
				frames[i].data = rte_pktmbuf_read(
					m, 0, m->pkt_len, p->bounce + (size_t)i * port->max_len);
		}
	}
	p->rx_n = got;
	return got;
}

static void rx_release(struct traffic_port *port)
{
	struct dpdk_port *p = (struct dpdk_port *)port;

	/* What the driver hands over has one reference and comes from our pool: freed raw. */
	if (likely(!p->rx_chained_now))
		rte_mempool_put_bulk(p->rx_pool, (void **)p->rx_mbuf, p->rx_n);
	else
		rte_pktmbuf_free_bulk(p->rx_mbuf, p->rx_n);
	p->rx_n = 0;
}

static const struct traffic_port_ops ops = {
	.tx_get = tx_get,
	.tx_set_len = tx_set_len,
	.tx_commit = tx_commit,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
};

static int mark_register(struct err *e)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "lanyard_traffic_mark",
		.size = sizeof(struct mark),
		.align = __alignof__(struct mark),
	};

	if (mark_offset < 0)
		mark_offset = rte_mbuf_dynfield_register(&field);
	if (mark_offset < 0)
		return err_set(e, -rte_errno, "no room in DPDK's mbufs for a mark of 16 bytes: %s",
			rte_strerror(rte_errno));
	return 0;
}

static void mark_clear(struct rte_mempool *pool, void *arg, void *obj, unsigned i)
{
	memset(mark_of(obj), 0, sizeof(struct mark));
}

/* Moves a buffer by 4 bytes, so that the last 4 bytes of virtio's header (how many buffers a frame
 * takes, which the driver reads) share the frame's first line, and 60 bytes of the frame fit in
 * behind them. The header's other 8 bytes are the same in each frame, so nobody writes them: a
 * frame of 64 bytes is one line that changes its CPU, not two. */
static void shift(struct rte_mempool *pool, void *arg, void *obj, unsigned i)
{
	struct rte_mbuf *m = obj;

	m->buf_addr = (char *)m->buf_addr + RX_SHIFT;
	m->buf_iova += RX_SHIFT;
	m->buf_len -= RX_SHIFT;
}

static int pools_make(struct dpdk_port *p, const struct dpdk_port_config *c, struct err *e)
{
	uint32_t n = c->queue_size + 2 * TRAFFIC_BURST + POOL_CACHE * 2;
	/* virtio's receive side counts a VLAN tag and its own header as well. */
	uint32_t room = c->len_max + RTE_PKTMBUF_HEADROOM + 64;
	char name[RTE_MEMPOOL_NAMESIZE];

	room = (room + RTE_CACHE_LINE_SIZE - 1) & ~(uint32_t)(RTE_CACHE_LINE_SIZE - 1);
	if (room < RTE_MBUF_DEFAULT_BUF_SIZE)
		room = RTE_MBUF_DEFAULT_BUF_SIZE;
	snprintf(name, sizeof(name), "send%u", c->ethdev);
	p->tx_pool = rte_pktmbuf_pool_create(name, n, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "receive%u", c->ethdev);
	p->rx_pool = rte_pktmbuf_pool_create(name, n, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY);
	p->bounce = malloc((size_t)TRAFFIC_BURST * c->len_max);
	if (!p->tx_pool || !p->rx_pool || !p->bounce)
		return err_host(e, -ENOMEM,
			"no memory for two times %u frames of up to %u bytes: more hugepages, a "
			"smaller --queue-size or --size, or more --memory",
			n, c->len_max);
	rte_mempool_obj_iter(p->tx_pool, mark_clear, NULL);
	rte_mempool_obj_iter(p->rx_pool, shift, NULL);
	return 0;
}

static int device_start(struct dpdk_port *p, const struct dpdk_port_config *c, struct err *e)
{
	uint32_t n_tx = c->tx_descriptors && c->tx_descriptors < c->queue_size ? c->tx_descriptors
									       : c->queue_size;
	struct rte_eth_conf conf = { 0 };
	int ret;

	/* The device counts neither Ethernet header nor FCS. */
	if (c->len_max - ETHER_HDR_LEN > RTE_ETHER_MTU)
		conf.rxmode.mtu = c->len_max - ETHER_HDR_LEN;
	ret = rte_eth_dev_configure(c->ethdev, 1, 1, &conf);
	if (!ret)
		ret = rte_eth_rx_queue_setup(
			c->ethdev, 0, (uint16_t)c->queue_size, SOCKET_ID_ANY, NULL, p->rx_pool);
	if (!ret)
		ret = rte_eth_tx_queue_setup(c->ethdev, 0, (uint16_t)n_tx, SOCKET_ID_ANY, NULL);
	if (!ret)
		ret = rte_eth_dev_start(c->ethdev);
	if (ret)
		return err_set(e, ret, "the device does not start: %s", err_str(ret));
	p->started = true;
	rte_eth_promiscuous_enable(c->ethdev);
	return 0;
}

int dpdk_port_open(struct dpdk_port *p, const struct dpdk_port_config *c, struct err *e)
{
	int ret = mark_register(e);

	p->ethdev = c->ethdev;
	p->port.ops = &ops;
	p->port.mac = c->mac;
	p->port.max_len = c->len_max;
	if (!ret)
		ret = pools_make(p, c, e);
	if (!ret)
		ret = device_start(p, c, e);
	return ret;
}

void dpdk_port_close(struct dpdk_port *p)
{
	if (p->started)
		rte_eth_dev_stop(p->ethdev);
	if (p->port.ops)
		rte_eth_dev_close(p->ethdev);
	rte_mempool_free(p->tx_pool);
	rte_mempool_free(p->rx_pool);
	free(p->bounce);
	memset(p, 0, sizeof(*p));
}
