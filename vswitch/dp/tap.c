/* SPDX-License-Identifier: Apache-2.0 */
/* See tap.h. */
#include "vswitch/dp/tap.h"

#include <x86intrin.h>

#include "vswitch/dp/copy.h"
#include "vswitch/dp/emit.h"

/* Of a record with n bytes of a frame. */
#define REC_SIZE(n) ((uint32_t)(sizeof(struct tap_rec) + (n) + 7) & ~7u)

void tap_ring_init(struct tap_ring *r, void *mem, uint64_t size, uint32_t snaplen)
{
	memset(r, 0, sizeof(*r));
	r->mem = mem;
	r->size = size;
	r->snaplen = snaplen && snaplen < TAP_SNAPLEN_MAX ? snaplen : TAP_SNAPLEN_MAX;
}

/* The first n bytes of the frame, as it came. */
static void bytes_keep(uint8_t *dst, const struct dp_frame *f, uint32_t n)
{
	uint32_t hdr = f->hdr_len < n ? f->hdr_len : n, left = n - hdr;

	copy_upto_64(dst, f->hdr, hdr);
	dst += hdr;
	if (f->n_segs == 1) {
		copy_bytes(dst, f->rest, left);
		return;
	}
	for (uint32_t i = 0; left; i++) {
		uint32_t take = f->segs[i].len < left ? f->segs[i].len : left;

		copy_bytes(dst, f->segs[i].base, take);
		dst += take;
		left -= take;
	}
}

/* Room for a record of `size` bytes in one piece, with *head moved to it; NULL: none. */
static struct tap_rec *room_find(struct tap_ring *r, uint64_t *head, uint32_t size)
{
	uint64_t at = *head & (r->size - 1), to_end = r->size - at;
	uint64_t need = size <= to_end ? size : to_end + size;
	struct tap_rec *rec;

	if (*head + need - r->tail_seen > r->size) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		if (*head + need - r->tail_seen > r->size)
			return NULL;
	}
	rec = (struct tap_rec *)(void *)(r->mem + at);
	if (need == size)
		return rec;
	/* Only the first two fields: there may be no room for more. */
	rec->size = (uint32_t)to_end;
	rec->cap_len = TAP_MARK;
	*head += to_end;
	return (struct tap_rec *)(void *)r->mem;
}

/* The frame, as it is, into a record at *head; NULL: there is no room. */
static struct tap_rec *keep_plain(struct tap_ring *r, uint64_t *head, const struct dp_frame *f)
{
	uint32_t cap = f->len < r->snaplen ? f->len : r->snaplen;
	struct tap_rec *rec = room_find(r, head, REC_SIZE(cap));

	if (!rec)
		return NULL;
	rec->len = f->len;
	rec->cap_len = cap;
	bytes_keep(rec->data, f, cap);
	return rec;
}

/* The same with its tag edited. It is copied whole and cut afterwards. */
static struct tap_rec *keep_edited(
	struct tap_ring *r, uint64_t *head, const struct dp_frame *f, const struct dp_egress *eg)
{
	const struct emit_packet *p;
	struct tap_rec *rec;
	struct emit e;

	emit_begin(&e, f, eg, UINT32_MAX); /* what it asks for is passed on: one packet */
	p = emit_next(&e);
	rec = p->len <= TAP_SNAPLEN_MAX ? room_find(r, head, REC_SIZE(p->len)) : NULL;
	if (!rec)
		return NULL;
	emit_copy(p, &(struct scatter){ .seg = &(struct ring_seg){ rec->data, p->len } });
	rec->len = p->len;
	rec->cap_len = p->len < r->snaplen ? p->len : r->snaplen;
	return rec;
}

void tap_keep(struct tap_ring *r, const struct dp_frame *frame, const uint8_t *idx, uint32_t n,
	const struct dp_egress *eg)
{
	uint64_t head = r->head, tsc = __rdtsc(), bytes = 0;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct dp_frame *f = &frame[idx[i]];
		bool plain = !eg || eg->raw || emit_is_plain(f, eg);
		struct tap_rec *rec =
			plain ? keep_plain(r, &head, f) : keep_edited(r, &head, f, eg);

		if (!rec)
			continue;
		rec->size = REC_SIZE(rec->cap_len);
		rec->tsc = tsc;
		rec->dir = eg ? TAP_TX : TAP_RX;
		head += rec->size;
		bytes += rec->len;
		kept++;
	}
	dp_count(&r->kept, kept);
	dp_count(&r->kept_bytes, bytes);
	dp_count(&r->lost, n - kept);
	__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
}

uint64_t tap_ring_head(const struct tap_ring *r)
{
	return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
}

const struct tap_rec *tap_ring_front(struct tap_ring *r, uint64_t head)
{
	const struct tap_rec *rec;

	while (r->read != head) {
		rec = (const void *)(r->mem + (r->read & (r->size - 1)));
		if (rec->cap_len != TAP_MARK)
			return rec;
		r->read += rec->size;
	}
	return NULL;
}
