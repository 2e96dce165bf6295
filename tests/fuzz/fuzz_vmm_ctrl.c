/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NIC's control queue as a hostile guest writes it, split and packed: whole commands with any
 * contents, cut into parts in any way, and single writes anywhere into the ring.
 *
 * Input: a byte of features, then operations of 12 bytes: kind and size, offset, value.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vmm/nic.h"

#define MEM_BYTES 0x3000u
#define DESC      0x0000
#define DRIVER    0x0800
#define DEVICE    0x0c00
#define BUF       0x1000
#define PAIRS     2
#define CTRL      (2 * PAIRS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, len;
	uint16_t off;
	uint8_t v[8];
} __attribute__((packed));

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next; /* packed: id, flags */
};

struct guest {
	struct nic *n;
	uint8_t *m;
	uint16_t size, at;
	bool packed, wrap;
};

static void start(struct guest *g, uint8_t with)
{
	static const uint16_t sizes[] = { 8, 16, 64, 128 };
	uint64_t acked =
		VIRTIO_BIT(VIRTIO_F_VERSION_1) | NIC_FEATURES_OURS | NIC_FEATURES_GUEST_OFFLOADS;

	g->packed = with & 1;
	g->wrap = true;
	g->at = 0;
	g->size = sizes[with >> 5 & 3];
	acked |= g->packed ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0;
	acked |= with & 2 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0;
	acked |= with & 4 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0;
	acked &= with & 8 ? ~0ull : ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA);
	acked &= with & 16 ? ~0ull : ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
	g->n->dev.ops->reset(&g->n->dev, 100);
	memset(g->m, 0, MEM_BYTES);
	g->n->d.v.acked = acked;
	g->n->d.v.status = 15;
	for (unsigned i = 0; i <= CTRL; i++)
		g->n->d.v.queue[i] = (struct virtio_queue){ .size = g->size,
			.vector = VIRTIO_NO_VECTOR,
			.enabled = true,
			.packed = g->packed,
			.desc = DESC,
			.driver = DRIVER,
			.device = DEVICE };
}

static void add_part(struct guest *g, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct desc *d = (struct desc *)(void *)(g->m + DESC) + g->at;

	if (g->packed)
		*d = (struct desc){ addr, len, g->at, flags | (g->wrap ? 1 << 7 : 1 << 15) };
	else
		*d = (struct desc){ addr, len, flags, (uint16_t)((g->at + 1) % g->size) };
	if (++g->at == g->size) {
		g->at = 0;
		g->wrap = !g->wrap;
	}
}

/* A command as a driver would give it: class and number, data in up to three parts, the answer. */
static void add_command(struct guest *g, const struct op *op)
{
	uint16_t *avail = (void *)(g->m + DRIVER), head = g->at;
	uint32_t len = op->len, cut = op->off % 8;

	g->m[BUF] = op->kind >> 2 & 7;
	g->m[BUF + 1] = op->v[0] & 7;
	memcpy(g->m + BUF + 2, op->v + 1, 7);
	add_part(g, BUF, 2, 1);
	if (cut && cut < len) {
		add_part(g, BUF + 2, cut, 1);
		add_part(g, BUF + 2 + cut, len - cut, 1);
	} else if (len) {
		add_part(g, BUF + 2, len, 1);
	}
	add_part(g, BUF + 0x800, 1, 2);
	if (g->packed)
		return;
	avail[2 + avail[1] % g->size] = head;
	avail[1]++;
}

/* What must hold whatever a guest did. */
static void check(const struct guest *g)
{
	const struct nic *n = g->n;
	struct ether_mac mac;

	if (n->pairs_wanted < 1 || n->pairs_wanted > PAIRS)
		abort();
	if (n->offloads_off & ~(n->d.v.acked & NIC_FEATURES_GUEST_OFFLOADS))
		abort();
	memcpy(mac.b, n->config, 6);
	if (ether_mac_is_multicast(mac) || ether_mac_is_zero(mac))
		abort();
}

static void run(struct guest *g, const struct op *op)
{
	unsigned n = 1u << (op->len & 3);

	switch (op->kind & 3) {
	case 0:
		add_command(g, op);
		break;
	case 1:
		memcpy(g->m + op->off % (MEM_BYTES - 8), op->v, n);
		break;
	case 2:
		nic_ctrl_serve(g->n);
		break;
	default:
		if (op->len & 0x80)
			start(g, op->v[0]);
		else
			nic_ctrl_serve(g->n);
	}
	check(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char socket[] = "/none";
	struct nic_setup setup = {
		.socket = socket, .mac = { { 2, 0, 0, 0, 0, 1 } }, .pairs = PAIRS, .mtu = 1500
	};
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct kvm kvm = { .dev_fd = -1, .vm_fd = -1 };
	struct gmem mem;
	struct vdev_host host = { .kvm = &kvm, .mem = &mem, .lock = &lock };
	struct guest g = { .m = calloc(1, MEM_BYTES) };
	struct err e;

	log_set_level(LOG_ERROR);
	if (!g.m || !size)
		goto out;
	gmem_wrap(&mem, g.m, MEM_BYTES);
	kvm.routing_max = 16;
	kvm.routing = calloc(1, sizeof(*kvm.routing) + 64 * sizeof(kvm.routing->entries[0]));
	kvm.next_gsi = 24;
	if (!kvm.routing || nic_new(0, &setup, 0x4000000000, &host, &g.n, &e))
		abort();
	start(&g, *data++);
	for (size--; size >= sizeof(struct op); size -= sizeof(struct op)) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		run(&g, &op);
	}
	nic_ctrl_serve(g.n);
	check(&g);
	g.n->dev.ops->free(&g.n->dev);
	free(kvm.routing);
out:
	free(g.m);
	return 0;
}
