/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test frames: Ethernet, IPv4, UDP and a payload that lets the receiver account for every frame.
 * Freestanding: host programs and the probe use the same code.
 *
 * `size` counts the FCS, as RFC 2544 does; `len` is what lies in a buffer, size - 4.
 *
 *	0   destination, source, 0x0800                                  Ethernet
 *	14  IPv4 header, valid checksum; addresses 10.x.y.z out of the MACs' last three bytes
 *	34  UDP header, checksum 0 ("none"); the source port is TRAFFIC_PORT_BASE + seq % l4_flows
 *	    with n_macs > 1, bytes 1 to 3 of both MACs are XORed with seq % n_macs
 *	42  u64  sequence number << 16 | flow id                         little endian, as below
 *	50  u64  the sender's TSC
 *	58  u16  check over bytes 0..57
 *	60  frames longer than 64 bytes, len - 60 bytes here:
 *	    fewer than 16 bytes: bytes of mix(word at 42), repeated
 *	    else  60      u32  seed of the buffer that the frame was sent from
 *	          64      a pattern grown from the seed
 *	          len-8   u64  mix(word at 42 ^ seed): rewritten for each frame, as the last line
 *
 * All that changes from frame to frame lies in the frame's first cache line (and, for frames
 * above 64 bytes, its last), so the sender of a prefilled buffer touches nothing else. The seed
 * differs from buffer to buffer and is renewed now and then (traffic_frame_fill), so a frame
 * that was put together from two, or that ends in what its buffer held before, is found corrupt.
 */
#ifndef LANYARD_TRAFFIC_FRAME_H
#define LANYARD_TRAFFIC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ether.h"

#define TRAFFIC_SIZE_MIN  64
#define TRAFFIC_SIZE_MAX  9234
#define TRAFFIC_PORT_BASE 49152u
#define TRAFFIC_PORT_DST  7681u
#define TRAFFIC_L4_MAX    16384u
#define TRAFFIC_MACS_MAX  (1u << 24)

#define TRAFFIC_OFF_WORD  42
#define TRAFFIC_OFF_TSC   50
#define TRAFFIC_OFF_CHECK 58
#define TRAFFIC_OFF_SEED  60
#define TRAFFIC_OFF_BODY  64
#define TRAFFIC_LEN_MIN   (TRAFFIC_SIZE_MIN - ETHER_FCS_LEN)
#define TRAFFIC_LEN_BODY  76 /* from this length on: seed, pattern and trailer */

#define TRAFFIC_SEQ_MAX ((1ull << 48) - 1)

/* Odd, and for no shift s are the top 16 bits of K << s all 0 or all 1: then every single
 * flipped bit changes the check (tests/unit/test_traffic_frame.c tries them all). */
#define TRAFFIC_K0 0x9e3779b97f4a7c15ull
#define TRAFFIC_K1 0xbf58476d1ce4e5b9ull
#define TRAFFIC_K2 0x94d049bb133111ebull
#define TRAFFIC_K3 0xd6e8feb86659fd93ull
#define TRAFFIC_K4 0xa0761d6478bd642full
#define TRAFFIC_K5 0xe7037ed1a0b428dbull
#define TRAFFIC_K6 0x8ebc6af09c88c6e3ull
#define TRAFFIC_K7 0x589965cc75374cc3ull

/* What all frames of one flow have in common. */
struct traffic_template {
	uint8_t header[TRAFFIC_OFF_WORD];
	uint16_t id;
	uint32_t len;
	uint32_t l4_flows;
	uint32_t n_macs;      /* addresses used, of each end */
	uint64_t header_sum;  /* of `header` */
	uint64_t port_factor; /* what one more in the source port's big-endian field adds */
};

static inline uint64_t traffic_load64(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

static inline void traffic_store64(uint8_t *p, uint64_t v)
{
	__builtin_memcpy(p, &v, 8);
}

static inline uint64_t traffic_header_sum(const uint8_t *f)
{
	return traffic_load64(f) * TRAFFIC_K0 + traffic_load64(f + 8) * TRAFFIC_K1 +
		traffic_load64(f + 16) * TRAFFIC_K2 + traffic_load64(f + 24) * TRAFFIC_K3 +
		traffic_load64(f + 32) * TRAFFIC_K4 + traffic_load64(f + 34) * TRAFFIC_K5;
}

static inline uint16_t traffic_check(uint64_t header_sum, uint64_t word, uint64_t tsc)
{
	return (uint16_t)((header_sum + word * TRAFFIC_K6 + tsc * TRAFFIC_K7) >> 48);
}

static inline uint64_t traffic_mix(uint64_t v)
{
	v ^= v >> 31;
	v *= TRAFFIC_K1;
	v ^= v >> 29;
	return v * TRAFFIC_K2;
}

/* size: TRAFFIC_SIZE_MIN..TRAFFIC_SIZE_MAX; l4_flows: 1..TRAFFIC_L4_MAX. The caller checks. n_macs
 * is 1 after it; up to TRAFFIC_MACS_MAX may be set. */
void traffic_template_init(struct traffic_template *t, struct ether_mac dst, struct ether_mac src,
	uint16_t id, uint32_t size, uint32_t l4_flows);

/* Writes all of a frame but what traffic_frame_stamp writes. `frame` holds t->len bytes. */
void traffic_frame_fill(const struct traffic_template *t, uint8_t *frame, uint32_t seed);

/* The slow half of traffic_frame_stamp: the ends of frames longer than 64 bytes. */
void traffic_frame_stamp_tail(uint8_t *frame, uint32_t len, uint64_t word);

/* With several addresses: writes those of this frame. Returns the header's sum. */
uint64_t traffic_frame_stamp_macs(const struct traffic_template *t, uint8_t *frame, uint64_t seq);

/* Makes a filled buffer the frame with this sequence number (up to TRAFFIC_SEQ_MAX). */
static inline void traffic_frame_stamp(
	const struct traffic_template *t, uint8_t *frame, uint64_t seq, uint64_t tsc)
{
	uint64_t word = seq << 16 | t->id, sum = t->header_sum;
	uint16_t check;

	if (t->l4_flows > 1) {
		uint32_t k = (uint32_t)(seq % t->l4_flows);
		uint16_t port = __builtin_bswap16((uint16_t)(TRAFFIC_PORT_BASE + k));
		uint16_t base = __builtin_bswap16(TRAFFIC_PORT_BASE);

		__builtin_memcpy(frame + 34, &port, 2);
		sum += ((uint64_t)port - base) * t->port_factor;
	}
	if (__builtin_expect(t->n_macs > 1, 0))
		sum = traffic_frame_stamp_macs(t, frame, seq);
	check = traffic_check(sum, word, tsc);
	traffic_store64(frame + TRAFFIC_OFF_WORD, word);
	traffic_store64(frame + TRAFFIC_OFF_TSC, tsc);
	__builtin_memcpy(frame + TRAFFIC_OFF_CHECK, &check, 2);
	if (t->len >= TRAFFIC_LEN_BODY) {
		uint32_t seed;

		__builtin_memcpy(&seed, frame + TRAFFIC_OFF_SEED, 4);
		traffic_store64(frame + t->len - 8, traffic_mix(word ^ seed));
	} else if (t->len > TRAFFIC_LEN_MIN) {
		traffic_frame_stamp_tail(frame, t->len, word);
	}
}

/* True if bytes 0..59 are those of a test frame and are unharmed. len >= TRAFFIC_LEN_MIN. */
static inline bool traffic_frame_head_ok(const uint8_t *frame)
{
	uint16_t check;

	__builtin_memcpy(&check, frame + TRAFFIC_OFF_CHECK, 2);
	return check ==
		traffic_check(traffic_header_sum(frame), traffic_load64(frame + TRAFFIC_OFF_WORD),
			traffic_load64(frame + TRAFFIC_OFF_TSC));
}

/* What of a frame's first 12 bytes is the same whichever of the addresses are used. */
#define TRAFFIC_MACS_LO 0x00ffffff000000ffull
#define TRAFFIC_MACS_HI 0xffff0000u

/* The length that the IPv4 header says, with the Ethernet header: equals the buffer's. */
static inline uint32_t traffic_frame_said_len(const uint8_t *frame)
{
	return ((uint32_t)frame[16] << 8 | frame[17]) + ETHER_HDR_LEN;
}

/* True if everything from byte 60 on is as it was sent. */
bool traffic_frame_body_ok(const uint8_t *frame, uint32_t len);

#endif
