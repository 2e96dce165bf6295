/* SPDX-License-Identifier: Apache-2.0 */
/* See nic.h. */
#include "vswitch/nic.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_vfio.h>
#include <stdio.h>
#include <string.h>

#undef NS_PER_S /* DPDK has one of its own; ours is the same number */
#include "base/clock.h"
#include "vswitch/dp/offload.h"

#define RXD       512
#define TXD       512
#define FRAME_MIN 60 /* without FCS: IEEE 802.3 */
#define TAG_LEN   4

/* Bytes of a frame in one mbuf: most devices' buffers are powers of two. */
#define ROOM_MIN 2048

/* What a network's longest frame takes of it, with tags. */
#define FRAME_ROOM(mtu) ((mtu) + RTE_ETHER_HDR_LEN + 2 * TAG_LEN + RTE_ETHER_CRC_LEN)

#define CSUM_TX                                                         \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | \
		RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

static int attach(struct nic *n, const char *bus, const char *name, const char *args, struct err *e)
{
	int ret;

	/* The module may have come after the switch's start. */
	if (!rte_vfio_is_enabled("vfio_pci"))
		rte_vfio_enable("vfio");
	/* A virtual device's arguments may have paths in them: rte_eal_hotplug_add() takes 127
	 * characters of them from DPDK 24.11 on. */
	ret = strcmp(bus, "vdev") == 0 ? rte_vdev_init(name, args)
				       : rte_eal_hotplug_add(bus, name, args);
	if (ret == 0 && rte_eth_dev_get_port_by_name(name, &n->port) == 0) {
		n->attached = true;
		return 0;
	}
	return err_host(e, ret ? ret : -ENODEV,
		"DPDK can't drive %s (%s): has it a driver for it, and is nobody else (another "
		"switch, a virtual machine) using the device? The log says more",
		name, err_str(ret ? ret : -ENODEV));
}

/* Drivers that say they do what they don't do right. */
static const struct {
	const char *driver;
	uint64_t tx_not;
} quirks[] = {
	/* It compares a segment with its Ethernet header to the MTU, and loses full ones. */
	{ "net_tap", RTE_ETH_TX_OFFLOAD_TCP_TSO },
};

/* What of the device's offloads is of use: all or nothing of what belongs together. */
static uint64_t tx_offloads(const struct rte_eth_dev_info *info)
{
	uint64_t capa = info->tx_offload_capa, use = capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

	if ((capa & CSUM_TX) == CSUM_TX) {
		use |= CSUM_TX;
		if (use & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
			use |= capa & RTE_ETH_TX_OFFLOAD_TCP_TSO;
	}
	for (size_t i = 0; i < sizeof(quirks) / sizeof(quirks[0]); i++)
		if (info->driver_name && strcmp(info->driver_name, quirks[i].driver) == 0)
			use &= ~quirks[i].tx_not;
	return use;
}

static uint32_t accept_of(uint64_t offloads)
{
	uint32_t accept = 0;

	if (offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
		accept |= DP_OFF_CSUM;
	if (offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO)
		accept |= DP_OFF_TSO4 | DP_OFF_TSO6;
	return accept;
}

/* Longest frame that the device need take, in terms of its own overhead. */
static int mtu_check(const struct rte_eth_dev_info *info, const char *bus, const char *name,
	uint32_t mtu, struct err *e)
{
	if (mtu <= info->max_mtu &&
		mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN <= info->max_rx_pktlen)
		return 0;
	err_host(e, -EMSGSIZE,
		"%s carries an MTU of at most %u, the network's is %u: give the network a smaller "
		"one",
		name,
		RTE_MIN((uint32_t)info->max_mtu,
			info->max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN),
		mtu);
	return err_field(e, bus);
}

static int queues_check(
	const struct rte_eth_dev_info *info, const char *name, uint16_t n, struct err *e)
{
	uint16_t most = RTE_MIN(info->max_rx_queues, info->max_tx_queues);

	if (n <= most)
		return 0;
	err_request(e, -EINVAL, "%s has %u queue pairs at most, not %u", name, most, n);
	return err_field(e, "queues");
}

static int configure(struct nic *n, const struct rte_eth_dev_info *info, uint64_t offloads,
	uint32_t mtu, bool interrupts)
{
	uint64_t rss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
	struct rte_eth_conf conf = { .rxmode.mtu = mtu, .intr_conf.rxq = interrupts };

	conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	conf.txmode.offloads = offloads;
	rss &= info->flow_type_rss_offloads;
	n->rss = n->n_queues > 1 && rss;
	if (n->rss) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = rss;
	}
	return rte_eth_dev_configure(n->port, n->n_queues, n->n_queues, &conf);
}

static int pool_make(struct nic *n, const char *name, uint32_t room, struct err *e)
{
	char pool[24]; /* not the device's name: its last pool may be there still */
	/* Lent ones apart (dp/eth.h), what rings, bursts and the driver can hold at once. */
	uint32_t count = n->n_queues * (RXD + TXD + 4 * DP_BURST) + 2 * DP_ETH_POOL_KEPT;

	/* No cache: workers are no lcores of DPDK's; mbufs are taken and given in bulk. */
	snprintf(pool, sizeof(pool), "nic%llx", (unsigned long long)clock_now_ns());
	n->pool = rte_pktmbuf_pool_create(pool, count, 0, 0,
		(uint16_t)(room + RTE_PKTMBUF_HEADROOM), rte_eth_dev_socket_id(n->port));
	if (n->pool)
		return 0;
	return err_host(e, -ENOMEM,
		"no memory for the frames of %s: it needs %u MiB. Start the switch with more "
		"(--memory MB), or reserve hugepages",
		name, (uint32_t)(((uint64_t)count * (room + 384) >> 20) + 1));
}

static int queues_setup(
	struct nic *n, const struct rte_eth_dev_info *info, uint64_t offloads, uint32_t room)
{
	int socket = rte_eth_dev_socket_id(n->port), ret;
	uint16_t rxd = RXD, txd = TXD;

	ret = rte_eth_dev_adjust_nb_rx_tx_desc(n->port, &rxd, &txd);
	for (uint16_t i = 0; ret == 0 && i < n->n_queues; i++) {
		ret = rte_eth_rx_queue_setup(n->port, i, rxd, (unsigned)socket, NULL, n->pool);
		if (ret == 0)
			ret = rte_eth_tx_queue_setup(n->port, i, txd, (unsigned)socket, NULL);
		n->rx[i] = (struct dp_eth_rx){ .port = n->port, .queue = i };
		n->tx[i] = (struct dp_eth_tx){ .port = n->port,
			.queue = i,
			.accept = accept_of(offloads),
			.min_len = FRAME_MIN,
			.segs_max = 1,
			.room = room,
			.pool = n->pool };
		if (offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
			n->tx[i].segs_max =
				RTE_MIN(info->tx_desc_lim.nb_seg_max, (uint16_t)RING_SEGS_MAX);
	}
	return ret;
}

/* With queue interrupts if the driver has them: some refuse when asked, some when started. */
static int start(struct nic *n, const char *name, const struct rte_eth_dev_info *info, uint32_t mtu,
	uint32_t room, struct err *e)
{
	uint64_t offloads = tx_offloads(info);
	bool interrupts = true;
	int ret;

	for (;;) {
		ret = configure(n, info, offloads, mtu, interrupts);
		if (ret == 0)
			ret = queues_setup(n, info, offloads, room);
		if (ret == 0)
			ret = rte_eth_dev_start(n->port);
		if (ret == 0 || !interrupts)
			break;
		interrupts = false;
	}
	if (ret)
		return err_host(e, ret,
			"%s can't be started with %u queue pairs and an MTU of %u: %s", name,
			n->n_queues, mtu, err_str(ret));
	n->started = true;
	/* Guests' addresses are behind it, not its own. */
	rte_eth_promiscuous_enable(n->port);
	for (uint16_t i = 0; i < n->n_queues; i++)
		n->rx[i].interrupts = interrupts &&
			rte_eth_dev_rx_intr_ctl_q_get_fd(n->port, i) >= 0 &&
			rte_eth_dev_rx_intr_enable(n->port, i) == 0;
	return 0;
}

int nic_open(struct nic *n, struct nic_left *left, const char *bus, const char *name,
	const char *args, uint16_t n_queues, uint32_t mtu, struct err *e)
{
	struct rte_eth_dev_info info;
	uint32_t room = ROOM_MIN;
	int ret;

	memset(n, 0, sizeof(*n));
	ret = attach(n, bus, name, args, e);
	if (ret)
		return ret;
	n->n_queues = n_queues;
	/* A frame lies in one mbuf, whether or not the device could scatter it. */
	while (room < FRAME_ROOM(mtu))
		room *= 2;
	ret = rte_eth_dev_info_get(n->port, &info);
	if (ret)
		err_host(e, ret, "%s says nothing of itself: %s", name, err_str(ret));
	if (ret == 0)
		ret = mtu_check(&info, bus, name, mtu, e);
	if (ret == 0)
		ret = queues_check(&info, name, n_queues, e);
	if (ret == 0)
		ret = pool_make(n, name, room, e);
	if (ret == 0)
		ret = start(n, name, &info, mtu, room, e);
	if (ret)
		nic_close(n, left);
	return ret;
}

void nic_left_free(struct nic_left *left)
{
	for (uint32_t i = 0; i < left->n;) {
		if (!rte_mempool_full(left->pool[i])) {
			i++;
			continue;
		}
		rte_mempool_free(left->pool[i]);
		left->pool[i] = left->pool[--left->n];
	}
}

void nic_close(struct nic *n, struct nic_left *left)
{
	struct rte_eth_dev_info info;

	if (!n->attached)
		return;
	if (n->started)
		rte_eth_dev_stop(n->port);
	if (rte_eth_dev_info_get(n->port, &info) == 0) {
		rte_eth_dev_close(n->port);
		rte_dev_remove(info.device);
	}
	nic_left_free(left);
	if (n->pool && left->n < NIC_LEFT_MAX)
		left->pool[left->n++] = n->pool;
	nic_left_free(left);
	memset(n, 0, sizeof(*n));
}

int nic_set_mtu(struct nic *n, uint32_t mtu, struct err *e)
{
	int ret;

	if (n->tx[0].room < FRAME_ROOM(mtu))
		return err_request(e, -EMSGSIZE,
			"its buffers of %u bytes are too small for an MTU of %u: delete the port "
			"and add it again",
			n->tx[0].room, mtu);
	ret = rte_eth_dev_set_mtu(n->port, (uint16_t)mtu);
	return ret ? err_host(e, ret, "the device takes no MTU of %u: %s", mtu, err_str(ret)) : 0;
}

bool nic_is_up(const struct nic *n)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(n->port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

int nic_wake_fd(const struct nic *n, uint16_t i)
{
	int fd = n->rx[i].interrupts ? rte_eth_dev_rx_intr_ctl_q_get_fd(n->port, i) : -1;

	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static json_t *offloads_json(const struct nic *n)
{
	static const struct {
		uint32_t off;
		const char *name;
	} names[] = { { DP_OFF_CSUM, "csum" }, { DP_OFF_TSO4, "tso4" }, { DP_OFF_TSO6, "tso6" } };
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (n->tx[0].accept & names[i].off)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

json_t *nic_json(const struct nic *n)
{
	struct rte_eth_stats stats = { 0 };
	struct rte_eth_dev_info info = { 0 };
	struct rte_eth_link link = { 0 };
	struct rte_ether_addr mac = { 0 };
	char text[RTE_ETHER_ADDR_FMT_SIZE];

	/* What a device can't tell is shown as none. */
	if (rte_eth_dev_info_get(n->port, &info))
		info.driver_name = NULL;
	if (rte_eth_link_get_nowait(n->port, &link))
		link.link_speed = 0;
	rte_eth_macaddr_get(n->port, &mac);
	rte_eth_stats_get(n->port, &stats);
	rte_ether_format_addr(text, sizeof(text), &mac);
	return json_pack("{s:s?, s:s, s:i, s:b, s:o, s:b, s:I, s:I, s:I, s:I}", "driver",
		info.driver_name, "mac", text, "mbps",
		link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : (int)link.link_speed, "rss",
		n->rss, "offloads", offloads_json(n), "interrupts", n->rx[0].interrupts,
		"rx_missed", (json_int_t)stats.imissed, "rx_errors", (json_int_t)stats.ierrors,
		"rx_no_memory", (json_int_t)stats.rx_nombuf, "tx_errors",
		(json_int_t)stats.oerrors);
}
