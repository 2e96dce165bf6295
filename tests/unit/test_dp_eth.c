/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports on Ethernet devices of DPDK's, on a device that gives back what it is sent (net_ring):
 * frames as they come and leave, copied and lent, and where the mbufs go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/dp/eth.h"
#include "vswitch/dp/offload.h"
#include "vswitch/eal.h"
#include "vswitch/nic.h"

#define N_NICS 2

static struct nic_left left;
static struct nic nic[N_NICS];
static struct dp_burst *burst;
static struct dp_queue_stats stats;
static const struct dp_egress plain;

static int open_all(void **state)
{
	struct err e = { 0 };

	for (int i = 0; i < N_NICS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "net_ring%d", i);
		if (nic_open(&nic[i], &left, "vdev", name, "", 1, 9216, &e))
			fail_msg("%s", e.text);
	}
	memset(&stats, 0, sizeof(stats));
	burst = aligned_alloc(64, (sizeof(*burst) + 63) & ~(size_t)63);
	assert_non_null(burst);
	memset(burst, 0, sizeof(*burst));
	return 0;
}

static int close_all(void **state)
{
	for (int i = 0; i < N_NICS; i++)
		nic_close(&nic[i], &left);
	assert_int_equal(0, left.n); /* all frames came back to their pools */
	free(burst);
	return 0;
}

static void fill(uint8_t *p, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
	p[0] = p[6] = 2;
	p[12] = 0x88;
	p[13] = 0xb5;
}

/* A frame as a guest's ring would give it, in n pieces. */
static void frame_make(struct dp_frame *f, uint8_t *bytes, uint32_t len, uint32_t n_segs)
{
	static struct ring_seg segs[8];
	uint32_t rest = len > DP_HDR_COPY ? len - DP_HDR_COPY : 0, at = DP_HDR_COPY;

	memset(f, 0, sizeof(*f));
	f->len = len;
	f->hdr_len = (uint16_t)(len - rest);
	memcpy(f->hdr, bytes, f->hdr_len);
	f->n_segs = rest ? (uint16_t)n_segs : 0;
	f->rest = bytes + DP_HDR_COPY;
	f->segs = segs;
	for (uint32_t i = 0; rest && i < n_segs; i++) {
		uint32_t take = i + 1 < n_segs ? rest / n_segs : len - at;

		segs[i] = (struct ring_seg){ bytes + at, take };
		at += take;
	}
}

static uint32_t deliver(struct nic *n, const struct dp_egress *eg, uint32_t count, uint64_t *bytes)
{
	struct dp_outq out = { .edge_queue = &n->tx[0] };
	uint8_t idx[DP_BURST];

	for (uint32_t i = 0; i < count; i++)
		idx[i] = (uint8_t)i;
	*bytes = 0;
	return dp_eth_ops.deliver(&out, eg, burst->frame, idx, count, bytes, &stats);
}

static uint32_t peek(struct nic *n)
{
	struct dp_inq in = { .edge_queue = &n->rx[0] };

	return dp_eth_ops.peek(&in, burst);
}

static void release(struct nic *n)
{
	struct dp_inq in = { .edge_queue = &n->rx[0] };

	dp_eth_ops.release(&in, burst);
}

static void assert_frame(const struct dp_frame *f, const uint8_t *bytes, uint32_t len)
{
	uint8_t got[32768];
	uint32_t at = f->hdr_len;

	assert_int_equal(len, f->len);
	memcpy(got, f->hdr, f->hdr_len);
	if (f->n_segs == 1) {
		memcpy(got + at, f->rest, len - at);
	} else {
		for (uint32_t i = 0; i < f->n_segs; i++) {
			memcpy(got + at, f->segs[i].base, f->segs[i].len);
			at += f->segs[i].len;
		}
		assert_int_equal(len, at);
	}
	assert_memory_equal(bytes, got, len);
}

static void test_copied(void **state)
{
	static const uint32_t lens[] = { 14, 59, 60, 64, 65, 128, 1514, 1518, 9230, 9234 };
	static uint8_t bytes[16384];
	uint64_t sum;

	for (uint32_t n_segs = 1; n_segs <= 3; n_segs++) {
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			uint32_t len = lens[i], on_wire = len < 60 ? 60 : len;

			memset(bytes, 0, sizeof(bytes));
			fill(bytes, len, (uint32_t)i);
			frame_make(&burst->frame[0], bytes, len, n_segs);
			assert_int_equal(1, deliver(&nic[0], &plain, 1, &sum));
			assert_int_equal(len, sum);
			assert_int_equal(1, peek(&nic[0]));
			assert_frame(&burst->frame[0], bytes, on_wire); /* filled up with zeros */
			release(&nic[0]);
		}
	}
	assert_int_equal(0, stats.drops[DP_DROP_tx_ring_full]);
}

static void test_lent(void **state)
{
	static uint8_t bytes[DP_BURST][1514];
	const void *mbuf[DP_BURST];
	uint64_t sum;

	for (int i = 0; i < DP_BURST; i++) {
		fill(bytes[i], sizeof(bytes[i]), (uint32_t)i);
		frame_make(&burst->frame[i], bytes[i], sizeof(bytes[i]), 1);
	}
	assert_int_equal(DP_BURST, deliver(&nic[0], &plain, DP_BURST, &sum));
	assert_int_equal(DP_BURST, peek(&nic[0]));
	for (int i = 0; i < DP_BURST; i++)
		mbuf[i] = burst->frame[i].mbuf;
	/* To another device, and flooded: back to its own as well. The same mbufs arrive. */
	assert_int_equal(DP_BURST, deliver(&nic[1], &plain, DP_BURST, &sum));
	assert_int_equal(DP_BURST * 1514, sum);
	assert_int_equal(DP_BURST, deliver(&nic[0], &plain, DP_BURST, &sum));
	release(&nic[0]);
	for (int n = N_NICS - 1; n >= 0; n--) {
		assert_int_equal(DP_BURST, peek(&nic[n]));
		for (int i = 0; i < DP_BURST; i++) {
			assert_ptr_equal(mbuf[i], burst->frame[i].mbuf);
			assert_frame(&burst->frame[i], bytes[i], 1514);
		}
		release(&nic[n]);
	}
	assert_true(rte_mempool_full(nic[1].pool)); /* nothing of it was needed */
}

/* A look that finds nothing is not released: the burst's next frames may be a guest's. */
static void test_empty(void **state)
{
	static uint8_t bytes[100];
	uint64_t sum;

	assert_int_equal(0, peek(&nic[0]));
	fill(bytes, sizeof(bytes), 1);
	frame_make(&burst->frame[0], bytes, sizeof(bytes), 1);
	assert_int_equal(1, deliver(&nic[0], &plain, 1, &sum));
	assert_int_equal(1, peek(&nic[0]));
	assert_frame(&burst->frame[0], bytes, sizeof(bytes));
	release(&nic[0]);
}

/* A tag that is added is no matter of the shared mbuf: the frame is copied. */
static void test_edited_is_copied(void **state)
{
	const struct dp_egress trunk = { .native = 5 };
	static uint8_t bytes[1514];
	const void *mbuf;
	uint64_t sum;

	fill(bytes, sizeof(bytes), 3);
	frame_make(&burst->frame[0], bytes, sizeof(bytes), 1);
	assert_int_equal(1, deliver(&nic[0], &plain, 1, &sum));
	assert_int_equal(1, peek(&nic[0]));
	mbuf = burst->frame[0].mbuf;
	burst->frame[0].meta = 42;
	assert_int_equal(1, deliver(&nic[1], &trunk, 1, &sum));
	assert_frame(&burst->frame[0], bytes, sizeof(bytes));
	release(&nic[0]);
	assert_int_equal(1, peek(&nic[1]));
	assert_ptr_not_equal(mbuf, burst->frame[0].mbuf);
	assert_int_equal(1518, burst->frame[0].len);
	assert_memory_equal(
		((uint8_t[]){ 0x81, 0, 0, 42, 0x88, 0xb5 }), burst->frame[0].hdr + 12, 6);
	release(&nic[1]);
}

static void test_full(void **state)
{
	static uint8_t bytes[128];
	uint64_t sum, sent = 0, rounds = 0;

	fill(bytes, sizeof(bytes), 1);
	for (int i = 0; i < DP_BURST; i++)
		frame_make(&burst->frame[i], bytes, 60, 1);
	while (rounds++ < 1000) {
		uint32_t n = deliver(&nic[0], &plain, DP_BURST, &sum);

		assert_int_equal(n * 60, sum);
		sent += n;
		if (n < DP_BURST)
			break;
	}
	/* Each that did not leave is counted, and its mbuf is not lost. */
	assert_int_equal(rounds * DP_BURST, sent + stats.drops[DP_DROP_tx_ring_full]);
	assert_true(stats.drops[DP_DROP_tx_ring_full] > 0);
	while (sent) {
		uint32_t n = peek(&nic[0]);

		assert_true(n > 0 && n <= sent);
		release(&nic[0]);
		sent -= n;
	}
	assert_true(rte_mempool_full(nic[0].pool));
}

/* A big TCP frame to a device that has no offloads: segments, each whole. */
static void test_segmented(void **state)
{
	static const uint8_t headers[54] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0,
		0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0, 0x40, 0, 0, 0, 0,
		1, 0, 0, 0, 0, 0x50, 0x18, 1, 0 };
	static uint8_t bytes[54 + 4000];
	struct dp_frame *f = &burst->frame[0];
	uint64_t sum;

	fill(bytes, sizeof(bytes), 1);
	memcpy(bytes, headers, sizeof(headers));
	frame_make(f, bytes, sizeof(bytes), 1);
	f->meta = DP_META_OFFLOAD;
	f->off = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1460,
		.csum_start = 34,
		.csum_offset = 16 };
	assert_int_equal(0, nic[0].tx[0].accept);
	assert_int_equal(1, deliver(&nic[0], &plain, 1, &sum));
	assert_int_equal(sizeof(bytes), sum);
	assert_int_equal(1, stats.soft_segmented);
	assert_int_equal(3, peek(&nic[0]));
	for (int i = 0; i < 3; i++) {
		struct rte_mbuf *m = burst->frame[i].mbuf;
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
		uint32_t payload = i < 2 ? 1460 : 4000 - 2 * 1460;

		assert_int_equal(54 + payload, m->pkt_len);
		assert_memory_equal(bytes + 54 + i * 1460, p + 54, payload);
		assert_int_equal(0xffff, rte_raw_cksum(p + 14, 20));
		assert_int_equal(0, rte_ipv4_udptcp_cksum((const void *)(p + 14), p + 34));
	}
	release(&nic[0]);
}

/* The same, and a checksum alone, to a device that does it: what it is asked for. */
static void test_asked_of_the_device(void **state)
{
	static const uint8_t headers[58] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 7, 8,
		0, 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0,
		0x40, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x18, 1, 0 };
	static uint8_t bytes[58 + 20000];
	struct dp_eth_tx tx = nic[0].tx[0];
	struct dp_outq out = { .edge_queue = &tx };
	struct dp_frame *f = &burst->frame[0];
	const struct rte_mbuf *m;
	uint64_t sum = 0;
	uint8_t idx = 0;

	tx.accept = DP_OFF_CSUM | DP_OFF_TSO4 | DP_OFF_TSO6;
	tx.segs_max = 40;
	tx.room = 2048;
	fill(bytes, sizeof(bytes), 1);
	memcpy(bytes, headers, sizeof(headers));
	frame_make(f, bytes, sizeof(bytes), 3);
	f->meta = DP_META_OFFLOAD | DP_META_TAGGED | 7;
	f->off = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 58,
		.gso_size = 1460,
		.csum_start = 38,
		.csum_offset = 16 };
	assert_int_equal(1, dp_eth_ops.deliver(&out, &plain, burst->frame, &idx, 1, &sum, &stats));
	assert_int_equal(1, peek(&nic[0]));
	m = burst->frame[0].mbuf;
	assert_frame(&burst->frame[0], bytes, sizeof(bytes));
	assert_int_equal(10, m->nb_segs);
	assert_int_equal(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG |
			RTE_MBUF_F_TX_TCP_CKSUM,
		m->ol_flags);
	assert_int_equal(18, m->l2_len);
	assert_int_equal(20, m->l3_len);
	assert_int_equal(20, m->l4_len);
	assert_int_equal(1460, m->tso_segsz);
	release(&nic[0]);
	assert_int_equal(0, stats.soft_segmented);

	/* UDP, its checksum alone. */
	bytes[27] = 17;
	frame_make(f, bytes, 500, 1);
	f->meta = DP_META_OFFLOAD | DP_META_TAGGED | 7;
	f->off = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 38, .csum_offset = 6
	};
	assert_int_equal(1, dp_eth_ops.deliver(&out, &plain, burst->frame, &idx, 1, &sum, &stats));
	assert_int_equal(1, peek(&nic[0]));
	m = burst->frame[0].mbuf;
	assert_int_equal(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM, m->ol_flags);
	release(&nic[0]);
	assert_int_equal(0, stats.soft_checksums);

	/* Not right behind the IP header (what it says is SCTP): nobody's but ours. */
	bytes[27] = 132;
	frame_make(f, bytes, 500, 1);
	f->meta = DP_META_OFFLOAD | DP_META_TAGGED | 7;
	f->off.csum_offset = 8;
	assert_int_equal(1, dp_eth_ops.deliver(&out, &plain, burst->frame, &idx, 1, &sum, &stats));
	assert_int_equal(1, peek(&nic[0]));
	m = burst->frame[0].mbuf;
	assert_int_equal(0, m->ol_flags);
	release(&nic[0]);
	assert_int_equal(1, stats.soft_checksums);
}

/* A pool whose frames lie in another device's ring waits for them. */
static void test_pool_outlives_its_device(void **state)
{
	static uint8_t bytes[100];
	uint64_t sum;

	fill(bytes, sizeof(bytes), 1);
	frame_make(&burst->frame[0], bytes, sizeof(bytes), 1);
	assert_int_equal(1, deliver(&nic[0], &plain, 1, &sum));
	assert_int_equal(1, peek(&nic[0]));
	assert_int_equal(1, deliver(&nic[1], &plain, 1, &sum));
	release(&nic[0]);
	nic_close(&nic[0], &left);
	assert_int_equal(1, left.n);
	assert_int_equal(1, peek(&nic[1]));
	assert_frame(&burst->frame[0], bytes, sizeof(bytes));
	release(&nic[1]);
	nic_left_free(&left);
	assert_int_equal(0, left.n);
}

static void test_refused(void **state)
{
	struct err e = { 0 };
	struct nic n;

	assert_true(nic_open(&n, &left, "vdev", "net_ring7", "", 17, 1500, &e) < 0);
	assert_string_equal("queues", e.field);
	assert_non_null(strstr(e.text, "queue pairs at most"));
	assert_true(nic_open(&n, &left, "vdev", "net_nonsense0", "", 1, 1500, &e) < 0);
	assert_non_null(strstr(e.text, "can't drive net_nonsense0"));
	/* Nothing stays behind. */
	assert_int_equal(0, nic_open(&n, &left, "vdev", "net_ring7", "", 1, 1500, &e));
	nic_close(&n, &left);
	assert_int_equal(0, left.n);
	assert_int_equal(0, rte_eth_dev_count_avail());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_copied, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_lent, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_empty, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_edited_is_copied, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_full, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_segmented, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_asked_of_the_device, open_all, close_all),
		cmocka_unit_test_setup_teardown(test_pool_outlives_its_device, open_all, close_all),
		cmocka_unit_test(test_refused),
	};
	struct err e = { 0 };
	bool huge = false;
	int ret;

	if (eal_start(512, &huge, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return ret;
}
