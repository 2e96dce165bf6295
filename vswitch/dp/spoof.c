/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a guest who it says it is? The source MAC of each frame; what ARP and IPv6's neighbour
 * discovery say of addresses (RFC 826, 4861); the IP source, if addresses are given.
 *
 * All of it on our own copy of the frame's beginning, which receivers get. Where that copy does not
 * reach far enough to be sure, the frame does not pass: neither do neighbour discovery in fragments
 * (RFC 6980), headers that are cut short (RFC 7113), and a second VLAN tag, behind which anything
 * could hide.
 */
#include <string.h>

#include "base/ether.h"
#include "vswitch/dp/fdb.h"
#include "vswitch/dp/frame.h"
#include "vswitch/dp/policy.h"

#define TYPE_IP4      0x0800
#define TYPE_ARP      0x0806
#define TYPE_RARP     0x8035
#define TYPE_VLAN     0x8100
#define TYPE_IP6      0x86dd
#define TYPE_QINQ     0x88a8
#define TYPE_QINQ_OLD 0x9100
#define TYPE_MIN      0x0600 /* below: a length, and an LLC header follows */
#define IP4_LEN       20
#define IP6_LEN       40

enum {
	PROTO_HOP = 0,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_ICMP6 = 58,
	PROTO_DEST = 60,
	PROTO_MOBILITY = 135,
	PROTO_HIP = 139,
	PROTO_SHIM6 = 140
};

enum { ND_RS = 133, ND_RA, ND_NS, ND_NA, ND_REDIRECT, ND_INVERSE_ASK = 141, ND_INVERSE_SAY };

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool has_mac(const struct dp_spoof *s, const uint8_t *mac)
{
	uint64_t m = 0;

	memcpy(&m, mac, 6);
	for (uint32_t i = 0; i < s->n_macs; i++)
		if (s->macs[i] == m)
			return true;
	return false;
}

static bool has_ip4(const struct dp_spoof *s, const uint8_t *ip)
{
	uint32_t a;

	memcpy(&a, ip, 4);
	for (uint32_t i = 0; i < s->n_ip4; i++)
		if (s->ip4[i] == a)
			return true;
	return !s->n_ip4;
}

static bool has_ip6(const struct dp_spoof *s, const uint8_t *ip)
{
	for (uint32_t i = 0; i < s->n_ip6; i++)
		if (memcmp(s->ip6[i], ip, 16) == 0)
			return true;
	return !s->n_ip6;
}

static bool is_zero(const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* ARP, at p, n bytes: Ethernet and IPv4 only. A sender without an address yet asks (RFC 5227); in
 * RARP addresses are answers to a MAC, so only that is looked at. */
static bool arp_passes(const struct dp_spoof *s, const uint8_t *p, uint32_t n, bool reverse)
{
	static const uint8_t kind[] = { 0, 1, 8, 0, 6, 4 };

	if (n < 28 || memcmp(p, kind, sizeof(kind)) || !has_mac(s, p + 8))
		return false;
	if (reverse)
		return be16(p + 6) == 3 || be16(p + 6) == 4;
	if (be16(p + 6) == 1 && is_zero(p + 14, 4))
		return true;
	return has_ip4(s, p + 14);
}

/* A source of 0.0.0.0 is a DHCP client's, and only its. */
static bool ip4_passes(const struct dp_spoof *s, const uint8_t *p, uint32_t n)
{
	if (!s->n_ip4)
		return true;
	if (n < IP4_LEN || p[0] >> 4 != 4)
		return false;
	if (has_ip4(s, p + 12))
		return true;
	return is_zero(p + 12, 4) && p[0] == 0x45 && p[9] == PROTO_UDP && n >= IP4_LEN + 4 &&
		!(be16(p + 6) & 0x3fff) && be16(p + 20) == 68 && be16(p + 22) == 67;
}

/* The options of a neighbour discovery message: link-layer addresses must be the guest's. */
static bool nd_options_pass(const struct dp_spoof *s, const uint8_t *p, uint32_t n)
{
	while (n) {
		uint32_t len;

		if (n < 8 || !p[1])
			return false;
		len = p[1] * 8u;
		if (len > n)
			return false;
		if ((p[0] == 1 || p[0] == 2) && (len != 8 || !has_mac(s, p + 2)))
			return false;
		p += len;
		n -= len;
	}
	return true;
}

/* Neighbour discovery, all of the message: n bytes at p; ip: the IPv6 header before it. */
static bool nd_passes(const struct dp_spoof *s, const uint8_t *ip, const uint8_t *p, uint32_t n)
{
	uint32_t fixed = p[0] == ND_RS ? 8 : p[0] == ND_RA ? 16 : p[0] == ND_REDIRECT ? 40 : 24;

	if (n < fixed || p[0] == ND_INVERSE_ASK || p[0] == ND_INVERSE_SAY)
		return false;
	if ((p[0] == ND_RA || p[0] == ND_REDIRECT) && !s->router)
		return false;
	/* An address that is advertised, or about to be taken (RFC 4862, 5.4). */
	if ((p[0] == ND_NA || (p[0] == ND_NS && is_zero(ip + 8, 16))) && !has_ip6(s, p + 8))
		return false;
	/* A redirect names the link-layer address of another. */
	return p[0] == ND_REDIRECT || nd_options_pass(s, p + fixed, n - fixed);
}

static bool is_nd(uint8_t type)
{
	return (type >= ND_RS && type <= ND_REDIRECT) || type == ND_INVERSE_ASK ||
		type == ND_INVERSE_SAY;
}

/* Where in p (n bytes) the header behind the extension headers lies; *proto: which it is. 0: not to
 * be seen. *fragment: it is (in) the first fragment of several; later ones have *proto 59. */
static uint32_t ip6_upper(const uint8_t *p, uint32_t n, uint8_t *proto, bool *fragment)
{
	uint32_t at = IP6_LEN, len;

	*fragment = false;
	*proto = p[6];
	for (;;) {
		switch (*proto) {
		case PROTO_HOP:
		case PROTO_ROUTING:
		case PROTO_DEST:
		case PROTO_MOBILITY:
		case PROTO_HIP:
		case PROTO_SHIM6:
			if (at + 8 > n)
				return 0;
			len = (p[at + 1] + 1u) * 8;
			break;
		case PROTO_AH:
			if (at + 8 > n)
				return 0;
			len = (p[at + 1] + 2u) * 4;
			break;
		case PROTO_FRAGMENT:
			if (at + 8 > n)
				return 0;
			len = 8;
			if (be16(p + at + 2) & 0xfff8) { /* what came first was looked at */
				*proto = 59;
				return at + 8;
			}
			*fragment = true;
			break;
		default:
			return at < n || *proto == 59 ? at : 0;
		}
		*proto = p[at];
		at += len;
		if (at > n)
			return 0;
	}
}

/* IPv6, at l3 of the frame. Only ICMPv6, or what may hide it, needs more than the header copy. */
static bool ip6_passes(
	const struct dp_spoof *s, struct dp_burst *b, struct dp_frame *fr, uint32_t l3)
{
	const uint8_t *p = fr->hdr + l3;
	bool nowhere, fragment;
	uint32_t n, at, end;
	uint8_t proto;

	if (fr->hdr_len < l3 + IP6_LEN || p[0] >> 4 != 6)
		return false;
	nowhere = is_zero(p + 8, 16);
	if (!nowhere && !has_ip6(s, p + 8))
		return false;
	if (p[6] == 6 || p[6] == PROTO_UDP)
		return !nowhere || !s->n_ip6;
	p = dp_frame_deepen(b, fr, &n) + l3;
	n -= l3;
	at = ip6_upper(p, n, &proto, &fragment);
	if (!at)
		return false;
	if (proto != PROTO_ICMP6) /* nobody's address: only to find one's own */
		return !nowhere || !s->n_ip6;
	if (!is_nd(p[at]))
		return true;
	end = IP6_LEN + be16(p + 4);
	return !fragment && end > at && end <= n && nd_passes(s, p, p + at, end - at);
}

bool dp_spoof_passes(const struct dp_spoof *s, struct dp_burst *b, struct dp_frame *fr)
{
	static const uint8_t snap[] = { 0xaa, 0xaa, 3, 0, 0, 0 };
	uint32_t l3 = ETHER_HDR_LEN;
	uint16_t type = be16(fr->hdr + 12);

	if (!has_mac(s, fr->hdr + 6))
		return false;
	if (type == TYPE_VLAN) {
		l3 += 4;
		if (fr->hdr_len < l3)
			return false;
		type = be16(fr->hdr + 16);
	}
	if (type < TYPE_MIN) /* Ethernet in another dress; spanning tree and the like may pass */
		return fr->hdr_len < l3 + sizeof(snap) || memcmp(fr->hdr + l3, snap, sizeof(snap));
	switch (type) {
	case TYPE_ARP:
	case TYPE_RARP:
		return arp_passes(s, fr->hdr + l3, fr->hdr_len - l3, type == TYPE_RARP);
	case TYPE_IP4:
		return ip4_passes(s, fr->hdr + l3, fr->hdr_len - l3);
	case TYPE_IP6:
		return ip6_passes(s, b, fr, l3);
	case TYPE_VLAN:
	case TYPE_QINQ:
	case TYPE_QINQ_OLD:
		return false;
	default:
		return true;
	}
}
