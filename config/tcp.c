/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "tcp" of a traffic entry's "method": instead of frames of the traffic engine, TCP as the guests'
 * own kernels have it, by iperf3 in both. What such an entry must be is checked here: one Linux
 * guest to another, by addresses that are neighbours.
 */
#include <errno.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"

static const struct dec_range streams_range = { 1, TOPO_STREAMS_MAX, "" };

static const struct dec_field tcp_keys[] = {
	{ "streams", dec_uint, offsetof(struct topo_tcp, streams), .def = "1",
		.arg = &streams_range },
	{ 0 },
};

int tcp_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_tcp *tcp = out;

	tcp->place = v->place;
	return dec_object(d, v, tcp_keys, 0, tcp);
}

int tcp_check_method(struct dec *d, const struct jtree *v)
{
	const struct jtree *tcp = jtree_get(v, "tcp");

	for (const struct jtree *c = v->first; c && tcp; c = c->next) {
		if (c == tcp)
			continue;
		d->field = NULL;
		return dec_error(d, c->key_place,
			"\"tcp\" measures and searches for nothing: leave out \"%s\"", c->key);
	}
	return 0;
}

/* Keys of an entry that are of frames and rates, and what holds instead. */
static const struct {
	const char *key, *instead;
} foreign[] = {
	{ "frame", "TCP cuts its segments itself" },
	{ "flows", "\"streams\" of \"tcp\" says how many connections there are" },
	{ "rate", "TCP sends as fast as it goes" },
	{ "max_loss", "TCP sends again what is lost" },
	{ "both_ways", "TCP is measured one way: another entry measures the way back" },
	{ "all_pairs", "TCP is measured from one NIC to another: name \"from\" and \"to\"" },
	{ "group", "TCP is measured by itself" },
};

int tcp_check_keys(struct dec *d, const struct jtree *v)
{
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		const struct jtree *c = jtree_get(v, foreign[i].key);

		d->field = NULL;
		if (c)
			return dec_error(d, c->key_place, "%s: leave out \"%s\"",
				foreign[i].instead, foreign[i].key);
	}
	return 0;
}

/* A guest with nothing in it but what its files are. */
static bool lacks_iperf(const struct topo_node *n)
{
	for (size_t i = 0; i < n->n_files; i++) {
		const char *slash = strrchr(n->files[i].to, '/');

		if (slash && strcmp(slash, "/iperf3") == 0)
			return false;
	}
	return n->root == TOPO_ROOT_NONE;
}

static int check_end(
	struct dec *d, const struct topo_traffic *x, const struct topo_end *end, const char *name)
{
	const struct topo_node *n = &d->t->nodes[end->node];
	struct topo_place at = x->method->tcp.place;

	if (n->kind != TOPO_VM || n->guest_kind != TOPO_GUEST_LINUX)
		return dec_error(d, at,
			"TCP is measured between Linux guests, by iperf3 in them; node \"%s\" is %s: give "
			"it \"guest\": \"linux\"",
			n->name, n->kind == TOPO_VM ? "a VM with another guest" : "no VM");
	if (lacks_iperf(n))
		return dec_error(d, at,
			"node \"%s\" has no iperf3, by which TCP is measured: add \"/usr/bin/iperf3\" to "
			"its \"files\" (package iperf3), or give it \"root\": \"host\"",
			n->name);
	if (!n->nics[end->nic].n_addresses)
		return dec_error(d, at,
			"%s has no IP address, which TCP needs: give the NIC \"addresses\"", name);
	return 0;
}

/* Whether another NIC of the sender is in the receiver's network too: its kernel would choose. */
static bool is_ambiguous(
	const struct topo_node *n, const struct topo_nic *nic, const struct topo_address *to)
{
	for (size_t j = 0; j < n->n_nics; j++) {
		const struct topo_nic *other = &n->nics[j];

		for (size_t i = 0; other != nic && i < other->n_addresses; i++)
			if (address_is_near(&other->addresses[i], to))
				return true;
	}
	return false;
}

int tcp_check_flow(struct dec *d, const struct topo_traffic *x)
{
	char from[TOPO_NAME_MAX + 12], to[TOPO_NAME_MAX + 12];
	const struct topo_flow *f = &x->flows[0];
	const struct topo_address *a, *b;
	const struct topo_nic *nic = &d->t->nodes[f->from.node].nics[f->from.nic];
	struct topo_place at = x->method->tcp.place;

	if (x->n_flows != 1)
		return dec_error(d, at,
			"TCP is measured from one NIC to another, one flow; these ends make %zu: name "
			"one of each",
			x->n_flows);
	topology_port_name(d->t, f->from.node, f->from.nic, from);
	topology_port_name(d->t, f->to.node, f->to.nic, to);
	if (check_end(d, x, &f->from, from) || check_end(d, x, &f->to, to))
		return -EINVAL;
	if (!topology_neighbours(d->t, f, &a, &b))
		return dec_error(d, at,
			"%s has no address in whose network one of %s is: no packet would go by this "
			"path",
			from, to);
	if (is_ambiguous(&d->t->nodes[f->from.node], nic, b))
		return dec_error(d, at,
			"node \"%s\" has another NIC in the network of %s (%s): which one its kernel sends "
			"by is not sure; give each path an IP network of its own",
			d->t->nodes[f->from.node].name, to, b->text);
	return 0;
}

bool topology_neighbours(const struct topology *t, const struct topo_flow *f,
	const struct topo_address **from, const struct topo_address **to)
{
	const struct topo_nic *a = &t->nodes[f->from.node].nics[f->from.nic];
	const struct topo_nic *b = &t->nodes[f->to.node].nics[f->to.nic];

	for (size_t i = 0; i < a->n_addresses; i++)
		for (size_t k = 0; k < b->n_addresses; k++) {
			*from = &a->addresses[i];
			*to = &b->addresses[k];
			if (address_is_near(*from, *to) && address_is_near(*to, *from))
				return true;
		}
	return false;
}

/* ---- shapes: see schema.h ---- */

const struct dec_shape tcp_shapes[] = {
	{ tcp_decode, .json = SHAPE_REF("tcp"), .object = "tcp", .keys = tcp_keys },
	{ 0 },
};
