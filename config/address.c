/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses and routes of Linux guests. An address is one station's in its network; a route
 * goes by a neighbour: its "via" must be in the network of one of the node's own addresses.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"

static size_t size_of(int family)
{
	return family == AF_INET ? 4 : 16;
}

/* Whether the first n bits are equal. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned n)
{
	unsigned rest = n % 8;

	if (memcmp(a, b, n / 8) != 0)
		return false;
	return !rest || ((a[n / 8] ^ b[n / 8]) >> (8 - rest)) == 0;
}

/* Whether all bits behind the prefix are `one`. */
static bool host_bits_are(const struct topo_address *a, bool one)
{
	for (unsigned i = a->prefix; i < size_of(a->family) * 8; i++)
		if ((a->addr[i / 8] >> (7 - i % 8) & 1) != one)
			return false;
	return true;
}

/* "10.0.0.1/24" (prefix: wanted) or "10.0.0.1"; false if it is no such text. */
static bool parse(const char *s, bool prefix, struct topo_address *a)
{
	const char *slash = strchr(s, '/');
	char host[INET6_ADDRSTRLEN], *end;
	size_t len = slash ? (size_t)(slash - s) : strlen(s);

	if (!slash == prefix || len >= sizeof(host))
		return false;
	memcpy(host, s, len);
	host[len] = '\0';
	a->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	a->prefix = (unsigned)size_of(a->family) * 8;
	if (inet_pton(a->family, host, a->addr) != 1)
		return false;
	if (slash) {
		unsigned long n = strtoul(slash + 1, &end, 10);

		if (slash[1] < '0' || slash[1] > '9' || *end || n > a->prefix || end - slash > 4)
			return false;
		a->prefix = (unsigned)n;
	}
	return true;
}

/* The text as inet_ntop writes it. */
static int keep_text(struct dec *d, struct topo_address *a, bool prefix)
{
	char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];

	inet_ntop(a->family, a->addr, host, sizeof(host));
	if (prefix)
		snprintf(text, sizeof(text), "%s/%u", host, a->prefix);
	else
		snprintf(text, sizeof(text), "%s", host);
	a->text = strdup(text);
	return a->text ? 0 : dec_nomem(d);
}

static bool is_multicast(const struct topo_address *a)
{
	return a->family == AF_INET ? a->addr[0] >= 224 : a->addr[0] == 0xff;
}

static bool is_nobody(const struct topo_address *a)
{
	static const uint8_t zero[16];

	return memcmp(a->addr, zero, size_of(a->family)) == 0 ||
		(a->family == AF_INET ? a->addr[0] == 127
				      : memcmp(a->addr, zero, 15) == 0 && a->addr[15] == 1);
}

static int decode_address(struct dec *d, const struct jtree *v, struct topo_address *a)
{
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];

	a->place = v->place;
	dec_show(v->json, found);
	if (!s || !parse(s, true, a))
		return dec_error(d, v->place,
			"an address has the length of its network's prefix, such as "
			"\"10.0.0.1/24\" or \"fd00::1/64\"; found %s",
			found);
	if (a->prefix == 0)
		return dec_error(d, v->place, "a prefix of 0 bits is no network; found %s", found);
	if (is_multicast(a) || is_nobody(a))
		return dec_error(d, v->place,
			"a NIC's address must be a unicast one, and neither loopback nor all zeros; "
			"found %s",
			found);
	if (a->family == AF_INET && a->prefix < 31 &&
		(host_bits_are(a, false) || host_bits_are(a, true)))
		return dec_error(d, v->place,
			"%s is the %s address of its network, and no station's", found,
			host_bits_are(a, false) ? "first" : "broadcast");
	return keep_text(d, a, true);
}

int address_list(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_nic *nic = out;

	if (!json_is_array(v->json))
		return dec_error_type(d, v, "a list of addresses, such as [ \"10.0.0.1/24\" ]");
	if (v->n > TOPO_ADDRESSES_MAX)
		return dec_error(d, v->place, "%zu addresses; at most %d are possible", v->n,
			TOPO_ADDRESSES_MAX);
	nic->addresses = calloc(v->n ? v->n : 1, sizeof(*nic->addresses));
	if (!nic->addresses)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next)
		if (decode_address(d, c, &nic->addresses[nic->n_addresses++]))
			return -EINVAL;
	return 0;
}

/* ---- routes ---- */

static int route_to(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_route *r = out;
	const char *s = json_string_value(v->json);
	struct topo_address *to = &r->to;
	char found[DEC_SHOW], net[INET6_ADDRSTRLEN];

	if (s && strcmp(s, "default") == 0) {
		r->all = true;
		to->text = strdup(s);
		return to->text ? 0 : dec_nomem(d);
	}
	if (!s || !parse(s, true, to))
		return dec_error(d, v->place,
			"a route leads to \"default\", or to a network such as \"10.1.0.0/16\"; found "
			"%s",
			dec_show(v->json, found));
	if (!host_bits_are(to, false)) {
		for (unsigned i = to->prefix; i < size_of(to->family) * 8; i++)
			to->addr[i / 8] &= (uint8_t) ~(1u << (7 - i % 8));
		inet_ntop(to->family, to->addr, net, sizeof(net));
		return dec_error(d, v->place,
			"%s has bits behind its prefix: the network is \"%s/%u\"",
			dec_show(v->json, found), net, to->prefix);
	}
	return keep_text(d, to, true);
}

static int route_via(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_address *via = &((struct topo_route *)out)->via;
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];

	via->place = v->place;
	if (!s || !parse(s, false, via) || is_multicast(via) || is_nobody(via))
		return dec_error(d, v->place,
			"\"via\" is a neighbour's address without a prefix, such as \"10.0.0.254\"; "
			"found %s",
			dec_show(v->json, found));
	return keep_text(d, via, false);
}

static const struct dec_field route_keys[] = {
	{ "to", route_to, 0, .required = true },
	{ "via", route_via, 0, .required = true },
	{ 0 },
};

static bool same_target(const struct topo_route *a, const struct topo_route *b)
{
	if (a->all || b->all)
		return a->all && b->all && a->via.family == b->via.family;
	return strcmp(a->to.text, b->to.text) == 0;
}

/* What can be seen without knowing the NICs' addresses. */
static int check_route(struct dec *d, const struct topo_node *node, const struct topo_route *r)
{
	if (!r->all && r->to.family != r->via.family)
		return dec_error(d, r->via.place,
			"a route to %s can't go by %s: that is of the other IP version", r->to.text,
			r->via.text);
	for (const struct topo_route *o = node->routes; o < r; o++)
		if (same_target(o, r))
			return dec_error(d, r->place,
				"there are two routes to %s (the first in "
				"line %d)",
				r->to.text, o->place.line);
	return 0;
}

int address_routes(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	if (!json_is_array(v->json))
		return dec_error_type(d, v,
			"a list of routes, [ { \"to\": \"default\", \"via\": \"10.0.0.254\" } ]");
	if (v->n > TOPO_ROUTES_MAX)
		return dec_error(
			d, v->place, "%zu routes; at most %d are possible", v->n, TOPO_ROUTES_MAX);
	node->routes = calloc(v->n ? v->n : 1, sizeof(*node->routes));
	if (!node->routes)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		struct topo_route *r = &node->routes[node->n_routes];
		size_t outer = dec_enter(d, "route %zu", node->n_routes);

		node->n_routes++;
		r->place = c->place;
		d->field = NULL;
		if (dec_object(d, c, route_keys, 0, r))
			return -EINVAL;
		d->field = "routes";
		if (check_route(d, node, r))
			return -EINVAL;
		dec_leave(d, outer);
	}
	return 0;
}

/* ---- all nodes ---- */

bool address_is_near(const struct topo_address *a, const struct topo_address *other)
{
	return a->family == other->family && same_bits(a->addr, other->addr, a->prefix);
}

static bool same_address(const struct topo_address *a, const struct topo_address *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, size_of(a->family)) == 0;
}

/* On one network, or both VFs of one PF and VLAN. What wires join is not in the file. */
static bool on_one_wire(const struct topo_nic *a, const struct topo_nic *b)
{
	if (a->vf.want && b->vf.want)
		return a->vf.pf == b->vf.pf && a->vf.want->attrs.vlan == b->vf.want->attrs.vlan;
	return a->network == b->network;
}

/* The station that has the address already in that network, up to NIC j of node i. */
static int check_unique(struct dec *d, size_t i, size_t j, const struct topo_address *a)
{
	const struct topology *t = d->t;
	const struct topo_nic *mine = &t->nodes[i].nics[j];

	for (size_t n = 0; n <= i; n++)
		for (size_t k = 0; k < t->nodes[n].n_nics; k++) {
			const struct topo_nic *nic = &t->nodes[n].nics[k];

			for (size_t x = 0; on_one_wire(nic, mine) && x < nic->n_addresses; x++) {
				const struct topo_address *o = &nic->addresses[x];
				char name[TOPO_NAME_MAX + 12];

				if (o == a)
					return 0;
				if (!same_address(o, a))
					continue;
				d->field = "addresses";
				dec_enter(d, "node \"%s\", NIC %zu", t->nodes[i].name, j);
				return dec_error(d, a->place,
					"address %s is %s's already %s \"%s\" (line %d)", a->text,
					topology_port_name(t, n, k, name),
					mine->vf.want ? "at PF" : "in network",
					mine->vf.want ? t->pfs->v[mine->vf.pf].name
						      : t->networks[mine->network].name,
					o->place.line);
			}
		}
	return 0;
}

/* Whether a neighbour on any NIC has it for sure: *own, if it is the node's own. */
static bool is_neighbour(const struct topo_node *n, const struct topo_address *via, bool *own)
{
	bool found = false;

	*own = false;
	for (size_t j = 0; j < n->n_nics; j++)
		for (size_t x = 0; x < n->nics[j].n_addresses; x++) {
			const struct topo_address *a = &n->nics[j].addresses[x];

			*own |= same_address(a, via);
			found |= address_is_near(a, via);
		}
	return found;
}

static int check_gateways(struct dec *d, const struct topo_node *n)
{
	for (size_t i = 0; i < n->n_routes; i++) {
		const struct topo_address *via = &n->routes[i].via;
		bool own, near = is_neighbour(n, via, &own);

		if (near && !own)
			continue;
		d->field = "routes";
		dec_enter(d, "node \"%s\", route %zu", n->name, i);
		if (own)
			return dec_error(d, via->place,
				"%s is an address of this node itself: a route goes by another's",
				via->text);
		return dec_error(d, via->place,
			"%s can't be reached: it is in the network of none of the \"addresses\" of "
			"this node's NICs",
			via->text);
	}
	return 0;
}

int address_settle(struct dec *d)
{
	const struct topology *t = d->t;
	int rc = 0;

	for (size_t i = 0; i < t->n_nodes && !rc; i++) {
		for (size_t j = 0; j < t->nodes[i].n_nics; j++)
			for (size_t x = 0; x < t->nodes[i].nics[j].n_addresses && !rc; x++)
				rc = check_unique(d, i, j, &t->nodes[i].nics[j].addresses[x]);
		if (!rc)
			rc = check_gateways(d, &t->nodes[i]);
	}
	return rc;
}

void address_free(struct topo_node *n)
{
	for (size_t j = 0; j < n->n_nics; j++) {
		for (size_t x = 0; x < n->nics[j].n_addresses; x++)
			free(n->nics[j].addresses[x].text);
		free(n->nics[j].addresses);
	}
	for (size_t i = 0; i < n->n_routes; i++) {
		free(n->routes[i].to.text);
		free(n->routes[i].via.text);
	}
	free(n->routes);
}

const struct dec_shape address_shapes[] = {
	{ address_list,
		.json = SHAPE_LIST(0, TOPO_ADDRESSES_MAX,
			"{'type': 'string', 'pattern': '^[0-9A-Fa-f:.]+/[0-9]{1,3}$'}") },
	{ route_to,
		.json = "{'type': 'string', 'pattern': '^(default|[0-9A-Fa-f:.]+/[0-9]{1,3})$'}" },
	{ route_via, .json = "{'type': 'string', 'pattern': '^[0-9A-Fa-f:.]+$'}" },
	{ address_routes, .json = SHAPE_LIST(0, TOPO_ROUTES_MAX, SHAPE_REF("route")),
		.object = "route", .keys = route_keys },
	{ 0 },
};
