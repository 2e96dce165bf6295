/* SPDX-License-Identifier: Apache-2.0 */
/* See emit.h. Checksums are RFC 1071's, summed up in the byte order of memory. */
#include "vswitch/dp/emit.h"

#include <emmintrin.h>
#include <string.h>

#include "base/ether.h"
#include "vswitch/dp/copy.h"
#include "vswitch/dp/offload.h"

#define TAG_LEN 4

#define TCP_FIN_PSH 0x09
#define TCP_CWR     0x80

static void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

static uint32_t be16_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32_at(const uint8_t *p)
{
	return be16_at(p) << 16 | be16_at(p + 2);
}

/* 32 bytes at a time, as 16-bit words in lanes of 32 bits: no carry is lost in 512 KiB. */
static uint64_t sum_blocks(const uint8_t *p, uint32_t n_blocks)
{
	const __m128i zero = _mm_setzero_si128();
	__m128i a = zero, b = zero, c = zero, d = zero;
	uint32_t lane[4];

	for (; n_blocks; n_blocks--, p += 32) {
		__m128i x = _mm_loadu_si128((const __m128i *)p);
		__m128i y = _mm_loadu_si128((const __m128i *)(p + 16));

		a = _mm_add_epi32(a, _mm_unpacklo_epi16(x, zero));
		b = _mm_add_epi32(b, _mm_unpackhi_epi16(x, zero));
		c = _mm_add_epi32(c, _mm_unpacklo_epi16(y, zero));
		d = _mm_add_epi32(d, _mm_unpackhi_epi16(y, zero));
	}
	a = _mm_add_epi32(_mm_add_epi32(a, b), _mm_add_epi32(c, d));
	_mm_storeu_si128((__m128i *)lane, a);
	return (uint64_t)lane[0] + lane[1] + lane[2] + lane[3];
}

/* Adds n bytes (at most a frame's 64 KiB and a bit) that begin at an even place. */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *p, uint32_t n)
{
	if (n >= 32) {
		sum += sum_blocks(p, n / 32);
		p += n & ~31u;
		n &= 31;
	}
	for (; n >= 2; n -= 2, p += 2) {
		uint16_t v;

		memcpy(&v, p, 2);
		sum += v;
	}
	return n ? sum + *p : sum; /* as if a zero byte followed */
}

static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* A sum in the making, of pieces of any length. */
struct summer {
	uint64_t sum;
	bool odd; /* the next byte has an odd place */
};

static void summer_add(struct summer *c, const uint8_t *p, uint32_t n)
{
	uint64_t v = sum_bytes(0, p, n);

	if (c->odd) {
		v = (uint16_t)~sum_fold(v);
		v = (v >> 8 | v << 8) & 0xffff;
	}
	c->sum += v;
	c->odd ^= n & 1;
}

/* c: adds up what was written; NULL: nobody asks. */
static void put(struct scatter *s, const uint8_t *src, uint32_t len, struct summer *c)
{
	while (len) {
		uint32_t take = s->seg->len - s->off;
		uint8_t *to = s->seg->base + s->off;

		if (take > len)
			take = len;
		copy_bytes(to, src, take);
		if (c)
			summer_add(c, to, take);
		src += take;
		len -= take;
		s->off += take;
		if (s->off == s->seg->len) {
			s->seg++;
			s->off = 0;
		}
	}
}

void scatter_put(struct scatter *s, const uint8_t *src, uint32_t len)
{
	put(s, src, len, NULL);
}

/* Writes the 16 bits that lie `at` bytes behind s. */
static void poke16(struct scatter s, uint32_t at, uint16_t v)
{
	uint8_t b[2];

	memcpy(b, &v, 2);
	at += s.off;
	for (int i = 0; i < 2; i++, at++) {
		while (at >= s.seg->len) {
			at -= s.seg->len;
			s.seg++;
		}
		s.seg->base[at] = b[i];
	}
}

void emit_copy(const struct emit_packet *p, struct scatter *s)
{
	struct summer c = { .sum = p->sum };
	struct scatter start = *s;
	uint32_t plain = p->sum_at ? p->sum_from : p->len; /* bytes not summed up */
	uint16_t v;

	for (uint32_t i = 0; i < p->n_src; i++) {
		const uint8_t *src = p->src[i].base;
		uint32_t len = p->src[i].len, first = len < plain ? len : plain;

		put(s, src, first, NULL);
		plain -= first;
		put(s, src + first, len - first, &c);
	}
	if (!p->sum_at)
		return;
	v = sum_fold(c.sum);
	poke16(start, p->sum_at, v ? v : 0xffff); /* 0 would mean "none" to UDP */
}

/* The frame's tag as the receiver wants it, in our copy of its beginning. */
static void tag_edit(struct emit *e, const struct dp_egress *eg)
{
	uint32_t vid = e->f->meta & DP_META_VID;
	bool has = e->f->meta & DP_META_TAGGED, wants = vid != eg->native;
	uint8_t *tag = e->head + 12;

	if (eg->raw || e->head_len < ETHER_HDR_LEN + (has ? TAG_LEN : 0))
		return;
	if (has && !vid)
		return; /* a priority tag outside VLANs: none of our business */
	if (has && wants) {
		put_be16(tag + 2, (be16_at(tag + 2) & ~DP_META_VID) | vid);
	} else if (wants) {
		memmove(tag + TAG_LEN, tag, e->head_len - 12);
		put_be16(tag, 0x8100);
		put_be16(tag + 2, vid);
		e->shift = TAG_LEN;
	} else if (has) {
		memmove(tag, tag + TAG_LEN, e->head_len - 12 - TAG_LEN);
		e->shift = -TAG_LEN;
	}
	e->head_len = (uint32_t)((int32_t)e->head_len + e->shift);
}

/* Takes the frame's first n bytes, which are our copy, into head; the others remain as pieces. */
static void head_take(struct emit *e, uint32_t n)
{
	const struct dp_frame *f = e->f;
	uint32_t got = n < f->hdr_len ? n : f->hdr_len, n_pieces = 0;

	memcpy(e->head, f->hdr, got);
	if (got < f->hdr_len) /* headers shorter than the copy: payload begins in it */
		e->piece[n_pieces++] = (struct ring_seg){ (uint8_t *)(uintptr_t)f->hdr + got,
			f->hdr_len - got };
	if (f->n_segs == 1)
		e->piece[n_pieces++] = (struct ring_seg){ f->rest, f->len - f->hdr_len };
	else if (f->n_segs)
		memcpy(e->piece + n_pieces, f->segs, f->n_segs * sizeof(*f->segs));
	e->left = f->len - n;
	while (got < n) {
		struct ring_seg *s = &e->piece[e->at];
		uint32_t take = s->len - e->off < n - got ? s->len - e->off : n - got;

		memcpy(e->head + got, s->base + e->off, take);
		got += take;
		e->off += take;
		if (e->off == s->len) {
			e->at++;
			e->off = 0;
		}
	}
	e->head_len = n;
}

void emit_begin(
	struct emit *e, const struct dp_frame *f, const struct dp_egress *eg, uint32_t accept)
{
	bool asks = f->meta & DP_META_OFFLOAD;
	bool passed = asks && dp_offload_accepted(&f->off, accept);

	e->f = f;
	e->accept = accept;
	e->cut = asks && !passed && f->off.gso_type;
	e->summed = asks && !passed && !e->cut;
	e->shift = 0;
	e->at = e->off = 0;
	e->n_done = 0;
	head_take(e, e->cut ? f->off.hdr_len : f->hdr_len);
	tag_edit(e, eg);
	memset(&e->packet.hdr, 0, sizeof(e->packet.hdr));
	e->packet.sum_from = e->packet.sum_at = 0;
	e->packet.sum = 0;
	if (passed) {
		e->packet.hdr = f->off;
		e->packet.hdr.csum_start = (uint16_t)(f->off.csum_start + e->shift);
		if (f->off.gso_type)
			e->packet.hdr.hdr_len = (uint16_t)(f->off.hdr_len + e->shift);
	} else if (asks) {
		e->packet.sum_from = (uint32_t)(f->off.csum_start + e->shift);
		e->packet.sum_at = e->packet.sum_from + f->off.csum_offset;
	}
}

/* The next `len` bytes behind the head, to the packet's sources. */
static void payload_add(struct emit *e, uint32_t len)
{
	struct emit_packet *p = &e->packet;

	p->src[0] = (struct ring_seg){ e->head, e->head_len };
	p->n_src = 1;
	p->len = e->head_len + len;
	e->left -= len;
	while (len) {
		struct ring_seg *s = &e->piece[e->at];
		uint32_t take = s->len - e->off < len ? s->len - e->off : len;

		p->src[p->n_src++] = (struct ring_seg){ s->base + e->off, take };
		len -= take;
		e->off += take;
		if (e->off == s->len) {
			e->at++;
			e->off = 0;
		}
	}
}

/* What an IPv4 header says of the packet; returns the sum of the addresses. */
static uint64_t ip4_fix(uint8_t *ip, uint32_t ihl, uint32_t len, uint32_t n_done)
{
	uint16_t sum;

	put_be16(ip + 2, len);
	if (n_done)
		put_be16(ip + 4, be16_at(ip + 4) + 1);
	put_be16(ip + 10, 0);
	sum = sum_fold(sum_bytes(0, ip, ihl));
	memcpy(ip + 10, &sum, 2);
	return sum_bytes(0, ip + 12, 8);
}

/* One TCP segment: the headers as the one before left them, brought up to date. */
static void segment(struct emit *e)
{
	const struct virtio_net_hdr *off = &e->f->off;
	uint32_t size = off->gso_size, l4 = (uint32_t)(off->csum_start + e->shift);
	uint32_t l3 = ETHER_HDR_LEN + (be16_at(e->head + 12) == 0x8100 ? TAG_LEN : 0);
	bool last = e->left <= size;
	uint8_t *tcp = e->head + l4, pseudo[4] = { 0, 6 };
	uint64_t sum;

	payload_add(e, last ? e->left : size);
	if (e->n_done == 0) {
		e->tcp_flags = tcp[13];
	} else {
		put_be32(tcp + 4, be32_at(tcp + 4) + size);
		e->tcp_flags &= (uint8_t)~TCP_CWR; /* said once (RFC 3168, 6.1.2) */
	}
	tcp[13] = last ? e->tcp_flags : e->tcp_flags & (uint8_t)~TCP_FIN_PSH;
	put_be16(tcp + 16, 0);
	if ((e->head[l3] & 0xf0) == 0x40) {
		sum = ip4_fix(e->head + l3, l4 - l3, e->packet.len - l3, e->n_done);
	} else {
		put_be16(e->head + l3 + 4, e->packet.len - l3 - 40);
		sum = sum_bytes(0, e->head + l3 + 8, 32);
	}
	put_be16(pseudo + 2, e->packet.len - l4);
	e->packet.sum = sum_bytes(sum, pseudo, 4);
	if (e->accept & DP_OFF_CSUM)
		e->packet.hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
}

const struct emit_packet *emit_next(struct emit *e)
{
	if (e->n_done && (!e->cut || !e->left))
		return NULL;
	if (e->cut)
		segment(e);
	else
		payload_add(e, e->left);
	e->n_done++;
	return &e->packet;
}
