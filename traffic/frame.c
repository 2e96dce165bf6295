/* SPDX-License-Identifier: Apache-2.0 */
/* Building and verifying test frames; frame.h has the layout. No libc. */
#include "traffic/frame.h"

/* 16 bytes at any address; GCC's and clang's vector extension, SSE2 in all our builds. */
typedef uint64_t vec_t __attribute__((vector_size(16), may_alias, aligned(1)));
typedef uint64_t reg_t __attribute__((vector_size(16)));

/* The pattern: block n of 16 bytes is start + n * step in both lanes. */
static const reg_t body_step = { 0x9e3779b97f4a7c15ull, 0xc2b2ae3d27d4eb4full };

static reg_t body_start(uint32_t seed)
{
	uint64_t v = traffic_mix(seed + 0x5bd1e995ull);

	return (reg_t){ v, traffic_mix(v) };
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t ip_checksum(const uint8_t *h)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)h[i] << 8 | h[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void traffic_template_init(struct traffic_template *t, struct ether_mac dst, struct ether_mac src,
	uint16_t id, uint32_t size, uint32_t l4_flows)
{
	uint8_t *h = t->header, *ip = h + ETHER_HDR_LEN, *udp = ip + 20;

	t->id = id;
	t->len = size - ETHER_FCS_LEN;
	t->l4_flows = l4_flows;
	t->n_macs = 1;
	__builtin_memcpy(h, dst.b, 6);
	__builtin_memcpy(h + 6, src.b, 6);
	put16(h + 12, 0x0800);
	__builtin_memset(ip, 0, 28);
	ip[0] = 0x45;
	put16(ip + 2, t->len - ETHER_HDR_LEN);
	put16(ip + 6, 0x4000); /* don't fragment */
	ip[8] = 64;
	ip[9] = 17; /* UDP */
	ip[12] = ip[16] = 10;
	__builtin_memcpy(ip + 13, src.b + 3, 3);
	__builtin_memcpy(ip + 17, dst.b + 3, 3);
	put16(ip + 10, ip_checksum(ip));
	put16(udp, TRAFFIC_PORT_BASE);
	put16(udp + 2, TRAFFIC_PORT_DST);
	put16(udp + 4, t->len - ETHER_HDR_LEN - 20);
	t->header_sum = traffic_header_sum(h);
	/* Bytes 34 and 35 lie at 2 in the word at 32 and at 0 in the word at 34. */
	t->port_factor = (TRAFFIC_K4 << 16) + TRAFFIC_K5;
}

void traffic_frame_fill(const struct traffic_template *t, uint8_t *frame, uint32_t seed)
{
	reg_t v = body_start(seed);
	uint32_t end;

	__builtin_memcpy(frame, t->header, TRAFFIC_OFF_WORD);
	if (t->len < TRAFFIC_LEN_BODY)
		return;
	__builtin_memcpy(frame + TRAFFIC_OFF_SEED, &seed, 4);
	end = t->len - 8;
	for (uint32_t at = TRAFFIC_OFF_BODY; at < end; at += 16, v += body_step) {
		if (end - at >= 16)
			*(vec_t *)(frame + at) = v;
		else
			__builtin_memcpy(frame + at, &v, end - at);
	}
}

void traffic_frame_stamp_tail(uint8_t *frame, uint32_t len, uint64_t word)
{
	uint64_t m = traffic_mix(word);

	for (uint32_t i = TRAFFIC_LEN_MIN; i < len; i++)
		frame[i] = (uint8_t)(m >> (i & 7) * 8);
}

uint64_t traffic_frame_stamp_macs(const struct traffic_template *t, uint8_t *frame, uint64_t seq)
{
	uint32_t k = (uint32_t)(seq % t->n_macs);

	for (int end = 0; end < 12; end += 6)
		for (int i = 0; i < 3; i++)
			frame[end + 1 + i] = t->header[end + 1 + i] ^ (uint8_t)(k >> 8 * i);
	return traffic_header_sum(frame);
}

static bool short_tail_ok(const uint8_t *frame, uint32_t len)
{
	uint64_t m = traffic_mix(traffic_load64(frame + TRAFFIC_OFF_WORD));
	uint8_t bad = 0;

	for (uint32_t i = TRAFFIC_LEN_MIN; i < len; i++)
		bad |= frame[i] ^ (uint8_t)(m >> (i & 7) * 8);
	return !bad;
}

bool traffic_frame_body_ok(const uint8_t *frame, uint32_t len)
{
	const uint8_t *p = frame + TRAFFIC_OFF_BODY, *end = frame + len - 8;
	reg_t v, v1, bad = { 0, 0 }, bad1 = { 0, 0 };
	const reg_t step2 = body_step + body_step;
	uint64_t word, last = 0, want = 0;
	uint32_t seed;

	if (len < TRAFFIC_LEN_BODY)
		return len == TRAFFIC_LEN_MIN || short_tail_ok(frame, len);
	word = traffic_load64(frame + TRAFFIC_OFF_WORD);
	__builtin_memcpy(&seed, frame + TRAFFIC_OFF_SEED, 4);
	v = body_start(seed);
	v1 = v + body_step;
	for (; end - p >= 32; p += 32, v += step2, v1 += step2) {
		bad |= *(const vec_t *)p ^ v;
		bad1 |= *(const vec_t *)(p + 16) ^ v1;
	}
	if (end - p >= 16) {
		bad |= *(const vec_t *)p ^ v;
		p += 16;
		v = v1;
	}
	bad |= bad1;
	/* What is left, 0 to 15 bytes of block v, in two halves. */
	want = v[0];
	if (end - p >= 8) {
		bad[0] |= traffic_load64(p) ^ want;
		p += 8;
		want = v[1];
	}
	if (p < end) {
		/* Fewer than 8 bytes: read the 8 that end with them, and drop the others. */
		unsigned drop = 64 - 8 * (unsigned)(end - p);

		last = traffic_load64(end - 8) >> drop;
		want = want << drop >> drop;
		bad[0] |= last ^ want;
	}
	bad[0] |= traffic_load64(end) ^ traffic_mix(word ^ seed);
	return !(bad[0] | bad[1]);
}
