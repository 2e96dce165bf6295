/* SPDX-License-Identifier: Apache-2.0 */
/* See offload.h. */
#include "vswitch/dp/offload.h"

#include <string.h>

#include "base/ether.h"

#define IP6_HEADERS_MAX 8 /* extension headers that are followed */

static uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Where TCP begins in an IPv4 packet at h + l3, or 0. A fragment has no whole TCP segment. */
static uint32_t ip4_tcp(const uint8_t *h, uint32_t len, uint32_t l3)
{
	uint32_t ihl;

	if (len < l3 + 20 || (h[l3] & 0xf0) != 0x40)
		return 0;
	ihl = (h[l3] & 0x0fu) * 4;
	if (ihl < 20 || h[l3 + 9] != 6 || be16_at(h + l3 + 6) & 0x3fff)
		return 0;
	return l3 + ihl;
}

/* The same for IPv6: behind hop-by-hop and destination options. With a routing header the address
 * that the checksum covers is not the one in the header: not for us. */
static uint32_t ip6_tcp(const uint8_t *h, uint32_t len, uint32_t l3)
{
	uint32_t at = l3 + 40;
	uint8_t next;

	if (len < at || (h[l3] & 0xf0) != 0x60)
		return 0;
	next = h[l3 + 6];
	for (int i = 0; i < IP6_HEADERS_MAX && (next == 0 || next == 60); i++) {
		if (len < at + 8)
			return 0;
		next = h[at];
		at += 8 * (h[at + 1] + 1u);
	}
	return next == 6 ? at : 0;
}

/* The length of all headers of a TCP frame as gso_type has it, whose TCP begins at csum_start;
 * 0: it is not such a frame. */
static uint32_t tcp_headers(const uint8_t *h, uint32_t len, uint8_t gso_type, uint32_t csum_start)
{
	uint32_t l3 = ETHER_HDR_LEN, l4;
	uint16_t type;

	if (len < l3 + 4)
		return 0;
	type = be16_at(h + 12);
	if (type == 0x8100) {
		type = be16_at(h + 16);
		l3 += 4;
	}
	if (gso_type == VIRTIO_NET_HDR_GSO_TCPV4 && type == 0x0800)
		l4 = ip4_tcp(h, len, l3);
	else if (gso_type == VIRTIO_NET_HDR_GSO_TCPV6 && type == 0x86dd)
		l4 = ip6_tcp(h, len, l3);
	else
		return 0;
	if (!l4 || l4 != csum_start || len < l4 + 20 || (h[l4 + 12] >> 4) < 5)
		return 0;
	l4 += (h[l4 + 12] >> 4) * 4u;
	return l4 <= len ? l4 : 0;
}

static bool gso_check(
	struct dp_burst *b, struct dp_frame *f, const struct virtio_net_hdr *h, uint32_t may)
{
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t len, headers;
	const uint8_t *bytes;

	if (!(may & (type == VIRTIO_NET_HDR_GSO_TCPV6 ? DP_OFF_TSO6 : DP_OFF_TSO4)))
		return false;
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN && !(may & DP_OFF_ECN))
		return false;
	if (h->gso_size < DP_GSO_SIZE_MIN || h->csum_offset != 16)
		return false;
	bytes = dp_frame_deepen(b, f, &len);
	headers = tcp_headers(bytes, len, type, h->csum_start);
	if (!headers)
		return false;
	/* One that needs no cutting is no big frame; the checksum is all that is asked then. */
	if (f->len - headers > h->gso_size) {
		f->off.gso_type = h->gso_type;
		f->off.gso_size = h->gso_size;
		f->off.hdr_len = (uint16_t)headers; /* the guest's own is a hint at most */
	}
	return true;
}

bool dp_offload_check(
	struct dp_burst *b, struct dp_frame *f, const struct virtio_net_hdr *h, uint32_t may)
{
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return h->gso_type == VIRTIO_NET_HDR_GSO_NONE; /* other flags are not a driver's */
	if (!(may & DP_OFF_CSUM) || h->csum_start < ETHER_HDR_LEN ||
		h->csum_start > DP_CSUM_START_MAX ||
		(uint32_t)h->csum_start + h->csum_offset + 2 > f->len)
		return false;
	memset(&f->off, 0, sizeof(f->off));
	f->off.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->off.csum_start = h->csum_start;
	f->off.csum_offset = h->csum_offset;
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE && !gso_check(b, f, h, may))
		return false;
	f->meta |= DP_META_OFFLOAD;
	return true;
}
