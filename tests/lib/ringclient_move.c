/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the ring client: sent in any layout, received and checked. See ringclient.h. */
#include "ringclient.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETYPE 0x88b5 /* IEEE local experimental */

static uint8_t pattern(uint32_t seq, uint32_t i)
{
	return (uint8_t)(seq * 31 + i * 7 + (i >> 8));
}

static void frame_make(uint8_t *to, const struct rc_frame *f)
{
	uint16_t type = __builtin_bswap16(f->type ? f->type : ETYPE);

	if (f->raw) {
		memcpy(to, f->raw, f->len);
		return;
	}
	memcpy(to, f->dst.b, 6);
	memcpy(to + 6, f->src.b, 6);
	memcpy(to + 12, &type, 2);
	for (uint32_t i = ETHER_HDR_LEN; i < f->len; i++)
		to[i] = i >= 18 ? pattern(f->seq, i) : (uint8_t)(f->seq >> 8 * (i - 14));
}

/* Pieces of [gpa, gpa + len): the header torn, then 40 bytes, then the rest in halves. Returns how
 * many. */
static uint16_t pieces(struct rc_piece *p, uint64_t gpa, uint32_t len)
{
	uint32_t cut[6] = { 5, RC_HDR - 5, 1, 40, 0, 0 }, at = 0;
	uint16_t n = 0;

	for (int i = 0; i < 6 && at < len; i++) {
		uint32_t take = cut[i] ? cut[i] : i == 4 ? (len - at + 1) / 2 : len - at;

		if (take > len - at)
			take = len - at;
		p[n++] = (struct rc_piece){ gpa + at, take };
		at += take;
	}
	return n;
}

static void tx_post(struct rc *c, struct rc_ring *r, uint16_t id, uint64_t gpa, uint32_t len,
	enum rc_layout layout)
{
	const struct rc_piece two[] = { { gpa, RC_HDR }, { gpa + RC_HDR, len - RC_HDR } };
	const struct rc_piece one[] = { { gpa, len } };
	uint64_t table = gpa + RC_SLOT - 256;
	struct rc_piece p[6];

	switch (layout) {
	case RC_TWO:
		rc_put(c, r, id, false, two, 2, 0, NULL, 0);
		break;
	case RC_CHAIN:
		rc_put(c, r, id, false, p, pieces(p, gpa, len), 0, NULL, 0);
		break;
	case RC_INDIRECT:
		rc_put(c, r, id, false, NULL, 0, table, p, pieces(p, gpa, len));
		break;
	case RC_MIXED:
		rc_put(c, r, id, false, two, 1, table, p, pieces(p, gpa + RC_HDR, len - RC_HDR));
		break;
	default:
		rc_put(c, r, id, false, one, 1, 0, NULL, 0);
	}
}

/* A small ring has room for fewer chains. */
static uint16_t tx_slots(const struct rc *c)
{
	uint16_t n = c->size / RC_TX_DESCS;

	return n < 1 ? 1 : n < RC_TX_SLOTS ? n : RC_TX_SLOTS;
}

int rc_send(struct rc *c, uint32_t pair, enum rc_layout layout, const struct rc_frame *f)
{
	struct rc_pair *q = &c->pair[pair];
	uint16_t slot = 0;
	uint64_t gpa;

	rc_reclaim(c);
	while (slot < tx_slots(c) && q->tx_busy[slot])
		slot++;
	if (slot == tx_slots(c))
		return -EAGAIN;
	q->tx_busy[slot] = true;
	gpa = rc_pair_gpa(pair, RC_TX_DATA + slot * RC_SLOT);
	memset(rc_at(c, gpa), 0, RC_HDR);
	frame_make(rc_at(c, gpa + RC_HDR), f);
	tx_post(c, &q->tx, (uint16_t)(slot * RC_TX_DESCS), gpa, f->len + RC_HDR, layout);
	rc_kick(c, &q->tx, 1);
	return 0;
}

void rc_reclaim(struct rc *c)
{
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		uint32_t len;
		uint16_t id;

		while (rc_take(&c->pair[p].tx, &id, &len))
			c->pair[p].tx_busy[id / RC_TX_DESCS % RC_TX_SLOTS] = false;
	}
}

uint32_t rc_tx_busy(const struct rc *c)
{
	uint32_t n = 0;

	for (uint32_t p = 0; p < c->n_pairs; p++)
		for (int i = 0; i < RC_TX_SLOTS; i++)
			n += c->pair[p].tx_busy[i];
	return n;
}

static void bad(struct rc *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void bad(struct rc *c, const char *fmt, ...)
{
	va_list ap;

	if (c->bad++)
		return;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
}

static void frame_keep(struct rc_kept *k, const uint8_t *bytes, uint32_t len)
{
	if (k->n == RC_KEPT_MAX || len > RC_KEPT_LEN) {
		k->lost++;
		return;
	}
	k->frame[k->n].len = len;
	memcpy(k->frame[k->n++].bytes, bytes, len);
}

/* One frame, gathered with its header: is it what some rc_send made? */
static void frame_check(struct rc *c, const uint8_t *buf, uint32_t len, uint16_t n_buffers)
{
	uint16_t said;
	uint32_t seq, i;

	c->got++;
	c->bytes += len - RC_HDR;
	memcpy(&said, buf + 10, 2);
	if (said != n_buffers)
		bad(c, "num_buffers %u, used %u", said, n_buffers);
	for (i = 0; i < 10; i++)
		if (buf[i])
			bad(c, "byte %u of the header is %u", i, buf[i]);
	buf += RC_HDR;
	len -= RC_HDR;
	if (c->kept)
		frame_keep(c->kept, buf, len);
	if (c->kept || len < 18)
		return;
	memcpy(&seq, buf + 14, 4);
	for (i = 18; i < len; i++)
		if (buf[i] != pattern(seq, i))
			break;
	if (i < len)
		bad(c, "byte %u of a frame of %u is wrong", i, len);
	else if (c->seen && seq < RC_SEQS) {
		if (c->seen[seq / 8] & 1u << seq % 8)
			bad(c, "frame %u came twice", seq);
		c->seen[seq / 8] |= (uint8_t)(1u << seq % 8);
	}
}

void rc_unique(struct rc *c)
{
	free(c->seen);
	c->seen = calloc(RC_SEQS / 8, 1);
}

static uint32_t pair_receive(struct rc *c, uint32_t pair)
{
	struct rc_ring *r = &c->pair[pair].rx;
	uint8_t frame[RC_SLOT];
	uint32_t n = 0, part;
	uint16_t id;

	while (rc_take(r, &id, &part)) {
		uint32_t len = 0;
		uint16_t buffers = 1, want = 1;

		for (uint16_t b = 0; b < want; b++) {
			const uint8_t *at = rc_at(c, rc_pair_gpa(pair, RC_RX_DATA + id * RC_SLOT));

			if (b && !rc_take(r, &id, &part)) {
				bad(c, "a frame of %u buffers, of which %u came", want, b);
				return n;
			}
			if (b)
				at = rc_at(c, rc_pair_gpa(pair, RC_RX_DATA + id * RC_SLOT));
			if (b == 0 && part == 0 && r->packed) { /* of a switch that died */
				rc_rx_post(c, pair, id);
				break;
			}
			if (id >= RC_RX_SLOTS || len + part > sizeof(frame) ||
				part < (b ? 1 : RC_HDR)) {
				bad(c, "used entry: id %u, length %u", id, part);
				return n;
			}
			if (at[part] != 0xee && c->rx_layout != RC_SMALL)
				bad(c, "written beyond the length: id %u, length %u", id, part);
			memcpy(frame + len, at, part);
			len += part;
			if (b == 0 && c->features & 1ull << 15)
				memcpy(&want, frame + 10, 2);
			buffers = (uint16_t)(b + 1);
			rc_rx_post(c, pair, id);
		}
		rc_kick(c, r, buffers);
		if (len == 0)
			continue;
		frame_check(c, frame, len, buffers);
		n++;
	}
	return n;
}

uint32_t rc_receive(struct rc *c)
{
	uint32_t n = 0;

	for (uint32_t p = 0; p < c->n_pairs; p++) {
		n += pair_receive(c, p);
		if (c->pair[p].rx.out_of_order | c->pair[p].tx.out_of_order)
			bad(c, "buffers of pair %u came back out of order", p);
	}
	return n;
}
