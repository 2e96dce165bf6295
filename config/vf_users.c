/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which VF of a topology's PFs. A NIC of a guest, or a port of the switch, names the PF
 * ("vf": "pf0"); which of its VFs that is may be said ("index"), else it is the lowest one that
 * nobody asked for and `pfs` doesn't describe. How many VFs there are is said ("num_vfs"), or it is
 * as many as are used. In the end `pfs` holds all that is wanted of each, wherever it was said.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"

/* Who has a VF needs it from there. */
#define VFIO "vfio-pci"

/* ---- keys ---- */

static const char *word_of_pfs(const void *ctx, size_t i)
{
	return ((const struct pfs *)ctx)->v[i].name;
}

int vf_pf(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const struct pfs *pfs = d->t->pfs;
	const char *s = json_string_value(v->json);
	struct topo_vf *vf = out;

	if (!s)
		return dec_error_type(d, v, "the name of a PF in \"pfs\"");
	vf->place = v->place;
	for (size_t i = 0; i < pfs->n; i++)
		if (strcmp(pfs->v[i].name, s) == 0) {
			vf->pf = i;
			return 0;
		}
	return dec_error_unknown(d, v->place, "PF", s, pfs->n, word_of_pfs, pfs);
}

static const struct dec_range index_range = { 0, PFS_VFS_MAX - 1, "" };
static const struct dec_field index_row = { "index", dec_uint, .arg = &index_range };

int vf_index(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_vf *vf = out;

	vf->index_given = true;
	vf->index_place = v->place;
	return dec_uint(d, v, &index_row, &vf->index);
}

int vf_keep(struct dec *d, struct topo_vf *vf, const struct vf_want *want)
{
	vf->want = malloc(sizeof(*vf->want));
	if (!vf->want)
		return dec_nomem(d);
	*vf->want = *want;
	return 0;
}

/* ---- a NIC that is a VF ---- */

struct entry {
	struct topo_nic nic; /* first: rows tell offsets in it */
	struct vf_want want;
};

const struct dec_field vf_nic_keys[] = {
	{ "vf", vf_pf, offsetof(struct entry, nic.vf), .required = true,
		.kinds = 1u << DEC_LINUX | 1u << DEC_FILE },
	{ "index", vf_index, offsetof(struct entry, nic.vf) },
	VF_KEYS(offsetof(struct entry, want)),
	{ "addresses", address_list, 0, .kinds = 1u << DEC_LINUX,
		.only = "VMs whose guest is \"linux\"" },
	{ 0 },
};

/* Keys of NICs on a network. */
static const char *const network_keys[] = { "network", "queues", "ring", "packed", "mergeable",
	"isolated", "admin", "mac_limit", "static", "anti_spoof", "storm", "police", "mirror",
	"offloads" };

static int check_nic_keys(struct dec *d, const struct jtree *v)
{
	for (size_t i = 0; i < sizeof(network_keys) / sizeof(network_keys[0]); i++) {
		const char *key = network_keys[i];
		const struct jtree *c = jtree_get(v, key);

		if (!c)
			continue;
		d->field = key;
		if (i == 0)
			return dec_error(d, c->key_place,
				"a NIC is on a network or is a VF, not both: leave \"network\" or "
				"\"vf\" (line %d) out",
				jtree_get(v, "vf")->place.line);
		return dec_error(d, c->key_place,
			"\"%s\" is for NICs on a network: the switch never sees the frames of a VF",
			key);
	}
	return 0;
}

int vf_nic(struct dec *d, const struct jtree *v, int kind, struct topo_nic *nic)
{
	static const char *const others[] = { [DEC_PROBE] = "our probe",
		[DEC_PROCESS] = "a node of kind process",
		[DEC_EXTERNAL] = "a client that isn't ours" };
	struct entry x = { .nic = *nic, .want.place = v->place };
	int rc;

	d->field = "vf";
	if (kind != DEC_LINUX && kind != DEC_FILE)
		return dec_error(d, jtree_get(v, "vf")->key_place,
			"a VF needs a guest that can drive it: a VM whose guest is \"linux\" or an "
			"image's file, not %s",
			others[kind]);
	rc = check_nic_keys(d, v);
	d->field = rc ? d->field : NULL;
	if (!rc)
		rc = dec_object(d, v, vf_nic_keys, kind, &x);
	/* The model owns what was made, whether all of it was or not. */
	*nic = x.nic;
	nic->network = TOPO_NO_NETWORK;
	nic->queues = 1;
	nic->mac = x.want.attrs.mac;
	nic->mac_given = x.want.attrs.has & 1u << VF_MAC;
	nic->mac_place = x.want.places[VF_MAC];
	return rc ? rc : vf_keep(d, &nic->vf, &x.want);
}

/* ---- who has which ---- */

/* Which VFs are given out: a bit each. */
struct taken {
	uint64_t pf[PFS_PFS_MAX][PFS_VFS_MAX / 64];
};

/* A VF's user: a NIC, or (node < 0) a port. */
struct user {
	struct topo_vf *vf;
	int node;
	size_t at;
};

struct users {
	size_t n;
	struct user *v;
	struct taken taken;
};

static struct users *users_make(struct dec *d)
{
	struct users *u = calloc(1, sizeof(*u));
	struct topology *t = d->t;
	size_t room = t->n_ports + 1;

	for (size_t i = 0; i < t->n_nodes; i++)
		room += t->nodes[i].n_nics;
	if (u)
		u->v = calloc(room, sizeof(*u->v));
	if (!u || !u->v) {
		dec_nomem(d);
		free(u);
		return NULL;
	}
	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics; j++)
			if (t->nodes[i].nics[j].vf.want)
				u->v[u->n++] = (struct user){ &t->nodes[i].nics[j].vf, (int)i, j };
	for (size_t i = 0; i < t->n_ports; i++)
		if (t->ports[i].kind == TOPO_PORT_VF)
			u->v[u->n++] = (struct user){ &t->ports[i].vf, -1, i };
	return u;
}

static void users_free(struct users *u)
{
	if (u)
		free(u->v);
	free(u);
}

static void enter(struct dec *d, const struct user *u, const char *field)
{
	d->field = field;
	if (u->node < 0)
		dec_enter(d, "port \"%s\"", d->t->ports[u->at].name);
	else
		dec_enter(d, "node \"%s\", NIC %zu", d->t->nodes[u->node].name, u->at);
}

static const char *user_name(const struct topology *t, const struct user *u, char *out)
{
	if (u->node < 0)
		return t->ports[u->at].name;
	return topology_port_name(t, (size_t)u->node, u->at, out);
}

/* Takes it; false: it is taken. */
static bool take(struct taken *taken, size_t pf, uint32_t index)
{
	uint64_t *word = &taken->pf[pf][index / 64], bit = 1ull << index % 64;
	bool was = *word & bit;

	*word |= bit;
	return !was;
}

/* The first that said that it has that VF. */
static const struct user *holder(const struct users *u, const struct topo_vf *vf)
{
	const struct user *x = u->v;

	while (!x->vf->index_given || x->vf->pf != vf->pf || x->vf->index != vf->index)
		x++;
	return x;
}

static bool says_number(const struct pf_want *pf)
{
	return pf->attrs.has & 1u << PF_NUM_VFS;
}

static int settle_given(struct dec *d, struct users *all, const struct user *u)
{
	const struct topo_vf *vf = u->vf;
	const struct pf_want *pf = &d->t->pfs->v[vf->pf];
	uint32_t n = pf->attrs.num_vfs;
	const struct user *other;
	char name[TOPO_NAME_MAX + 12];

	if (says_number(pf) && vf->index >= n) {
		enter(d, u, "index");
		return dec_error(d, vf->index_place,
			"PF \"%s\" has %u VF%s, counted from 0 (\"num_vfs\", line %d); found %u",
			pf->name, n, n == 1 ? "" : "s", pf->places[PF_NUM_VFS].line, vf->index);
	}
	if (take(&all->taken, vf->pf, vf->index))
		return 0;
	other = holder(all, vf);
	enter(d, u, "index");
	return dec_error(d, vf->index_place, "VF %u of PF \"%s\" is %s's already (line %d)",
		vf->index, pf->name, user_name(d->t, other, name), other->vf->index_place.line);
}

static int settle_free(struct dec *d, struct users *all, const struct user *u)
{
	struct topo_vf *vf = u->vf;
	const struct pf_want *pf = &d->t->pfs->v[vf->pf];
	uint32_t n = says_number(pf) ? pf->attrs.num_vfs : PFS_VFS_MAX;

	for (vf->index = 0; vf->index < n; vf->index++)
		if (take(&all->taken, vf->pf, vf->index))
			return 0;
	enter(d, u, "vf");
	if (!says_number(pf))
		return dec_error(
			d, vf->place, "PF \"%s\" has no VF left: it has %u at most", pf->name, n);
	return dec_error(d, vf->place,
		"PF \"%s\" has no VF left: its %u %s given out already (\"num_vfs\", line %d)",
		pf->name, n, n == 1 ? "is" : "are", pf->places[PF_NUM_VFS].line);
}

static struct vf_want *described(const struct pf_want *pf, uint32_t index)
{
	for (size_t i = 0; i < pf->n_vfs; i++)
		if (pf->vfs[i].index == index)
			return &pf->vfs[i];
	return NULL;
}

/* What theirs says goes to mine. */
static void merge(struct vf_want *mine, const struct vf_want *theirs)
{
	const struct vf_attrs *from = &theirs->attrs;
	struct vf_attrs *to = &mine->attrs;

	for (int a = 0; a < VF_ATTRS_N; a++) {
		if (!(from->has & 1u << a))
			continue;
		switch ((enum vf_attr)a) {
		case VF_MAC:
			to->mac = from->mac;
			break;
		case VF_VLAN:
			to->vlan = from->vlan;
			to->qos = from->qos;
			to->vlan_proto = from->vlan_proto;
			break;
		case VF_MIN_RATE:
			to->min_rate = from->min_rate;
			break;
		case VF_MAX_RATE:
			to->max_rate = from->max_rate;
			break;
		case VF_SPOOFCHK:
			to->spoofchk = from->spoofchk;
			break;
		case VF_TRUST:
			to->trust = from->trust;
			break;
		case VF_LINK_STATE:
			to->link_state = from->link_state;
			break;
		case VF_DRIVER:
			snprintf(to->driver, sizeof(to->driver), "%s", from->driver);
			break;
		case VF_ATTRS_N:
			break;
		}
		mine->places[a] = theirs->places[a];
	}
	to->has |= from->has;
}

/* What "vfs" of the PF says of this VF holds for its user; said twice, it is an error. */
static int absorb(struct dec *d, const struct user *u)
{
	struct vf_want *mine = u->vf->want;
	const struct vf_want *theirs = described(&d->t->pfs->v[u->vf->pf], u->vf->index);

	for (int a = 0; theirs && a < VF_ATTRS_N; a++) {
		if (!(theirs->attrs.has & mine->attrs.has & 1u << a))
			continue;
		enter(d, u, vf_attr_names[a]);
		return dec_error(d, mine->places[a],
			"\"%s\" of VF %u is said in line %d already: leave one of the two out",
			vf_attr_names[a], u->vf->index, theirs->places[a].line);
	}
	if (theirs)
		merge(mine, theirs);
	return 0;
}

static void take_mac(struct topology *t, const struct user *u)
{
	const struct vf_want *want = u->vf->want;
	bool given = want->attrs.has & 1u << VF_MAC;

	if (u->node < 0) {
		t->ports[u->at].mac = want->attrs.mac;
		t->ports[u->at].mac_given = given;
		t->ports[u->at].mac_place = want->places[VF_MAC];
	} else {
		struct topo_nic *nic = &t->nodes[u->node].nics[u->at];

		nic->mac = want->attrs.mac;
		nic->mac_given = given;
		nic->mac_place = want->places[VF_MAC];
	}
}

/* A PF that the switch drives itself makes no VFs: DPDK's driver for it has no kernel to ask. */
static int settle_whole(struct dec *d, const struct users *u)
{
	struct topology *t = d->t;

	for (size_t i = 0; i < t->n_ports; i++) {
		const struct topo_port *port = &t->ports[i];
		struct pf_want *pf = &t->pfs->v[port->vf.pf];
		char name[TOPO_NAME_MAX + 12];

		if (port->kind != TOPO_PORT_PF)
			continue;
		d->field = "pf";
		if (says_number(pf) || pf->n_vfs)
			return dec_error(d,
				says_number(pf) ? pf->places[PF_NUM_VFS] : pf->vfs[0].place,
				"PF \"%s\" is given to the switch whole (port \"%s\", line %d), "
				"and then has no VFs: leave them out, or make the port a \"vf\"",
				pf->name, port->name, port->device_place.line);
		for (size_t k = 0; k < u->n; k++)
			if (u->v[k].vf->pf == port->vf.pf)
				return dec_error(d, u->v[k].vf->place,
					"%s can't have a VF of \"%s\": port \"%s\" takes that PF whole "
					"(line %d); make that a \"vf\" as well",
					user_name(t, &u->v[k], name), pf->name, port->name,
					port->device_place.line);
		if (!(pf->attrs.has & 1u << PF_DRIVER))
			snprintf(pf->attrs.driver, sizeof(pf->attrs.driver), VFIO);
		pf->attrs.has |= 1u << PF_DRIVER;
	}
	return 0;
}

/* As many as anybody needs, where it isn't said. */
static void count_vfs(struct topology *t, const struct users *u)
{
	for (size_t i = 0; i < t->pfs->n; i++) {
		struct pf_want *pf = &t->pfs->v[i];
		uint32_t n = pf->n_vfs ? pf->vfs[pf->n_vfs - 1].index + 1 : 0;

		for (size_t k = 0; k < u->n; k++)
			if (u->v[k].vf->pf == i && u->v[k].vf->index >= n)
				n = u->v[k].vf->index + 1;
		if (says_number(pf) || !n)
			continue;
		pf->attrs.num_vfs = n;
		pf->attrs.has |= 1u << PF_NUM_VFS;
		pf->places[PF_NUM_VFS] = pf->place;
	}
}

int vf_settle(struct dec *d)
{
	struct users *u = users_make(d);
	const struct pfs *pfs = d->t->pfs;
	int rc = u ? settle_whole(d, u) : -ENOMEM;

	for (size_t i = 0; u && i < u->n && !rc; i++)
		if (u->v[i].vf->index_given)
			rc = settle_given(d, u, &u->v[i]);
	for (size_t i = 0; i < pfs->n && !rc; i++)
		for (size_t k = 0; k < pfs->v[i].n_vfs; k++)
			take(&u->taken, i, pfs->v[i].vfs[k].index);
	for (size_t i = 0; u && i < u->n && !rc; i++)
		if (!u->v[i].vf->index_given)
			rc = settle_free(d, u, &u->v[i]);
	for (size_t i = 0; u && i < u->n && !rc; i++) {
		rc = absorb(d, &u->v[i]);
		take_mac(d->t, &u->v[i]);
	}
	if (!rc)
		count_vfs(d->t, u);
	users_free(u);
	return rc;
}

/* ---- what is wanted ---- */

static void want_vfio(struct vf_want *want)
{
	if (want->attrs.has & 1u << VF_DRIVER)
		return;
	snprintf(want->attrs.driver, sizeof(want->attrs.driver), VFIO);
	want->attrs.has |= 1u << VF_DRIVER;
	want->places[VF_DRIVER] = want->place;
}

/* The switch sends with others' addresses, and wants their frames: unless the file says otherwise,
 * its VF may. */
static void want_freedom(struct vf_want *want)
{
	struct vf_attrs *a = &want->attrs;

	if (!(a->has & 1u << VF_SPOOFCHK))
		want->places[VF_SPOOFCHK] = want->place;
	if (!(a->has & 1u << VF_TRUST)) {
		want->places[VF_TRUST] = want->place;
		a->trust = true;
	}
	a->has |= 1u << VF_SPOOFCHK | 1u << VF_TRUST;
}

static int put(struct dec *d, struct pf_want *pf, const struct vf_want *want)
{
	struct vf_want *vf = described(pf, want->index);

	if (!vf) {
		struct vf_want *grown = realloc(pf->vfs, (pf->n_vfs + 1) * sizeof(*grown));
		size_t at = pf->n_vfs;

		if (!grown)
			return dec_nomem(d);
		pf->vfs = grown;
		for (; at > 0 && grown[at - 1].index > want->index; at--)
			grown[at] = grown[at - 1];
		vf = &grown[at];
		pf->n_vfs++;
	}
	*vf = *want;
	return 0;
}

int vf_finish(struct dec *d)
{
	struct users *u = users_make(d);
	struct topology *t = d->t;
	int rc = u ? 0 : -ENOMEM;

	for (size_t i = 0; u && i < u->n && !rc; i++) {
		const struct user *x = &u->v[i];
		struct vf_want *want = x->vf->want;

		want->index = x->vf->index;
		want->attrs.mac =
			x->node < 0 ? t->ports[x->at].mac : t->nodes[x->node].nics[x->at].mac;
		if (!(want->attrs.has & 1u << VF_MAC))
			want->places[VF_MAC] = want->place;
		want->attrs.has |= 1u << VF_MAC;
		want_vfio(want);
		if (x->node < 0)
			want_freedom(want);
		rc = put(d, &t->pfs->v[x->vf->pf], want);
	}
	users_free(u);
	return rc;
}

const struct topo_vf *topology_vf_user(
	const struct topology *t, size_t pf, uint32_t index, char *out)
{
	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			const struct topo_vf *vf = &t->nodes[i].nics[j].vf;

			if (!vf->want || vf->pf != pf || vf->index != index)
				continue;
			topology_port_name(t, i, j, out);
			return vf;
		}
	for (size_t i = 0; i < t->n_ports; i++) {
		const struct topo_vf *vf = &t->ports[i].vf;

		if (!vf->want || vf->pf != pf || vf->index != index)
			continue;
		snprintf(out, TOPO_NAME_MAX + 12, "%s", t->ports[i].name);
		return vf;
	}
	return NULL;
}

const struct dec_shape vf_user_shapes[] = {
	{ vf_pf, .json = SHAPE_NAME },
	{ vf_index, .row = &index_row },
	{ 0 },
};
