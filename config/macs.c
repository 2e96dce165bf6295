/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAC addresses: given ones must be unique; the others are made from a hash of lab, node and NIC
 * (locally administered, unicast, 02:...), so that a lab's addresses are alike in every run and
 * those of two labs differ. A made one that is taken already is made again with a salt.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"

/* FNV-1a, 64 bits, over the string and its NUL, so that "a", "b0" differs from "ab", "0". */
static uint64_t hash_add(uint64_t h, const char *s)
{
	do {
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	} while (*s++);
	return h;
}

static struct ether_mac mac_make(const char *lab, const char *node, const char *nic, unsigned salt)
{
	char number[TOPO_NAME_MAX + 32];
	uint64_t h = 0xcbf29ce484222325ull;
	struct ether_mac m = { { 0x02 } };

	snprintf(number, sizeof(number), "%s/%u", nic, salt);
	h = hash_add(hash_add(hash_add(h, lab), node), number);
	h ^= h >> 40; /* FNV's high bits are its better ones */
	for (int i = 1; i < 6; i++)
		m.b[i] = (uint8_t)(h >> (8 * (5 - i)));
	return m;
}

/* A set of addresses by open addressing: of NICs, ports, and VFs that nobody in the lab has. */
#define SLOTS (1u << 17)
struct mac_set {
	struct slot {
		uint64_t mac;     /* 0: free (no NIC's address is all zeros) */
		size_t node, nic; /* PORT, and which; or VF, and PF * PFS_VFS_MAX + index */
	} slot[SLOTS];
};
#define PORT SIZE_MAX
#define VF   (SIZE_MAX - 1)
_Static_assert((TOPO_ITEMS_MAX * (TOPO_NICS_MAX + 1) + PFS_PFS_MAX * PFS_VFS_MAX) * 6 < SLOTS * 5,
	"the set never is full");

/* Puts the address in; the slot of the one that was there before, or NULL. */
static const struct slot *set_put(struct mac_set *s, struct ether_mac mac, size_t node, size_t nic)
{
	uint64_t v = ether_mac_u64(mac);
	size_t i = (v * 0x9e3779b97f4a7c15ull) >> (64 - 17);

	for (; s->slot[i].mac; i = (i + 1) % SLOTS)
		if (s->slot[i].mac == v)
			return &s->slot[i];
	s->slot[i] = (struct slot){ v, node, nic };
	return NULL;
}

static const struct vf_want *find_vf(const struct topology *t, const struct slot *s)
{
	const struct pf_want *pf = &t->pfs->v[s->nic / PFS_VFS_MAX];
	size_t i = 0;

	while (pf->vfs[i].index != s->nic % PFS_VFS_MAX)
		i++;
	return &pf->vfs[i];
}

/* "node "a", NIC 0", "port "up0"", "VF 3 of "pf0"", to out[TOPO_NAME_MAX + 32]; its line to *line. */
static const char *holder_name(const struct topology *t, const struct slot *s, char *out, int *line)
{
	if (s->node == PORT) {
		snprintf(out, TOPO_NAME_MAX + 32, "port \"%s\"", t->ports[s->nic].name);
		*line = t->ports[s->nic].mac_place.line;
	} else if (s->node == VF) {
		snprintf(out, TOPO_NAME_MAX + 32, "VF %zu of \"%s\"", s->nic % PFS_VFS_MAX,
			t->pfs->v[s->nic / PFS_VFS_MAX].name);
		*line = find_vf(t, s)->places[VF_MAC].line;
	} else {
		snprintf(out, TOPO_NAME_MAX + 32, "node \"%s\", NIC %zu", t->nodes[s->node].name,
			s->nic);
		*line = t->nodes[s->node].nics[s->nic].mac_place.line;
	}
	return out;
}

static int taken(
	struct dec *d, const struct slot *first, struct ether_mac addr, struct topo_place at)
{
	char mac[ETHER_MAC_STR], who[TOPO_NAME_MAX + 32];
	int line;

	d->field = "mac";
	holder_name(d->t, first, who, &line);
	return dec_error(d, at, "MAC address %s is %s's already (line %d)",
		ether_mac_str(addr, mac), who, line);
}

static int put_given(struct dec *d, struct mac_set *set, size_t node, size_t nic)
{
	const struct topology *t = d->t;
	const struct topo_nic *n = &t->nodes[node].nics[nic];
	const struct slot *first = set_put(set, n->mac, node, nic);

	if (!first)
		return 0;
	dec_enter(d, "node \"%s\", NIC %zu", t->nodes[node].name, nic);
	return taken(d, first, n->mac, n->mac_place);
}

/* A VF through which the switch reaches the wire may have the address of a NIC behind it: many a
 * PF gives a VF no frames but those to its own. */
static int put_port(struct dec *d, struct mac_set *set, size_t i)
{
	const struct topology *t = d->t;
	const struct topo_port *p = &t->ports[i];
	const struct slot *first = set_put(set, p->mac, PORT, i);

	if (!first ||
		(first->node < VF && t->nodes[first->node].nics[first->nic].network == p->network))
		return 0;
	dec_enter(d, "port \"%s\"", p->name);
	return taken(d, first, p->mac, p->mac_place);
}

/* VFs that `pfs` describes and nobody in the lab has. They differ from each other already. */
static void put_described(const struct topology *t, struct mac_set *set)
{
	char name[TOPO_NAME_MAX + 12];

	for (size_t i = 0; i < t->pfs->n; i++)
		for (size_t k = 0; k < t->pfs->v[i].n_vfs; k++) {
			const struct vf_want *vf = &t->pfs->v[i].vfs[k];

			if (vf->attrs.has & 1u << VF_MAC &&
				!topology_vf_user(t, i, vf->index, name))
				set_put(set, vf->attrs.mac, VF, i * PFS_VFS_MAX + vf->index);
		}
}

static void make_all(struct topology *t, struct mac_set *set)
{
	char number[16];
	unsigned salt;

	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			struct topo_nic *nic = &t->nodes[i].nics[j];

			snprintf(number, sizeof(number), "%zu", j);
			for (salt = 0; !nic->mac_given; salt++) {
				nic->mac = mac_make(t->lab, t->nodes[i].name, number, salt);
				if (!set_put(set, nic->mac, i, j))
					break;
			}
		}
	for (size_t i = 0; i < t->n_ports; i++) {
		struct topo_port *p = &t->ports[i];

		for (salt = 0; p->kind == TOPO_PORT_VF && !p->mac_given; salt++) {
			p->mac = mac_make(t->lab, p->name, "port", salt);
			if (!set_put(set, p->mac, PORT, i))
				break;
		}
	}
}

int macs_settle(struct dec *d)
{
	struct topology *t = d->t;
	struct mac_set *set = calloc(1, sizeof(*set));
	int rc = set ? 0 : dec_nomem(d);

	/* Given ones first: a made one gives way to them. */
	if (!rc)
		put_described(t, set);
	for (size_t i = 0; i < t->n_nodes && !rc; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics && !rc; j++)
			if (t->nodes[i].nics[j].mac_given)
				rc = put_given(d, set, i, j);
	for (size_t i = 0; i < t->n_ports && !rc; i++)
		if (t->ports[i].mac_given)
			rc = put_port(d, set, i);
	if (!rc)
		make_all(t, set);
	free(set);
	return rc;
}
