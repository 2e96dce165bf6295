/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net's control queue (virtio 1.2, 5.1.6.5): a split ring of few short commands, read here
 * and not by the back end. The only command that we carry out is VQ_PAIRS_SET; all others are
 * answered with an error, as the section wants. Everything read from the ring is read once, and
 * a ring that makes no sense gives NEEDS_RESET.
 */
#include <string.h>

#include "base/wire.h"
#include "vmm/nic.h"

enum {
	CLASS_MQ = 4,
	MQ_VQ_PAIRS_SET = 0,
	ACK_OK = 0,
	ACK_ERR = 1,
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,
	CHAIN_MAX = 64,
};

struct desc {
	le64_t addr;
	le32_t len;
	le16_t flags, next;
};

/* A command: the bytes that the driver wrote, and where the answer goes. */
struct ctrl_command {
	uint8_t bytes[16];
	unsigned len;
	uint8_t *ack;
};

static bool command_take(struct nic *n, struct ctrl_command *c, const struct desc *d)
{
	uint32_t len = le32_get(d->len);
	uint8_t *p = gmem_at(n->d.mem, (gpa_t){ le64_get(d->addr) }, len);

	if (!p)
		return false;
	if (le16_get(d->flags) & DESC_WRITE) {
		if (len && !c->ack)
			c->ack = p;
		return true;
	}
	for (uint32_t i = 0; i < len && c->len < sizeof(c->bytes); i++)
		c->bytes[c->len++] = p[i];
	return true;
}

static bool chain_read(
	struct nic *n, const struct virtio_queue *q, uint16_t head, struct ctrl_command *c)
{
	const struct desc *table =
		gmem_at(n->d.mem, (gpa_t){ q->desc }, virtio_desc_bytes(q->size));
	uint32_t size = q->size, at = head;
	bool indirect = false;

	for (unsigned i = 0; i < CHAIN_MAX; i++) {
		struct desc d;
		uint16_t flags;

		if (!table || at >= size)
			return false;
		memcpy(&d, &table[at], sizeof(d));
		flags = le16_get(d.flags);
		if (flags & DESC_INDIRECT) {
			uint32_t len = le32_get(d.len);

			if (indirect || (flags & DESC_NEXT) || len % sizeof(d) ||
				!(n->d.v.acked & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)))
				return false;
			indirect = true;
			table = gmem_at(n->d.mem, (gpa_t){ le64_get(d.addr) }, len);
			size = len / (uint32_t)sizeof(d);
			at = 0;
			continue;
		}
		if (!command_take(n, c, &d))
			return false;
		if (!(flags & DESC_NEXT))
			return true;
		at = le16_get(d.next);
	}
	return false;
}

static uint8_t command_run(struct nic *n, const struct ctrl_command *c)
{
	unsigned pairs;

	if (c->len < 4 || c->bytes[0] != CLASS_MQ || c->bytes[1] != MQ_VQ_PAIRS_SET ||
		!(n->d.v.acked & VIRTIO_BIT(VIRTIO_NET_F_MQ)))
		return ACK_ERR;
	pairs = c->bytes[2] | (unsigned)c->bytes[3] << 8;
	if (pairs < 1 || pairs > n->setup.pairs)
		return ACK_ERR;
	for (unsigned i = 0; i < 2 * pairs; i++)
		if (!n->d.v.queue[i].enabled)
			return ACK_ERR;
	n->pairs_wanted = (uint16_t)pairs;
	return ACK_OK;
}

void nic_ctrl_serve(struct nic *n)
{
	int index = nic_ctrl_index(n);
	struct virtio_queue *q = index < 0 ? NULL : &n->d.v.queue[index];
	uint8_t *avail, *used;
	uint16_t avail_idx;

	if (!q || !q->enabled || !virtio_pci_is_started(&n->d.v) ||
		(n->d.v.status & VIRTIO_S_NEEDS_RESET))
		return;
	avail = gmem_at(n->d.mem, (gpa_t){ q->driver }, virtio_driver_bytes(q->size));
	used = gmem_at(n->d.mem, (gpa_t){ q->device }, virtio_device_bytes(q->size));
	avail_idx = __atomic_load_n((uint16_t *)(avail + 2), __ATOMIC_ACQUIRE);
	if ((uint16_t)(avail_idx - n->ctrl_next) > q->size) {
		virtio_pci_needs_reset(&n->d.v, "the control queue's index jumped from %u to %u",
			n->ctrl_next, avail_idx);
		return;
	}
	if (n->ctrl_next == avail_idx)
		return;
	for (; n->ctrl_next != avail_idx; n->ctrl_next++) {
		uint16_t slot = n->ctrl_next % q->size, head;
		struct ctrl_command c = { .len = 0 };
		uint32_t elem[2];

		memcpy(&head, avail + 4 + 2 * slot, 2);
		if (!chain_read(n, q, head, &c) || !c.ack) {
			virtio_pci_needs_reset(
				&n->d.v, "the control queue's chain at %u is malformed", head);
			return;
		}
		*c.ack = command_run(n, &c);
		elem[0] = head;
		elem[1] = 1;
		memcpy(used + 4 + 8 * slot, elem, sizeof(elem));
		__atomic_store_n(
			(uint16_t *)(used + 2), (uint16_t)(n->ctrl_next + 1), __ATOMIC_RELEASE);
	}
	vdev_interrupt(&n->d, (unsigned)index);
}
