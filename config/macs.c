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

static struct ether_mac mac_make(const char *lab, const char *node, size_t nic, unsigned salt)
{
	char number[32];
	uint64_t h = 0xcbf29ce484222325ull;
	struct ether_mac m = { { 0x02 } };

	snprintf(number, sizeof(number), "%zu/%u", nic, salt);
	h = hash_add(hash_add(hash_add(h, lab), node), number);
	h ^= h >> 40; /* FNV's high bits are its better ones */
	for (int i = 1; i < 6; i++)
		m.b[i] = (uint8_t)(h >> (8 * (5 - i)));
	return m;
}

/* A set of addresses by open addressing: at most 4096 NICs, half full at most. */
#define SLOTS 8192
struct mac_set {
	struct slot {
		uint64_t mac; /* 0: free (no NIC's address is all zeros) */
		size_t node, nic;
	} slot[SLOTS];
};
_Static_assert(TOPO_ITEMS_MAX *TOPO_NICS_MAX * 2 <= SLOTS, "the set stays half empty");

/* Puts the address in; the slot of the one that was there before, or NULL. */
static const struct slot *set_put(struct mac_set *s, struct ether_mac mac, size_t node, size_t nic)
{
	uint64_t v = ether_mac_u64(mac);
	size_t i = (v * 0x9e3779b97f4a7c15ull) >> 51;

	for (; s->slot[i].mac; i = (i + 1) % SLOTS)
		if (s->slot[i].mac == v)
			return &s->slot[i];
	s->slot[i] = (struct slot){ v, node, nic };
	return NULL;
}

static int put_given(struct dec *d, struct mac_set *set, size_t node, size_t nic)
{
	const struct topology *t = d->t;
	const struct topo_nic *n = &t->nodes[node].nics[nic];
	const struct slot *first = set_put(set, n->mac, node, nic);
	char mac[ETHER_MAC_STR];

	if (!first)
		return 0;
	d->field = "mac";
	dec_enter(d, "node \"%s\", NIC %zu", t->nodes[node].name, nic);
	return dec_error(d, n->mac_place,
		"MAC address %s is node \"%s\", NIC %zu's already (line %d)",
		ether_mac_str(n->mac, mac), t->nodes[first->node].name, first->nic,
		t->nodes[first->node].nics[first->nic].mac_place.line);
}

int macs_settle(struct dec *d)
{
	struct topology *t = d->t;
	struct mac_set *set = calloc(1, sizeof(*set));
	int rc = set ? 0 : dec_nomem(d);

	/* Given ones first: a made one gives way to them. */
	for (size_t i = 0; i < t->n_nodes && !rc; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics && !rc; j++)
			if (t->nodes[i].nics[j].mac_given)
				rc = put_given(d, set, i, j);
	for (size_t i = 0; i < t->n_nodes && !rc; i++) {
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			struct topo_nic *nic = &t->nodes[i].nics[j];
			unsigned salt = 0;

			if (nic->mac_given)
				continue;
			do {
				nic->mac = mac_make(t->lab, t->nodes[i].name, j, salt++);
			} while (set_put(set, nic->mac, i, j));
		}
	}
	free(set);
	return rc;
}
