/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net: finding the device, starting it, its buffers. The rings' use: vnet_ring.c. */
#include "guest/probe/vnet.h"

#include "guest/probe/cpu.h"
#include "guest/probe/mem.h"
#include "guest/probe/vnet_ring.h"

#define MTU_DEFAULT 1500u
#define WANTED                                                                                \
	(VIRTIO_NET_F_MTU | VIRTIO_NET_F_MAC | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS | \
		VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

#define RESET_WAIT_S 2 /* for device_status to become 0 */

enum { RX, TX };

static uint32_t round_up(uint32_t v, uint32_t to)
{
	return (v + to - 1) / to * to;
}

/* A configuration structure behind a vendor capability (virtio 1.2, 4.1.4). */
static void take_structure(struct vnet *v, const struct pci_cap *c)
{
	struct pci_dev *d = &v->pci;
	uint8_t type = (uint8_t)(c->head >> 24);
	volatile uint8_t *p;

	if (type != VIRTIO_PCI_CAP_COMMON && type != VIRTIO_PCI_CAP_NOTIFY &&
		type != VIRTIO_PCI_CAP_DEVICE)
		return;
	p = pci_bar(d, pci_read32(d, c->at + 4) & 0xff);
	if (!p)
		return;
	p += pci_read32(d, c->at + 8);
	/* The first of a kind is the one that the device likes best. */
	if (type == VIRTIO_PCI_CAP_COMMON && !v->common) {
		v->common = (volatile struct virtio_common *)p;
	} else if (type == VIRTIO_PCI_CAP_NOTIFY && !v->notify_base) {
		v->notify_base = p;
		v->notify_multiplier = pci_read32(d, c->at + 16);
	} else if (type == VIRTIO_PCI_CAP_DEVICE && !v->config) {
		v->config = (volatile struct virtio_net_config *)p;
	}
}

/* Vectors 0 config, 1 receive, 2 transmit, to this CPU. */
static bool setup_msix(struct vnet *v, const struct pci_cap *c)
{
	struct pci_dev *d = &v->pci;
	uint32_t n = (c->head >> 16 & 0x7ff) + 1, table = pci_read32(d, c->at + 4);
	volatile uint8_t *p = pci_bar(d, table & 7);

	if (n < 3 || !p)
		return false;
	pci_enable(d); /* all BARs are assigned; from here on they answer */
	p += table & ~7u;
	for (uint32_t i = 0; i < 3; i++, p += 16) {
		mmio_put32(p, 0xfee00000); /* physical destination, APIC id 0, fixed */
		mmio_put32(p + 4, 0);
		mmio_put32(p + 8, VEC_NIC + 3 * v->n + i);
		mmio_put32(p + 12, 0);
	}
	pci_write16(d, c->at + 2, 0x8000); /* enable */
	return true;
}

static bool setup_pci(struct vnet *v, const char **why)
{
	struct pci_cap c = { 0 }, msix = { 0 };

	while (pci_cap_next(&v->pci, &c)) {
		if ((c.head & 0xff) == PCI_CAP_VENDOR)
			take_structure(v, &c);
		else if ((c.head & 0xff) == PCI_CAP_MSIX)
			msix = c;
	}
	*why = "no virtio 1.x structures in its capabilities";
	if (!v->common || !v->notify_base || !v->config)
		return false;
	*why = "no MSI-X, or fewer than 3 vectors";
	return msix.at && setup_msix(v, &msix);
}

static uint64_t read_features(volatile struct virtio_common *c)
{
	uint64_t f;

	mmio_put32(&c->device_feature_select, 0);
	f = mmio_get32(&c->device_feature);
	mmio_put32(&c->device_feature_select, 1);
	return f | (uint64_t)mmio_get32(&c->device_feature) << 32;
}

static void write_features(volatile struct virtio_common *c, uint64_t f)
{
	mmio_put32(&c->driver_feature_select, 0);
	mmio_put32(&c->driver_feature, (uint32_t)f);
	mmio_put32(&c->driver_feature_select, 1);
	mmio_put32(&c->driver_feature, (uint32_t)(f >> 32));
}

/* The size of queue i, as a power of two that we use, at most max. 0: none. */
static uint16_t offered_size(struct vnet *v, uint16_t i, uint16_t max)
{
	uint16_t n, size = 1;

	mmio_put16(&v->common->queue_select, i);
	n = mmio_get16(&v->common->queue_size);
	if (!n)
		return 0;
	while (size * 2 <= n && size < max)
		size *= 2;
	return size;
}

static bool alloc_queue(struct vnet_queue *q, uint16_t index, uint16_t size)
{
	q->index = index;
	q->size = size;
	q->mask = size - 1;
	/* Lines of their own for what each side writes. */
	q->desc = mem_alloc(16u * size, 64);
	q->avail = mem_alloc(6u + 2u * size, 64);
	q->used = mem_alloc(6u + 8u * size, 64);
	return q->desc && q->avail && q->used;
}

/* Slots and rings for the largest rings that fit into the budget. */
static bool alloc_memory(struct vnet *v, uint16_t rx, uint16_t tx, size_t budget)
{
	uint32_t lines = round_up(v->port.max_len + 4, VNET_LINE) / VNET_LINE;

	v->rx_room = lines * VNET_LINE;
	/* A line for the header; an odd number of lines spreads the slots over a cache's sets. */
	v->stride = (lines + 1) % 2 ? (lines + 1) * VNET_LINE : (lines + 2) * VNET_LINE;
	while ((size_t)(rx + tx) * (v->stride + 64) > budget && rx > VNET_QUEUE_MIN &&
		tx > VNET_QUEUE_MIN) {
		rx /= 2;
		tx /= 2;
	}
	if (!alloc_queue(&v->rx, RX, rx) || !alloc_queue(&v->tx, TX, tx))
		return false;
	v->rx_mem = mem_alloc_dirty((size_t)rx * v->stride + VNET_LINE, VNET_LINE);
	v->slots = mem_alloc(tx * sizeof(*v->slots), 64);
	v->tx_done = mem_alloc(tx, 64);
	v->rx_joined = mem_alloc_dirty(VNET_JOINED_MAX, 64);
	v->slots[0].frame = mem_alloc_dirty((size_t)tx * v->stride + VNET_LINE, VNET_LINE);
	if (!v->rx_mem || !v->slots || !v->tx_done || !v->rx_joined || !v->slots[0].frame)
		return false;
	v->rx_mem += VNET_LINE;
	v->slots[0].frame += VNET_LINE;
	for (uint16_t i = 0; i < tx; i++) {
		v->slots[i].frame = v->slots[0].frame + (size_t)i * v->stride;
		__builtin_memset(v->slots[i].frame - VNET_HDR_LEN, 0, VNET_HDR_LEN);
	}
	return true;
}

/* Descriptors and available rings as they stay for ever; indices at 0; all receive buffers out. */
static void prefill(struct vnet *v)
{
	for (uint16_t i = 0; i < v->rx.size; i++) {
		v->rx.desc[i] = (struct vring_desc){
			.addr = (uintptr_t)v->rx_mem + (size_t)i * v->stride - VNET_HDR_LEN,
			.len = v->rx_room + VNET_HDR_LEN,
			.flags = VRING_DESC_F_WRITE,
		};
		v->rx.avail->ring[i] = i;
	}
	for (uint16_t i = 0; i < v->tx.size; i++) {
		v->tx.desc[i] = (struct vring_desc){
			.addr = (uintptr_t)v->slots[i].frame - VNET_HDR_LEN,
			.len = v->slots[i].len + VNET_HDR_LEN,
		};
		v->tx.avail->ring[i] = i;
		v->tx_done[i] = 0;
	}
	vnet_ring_restart(v);
}

static bool start_queue(struct vnet *v, struct vnet_queue *q)
{
	volatile struct virtio_common *c = v->common;
	uint64_t desc = (uintptr_t)q->desc, avail = (uintptr_t)q->avail, used = (uintptr_t)q->used;

	mmio_put16(&c->queue_select, q->index);
	mmio_put16(&c->queue_size, q->size);
	mmio_put32(&c->queue_desc_lo, (uint32_t)desc);
	mmio_put32(&c->queue_desc_hi, (uint32_t)(desc >> 32));
	mmio_put32(&c->queue_driver_lo, (uint32_t)avail);
	mmio_put32(&c->queue_driver_hi, (uint32_t)(avail >> 32));
	mmio_put32(&c->queue_device_lo, (uint32_t)used);
	mmio_put32(&c->queue_device_hi, (uint32_t)(used >> 32));
	mmio_put16(&c->queue_msix_vector, (uint16_t)(q->index + 1));
	q->notify = (volatile uint16_t *)(v->notify_base +
		(size_t)v->notify_multiplier * mmio_get16(&c->queue_notify_off));
	mmio_put16(&c->queue_enable, 1);
	return mmio_get16(&c->queue_msix_vector) != VIRTIO_MSI_NO_VECTOR;
}

static bool reset_device(struct vnet *v)
{
	uint64_t end = cpu_tsc() + RESET_WAIT_S * 2500000000ull;

	mmio_put8(&v->common->device_status, 0);
	while (mmio_get8(&v->common->device_status))
		if (cpu_tsc() > end)
			return false;
	return true;
}

/* Status 0 to FEATURES_OK (virtio 1.2, 3.1.1). */
static bool negotiate(struct vnet *v, const char **why)
{
	volatile struct virtio_common *c = v->common;
	const uint8_t up = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

	*why = "the device doesn't finish its reset";
	if (!reset_device(v))
		return false;
	mmio_put8(&c->device_status, up);
	v->features = read_features(c) & WANTED;
	*why = "the device doesn't offer VIRTIO_F_VERSION_1";
	if (!(v->features & VIRTIO_F_VERSION_1))
		return false;
	write_features(c, v->features);
	mmio_put8(&c->device_status, up | VIRTIO_STATUS_FEATURES_OK);
	*why = "the device refuses our features";
	v->event_idx = v->features & VIRTIO_F_EVENT_IDX;
	return mmio_get8(&c->device_status) & VIRTIO_STATUS_FEATURES_OK;
}

static void read_link(struct vnet *v)
{
	v->link = !(v->features & VIRTIO_NET_F_STATUS) ||
		mmio_get16(&v->config->status) & VIRTIO_NET_S_LINK_UP;
}

/* Queues and DRIVER_OK; rings begin anew. */
static bool start(struct vnet *v)
{
	volatile struct virtio_common *c = v->common;

	prefill(v);
	mmio_put16(&c->config_msix_vector, 0);
	if (!start_queue(v, &v->rx) || !start_queue(v, &v->tx))
		return false;
	mmio_put8(&c->device_status,
		VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
			VIRTIO_STATUS_DRIVER_OK);
	vnet_ring_kick(v, &v->rx);
	read_link(v);
	v->broken = false;
	return true;
}

static void read_identity(struct vnet *v)
{
	if (v->features & VIRTIO_NET_F_MAC) {
		for (int i = 0; i < 6; i++)
			v->port.mac.b[i] = mmio_get8(&v->config->mac[i]);
	} else {
		v->port.mac = (struct ether_mac){ { 0x02, 0x70, 0x72, 0x62, 0, (uint8_t)v->n } };
	}
	v->mtu = v->features & VIRTIO_NET_F_MTU ? mmio_get16(&v->config->mtu) : MTU_DEFAULT;
	if (v->mtu < 68)
		v->mtu = 68;
	v->port.max_len = v->mtu + ETHER_HDR_LEN;
}

bool vnet_open(struct vnet *v, uint32_t slot, uint32_t n, size_t budget, const char **why)
{
	uint16_t rx, tx;

	v->n = n;
	v->port.ops = &vnet_ring_ops;
	pci_open(&v->pci, slot);
	if (!setup_pci(v, why))
		return false;
	if (!negotiate(v, why))
		return false;
	read_identity(v);
	rx = offered_size(v, RX, VNET_RX_MAX);
	tx = offered_size(v, TX, VNET_TX_MAX);
	*why = "it has no queues, or they are too small";
	if (rx < VNET_QUEUE_MIN || tx < VNET_QUEUE_MIN)
		return false;
	*why = "not enough memory for its rings";
	if (!alloc_memory(v, rx, tx, budget))
		return false;
	*why = "it accepts no interrupt vector";
	return start(v);
}

void vnet_events(struct vnet *v)
{
	const char *why;

	v->irq_seen = irq_count[VEC_NIC + 3 * v->n];
	if (v->broken || mmio_get8(&v->common->device_status) & VIRTIO_STATUS_NEEDS_RESET) {
		v->resets++;
		if (negotiate(v, &why))
			start(v);
		return;
	}
	read_link(v);
}

bool vnet_has_event(const struct vnet *v)
{
	return v->broken || v->irq_seen != irq_count[VEC_NIC + 3 * v->n];
}

uint64_t vnet_interrupts(const struct vnet *v)
{
	const volatile uint32_t *c = &irq_count[VEC_NIC + 3 * v->n];

	return (uint64_t)c[0] + c[1] + c[2];
}
