/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/capture_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/ether.h"

#define TYPE_8021Q  0x8100
#define TYPE_8021AD 0x88a8
#define TYPE_MIN    0x0600 /* below: a length (IEEE 802.3, 3.2.6) */
#define TAGS_MAX    4

/* Ethertypes that people meet in labs (IANA's IEEE 802 numbers). */
static const struct {
	uint16_t type;
	const char *name;
} types[] = {
	{ 0x0800, "IPv4" },
	{ 0x0806, "ARP" },
	{ 0x86dd, "IPv6" },
	{ 0x8809, "LACP" },
	{ 0x8847, "MPLS" },
	{ 0x88cc, "LLDP" },
	{ 0x88f7, "PTP" },
};

static uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static int put_time(char *out, size_t room, uint64_t ns)
{
	time_t s = (time_t)(ns / NS_PER_S);
	struct tm tm;

	localtime_r(&s, &tm);
	return snprintf(out, room, "%02d:%02d:%02d.%09u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		(unsigned)(ns % NS_PER_S));
}

static int put_type(char *out, size_t room, uint16_t type)
{
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (types[i].type == type)
			return snprintf(out, room, " %s", types[i].name);
	if (type < TYPE_MIN)
		return snprintf(out, room, " 802.3");
	return snprintf(out, room, " 0x%04x", type);
}

/* Addresses, tags and type, as far as they were captured. */
static int put_headers(char *out, size_t room, const struct pcapng_packet *p)
{
	char src[ETHER_MAC_STR], dst[ETHER_MAC_STR];
	struct ether_mac m[2];
	uint32_t at = 12;
	int n;

	if (p->cap_len < ETHER_HDR_LEN)
		return snprintf(out, room, " (header not captured)");
	memcpy(m, p->data, sizeof m);
	n = snprintf(out, room, " %s > %s", ether_mac_str(m[1], src), ether_mac_str(m[0], dst));
	for (int tags = 0; tags < TAGS_MAX; tags++) {
		uint16_t type = be16_at(p->data + at);

		if ((type != TYPE_8021Q && type != TYPE_8021AD) || p->cap_len < at + 6)
			break;
		n += snprintf(
			out + n, room - (size_t)n, " vlan %d", be16_at(p->data + at + 2) & 0xfff);
		at += 4;
	}
	return n + put_type(out + n, room - (size_t)n, be16_at(p->data + at));
}

size_t capture_line(char *out, const struct pcapng_packet *p)
{
	static const char *const dir[] = { "--", "rx", "tx", "--" };
	int n = put_time(out, CAPTURE_LINE_MAX, p->time_ns);

	n += snprintf(out + n, CAPTURE_LINE_MAX - (size_t)n, " %s", dir[p->dir & 3]);
	n += put_headers(out + n, CAPTURE_LINE_MAX - (size_t)n, p);
	n += snprintf(out + n, CAPTURE_LINE_MAX - (size_t)n, " %u bytes\n", p->len);
	return (size_t)n;
}
