/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policies say together: static addresses of one network and VLAN are given once, and where
 * their VLAN gets to; who listens to whom; anti-spoofing where there is an address to hold on to.
 * Runs when all ports and MACs are known.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"

/* A port of the switch: a NIC's, or (node < 0) a host port. */
struct ref {
	struct topo_policy *policy;
	size_t network, at; /* at: NIC number, or index among the ports */
	int node;
	const struct ref *listener; /* whose mirror this port feeds */
	struct topo_place listener_place;
};

struct refs {
	size_t n;
	struct ref *ref;
};

static int refs_make(struct dec *d, struct refs *r)
{
	struct topology *t = d->t;
	size_t n = t->n_ports;

	for (size_t i = 0; i < t->n_nodes; i++)
		n += t->nodes[i].n_nics;
	*r = (struct refs){ .ref = calloc(n ? n : 1, sizeof(*r->ref)) };
	if (!r->ref)
		return dec_nomem(d);
	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			struct topo_nic *nic = &t->nodes[i].nics[j];

			if (nic->vf.want)
				continue;
			r->ref[r->n++] = (struct ref){ &nic->policy, nic->network, j, (int)i };
		}
	for (size_t i = 0; i < t->n_ports; i++)
		r->ref[r->n++] = (struct ref){ &t->ports[i].policy, t->ports[i].network, i, -1 };
	return 0;
}

static const char *ref_name(const struct topology *t, const struct ref *r, char *out)
{
	if (r->node < 0)
		return t->ports[r->at].name;
	return topology_port_name(t, (size_t)r->node, r->at, out);
}

static void enter(struct dec *d, const struct ref *r, const char *field)
{
	d->field = field;
	if (r->node < 0)
		dec_enter(d, "port \"%s\"", d->t->ports[r->at].name);
	else
		dec_enter(d, "node \"%s\", NIC %zu", d->t->nodes[r->node].name, r->at);
}

static bool carries(const struct topo_vlan *v, uint16_t vlan)
{
	switch (v->mode) {
	case TOPO_VLAN_ALL:
		return true;
	case TOPO_VLAN_ACCESS:
		return vlan == v->untagged;
	case TOPO_VLAN_TRUNK:
		return v->has[vlan / 64] >> vlan % 64 & 1;
	}
	return false;
}

/* ---- static addresses ---- */

struct key {
	uint64_t network_vlan, mac;
	const struct ref *ref;
	struct topo_place place;
};

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->network_vlan != y->network_vlan)
		return x->network_vlan < y->network_vlan ? -1 : 1;
	if (x->mac != y->mac)
		return x->mac < y->mac ? -1 : 1;
	return x->place.line != y->place.line ? x->place.line - y->place.line
					      : x->place.col - y->place.col;
}

static int check_static_vlan(struct dec *d, const struct ref *r, const struct topo_static *s)
{
	const struct topo_vlan *v = &r->policy->vlan;

	if (s->vlan ? carries(v, s->vlan) : v->untagged || v->mode == TOPO_VLAN_ALL)
		return 0;
	enter(d, r, "static");
	if (!s->vlan)
		return dec_error(d, s->place,
			"of which VLAN is this address? The port's trunk has no native one: say "
			"{ \"mac\": .., \"vlan\": .. }");
	return dec_error(d, s->place, "VLAN %u does not get to this port (\"vlan\", line %d)",
		s->vlan, v->place.line);
}

static int keys_check(struct dec *d, struct key *key, size_t n)
{
	char name[TOPO_NAME_MAX + 12], mac[ETHER_MAC_STR];

	qsort(key, n, sizeof(*key), by_key);
	for (size_t i = 1; i < n; i++) {
		struct ether_mac m;

		if (key[i].mac != key[i - 1].mac || key[i].network_vlan != key[i - 1].network_vlan)
			continue;
		for (int b = 0; b < 6; b++)
			m.b[b] = (uint8_t)(key[i].mac >> (40 - 8 * b));
		enter(d, key[i].ref, "static");
		return dec_error(d, key[i].place,
			"static address %s is port %s's already in this network and VLAN (line %d)",
			ether_mac_str(m, mac), ref_name(d->t, key[i - 1].ref, name),
			key[i - 1].place.line);
	}
	return 0;
}

static int check_statics(struct dec *d, const struct refs *r)
{
	struct key *key;
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->ref[i].policy->n_statics;
	key = calloc(n ? n : 1, sizeof(*key));
	if (!key)
		return dec_nomem(d);
	n = 0;
	for (size_t i = 0; i < r->n && !rc; i++) {
		const struct ref *ref = &r->ref[i];

		for (size_t k = 0; k < ref->policy->n_statics && !rc; k++) {
			const struct topo_static *s = &ref->policy->statics[k];
			uint16_t vlan = s->vlan ? s->vlan : ref->policy->vlan.untagged;

			key[n++] = (struct key){ (uint64_t)ref->network << 12 | vlan,
				ether_mac_u64(s->mac), ref, s->place };
			rc = check_static_vlan(d, ref, s);
		}
	}
	if (!rc)
		rc = keys_check(d, key, n);
	free(key);
	return rc;
}

/* ---- mirrors ---- */

struct ref_name {
	char text[TOPO_NAME_MAX + 12];
};

static const char *word_of_names(const void *ctx, size_t i)
{
	return ((const struct ref_name *)ctx)[i].text;
}

static int unknown_port(struct dec *d, const struct refs *refs, const struct topo_mirror_from *m)
{
	struct ref_name *name = calloc(refs->n ? refs->n : 1, sizeof(*name));
	char text[TOPO_NAME_MAX + 12];
	int rc;

	if (!name)
		return dec_nomem(d);
	for (size_t i = 0; i < refs->n; i++)
		snprintf(name[i].text, sizeof(name[i].text), "%s",
			ref_name(d->t, &refs->ref[i], text));
	rc = dec_error_unknown(d, m->place, "port", m->port, refs->n, word_of_names, name);
	free(name);
	return rc;
}

static struct ref *ref_find(const struct topology *t, const struct refs *r, const char *name)
{
	char text[TOPO_NAME_MAX + 12];

	for (size_t i = 0; i < r->n; i++)
		if (strcmp(ref_name(t, &r->ref[i], text), name) == 0)
			return &r->ref[i];
	return NULL;
}

static int check_mirror(struct dec *d, const struct refs *refs, const struct ref *listener,
	const struct topo_mirror_from *m)
{
	struct ref *from = ref_find(d->t, refs, m->port);
	char name[TOPO_NAME_MAX + 12];

	if (from && from != listener && !from->policy->mirror.n && !from->listener) {
		from->listener = listener;
		from->listener_place = m->place;
		return 0;
	}
	enter(d, listener, "mirror");
	if (!from)
		return unknown_port(d, refs, m);
	if (from == listener)
		return dec_error(d, m->place, "a port can't mirror itself");
	if (from->listener)
		return dec_error(d, m->place,
			"%s is mirrored to %s already (line %d), and a port has one mirror",
			m->port, ref_name(d->t, from->listener, name), from->listener_place.line);
	return dec_error(d, m->place,
		"%s listens to a mirror itself (line %d): a mirror of a mirror is not possible",
		m->port, from->policy->mirror.from[0].place.line);
}

static int check_mirrors(struct dec *d, const struct refs *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct topo_mirror *m = &r->ref[i].policy->mirror;

		for (size_t k = 0; k < m->n; k++)
			if (check_mirror(d, r, &r->ref[i], &m->from[k]))
				return -EINVAL;
	}
	return 0;
}

/* ---- one port ---- */

static int check_one(struct dec *d, const struct ref *r)
{
	const struct topology *t = d->t;
	const struct topo_policy *p = r->policy;

	if (p->anti_spoof && r->node < 0) {
		enter(d, r, "anti_spoof");
		return dec_error(d, p->spoof_place,
			"a host port stands for many stations: anti-spoofing is for NICs");
	}
	if (p->anti_spoof && t->nodes[r->node].kind == TOPO_EXTERNAL &&
		!t->nodes[r->node].nics[r->at].mac_given) {
		enter(d, r, "anti_spoof");
		return dec_error(d, p->spoof_place,
			"say with \"mac\" which address the client will have: Lanyard doesn't give "
			"it one");
	}
	if (p->offloads_given && r->node < 0) {
		enter(d, r, "offloads");
		return dec_error(d, p->offloads_place,
			"a host port's offloads are those of its device: this is for NICs");
	}
	return 0;
}

int policies_settle(struct dec *d)
{
	struct refs refs;
	int rc = refs_make(d, &refs);

	for (size_t i = 0; i < refs.n && !rc; i++)
		rc = check_one(d, &refs.ref[i]);
	if (!rc)
		rc = check_statics(d, &refs);
	if (!rc)
		rc = check_mirrors(d, &refs);
	free(refs.ref);
	return rc;
}

const char *topology_apart(
	const struct topo_policy *from, const struct topo_policy *to, char *out, size_t size)
{
	static const char none[] = "no VLAN";
	char a[32], b[32];

	if (from->admin || to->admin) {
		snprintf(out, size, "the %s's \"admin\" is \"down\"",
			from->admin ? "sender" : "receiver");
		return out;
	}
	if (from->mirror.n || to->mirror.n) {
		snprintf(out, size, "the %s listens to a mirror, and %s",
			from->mirror.n ? "sender" : "receiver",
			from->mirror.n ? "what it sends is dropped" : "gets nothing else");
		return out;
	}
	if (from->isolated && to->isolated) {
		snprintf(out, size, "both are isolated");
		return out;
	}
	if (from->vlan.untagged == to->vlan.untagged &&
		(from->vlan.untagged ||
			(from->vlan.mode == TOPO_VLAN_ALL && to->vlan.mode == TOPO_VLAN_ALL)))
		return NULL;
	snprintf(a, sizeof(a), "VLAN %u", from->vlan.untagged);
	snprintf(b, sizeof(b), "VLAN %u", to->vlan.untagged);
	snprintf(out, size, "untagged frames are in %s at the sender and in %s at the receiver",
		from->vlan.untagged ? a : none, to->vlan.untagged ? b : none);
	return out;
}
