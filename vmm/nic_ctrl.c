/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net's control queue (virtio 1.2, 5.1.6.5): a ring of few short commands, served here
 * and not by the back end. A command is a class, a number, data; the answer is one byte. Which
 * there are is a table; all others are answered with an error, as the section wants. Filters (MAC
 * tables, receive modes, VLANs) are taken and not kept: they are best effort by the specification,
 * and the back end sends a NIC little that it does not want. A ring that makes no sense gives
 * NEEDS_RESET.
 */
#include <errno.h>
#include <string.h>

#include "base/wire.h"
#include "vmm/nic.h"

enum {
	ACK_OK = 0,
	ACK_ERR = 1,
	PARTS_MAX = 64, /* of a chain: Linux takes four */
};

/* A command's bytes: class, number, data. They are the guest's memory: each is read once. */
struct bytes {
	const struct iovec *iov;
	unsigned n;
	uint32_t len;
};

static bool bytes_get(const struct bytes *b, uint64_t off, void *to, uint32_t len)
{
	uint8_t *out = to;

	if (off > b->len || len > b->len - off)
		return false;
	for (unsigned i = 0; i < b->n && len; i++) {
		size_t part = b->iov[i].iov_len, take;

		if (off >= part) {
			off -= part;
			continue;
		}
		take = part - off < len ? part - off : len;
		memcpy(out, (const uint8_t *)b->iov[i].iov_base + off, take);
		out += take;
		len -= (uint32_t)take;
		off = 0;
	}
	return true;
}

enum { DATA = 2 }; /* where it begins */

static bool ctrl_rx_mode(struct nic *n, uint8_t command, const struct bytes *b)
{
	uint8_t on;

	return bytes_get(b, DATA, &on, 1) && on <= 1;
}

/* Unicast, then multicast addresses: a count of 32 bits, and 6 bytes each. */
static bool ctrl_mac_table(struct nic *n, uint8_t command, const struct bytes *b)
{
	uint64_t at = DATA;

	for (unsigned i = 0; i < 2; i++) {
		le32_t count;

		if (!bytes_get(b, at, &count, 4))
			return false;
		at += 4 + 6ull * le32_get(count);
	}
	return at == b->len;
}

static bool ctrl_mac(struct nic *n, uint8_t command, const struct bytes *b)
{
	struct ether_mac mac;

	if (!bytes_get(b, DATA, mac.b, 6) || ether_mac_is_multicast(mac) || ether_mac_is_zero(mac))
		return false;
	memcpy(n->config, mac.b, 6);
	return true;
}

static bool ctrl_vlan(struct nic *n, uint8_t command, const struct bytes *b)
{
	le16_t id;

	return bytes_get(b, DATA, &id, 2) && le16_get(id) < 4096;
}

static bool ctrl_announced(struct nic *n, uint8_t command, const struct bytes *b)
{
	n->config[6] &= (uint8_t)~VIRTIO_NET_S_ANNOUNCE;
	return true;
}

static bool ctrl_pairs(struct nic *n, uint8_t command, const struct bytes *b)
{
	le16_t data;
	unsigned pairs;

	if (!bytes_get(b, DATA, &data, 2))
		return false;
	pairs = le16_get(data);
	if (pairs < 1 || pairs > n->setup.pairs)
		return false;
	for (unsigned i = 0; i < 2 * pairs; i++)
		if (!n->d.v.queue[i].enabled)
			return false;
	n->pairs_wanted = (uint16_t)pairs;
	return true;
}

/* The link's thread takes the rings back for a moment and tells the back end. */
static bool ctrl_offloads(struct nic *n, uint8_t command, const struct bytes *b)
{
	le64_t data;
	uint64_t wanted;

	if (!bytes_get(b, DATA, &data, 8))
		return false;
	wanted = le64_get(data);
	if (wanted & ~(n->d.v.acked & NIC_FEATURES_GUEST_OFFLOADS))
		return false;
	n->offloads_off = n->d.v.acked & NIC_FEATURES_GUEST_OFFLOADS & ~wanted;
	return true;
}

static const struct {
	const char *name;
	uint8_t class, first, last; /* commands */
	uint8_t feature;            /* that must be agreed on */
	uint16_t data;              /* bytes, or 0: any number */
	bool (*run)(struct nic *n, uint8_t command, const struct bytes *b);
} commands[] = {
	{ "RX_PROMISC, ALLMULTI", 0, 0, 1, VIRTIO_NET_F_CTRL_RX, 1, ctrl_rx_mode },
	{ "RX_ALLUNI to NOBCAST", 0, 2, 5, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, ctrl_rx_mode },
	{ "MAC_TABLE_SET", 1, 0, 0, VIRTIO_NET_F_CTRL_RX, 0, ctrl_mac_table },
	{ "MAC_ADDR_SET", 1, 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, 6, ctrl_mac },
	{ "VLAN_ADD, DEL", 2, 0, 1, VIRTIO_NET_F_CTRL_VLAN, 2, ctrl_vlan },
	{ "ANNOUNCE_ACK", 3, 0, 0, VIRTIO_NET_F_GUEST_ANNOUNCE, 0, ctrl_announced },
	{ "MQ_VQ_PAIRS_SET", 4, 0, 0, VIRTIO_NET_F_MQ, 2, ctrl_pairs },
	{ "GUEST_OFFLOADS_SET", 5, 0, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 8, ctrl_offloads },
};

static bool command_run(struct nic *n, const struct bytes *b)
{
	uint8_t head[DATA];

	if (!bytes_get(b, 0, head, DATA))
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (commands[i].class != head[0] || head[1] < commands[i].first ||
			head[1] > commands[i].last)
			continue;
		return (n->d.v.acked & VIRTIO_BIT(commands[i].feature)) &&
			(!commands[i].data || b->len == (uint32_t)DATA + commands[i].data) &&
			commands[i].run(n, head[1], b);
	}
	return false;
}

/* 1: a command was carried out; 0: there is none; else the ring is broken. */
static int ctrl_serve_one(struct nic *n, struct err *e)
{
	struct iovec iov[PARTS_MAX];
	struct vring_chain c;
	struct bytes b;
	int got = vring_pop(&n->ctrl, &c, iov, PARTS_MAX, e);

	if (got <= 0)
		return got;
	if (!c.n_write)
		return err_set(e, -EBADMSG, "a command has no place for its answer");
	b = (struct bytes){ .iov = iov, .n = c.n_read, .len = c.read_len };
	*(uint8_t *)iov[c.n_read].iov_base = command_run(n, &b) ? ACK_OK : ACK_ERR;
	vring_push(&n->ctrl, &c, 1);
	return 1;
}

void nic_ctrl_serve(struct nic *n)
{
	int index = nic_ctrl_index(n), got = 0;
	struct virtio_queue *q = index < 0 ? NULL : &n->d.v.queue[index];
	struct err e = { 0 };

	if (!q || !q->enabled || !virtio_pci_is_started(&n->d.v) ||
		(n->d.v.status & VIRTIO_S_NEEDS_RESET))
		return;
	if (!n->ctrl_ready) {
		n->ctrl_ready = true;
		got = vring_dev_init(&n->ctrl, n->d.mem, q, n->d.v.acked, &e);
	}
	while (got == 0) {
		while ((got = ctrl_serve_one(n, &e)) > 0)
			;
		if (got < 0 || !vring_arm(&n->ctrl))
			break;
	}
	if (got < 0)
		virtio_pci_needs_reset(&n->d.v, "the control queue is broken: %s", e.text);
	else if (vring_wants_interrupt(&n->ctrl))
		vdev_interrupt(&n->d, (unsigned)index);
}
