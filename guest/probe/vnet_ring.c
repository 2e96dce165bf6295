/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings' fast path. Who writes what: avail (ring, idx, used_event) and descriptors, we;
 * used (ring, idx, avail_event), the device. x86 keeps stores in order and loads in order, so
 * publishing needs only a compiler barrier; a full one stands where a store must be seen before
 * a later load is made (kick, arm).
 */
#include "guest/probe/vnet_ring.h"

#include "guest/probe/cpu.h"

#define load16(p)     (*(const volatile uint16_t *)(p))
#define store16(p, v) (*(volatile uint16_t *)(p) = (v))

/* used_event so far ahead stops interrupts: it is moved on long before it is reached. */
#define EVENT_FAR  0xc000u
#define EVENT_NEAR 0x4000u

static struct vnet *vnet_of(struct traffic_port *p)
{
	return (struct vnet *)p;
}

static uint16_t *used_event(const struct vnet_queue *q)
{
	return &q->avail->ring[q->size];
}

static const uint16_t *avail_event(const struct vnet_queue *q)
{
	return (const uint16_t *)&q->used->ring[q->size];
}

static void set_event(struct vnet_queue *q, uint16_t event)
{
	q->event = event;
	store16(used_event(q), event);
}

/* Interrupts stay off: called for each burst, writes once in 32768 frames. */
static void keep_quiet(struct vnet *v, struct vnet_queue *q)
{
	if (v->event_idx && (uint16_t)(q->event - q->used_idx) < EVENT_NEAR)
		set_event(q, (uint16_t)(q->used_idx + EVENT_FAR));
}

static void restart_queue(struct vnet *v, struct vnet_queue *q)
{
	q->avail_idx = q->used_idx = q->told_idx = 0;
	q->avail->idx = 0;
	q->used->idx = q->used->flags = 0;
	q->avail->flags = v->event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
	*(uint16_t *)(uintptr_t)avail_event(q) = 0;
	set_event(q, EVENT_FAR);
}

void vnet_ring_restart(struct vnet *v)
{
	restart_queue(v, &v->rx);
	restart_queue(v, &v->tx);
	v->rx_taken = 0;
	v->tx_unordered = false;
	v->tx_tail = 0;
	v->rx.avail_idx = v->rx.size;
	store16(&v->rx.avail->idx, v->rx.avail_idx);
}

void vnet_ring_kick(struct vnet *v, struct vnet_queue *q)
{
	uint16_t before = q->told_idx;
	bool wanted;

	barrier_full();
	q->told_idx = q->avail_idx;
	if (v->event_idx)
		wanted = vring_need_event(load16(avail_event(q)), q->avail_idx, before);
	else
		wanted = !(load16(&q->used->flags) & VRING_USED_F_NO_NOTIFY);
	if (!wanted)
		return;
	q->kicks++;
	mmio_put16(q->notify, q->index);
}

/* Entries that came one by one, in any order: a slot is free when all before it are. */
static void tx_reclaim_each(struct vnet *v, uint16_t idx)
{
	struct vnet_queue *q = &v->tx;

	for (; q->used_idx != idx; q->used_idx++) {
		uint32_t id = *(volatile uint32_t *)&q->used->ring[q->used_idx & q->mask].id;

		if (id >= q->size) {
			v->broken = true;
			return;
		}
		v->tx_done[id] = 1;
	}
	while (v->tx_tail != q->avail_idx && v->tx_done[v->tx_tail & q->mask])
		v->tx_done[v->tx_tail++ & q->mask] = 0;
}

/*
 * Takes back what the device has sent. Devices return transmit buffers in order, in practice, and
 * then the last entry's id is the slot that it should be. Once it is not, entries are looked at
 * one by one.
 */
static void tx_reclaim(struct vnet *v)
{
	struct vnet_queue *q = &v->tx;
	uint16_t idx = load16(&q->used->idx), n = idx - q->used_idx;

	if (!n)
		return;
	if (n > (uint16_t)(q->avail_idx - q->used_idx)) {
		v->broken = true;
		return;
	}
	barrier();
	if (!v->tx_unordered && q->used->ring[(idx - 1) & q->mask].id == ((idx - 1u) & q->mask)) {
		q->used_idx = v->tx_tail = idx;
	} else {
		v->tx_unordered = true;
		tx_reclaim_each(v, idx);
	}
	keep_quiet(v, q);
}

static uint32_t tx_free(const struct vnet *v)
{
	return v->tx.size - (uint16_t)(v->tx.avail_idx - v->tx_tail);
}

/*
 * The used ring is looked at only when the free slots don't suffice, so completions are taken
 * back many at a time; and crumbs are not given out, or a sender at a full ring would fight the
 * device for the ring's lines frame by frame.
 */
static uint32_t tx_get(struct traffic_port *p, uint32_t n, struct traffic_slot **slots)
{
	struct vnet *v = vnet_of(p);
	struct vnet_queue *q = &v->tx;
	uint32_t at = q->avail_idx & q->mask, room = tx_free(v), least;

	if (room < n) {
		tx_reclaim(v);
		room = tx_free(v);
	}
	least = (n < q->size / 2 ? n + 1 : q->size / 2u) / 2;
	if (room < least || v->broken)
		return 0;
	if (n > room)
		n = room;
	if (n > q->size - at)
		n = q->size - at;
	*slots = &v->slots[at];
	return n;
}

static void tx_set_len(struct traffic_port *p, struct traffic_slot *slot, uint32_t len)
{
	struct vnet *v = vnet_of(p);

	slot->len = len;
	v->tx.desc[slot - v->slots].len = len + VNET_HDR_LEN;
}

static void tx_commit(struct traffic_port *p, uint32_t n)
{
	struct vnet *v = vnet_of(p);
	struct vnet_queue *q = &v->tx;

	q->avail_idx += (uint16_t)n;
	barrier();
	store16(&q->avail->idx, q->avail_idx);
	vnet_ring_kick(v, q);
}

/* Gives the taken receive buffers back. In order, entries already hold what they should. */
static void rx_flush(struct vnet *v)
{
	struct vnet_queue *q = &v->rx;

	for (uint16_t i = 0; i < v->rx_taken; i++) {
		uint16_t *entry = &q->avail->ring[(q->avail_idx + i) & q->mask];

		if (*entry != v->rx_ids[i])
			*entry = v->rx_ids[i];
	}
	q->avail_idx += v->rx_taken;
	v->rx_taken = 0;
	barrier();
	store16(&q->avail->idx, q->avail_idx);
	keep_quiet(v, q);
	vnet_ring_kick(v, q);
}

static uint16_t rx_flush_at(const struct vnet *v)
{
	return v->rx.size < 4 * VNET_RX_FLUSH ? v->rx.size / 4 : VNET_RX_FLUSH;
}

static void rx_release(struct traffic_port *p)
{
	struct vnet *v = vnet_of(p);

	if (v->rx_taken >= rx_flush_at(v))
		rx_flush(v);
}

static const uint8_t *rx_frame(const struct vnet *v, uint32_t id)
{
	return v->rx_mem + (size_t)id * v->stride;
}

/* How many buffers the frame takes that begins in buffer `id`. */
static uint16_t rx_buffers(const struct vnet *v, uint32_t id)
{
	const struct virtio_net_hdr *h = (const void *)(rx_frame(v, id) - VNET_HDR_LEN);

	return v->features & VIRTIO_NET_F_MRG_RXBUF ? load16(&h->num_buffers) : 1;
}

/*
 * Puts together a frame of n buffers, the first at used_idx. Buffers behind the first hold data
 * from where its header is. Returns the frame's length, 0 if it makes no sense.
 */
static uint32_t rx_join(struct vnet *v, uint16_t n)
{
	struct vnet_queue *q = &v->rx;
	uint32_t len = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct vring_used_elem e = q->used->ring[(q->used_idx + i) & q->mask];
		uint32_t skip = i ? 0 : VNET_HDR_LEN;

		if (e.id >= q->size || e.len < skip || e.len > v->rx_room + VNET_HDR_LEN ||
			e.len - skip > VNET_JOINED_MAX - len)
			return 0;
		__builtin_memcpy(
			v->rx_joined + len, rx_frame(v, e.id) - VNET_HDR_LEN + skip, e.len - skip);
		len += e.len - skip;
		v->rx_ids[v->rx_taken + i] = (uint16_t)e.id;
	}
	return len;
}

/* A full buffer: the frame may go on in the next. Returns how many entries it took, 0 to wait. */
static uint16_t rx_take_full(struct vnet *v, uint16_t there, uint32_t id, struct traffic_frame *f)
{
	uint16_t n = rx_buffers(v, id);

	if (n <= 1) {
		*f = (struct traffic_frame){ rx_frame(v, id), v->rx_room };
		v->rx_ids[v->rx_taken] = (uint16_t)id;
		return 1;
	}
	if (n > VNET_RX_TAKE - v->rx_taken) {
		v->broken = n > VNET_RX_TAKE;
		return 0;
	}
	if (n > there)
		return 0;
	f->data = v->rx_joined;
	f->len = rx_join(v, n);
	v->broken = !f->len;
	return f->len ? n : 0;
}

static uint32_t rx_burst(struct traffic_port *p, struct traffic_frame *frames, uint32_t max)
{
	struct vnet *v = vnet_of(p);
	struct vnet_queue *q = &v->rx;
	uint16_t there = load16(&q->used->idx) - q->used_idx, n;
	const uint32_t full = v->rx_room + VNET_HDR_LEN;
	uint32_t k = 0;

	if (!there) {
		if (v->rx_taken)
			rx_flush(v);
		return 0;
	}
	if (there > q->size) {
		v->broken = true;
		return 0;
	}
	barrier();
	if (max > VNET_RX_TAKE - (uint32_t)v->rx_taken)
		max = VNET_RX_TAKE - v->rx_taken;
	for (; k < max && there && !v->broken; there -= n) {
		struct vring_used_elem e = q->used->ring[q->used_idx & q->mask];

		n = 1;
		if (__builtin_expect(e.id >= q->size || e.len < VNET_HDR_LEN || e.len >= full, 0)) {
			if (e.id >= q->size || e.len != full) {
				v->broken = true;
				break;
			}
			n = rx_take_full(v, there, e.id, &frames[k]);
			if (!n)
				break;
		} else {
			frames[k].data = rx_frame(v, e.id);
			frames[k].len = e.len - VNET_HDR_LEN;
			v->rx_ids[v->rx_taken] = (uint16_t)e.id;
			__builtin_prefetch(frames[k].data);
		}
		v->rx_taken += n;
		q->used_idx += n;
		/* One buffer for joined frames: the burst ends with it. */
		if (frames[k++].data == v->rx_joined)
			break;
	}
	return k;
}

bool vnet_arm(struct vnet *v, bool tx)
{
	struct vnet_queue *r = &v->rx, *t = &v->tx;
	uint16_t half = (uint16_t)(t->avail_idx - t->used_idx) / 2;

	if (v->rx_taken)
		rx_flush(v);
	if (v->event_idx) {
		set_event(r, r->used_idx);
		if (tx)
			set_event(t, (uint16_t)(t->used_idx + half));
	} else {
		store16(&r->avail->flags, 0);
		if (tx)
			store16(&t->avail->flags, 0);
	}
	barrier_full();
	if (load16(&r->used->idx) != r->used_idx)
		return false;
	return !tx || (uint16_t)(load16(&t->used->idx) - t->used_idx) <= half;
}

void vnet_disarm(struct vnet *v)
{
	if (v->event_idx) {
		set_event(&v->rx, (uint16_t)(v->rx.used_idx + EVENT_FAR));
		set_event(&v->tx, (uint16_t)(v->tx.used_idx + EVENT_FAR));
	} else {
		store16(&v->rx.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
		store16(&v->tx.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	}
}

const struct traffic_port_ops vnet_ring_ops = {
	.tx_get = tx_get,
	.tx_set_len = tx_set_len,
	.tx_commit = tx_commit,
	.rx_burst = rx_burst,
	.rx_release = rx_release,
};
