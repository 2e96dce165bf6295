/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the topology says of a port beyond its network: VLANs, isolation, limits, anti-spoofing,
 * mirrors. Decoded here, each key on its own; what keys say together, and of each other's ports,
 * is checked once all ports are known (settle.c).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"

static const char *word_of_names(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

/* ---- VLANs ---- */

static int vlan_number(struct dec *d, const struct jtree *v, uint16_t *out)
{
	char found[DEC_SHOW];

	if (!json_is_integer(v->json))
		return dec_error_type(d, v, "a VLAN's number");
	if (json_integer_value(v->json) < 1 || json_integer_value(v->json) > TOPO_VLAN_MAX)
		return dec_error(d, v->place,
			"VLANs are numbered 1 to %d (0 and 4095 are no VLANs); "
			"found %s",
			TOPO_VLAN_MAX, dec_show(v->json, found));
	*out = (uint16_t)json_integer_value(v->json);
	return 0;
}

/* "20-30" */
static int vlan_range(struct dec *d, const struct jtree *v, uint16_t *from, uint16_t *to)
{
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW], *end = NULL;
	unsigned long a = s && *s >= '0' && *s <= '9' ? strtoul(s, &end, 10) : 0, b = 0;

	if (end && *end == '-' && end[1] >= '0' && end[1] <= '9')
		b = strtoul(end + 1, &end, 10);
	else
		end = NULL;
	if (!end || *end)
		return dec_error(d, v->place,
			"a trunk is a list of VLANs such as 10, and of ranges such as \"20-30\"; found %s",
			dec_show(v->json, found));
	if (a < 1 || b > TOPO_VLAN_MAX || a > b)
		return dec_error(d, v->place,
			"a range of VLANs goes from the lower number to the higher, within 1 to %d; "
			"found %s",
			TOPO_VLAN_MAX, dec_show(v->json, found));
	*from = (uint16_t)a;
	*to = (uint16_t)b;
	return 0;
}

static int vlan_trunk(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_vlan *vlan = out;

	if (!json_is_array(v->json) || !v->n)
		return dec_error_type(d, v, "a list of VLANs, such as [10, \"20-30\"]");
	for (const struct jtree *c = v->first; c; c = c->next) {
		uint16_t from = 0, to = 0;
		int rc = json_is_string(c->json) ? vlan_range(d, c, &from, &to)
						 : vlan_number(d, c, &from);

		if (rc)
			return rc;
		for (to = json_is_string(c->json) ? to : from; from <= to; from++) {
			if (vlan->has[from / 64] >> from % 64 & 1)
				return dec_error(d, c->place, "VLAN %u is named twice", from);
			vlan->has[from / 64] |= 1ull << from % 64;
		}
	}
	return 0;
}

static int vlan_native(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_vlan *vlan = out;
	uint16_t native;

	if (vlan_number(d, v, &native))
		return -EINVAL;
	if (!(vlan->has[native / 64] >> native % 64 & 1))
		return dec_error(d, v->place,
			"the native VLAN %u is not in \"trunk\": add it there, or leave it out",
			native);
	vlan->untagged = native;
	return 0;
}

static const struct dec_field trunk_keys[] = {
	{ "trunk", vlan_trunk, 0, .required = true },
	{ "native", vlan_native, 0, .def = NULL },
	{ 0 },
};

int policy_vlan(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_vlan *vlan = &((struct topo_policy *)out)->vlan;

	vlan->place = v->place;
	vlan->mode = TOPO_VLAN_ACCESS;
	if (json_is_integer(v->json))
		return vlan_number(d, v, &vlan->untagged);
	if (!json_is_object(v->json))
		return dec_error_type(d, v,
			"a VLAN such as 10, or { \"trunk\": [10, \"20-30\"], \"native\": 10 }");
	vlan->mode = TOPO_VLAN_TRUNK;
	return dec_object(d, v, trunk_keys, 0, vlan);
}

/* ---- switches and numbers ---- */

int policy_isolated(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_bool(d, v, f, &((struct topo_policy *)out)->isolated);
}

static const char *const admin_names[] = { "up", "down", NULL };
static const struct dec_field admin_row = { .name = "admin", .fn = dec_enum, .arg = admin_names };

int policy_admin(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_enum(d, v, &admin_row, &((struct topo_policy *)out)->admin);
}

static const struct dec_range mac_limit_range = { 0, TOPO_MAC_LIMIT_MAX, " addresses" };
static const struct dec_field mac_limit_row = { .fn = dec_uint, .arg = &mac_limit_range };

int policy_mac_limit(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;

	p->mac_limited = true;
	return dec_uint(d, v, &mac_limit_row, &p->mac_limit);
}

/* ---- static addresses ---- */

static int static_mac(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_unicast(d, v, &((struct topo_static *)out)->mac);
}

static int static_vlan(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return vlan_number(d, v, &((struct topo_static *)out)->vlan);
}

static const struct dec_field static_keys[] = {
	{ "mac", static_mac, 0, .required = true },
	{ "vlan", static_vlan, 0, .def = NULL },
	{ 0 },
};

int policy_static(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;

	if (!json_is_array(v->json))
		return dec_error_type(d, v,
			"a list of addresses, such as [ \"02:00:00:00:00:01\", { \"mac\": "
			"\"02:00:00:00:00:02\", \"vlan\": 10 } ]");
	if (v->n > TOPO_STATIC_MAX)
		return dec_error(d, v->place, "%zu addresses; at most %d are possible", v->n,
			TOPO_STATIC_MAX);
	p->statics = calloc(v->n ? v->n : 1, sizeof(*p->statics));
	if (!p->statics)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		struct topo_static *s = &p->statics[p->n_statics++];
		int rc = json_is_object(c->json) ? dec_object(d, c, static_keys, 0, s)
						 : dec_unicast(d, c, &s->mac);

		if (rc)
			return rc;
		s->place = c->place;
	}
	return 0;
}

/* ---- anti-spoofing ---- */

static int ips_decode(struct dec *d, const struct jtree *v, int family, char ***ips, size_t *n)
{
	const char *example = family == AF_INET ? "10.0.0.1" : "fe80::1";
	char found[DEC_SHOW], text[INET6_ADDRSTRLEN], want[64];
	unsigned char ip[16];

	snprintf(want, sizeof(want), "a list of addresses, such as [ \"%s\" ]", example);
	if (!json_is_array(v->json))
		return dec_error_type(d, v, want);
	if (v->n == 0 || v->n > TOPO_IPS_MAX)
		return dec_error(d, v->place, "\"%s\" must name 1 to %d addresses; found %zu",
			d->field, TOPO_IPS_MAX, v->n);
	*ips = calloc(v->n ? v->n : 1, sizeof(**ips));
	if (!*ips)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		const char *s = json_string_value(c->json);

		if (!s || inet_pton(family, s, ip) != 1)
			return dec_error(d, c->place,
				"an IPv%c address is written as \"%s\" (no mask, no name); found %s",
				family == AF_INET ? '4' : '6', example, dec_show(c->json, found));
		inet_ntop(family, ip, text, sizeof(text));
		for (size_t i = 0; i < *n; i++)
			if (strcmp((*ips)[i], text) == 0)
				return dec_error(d, c->place, "%s is named twice", text);
		(*ips)[*n] = strdup(text);
		if (!(*ips)[(*n)++])
			return dec_nomem(d);
	}
	return 0;
}

static int spoof_ipv4(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;

	return ips_decode(d, v, AF_INET, &p->ipv4, &p->n_ipv4);
}

static int spoof_ipv6(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;

	return ips_decode(d, v, AF_INET6, &p->ipv6, &p->n_ipv6);
}

static int spoof_router(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_bool(d, v, f, &((struct topo_policy *)out)->router);
}

static const struct dec_field spoof_keys[] = {
	{ "ipv4", spoof_ipv4, 0, .def = NULL },
	{ "ipv6", spoof_ipv6, 0, .def = NULL },
	{ "router", spoof_router, 0, .def = NULL },
	{ 0 },
};

int policy_spoof(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;

	p->spoof_place = v->place;
	if (json_is_boolean(v->json))
		return dec_bool(d, v, f, &p->anti_spoof);
	if (!json_is_object(v->json))
		return dec_error_type(d, v,
			"true (the NIC's own MAC only), or { \"ipv4\": [..], \"ipv6\": [..] }");
	p->anti_spoof = true;
	return dec_object(d, v, spoof_keys, 0, p);
}

/* ---- rates ---- */

static int rate_decode(struct dec *d, const struct jtree *v, enum rate_kind kind, uint64_t *out)
{
	const char *example = kind == RATE_PPS ? "1kpps" : "100Mbps";
	const char *s = json_string_value(v->json);
	struct err e = { 0 };
	char want[64];
	struct rate r;

	snprintf(want, sizeof(want), "a rate with its unit, such as \"%s\"", example);
	if (!s)
		return dec_error_type(d, v, want);
	if (units_parse_rate(s, &r, &e))
		return dec_error(d, v->place, "\"%s\": %s", d->field, e.text);
	if (r.kind != kind)
		return dec_error_type(d, v, want);
	*out = r.value;
	return 0;
}

static int storm_rate(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return rate_decode(d, v, RATE_PPS, out);
}

static const struct dec_field storm_keys[] = {
	{ "broadcast", storm_rate, TOPO_STORM_BROADCAST * sizeof(uint64_t), .def = NULL },
	{ "multicast", storm_rate, TOPO_STORM_MULTICAST * sizeof(uint64_t), .def = NULL },
	{ "unknown", storm_rate, TOPO_STORM_UNKNOWN * sizeof(uint64_t), .def = NULL },
	{ 0 },
};

int policy_storm(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_object(d, v, storm_keys, 0, ((struct topo_policy *)out)->storm_pps);
}

static int police_rate(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;
	char found[DEC_SHOW];

	if (rate_decode(d, v, RATE_BPS, &p->police_bps))
		return -EINVAL;
	if (p->police_bps < TOPO_POLICE_MIN)
		return dec_error(d, v->place,
			"the least rate is 8kbps, a kilobyte a second; found %s",
			dec_show(v->json, found));
	return 0;
}

static int police_burst(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];
	struct err e = { 0 };

	if (!s)
		return dec_error_type(d, v, "a size with its unit, such as \"64K\"");
	if (units_parse_size(s, &p->police_burst, &e))
		return dec_error(d, v->place, "\"%s\": %s", d->field, e.text);
	if (p->police_burst < TOPO_BURST_MIN || p->police_burst > TOPO_BURST_MAX)
		return dec_error(d, v->place,
			"a burst has %d bytes, the longest frame, to 1G; found %s (with offloads a guest "
			"sends frames of up to 64K)",
			TOPO_BURST_MIN, dec_show(v->json, found));
	return 0;
}

static const struct dec_field police_keys[] = {
	{ "rate", police_rate, 0, .required = true },
	{ "burst", police_burst, 0, .def = NULL },
	{ 0 },
};

int policy_police(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_object(d, v, police_keys, 0, out);
}

/* ---- mirrors ---- */

static int mirror_add(struct dec *d, const struct jtree *v, struct topo_mirror *m)
{
	const char *s = json_string_value(v->json);

	if (!s)
		return dec_error_type(d, v, "a port such as \"a.0\", or a list of them");
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->from[i].port, s) == 0)
			return dec_error(d, v->place, "\"%s\" is named twice", s);
	m->from[m->n].place = v->place;
	m->from[m->n].port = strdup(s);
	return m->from[m->n++].port ? 0 : dec_nomem(d);
}

static int mirror_from(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_mirror *m = out;
	size_t n = json_is_array(v->json) ? v->n : 1;

	if (!n || n > TOPO_MIRROR_MAX)
		return dec_error(d, v->place, "\"from\" must name 1 to %d ports; found %zu",
			TOPO_MIRROR_MAX, n);
	m->from = calloc(n, sizeof(*m->from));
	if (!m->from)
		return dec_nomem(d);
	if (!json_is_array(v->json))
		return mirror_add(d, v, m);
	for (const struct jtree *c = v->first; c; c = c->next)
		if (mirror_add(d, c, m))
			return -EINVAL;
	return 0;
}

static const char *const direction_names[] = {
	[TOPO_DIR_RX] = "rx",
	[TOPO_DIR_TX] = "tx",
	[TOPO_DIR_BOTH] = "both",
	NULL,
};

static const struct dec_field mirror_keys[] = {
	{ "from", mirror_from, 0, .required = true },
	{ "direction", dec_enum, offsetof(struct topo_mirror, direction), .def = "\"both\"",
		.arg = direction_names },
	{ 0 },
};

int policy_mirror(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	return dec_object(d, v, mirror_keys, 0, &((struct topo_policy *)out)->mirror);
}

/* ---- offloads ---- */

static const char *const offload_names[] = { "csum", "tso4", "tso6", NULL };

int policy_offloads(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_policy *p = out;

	p->offloads_given = true;
	p->offloads_place = v->place;
	if (json_is_boolean(v->json)) {
		p->offloads = json_is_true(v->json) ? TOPO_CSUM | TOPO_TSO4 | TOPO_TSO6 : 0;
		return 0;
	}
	if (!json_is_array(v->json))
		return dec_error_type(d, v, "true, false, or a list such as [\"csum\", \"tso4\"]");
	for (const struct jtree *c = v->first; c; c = c->next) {
		const char *s = json_string_value(c->json);
		size_t i = 0;

		while (s && i < 3 && strcmp(offload_names[i], s) != 0)
			i++;
		if (!s)
			return dec_error_type(d, c, "a list such as [\"csum\", \"tso4\"]");
		if (i == 3)
			return dec_error_unknown(
				d, c->place, "offload", s, 3, word_of_names, offload_names);
		p->offloads |= 1u << i;
	}
	if (p->offloads & (TOPO_TSO4 | TOPO_TSO6) && !(p->offloads & TOPO_CSUM))
		return dec_error(d, v->place,
			"segmentation needs checksums: add \"csum\" (virtio's TSO depends on it)");
	return 0;
}

static void texts_free(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

void policy_free(struct topo_policy *p)
{
	for (size_t i = 0; i < p->mirror.n; i++)
		free(p->mirror.from[i].port);
	free(p->mirror.from);
	free(p->statics);
	texts_free(p->ipv4, p->n_ipv4);
	texts_free(p->ipv6, p->n_ipv6);
}

/* ---- shapes: see schema.h ---- */

#define SHAPE_IPS                                                \
	"{'type': 'array', 'minItems': 1, 'maxItems': " SHAPE_N( \
		TOPO_IPS_MAX) ", 'items': "                      \
			      "{'type': 'string', 'pattern': '^[0-9A-Fa-f:.]+$'}}"
#define SHAPE_RATE(unit) "{'type': 'string', 'pattern': '^[0-9]+(\\\\.[0-9]+)?[kMG]?" unit "$'}"

const struct dec_shape policy_shapes[] = {
	{ vlan_trunk,
		.json = "{'type': 'array', 'minItems': 1, 'items': {'anyOf': [" SHAPE_VLAN ", "
			"{'type': 'string', 'pattern': '^[0-9]+-[0-9]+$'}]}}" },
	{ vlan_native, .json = SHAPE_VLAN },
	{ policy_vlan, .json = "{'anyOf': [" SHAPE_VLAN ", " SHAPE_REF("trunk") "]}",
		.object = "trunk", .keys = trunk_keys },
	{ policy_isolated, .like = dec_bool },
	{ policy_admin, .row = &admin_row },
	{ policy_mac_limit, .row = &mac_limit_row },
	{ static_mac, .json = SHAPE_MAC },
	{ static_vlan, .json = SHAPE_VLAN },
	{ policy_static,
		.json = SHAPE_LIST(
			0, TOPO_STATIC_MAX, "{'anyOf': [" SHAPE_MAC ", " SHAPE_REF("static") "]}"),
		.object = "static", .keys = static_keys },
	{ spoof_ipv4, .json = SHAPE_IPS },
	{ spoof_ipv6, .json = SHAPE_IPS },
	{ spoof_router, .like = dec_bool },
	{ policy_spoof, .json = "{'anyOf': [{'type': 'boolean'}, " SHAPE_REF("anti_spoof") "]}",
		.object = "anti_spoof", .keys = spoof_keys },
	{ storm_rate, .json = SHAPE_RATE("pps") },
	{ policy_storm, .object = "storm", .keys = storm_keys },
	{ police_rate, .json = SHAPE_RATE("bps") },
	{ police_burst, .json = SHAPE_SIZE },
	{ policy_police, .object = "police", .keys = police_keys },
	{ mirror_from,
		.json = "{'anyOf': [{'type': 'string'}, " SHAPE_LIST(
			1, TOPO_MIRROR_MAX, "{'type': 'string'}") "]}" },
	{ policy_mirror, .object = "mirror", .keys = mirror_keys },
	{ policy_offloads,
		.json = "{'anyOf': [{'type': 'boolean'}, "
			"{'type': 'array', 'items': {'enum': ['csum', 'tso4', 'tso6']}}]}" },
	{ 0 },
};
