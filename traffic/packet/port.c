/* SPDX-License-Identifier: Apache-2.0 */
/* See port.h. */
#include "traffic/packet/port.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* The sending ring's frames have one of two sizes, by the interface's MTU. */
#define TX_SMALL    2048
#define TX_LARGE    16384
#define TX_FRAMES   512
#define TX_IN_BLOCK 16
#define RX_BLOCK    65536
#define RX_BLOCKS   64
#define RX_FRAME    16384 /* the kernel asks for one; blocks hold frames of any length */
#define RX_LEN      ((size_t)RX_BLOCK * RX_BLOCKS)
#define TX_DATA     (TPACKET3_HDRLEN - sizeof(struct sockaddr_ll))
#define IGNORE_OWN  23 /* PACKET_IGNORE_OUTGOING: newer than some libc's headers */

static uint32_t load_status(const uint32_t *status)
{
	return __atomic_load_n(status, __ATOMIC_ACQUIRE);
}

static void store_status(uint32_t *status, uint32_t v)
{
	__atomic_store_n(status, v, __ATOMIC_RELEASE);
}

/* ---- sending ---- */

static struct tpacket3_hdr *tx_header(const struct packet_port *p, uint32_t i)
{
	return (struct tpacket3_hdr *)(p->tx_ring + (size_t)i * p->tx_frame);
}

uint32_t packet_port_flush(struct packet_port *p)
{
	/* 0 and more: all that were ready are on their way. Else the device's queue is full. */
	if (p->tx_pending && send(p->fd, NULL, 0, MSG_DONTWAIT) >= 0)
		p->tx_pending = 0;
	return p->tx_pending;
}

static uint32_t tx_get(struct traffic_port *port, uint32_t n, struct traffic_slot **slots)
{
	struct packet_port *p = (struct packet_port *)port;
	uint32_t most = TX_FRAMES - p->tx_at, k = 0;

	packet_port_flush(p);
	while (k < n && k < most) {
		uint32_t *status = &tx_header(p, p->tx_at + k)->tp_status;
		uint32_t now = load_status(status);

		if (now & TP_STATUS_WRONG_FORMAT) /* the kernel passed over it */
			store_status(status, TP_STATUS_AVAILABLE);
		else if (now != TP_STATUS_AVAILABLE)
			break;
		k++;
	}
	*slots = p->slots + p->tx_at;
	return k;
}

static void tx_set_len(struct traffic_port *port, struct traffic_slot *slot, uint32_t len)
{
	slot->len = len;
}

static void tx_commit(struct traffic_port *port, uint32_t n)
{
	struct packet_port *p = (struct packet_port *)port;

	for (uint32_t i = 0; i < n; i++) {
		struct tpacket3_hdr *h = tx_header(p, p->tx_at + i);

		h->tp_len = h->tp_snaplen = p->slots[p->tx_at + i].len;
		h->tp_next_offset = 0;
		store_status(&h->tp_status, TP_STATUS_SEND_REQUEST);
	}
	p->tx_at = (p->tx_at + n) % TX_FRAMES;
	p->tx_pending += n;
	packet_port_flush(p);
}

/* ---- receiving ---- */

static struct tpacket_block_desc *rx_block(const struct packet_port *p)
{
	return (struct tpacket_block_desc *)(p->map + (size_t)p->rx_block * RX_BLOCK);
}

static uint32_t rx_burst(struct traffic_port *port, struct traffic_frame *frames, uint32_t n)
{
	struct packet_port *p = (struct packet_port *)port;
	struct tpacket_block_desc *b = rx_block(p);
	uint32_t k = 0;

	if (!p->rx_next) {
		if (!(load_status(&b->hdr.bh1.block_status) & TP_STATUS_USER))
			return 0;
		p->rx_left = b->hdr.bh1.num_pkts;
		p->rx_next = (void *)((uint8_t *)b + b->hdr.bh1.offset_to_first_pkt);
	}
	for (; k < n && p->rx_left; k++, p->rx_left--) {
		struct tpacket3_hdr *h = p->rx_next;

		frames[k].data = (uint8_t *)h + h->tp_mac;
		/* One that was cut is none of ours. */
		frames[k].len = h->tp_snaplen == h->tp_len ? h->tp_len : 0;
		p->rx_next = (void *)((uint8_t *)h + h->tp_next_offset);
	}
	p->rx_done = !p->rx_left;
	if (!k && p->rx_done) /* a block that timed out with nothing in it */
		port->ops->rx_release(port);
	return k;
}

static void rx_release(struct traffic_port *port)
{
	struct packet_port *p = (struct packet_port *)port;

	if (!p->rx_done)
		return;
	store_status(&rx_block(p)->hdr.bh1.block_status, TP_STATUS_KERNEL);
	p->rx_block = (p->rx_block + 1) % RX_BLOCKS;
	p->rx_next = NULL;
	p->rx_done = false;
}

static const struct traffic_port_ops ops = {
	.tx_get = tx_get,
	.tx_set_len = tx_set_len,
	.tx_commit = tx_commit,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
};

uint64_t packet_port_dropped(struct packet_port *p)
{
	struct tpacket_stats_v3 s;
	socklen_t len = sizeof(s);

	/* Reading takes them back to 0. */
	if (getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &s, &len) == 0)
		p->dropped += s.tp_drops;
	return p->dropped;
}

/* ---- opening ---- */

static int set_option(struct packet_port *p, int option, const void *v, socklen_t len,
	const char *what, struct err *e)
{
	if (setsockopt(p->fd, SOL_PACKET, option, v, len))
		return err_host(e, -errno, "the kernel does not give the packet socket %s: %s",
			what, err_str(errno));
	return 0;
}

static int rings_make(struct packet_port *p, struct err *e)
{
	const struct tpacket_req3 rx = { .tp_block_size = RX_BLOCK,
		.tp_block_nr = RX_BLOCKS,
		.tp_frame_size = RX_FRAME,
		.tp_frame_nr = RX_LEN / RX_FRAME,
		.tp_retire_blk_tov = PACKET_BLOCK_MS };
	const struct tpacket_req3 tx = { .tp_block_size = TX_IN_BLOCK * p->tx_frame,
		.tp_block_nr = TX_FRAMES / TX_IN_BLOCK,
		.tp_frame_size = p->tx_frame,
		.tp_frame_nr = TX_FRAMES };
	const int version = TPACKET_V3, yes = 1;
	int rc;

	rc = set_option(p, PACKET_VERSION, &version, sizeof(version), "TPACKET_V3", e);
	if (!rc)
		rc = set_option(p, PACKET_LOSS, &yes, sizeof(yes), "PACKET_LOSS", e);
	if (!rc)
		rc = set_option(p, PACKET_RX_RING, &rx, sizeof(rx), "a ring to receive", e);
	if (!rc)
		rc = set_option(p, PACKET_TX_RING, &tx, sizeof(tx), "a ring to send", e);
	if (!rc)
		rc = set_option(p, IGNORE_OWN, &yes, sizeof(yes), "PACKET_IGNORE_OUTGOING", e);
	if (rc)
		return rc;
	/* Straight to the driver: a queueing discipline would be measured as well. */
	setsockopt(p->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes));
	p->map_len = RX_LEN + (size_t)TX_FRAMES * p->tx_frame;
	p->map =
		mmap(NULL, p->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, p->fd, 0);
	if (p->map == MAP_FAILED) {
		p->map = NULL;
		return err_host(e, -errno,
			"the packet socket's rings (%zu MiB) can't be mapped: %s", p->map_len >> 20,
			err_str(errno));
	}
	p->tx_ring = p->map + RX_LEN;
	p->slots = calloc(TX_FRAMES, sizeof(*p->slots));
	if (!p->slots)
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < TX_FRAMES; i++)
		p->slots[i].frame = (uint8_t *)tx_header(p, i) + TX_DATA;
	return 0;
}

/* What the interface is: index, address, MTU; it must be up. */
static int interface_look(struct packet_port *p, const char *name, int *index, struct err *e)
{
	struct ifreq r = { 0 };

	if (strlen(name) >= IFNAMSIZ)
		return err_request(e, -EINVAL, "interface %s: a name has at most %d characters",
			name, IFNAMSIZ - 1);
	strcpy(r.ifr_name, name);
	if (ioctl(p->fd, SIOCGIFINDEX, &r))
		return err_request(e, -errno, "interface %s: %s", name, err_str(errno));
	*index = r.ifr_ifindex;
	if (ioctl(p->fd, SIOCGIFFLAGS, &r))
		return err_set(e, -errno, "interface %s: %s", name, err_str(errno));
	if (!(r.ifr_flags & IFF_UP))
		return err_host(
			e, -ENETDOWN, "interface %s is down: ip link set %s up", name, name);
	if (ioctl(p->fd, SIOCGIFHWADDR, &r))
		return err_set(e, -errno, "interface %s: %s", name, err_str(errno));
	if (r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return err_request(e, -EINVAL, "interface %s is not an Ethernet one (type %d)",
			name, r.ifr_hwaddr.sa_family);
	memcpy(p->port.mac.b, r.ifr_hwaddr.sa_data, sizeof(p->port.mac.b));
	if (ioctl(p->fd, SIOCGIFMTU, &r))
		return err_set(e, -errno, "interface %s: %s", name, err_str(errno));
	p->port.max_len = (uint32_t)r.ifr_mtu + ETHER_HDR_LEN;
	if (p->port.max_len > PACKET_LEN_MAX)
		p->port.max_len = PACKET_LEN_MAX;
	p->tx_frame = p->port.max_len + TX_DATA <= TX_SMALL ? TX_SMALL : TX_LARGE;
	return 0;
}

int packet_port_open(struct packet_port *p, const char *interface, struct err *e)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET };
	struct packet_mreq promiscuous = { .mr_type = PACKET_MR_PROMISC };
	int rc, index = 0;

	p->port.ops = &ops;
	/* No protocol yet: nothing is received before it is bound. */
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return err_host(e, -errno, "no packet socket: %s (root, or CAP_NET_RAW, is needed)",
			err_str(errno));
	rc = interface_look(p, interface, &index, e);
	if (!rc)
		rc = rings_make(p, e);
	if (rc)
		return rc;
	promiscuous.mr_ifindex = index;
	rc = set_option(p, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous),
		"all frames of the interface", e);
	at.sll_ifindex = index;
	at.sll_protocol = __builtin_bswap16(ETH_P_ALL);
	if (!rc && bind(p->fd, (struct sockaddr *)&at, sizeof(at)))
		rc = err_set(e, -errno, "interface %s: bind: %s", interface, err_str(errno));
	return rc;
}

void packet_port_close(struct packet_port *p)
{
	if (p->map)
		munmap(p->map, p->map_len);
	free(p->slots);
	fd_close(&p->fd);
	*p = (struct packet_port){ .fd = -1 };
}
