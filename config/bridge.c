/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks that are a bridge of the host's kernel: the NICs of VMs on one are taps, served by
 * vhost-net. What only the switch can do is not there, and is refused where it is written.
 */
#include <errno.h>
#include <string.h>

#include "config/decode.h"

/* Of a NIC's keys those that have a meaning without the switch. */
static const char *const nic_keys[] = { "network", "mac", "queues", "addresses", NULL };

static bool is_among(const char *key, const char *const *list)
{
	while (*list && strcmp(*list, key) != 0)
		list++;
	return *list;
}

int bridge_check_nic(
	struct dec *d, const struct jtree *v, enum dec_kind kind, const struct topo_nic *nic)
{
	const struct topo_network *net = &d->t->networks[nic->network];

	if (net->kind != TOPO_NET_BRIDGE)
		return 0;
	d->field = NULL;
	if (kind == DEC_PROCESS || kind == DEC_EXTERNAL)
		return dec_error(d, jtree_get(v, "network")->place,
			"network \"%s\" is a bridge of the host's kernel (line %d), which VMs reach by "
			"a tap; a node of kind %s has a port at the switch: name a network of kind "
			"\"switch\"",
			net->name, net->place.line, kind == DEC_PROCESS ? "process" : "external");
	for (const struct jtree *c = v->first; c; c = c->next) {
		if (is_among(c->key, nic_keys))
			continue;
		d->field = c->key;
		return dec_error(d, c->key_place,
			"\"%s\" is for NICs on the switch, but network \"%s\" is a bridge of the "
			"host's kernel (line %d): there are network, mac, queues and addresses",
			c->key, net->name, net->place.line);
	}
	return 0;
}

int bridge_check_port(struct dec *d, const struct jtree *v, const struct topo_port *port)
{
	const struct topo_network *net = &d->t->networks[port->network];

	if (net->kind != TOPO_NET_BRIDGE)
		return 0;
	d->field = "network";
	return dec_error(d, jtree_get(v, "network")->place,
		"host ports are the switch's, but network \"%s\" is a bridge of the host's kernel "
		"(line %d): name a network of kind \"switch\", or put the interface into the bridge "
		"by hand (lanyard status tells its name)",
		net->name, net->place.line);
}

static bool has_network(const struct topology *t, int kind)
{
	for (size_t i = 0; i < t->n_networks; i++)
		if (t->networks[i].kind == kind)
			return true;
	return false;
}

bool topology_has_switch(const struct topology *t)
{
	return has_network(t, TOPO_NET_SWITCH);
}

bool topology_has_bridge(const struct topology *t)
{
	return has_network(t, TOPO_NET_BRIDGE);
}

bool topology_nic_is_tap(const struct topology *t, const struct topo_nic *nic)
{
	return nic->network != TOPO_NO_NETWORK && t->networks[nic->network].kind == TOPO_NET_BRIDGE;
}
