/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's half of the ring client, one level above the formats: see ringclient.h. */
#include "ringclient.h"

#include <string.h>

#include "base/fd.h"

void rc_ring_clear(struct rc *c, struct rc_ring *r)
{
	memset(rc_at(c, r->gpa), 0, RC_RING_BYTES);
	r->avail_next = r->used_seen = 0;
	r->put = r->taken = 0;
	if (r->packed) {
		pd_init(&r->pd, r->desc, r->avail, r->used, r->size, 0x8000);
		r->pd.driver->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
}

void rc_make_avail(struct rc_ring *r, uint16_t head)
{
	r->avail->ring[r->avail_next++ % r->size] = head;
	__atomic_store_n(&r->avail->idx, r->avail_next, __ATOMIC_RELEASE);
}

/* The table of an indirect descriptor. In a packed ring only lengths, addresses and WRITE count. */
static void table_write(struct rc *c, const struct rc_ring *r, uint64_t gpa, bool write,
	const struct rc_piece *piece, uint16_t n)
{
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0;

	for (uint16_t i = 0; i < n; i++) {
		uint8_t *at = rc_at(c, gpa + 16u * i);
		struct vring_desc d = { piece[i].gpa, piece[i].len,
			(uint16_t)(flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			(uint16_t)(i + 1) };
		struct vring_packed_desc p = { piece[i].gpa, piece[i].len, 0xabcd, flags };

		memcpy(at, r->packed ? (void *)&p : (void *)&d, sizeof(d));
	}
}

void rc_put(struct rc *c, struct rc_ring *r, uint16_t id, bool write, const struct rc_piece *piece,
	uint16_t n, uint64_t table_gpa, const struct rc_piece *table, uint16_t n_table)
{
	struct vring_packed_desc p[RC_TX_DESCS];
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0;

	r->order[r->put++ % RC_SIZE_MAX] = id;
	for (uint16_t i = 0; i < n; i++)
		p[i] = (struct vring_packed_desc){ piece[i].gpa, piece[i].len, 0, flags };
	if (n_table) {
		table_write(c, r, table_gpa, write, table, n_table);
		p[n++] = (struct vring_packed_desc){ table_gpa, n_table * 16u, 0,
			VRING_DESC_F_INDIRECT };
	}
	if (r->packed) {
		pd_add(&r->pd, p, n, id);
		return;
	}
	for (uint16_t i = 0; i < n; i++)
		r->desc[id + i] = (struct vring_desc){ p[i].addr, p[i].len,
			(uint16_t)(p[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			(uint16_t)(id + i + 1) };
	rc_make_avail(r, id);
}

static bool take(struct rc_ring *r, uint16_t *id, uint32_t *len)
{
	struct vring_used_elem *e;

	if (r->packed)
		return pd_take(&r->pd, id, len);
	if (r->used_seen == __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE))
		return false;
	e = &r->used->ring[r->used_seen++ % r->size];
	*id = e->id < RC_SIZE_MAX ? (uint16_t)e->id : UINT16_MAX;
	*len = e->len;
	return true;
}

bool rc_take(struct rc_ring *r, uint16_t *id, uint32_t *len)
{
	if (!take(r, id, len))
		return false;
	r->out_of_order += r->order[r->taken++ % RC_SIZE_MAX] != *id;
	return true;
}

/* Posts receive buffer i; chains take its number and those behind it. */
void rc_rx_post(struct rc *c, uint32_t pair, uint16_t i)
{
	uint64_t gpa = rc_pair_gpa(pair, RC_RX_DATA + i * RC_SLOT), table = gpa + RC_SLOT - 64;
	const struct rc_piece chain[] = { { gpa, 5 }, { gpa + 5, 40 }, { gpa + 45, 9400 } };
	const struct rc_piece two[] = { { gpa, RC_HDR }, { gpa + RC_HDR, 9400 } };
	const struct rc_piece one[] = { { gpa, c->rx_layout == RC_SMALL ? 128 : 9600 } };
	struct rc_ring *r = &c->pair[pair].rx;

	memset(rc_at(c, gpa), 0xee, RC_SLOT - 64);
	switch (c->rx_layout) {
	case RC_CHAIN:
		rc_put(c, r, i, true, chain, 3, 0, NULL, 0);
		break;
	case RC_TWO:
		rc_put(c, r, i, true, two, 2, 0, NULL, 0);
		break;
	case RC_INDIRECT:
		rc_put(c, r, i, true, NULL, 0, table, two, 2);
		break;
	default:
		rc_put(c, r, i, true, one, 1, 0, NULL, 0);
	}
}

void rc_rx_post_all(struct rc *c, uint32_t pair)
{
	uint16_t stride = c->rx_layout == RC_CHAIN ? 4 : c->rx_layout == RC_TWO ? 2 : 1;

	for (uint16_t i = 0; i + stride <= c->size && i < RC_RX_SLOTS; i += stride)
		rc_rx_post(c, pair, i);
}

static bool wants_kick(const struct rc *c, const struct rc_ring *r, uint16_t added)
{
	const uint16_t *event = (const void *)&r->used->ring[r->size];
	bool event_idx = c->features & 1ull << VIRTIO_RING_F_EVENT_IDX;

	if (r->packed)
		return pd_wants_kick(&r->pd, event_idx, added);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (event_idx)
		return vring_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), r->avail_next,
			(uint16_t)(r->avail_next - added));
	return !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
}

/* added: buffers; of a packed ring they may be more entries, all of which are new. */
void rc_kick(struct rc *c, struct rc_ring *r, uint16_t added)
{
	if (wants_kick(c, r, r->packed ? (uint16_t)(added * RC_TX_DESCS) : added))
		fd_event_signal(r->kick_fd);
}
