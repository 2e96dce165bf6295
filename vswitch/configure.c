/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a running switch, as transactions: everything is read and checked, then published with
 * one view, or nothing changes. No ring is touched, so no frame is lost. See policy.h.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/ether.h"
#include "vswitch/edge.h"
#include "vswitch/policy.h"
#include "vswitch/switch.h"

static struct fdb_addr static_addr(
	const struct sw *sw, const struct sw_port *p, const struct sw_static *s)
{
	return fdb_addr(&sw->fdb, fdb_key((uint16_t)(p->net + 1), s->mac), s->vid);
}

/* A static address and whose it is, to be sorted. */
struct claim {
	uint64_t key;
	uint16_t vid;
	const struct sw_port *port;
};

static int claim_compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (int)x->vid - (int)y->vid;
}

/* The policy that a port is going to have. */
static const struct sw_policy *policy_of(
	const struct sw_port *p, const struct sw_change *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (c[i].port == p)
			return &c[i].policy;
	return &p->policy;
}

static int claims_check(const struct claim *claim, uint32_t n, struct err *e)
{
	for (uint32_t i = 1; i < n; i++) {
		char text[ETHER_MAC_STR];
		struct ether_mac m;

		if (claim_compare(&claim[i - 1], &claim[i]))
			continue;
		memcpy(m.b, &claim[i].key, 6);
		return err_request_at(e, -EEXIST, "static",
			"static: %s in VLAN %u is claimed by ports \"%s\" and \"%s\"; it can live "
			"behind one only",
			ether_mac_str(m, text), claim[i].vid, claim[i - 1].port->name,
			claim[i].port->name);
	}
	return 0;
}

/* No two ports of a network have the same static address. */
static int statics_check(const struct sw *sw, const struct sw_change *c, uint32_t n, struct err *e)
{
	uint32_t room = 0, n_claims = 0;
	struct claim *claim;
	int ret;

	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id])
			room += policy_of(sw->ports[id], c, n)->n_statics;
	if (!room)
		return 0;
	claim = calloc(room, sizeof(*claim));
	if (!claim)
		return err_set(e, -ENOMEM, "no memory for %u static addresses", room);
	for (uint32_t id = 0; id < sw->n_ports; id++) {
		const struct sw_port *p = sw->ports[id];
		const struct sw_policy *pol = p ? policy_of(p, c, n) : NULL;

		for (uint32_t i = 0; pol && i < pol->n_statics; i++)
			claim[n_claims++] = (struct claim){ fdb_key((uint16_t)(p->net + 1),
								    pol->statics[i].mac),
				pol->statics[i].vid, p };
	}
	qsort(claim, n_claims, sizeof(*claim), claim_compare);
	ret = claims_check(claim, n_claims, e);
	free(claim);
	return ret;
}

static bool has_static(const struct sw_policy *pol, const struct sw_static *s)
{
	for (uint32_t i = 0; i < pol->n_statics; i++)
		if (pol->statics[i].mac == s->mac && pol->statics[i].vid == s->vid)
			return true;
	return false;
}

/* Takes those of `has` that are not in `keep` out of the FDB. */
static void statics_del(struct sw *sw, const struct sw_port *p, const struct sw_policy *has,
	const struct sw_policy *keep)
{
	for (uint32_t i = 0; i < has->n_statics; i++) {
		struct fdb_addr a = static_addr(sw, p, &has->statics[i]);

		if (!has_static(keep, &has->statics[i]))
			fdb_static_del(&sw->fdb, &a, p->dp->id);
	}
}

/* Puts a port's static addresses into the FDB. */
static int statics_add(struct sw *sw, const struct sw_port *p, const struct sw_policy *pol)
{
	for (uint32_t i = 0; i < pol->n_statics; i++) {
		struct fdb_addr a = static_addr(sw, p, &pol->statics[i]);
		int ret = fdb_static_add(&sw->fdb, &a, p->dp->id);

		if (ret)
			return ret;
	}
	return 0;
}

/* All changes' static addresses; on failure the FDB's static ones are as before. */
static int statics_apply(struct sw *sw, const struct sw_change *c, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		int ret = statics_add(sw, c[i].port, &c[i].policy);

		if (!ret)
			continue;
		for (uint32_t k = 0; k <= i; k++)
			statics_del(sw, c[k].port, &c[k].policy, &c[k].port->policy);
		for (uint32_t k = 0; k < n; k++)
			statics_add(sw, c[k].port, &c[k].port->policy);
		return err_request_at(e, ret, "static",
			"static: port \"%s\": the forwarding database has no room for one of them",
			c[i].port->name);
	}
	return 0;
}

/* May what the port has learnt be wrong under its new policy? */
static bool learns_otherwise(const struct sw *sw, const struct sw_port *p,
	const struct sw_policy *old, const struct sw_policy *now)
{
	static const char *const keys[] = { "vlan", "spoof", "admin" };
	const struct dp_policy *dp = now->dp;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *a = json_object_get(old->given, keys[i]);
		const json_t *b = json_object_get(now->given, keys[i]);

		if (a != b && !json_equal(a, b))
			return true;
	}
	return dp && sw->fdb.port_entries[p->dp->id] > dp->mac_limit;
}

/* arg: by port id, whether it is to forget. */
static bool entry_stays(void *arg, const struct fdb_entry *en)
{
	const bool *forgets = arg;

	return en->is_static || !forgets[en->port];
}

/* Only a front end is offered anything. */
static int offers_check(const struct sw_change *c, uint32_t n, struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		if (c[i].port->kind != SW_PORT_VHOST &&
			json_object_get(c[i].policy.given, "offloads"))
			return err_request_at(e, -EINVAL, "offloads",
				"port \"%s\": offloads are what a vhost-user port offers its front "
				"end; this one leads to %s, which has its own (ethtool -K)",
				c[i].port->name, c[i].port->device);
	return 0;
}

static int mirror_check(const struct sw *sw, const struct sw_port *p, const struct sw_change *c,
	uint32_t n, struct err *e)
{
	const char *name = policy_of(p, c, n)->mirror_to;
	const struct sw_port *to = sw_port_find((struct sw *)sw, name);

	if (!to)
		return err_request_at(e, -ENOENT, "mirror",
			"mirror: there is no port \"%s\" to which \"%s\" could be mirrored", name,
			p->name);
	if (to == p)
		return err_request_at(e, -EINVAL, "mirror",
			"mirror: port \"%s\" can't listen to itself", p->name);
	if (policy_of(to, c, n)->mirror_to[0])
		return err_request_at(e, -EINVAL, "mirror",
			"mirror: port \"%s\" can't listen to \"%s\": it is mirrored itself, to "
			"\"%s\", and mirrors of mirrors might never end",
			to->name, p->name, policy_of(to, c, n)->mirror_to);
	return 0;
}

/* Each mirror has a target that is there and is not mirrored itself. */
static int mirrors_check(const struct sw *sw, const struct sw_change *c, uint32_t n, struct err *e)
{
	int ret = 0;

	for (uint32_t id = 0; id < sw->n_ports && !ret; id++)
		if (sw->ports[id] && policy_of(sw->ports[id], c, n)->mirror_to[0])
			ret = mirror_check(sw, sw->ports[id], c, n, e);
	return ret;
}

const struct sw_port *sw_mirror_source(const struct sw *sw, const struct sw_port *p)
{
	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id] && strcmp(sw->ports[id]->policy.mirror_to, p->name) == 0)
			return sw->ports[id];
	return NULL;
}

/* What the FDB knows by the old policies (c has them now) goes: nobody learns it any more. One
 * sweep for all ports, since there may be a million addresses. */
static void changes_settle(struct sw *sw, const struct sw_change *c, uint32_t n)
{
	bool forgets[DP_PORTS_MAX] = { false }, any = false;

	for (uint32_t i = 0; i < n; i++) {
		struct sw_port *p = c[i].port;

		statics_del(sw, p, &c[i].policy, &p->policy);
		if (learns_otherwise(sw, p, &c[i].policy, &p->policy))
			any = forgets[p->dp->id] = true;
		/* No frame is for a port that listens to others. */
		p = p->policy.mirror_to[0] ? sw_port_find(sw, p->policy.mirror_to) : NULL;
		if (p)
			any = forgets[p->dp->id] = true;
	}
	if (any)
		fdb_sweep(&sw->fdb, entry_stays, forgets);
}

int sw_changes_apply(struct sw *sw, struct sw_change *c, uint32_t n, struct err *e)
{
	int ret = offers_check(c, n, e);

	if (!ret)
		ret = mirrors_check(sw, c, n, e);
	if (!ret)
		ret = statics_check(sw, c, n, e);
	if (!ret)
		ret = statics_apply(sw, c, n, e);
	for (uint32_t i = 0; !ret && i < n; i++) {
		struct sw_policy now = c[i].policy;

		/* From here on c has the old one. */
		c[i].policy = c[i].port->policy;
		c[i].port->policy = now;
	}
	if (!ret)
		sw_publish(sw);
	if (!ret)
		changes_settle(sw, c, n);
	for (uint32_t i = 0; i < n; i++)
		sw_policy_free(&c[i].policy);
	return ret;
}

/* What `configure` says of a network. */
static int net_read(const char *name, const json_t *v, struct sw_net *to, struct err *e)
{
	static const struct {
		const char *key;
		json_int_t min, max;
	} keys[] = { { "mtu", SW_MTU_MIN, SW_MTU_MAX }, { "ageing_s", 1, SW_AGEING_MAX_S } };
	uint32_t *field[] = { &to->mtu, &to->ageing_s };
	const uint32_t otherwise[] = { SW_MTU_DEFAULT, SW_AGEING_DEFAULT_S };
	const char *key;
	json_t *n;

	if (!json_is_object(v))
		return err_request_at(
			e, -EINVAL, "networks", "network \"%.63s\": expected an object", name);
	json_object_foreach ((json_t *)v, key, n) {
		size_t i = strcmp(key, "mtu") == 0 ? 0 : strcmp(key, "ageing_s") == 0 ? 1 : 2;
		json_int_t value = json_integer_value(n);

		if (i == 2)
			return err_request_at(e, -EINVAL, key,
				"network \"%.63s\": unknown key \"%.100s\"", name, key);
		if (json_is_null(n))
			value = otherwise[i];
		else if (!json_is_integer(n) || value < keys[i].min || value > keys[i].max)
			return err_request_at(e, -ERANGE, key,
				"network \"%.63s\": %s must be an integer from %lld to %lld", name,
				key, (long long)keys[i].min, (long long)keys[i].max);
		*field[i] = (uint32_t)value;
	}
	return 0;
}

/* All that `configure` says of networks, into nets[]: copies of the model's. */
static int nets_read(
	const struct sw *sw, const json_t *networks, struct sw_net *nets, struct err *e)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)networks, name, v) {
		int i = sw_net_find(sw, name), ret;

		if (i < 0)
			return err_request_at(
				e, -ENOENT, "networks", "there is no network \"%.63s\"", name);
		ret = net_read(name, v, &nets[i], e);
		if (ret)
			return ret;
	}
	return 0;
}

static int change_read(
	struct sw *sw, const char *name, const json_t *v, struct sw_change *c, struct err *e)
{
	const char *key;
	json_t *unused;

	c->port = sw_port_find(sw, name);
	if (!c->port)
		return err_request_at(e, -ENOENT, "ports", "there is no port \"%.63s\"", name);
	if (!json_is_object(v))
		return err_request_at(
			e, -EINVAL, "ports", "port \"%.63s\": expected an object", name);
	json_object_foreach ((json_t *)v, key, unused) {
		const char *const *k = sw_policy_keys;

		while (*k && strcmp(*k, key))
			k++;
		if (!*k)
			return err_request_at(e, -EINVAL, key,
				"port \"%.63s\": unknown key \"%.100s\"; a running port's policy can "
				"be changed, nothing else of it",
				name, key);
	}
	if (sw_policy_read(sw_policy_merge(c->port->policy.given, v), &c->policy, e))
		return err_prefix(e, "port \"%.63s\"", name);
	return 0;
}

/* What front ends are offered: librte_vhost's business, so without the lock. */
static void offers_renew(struct sw *sw, const json_t *ports)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)ports, name, v) {
		const struct sw_port *p = sw_port_find(sw, name);

		if (json_object_get(v, "offloads") && p->kind == SW_PORT_VHOST)
			sw_vhost_offer(p);
	}
}

/* Networks' MTUs, to the devices of ports that lead out of the switch. Without the lock. */
static void mtus_renew(struct sw *sw, const json_t *networks)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)networks, name, v) {
		int net = json_object_get(v, "mtu") ? sw_net_find(sw, name) : -1;

		for (uint32_t id = 0; net >= 0 && id < sw->n_ports; id++)
			if (sw->ports[id] && sw->ports[id]->net == net && sw->ports[id]->edge)
				sw_edge_set_mtu(sw->ports[id], sw->nets[net].mtu);
	}
}

/* Under the lock. */
static int configure(struct sw *sw, const json_t *networks, const json_t *ports,
	struct sw_net *nets, struct sw_change *c, struct err *e)
{
	uint32_t n = 0;
	const char *name;
	json_t *v;
	int ret;

	memcpy(nets, sw->nets, sizeof(sw->nets));
	ret = nets_read(sw, networks, nets, e);
	json_object_foreach ((json_t *)ports, name, v) {
		if (ret)
			break;
		ret = change_read(sw, name, v, &c[n], e);
		n += !ret;
	}
	if (ret) {
		while (n)
			sw_policy_free(&c[--n].policy);
		return ret;
	}
	/* What can still fail does so before the first step is taken; networks can't. So they go
	 * first, to be in the same view, and come back if the rest is refused. */
	for (uint32_t i = 0; i < sw->n_nets; i++) {
		struct sw_net old = sw->nets[i];

		sw->nets[i] = nets[i];
		nets[i] = old;
	}
	ret = sw_changes_apply(sw, c, n, e);
	if (ret)
		memcpy(sw->nets, nets, sizeof(sw->nets));
	else
		sw_ages_changed(sw);
	return ret;
}

int sw_configure(struct sw *sw, const json_t *networks, const json_t *ports, struct err *e)
{
	size_t n = json_object_size(ports);
	struct sw_net *nets = malloc(sizeof(sw->nets));
	struct sw_change *c = calloc(n ? n : 1, sizeof(*c));
	int ret = -ENOMEM;

	if (!nets || !c) {
		err_set(e, ret, "no memory for a change of %zu ports", n);
	} else {
		pthread_mutex_lock(&sw->lock);
		ret = configure(sw, networks, ports, nets, c, e);
		pthread_mutex_unlock(&sw->lock);
		if (!ret) {
			offers_renew(sw, ports);
			mtus_renew(sw, networks);
		}
	}
	free(nets);
	free(c);
	return ret;
}
