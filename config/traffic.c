/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic entries: who sends to whom, what, how fast. An entry's ends become flows (directions):
 *
 *	"from": F, "to": T           every one of F to every one of T (each an end or a list)
 *	  with "both_ways": true     and back
 *	"all_pairs": [E, E, ...]     every one to every other
 *	"paths": "all" or [P, ...]   a path's ends (path.c): an entry of the model for each path, of
 *	                             one name with the path's behind it, so that what runs entries
 *	                             need know nothing of paths
 *
 * Checked here as well: that frames can go from one end to the other, and that they fit.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/ends.h"
#include "config/schema.h"

/* An entry as it is written. */
struct entry {
	struct topo_traffic *t;
	char *name, *group;
	struct ends from, to, all_pairs;
	struct path_names paths;
	struct topo_place both_ways_place, rate_place, max_loss_place, size_place[TOPO_SIZES_MAX];
	bool both_ways;
	size_t n_sizes;
	uint32_t size[TOPO_SIZES_MAX], l4_flows;
	struct rate rate;
	struct topo_method *method;
	double seconds, max_loss;
};

static int decode_both_ways(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct entry *e = out;

	e->both_ways_place = v->place;
	return dec_bool(d, v, f, &e->both_ways);
}

static int decode_entry_rate(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct entry *e = out;

	e->rate_place = v->place;
	return dec_rate(d, v, f, &e->rate);
}

static const struct dec_range loss_range = { 0, 1,
	" (a fraction of the frames sent: 0 is none, 0.001 one in a thousand)" };

static int decode_max_loss(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct entry *e = out;

	e->max_loss_place = v->place;
	return dec_real(d, v, f, &e->max_loss);
}

static int decode_size(struct dec *d, const struct jtree *v, struct entry *e)
{
	const char *word = json_string_value(v->json);
	bool imix = word && strcmp(word, "imix") == 0;
	char found[DEC_SHOW];
	json_int_t size = imix ? TOPO_FRAME_IMIX : json_integer_value(v->json);

	if (!imix && !json_is_integer(v->json))
		return dec_error_type(d, v, "a frame size in bytes, \"imix\", or a list of them");
	if (!imix && (size < TOPO_FRAME_MIN || size > TOPO_FRAME_MAX))
		return dec_error(d, v->place,
			"a frame has %d to %d bytes (its FCS, 4 bytes, counts); found %s",
			TOPO_FRAME_MIN, TOPO_FRAME_MAX, dec_show(v->json, found));
	for (size_t i = 0; i < e->n_sizes; i++)
		if (e->size[i] == size)
			return dec_error(d, v->place, "frame size %s is named twice",
				dec_show(v->json, found));
	e->size_place[e->n_sizes] = v->place;
	e->size[e->n_sizes++] = (uint32_t)size;
	return 0;
}

static int decode_frame(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct entry *e = out;

	if (!json_is_array(v->json))
		return decode_size(d, v, e);
	if (v->n == 0 || v->n > TOPO_SIZES_MAX)
		return dec_error(d, v->place, "\"frame\" must name 1 to %d sizes; found %zu",
			TOPO_SIZES_MAX, v->n);
	for (const struct jtree *c = v->first; c; c = c->next)
		if (decode_size(d, c, e))
			return -EINVAL;
	return 0;
}

static const struct dec_range seconds_range = { 0.1, TOPO_SECONDS_MAX, " seconds" };
static const struct dec_range flows_range = { 1, TOPO_L4_FLOWS_MAX, "" };

static const struct dec_field entry_keys[] = {
	{ "name", dec_title, offsetof(struct entry, name), .required = true },
	{ "from", ends_decode, offsetof(struct entry, from), .def = NULL },
	{ "to", ends_decode, offsetof(struct entry, to), .def = NULL },
	{ "both_ways", decode_both_ways, 0, .def = "false" },
	{ "all_pairs", ends_decode_pairs, offsetof(struct entry, all_pairs), .def = NULL },
	{ "paths", paths_decode_names, offsetof(struct entry, paths), .def = NULL },
	{ "frame", decode_frame, 0, .def = "64" },
	{ "flows", dec_uint, offsetof(struct entry, l4_flows), .def = "1", .arg = &flows_range },
	{ "rate", decode_entry_rate, 0, .def = "\"max\"" },
	{ "method", method_decode, offsetof(struct entry, method), .def = NULL },
	{ "seconds", dec_real, offsetof(struct entry, seconds), .def = "5", .arg = &seconds_range },
	{ "max_loss", decode_max_loss, 0, .arg = &loss_range },
	{ "group", dec_title, offsetof(struct entry, group), .def = NULL },
	{ 0 },
};

/* Which of from, to, both_ways and all_pairs go together. */
static int check_ends(struct dec *d, const struct jtree *v, const struct entry *e)
{
	d->field = NULL;
	if (e->paths.n) {
		const struct ends *other = e->from.n ? &e->from : e->to.n ? &e->to : &e->all_pairs;

		if (other->n)
			return dec_error(d, other->place,
				"\"paths\" have their ends already: leave out \"%s\"",
				e->from.n         ? "from"
					: e->to.n ? "to"
						  : "all_pairs");
		if (e->group)
			return dec_error(d, e->paths.place,
				"each path is measured by itself: leave out \"group\"");
		return 0;
	}
	if (e->all_pairs.n) {
		const struct ends *other = e->from.n ? &e->from : &e->to;

		if (other->n)
			return dec_error(d, other->place,
				"\"all_pairs\" names the ends already: leave out \"%s\"",
				e->from.n ? "from" : "to");
		if (e->both_ways_place.line)
			return dec_error(d, e->both_ways_place,
				"\"all_pairs\" goes both ways already: leave out \"both_ways\"");
		return 0;
	}
	if (!e->from.n && !e->to.n)
		return dec_error(d, v->place,
			"who sends? Name the ends with \"from\" and \"to\", with \"all_pairs\", or "
			"name \"paths\"");
	if (!e->from.n || !e->to.n)
		return dec_error(d, v->place, "\"%s\" is missing", e->from.n ? "to" : "from");
	return 0;
}

/* For three %s: a VF is on no network of the lab's. */
#define WHERE(topo, net)                                                    \
	(net) == TOPO_NO_NETWORK ? "a PF's wire" : "network \"",            \
		(net) == TOPO_NO_NETWORK ? "" : (topo)->networks[net].name, \
		(net) == TOPO_NO_NETWORK ? "" : "\""

/* The longest payload that the NIC's network, or the VF's PF, carries. */
static uint32_t mtu_of(const struct topology *t, const struct topo_nic *nic)
{
	uint32_t mtu;

	if (!nic->vf.want)
		return t->networks[nic->network].mtu;
	mtu = t->pfs->v[nic->vf.pf].attrs.mtu;
	return mtu ? mtu : 1500;
}

/* Whether a NIC of the host's, or a VF, is a port of the network: it may share a VF's wire. */
static bool has_uplink(const struct topology *t, size_t network)
{
	for (size_t i = 0; i < t->n_ports; i++)
		if (t->ports[i].network == network && t->ports[i].kind != TOPO_PORT_TAP &&
			t->ports[i].kind != TOPO_PORT_VDEV)
			return true;
	return false;
}

static bool gets_across(const struct topology *t, size_t a, size_t b)
{
	return a == b || (a == TOPO_NO_NETWORK && has_uplink(t, b)) ||
		(b == TOPO_NO_NETWORK && has_uplink(t, a));
}

static int add_flow(struct dec *d, struct topo_traffic *t, const struct topo_end *from,
	const struct topo_end *to, struct topo_place at)
{
	const struct topology *topo = d->t;
	size_t a = topo->nodes[from->node].nics[from->nic].network;
	size_t b = topo->nodes[to->node].nics[to->nic].network;

	if (!gets_across(topo, a, b))
		return dec_error(d, at,
			"%s.%zu is on %s%s%s and %s.%zu on %s%s%s: no frame gets across",
			topo->nodes[from->node].name, from->nic, WHERE(topo, a),
			topo->nodes[to->node].name, to->nic, WHERE(topo, b));
	t->flows[t->n_flows++] = (struct topo_flow){ *from, *to };
	return 0;
}

static bool has_flow(
	const struct topo_traffic *t, const struct topo_end *from, const struct topo_end *to)
{
	for (size_t i = 0; i < t->n_flows; i++)
		if (ends_same(&t->flows[i].from, from) && ends_same(&t->flows[i].to, to))
			return true;
	return false;
}

/* From every one of `from` to every one of `to`, but not to itself where the lists overlap; a way
 * back that the lists have already (["a.0", "b.0"] to the same, both ways) is not made twice. */
static int make_flows(struct dec *d, struct entry *e)
{
	const struct ends *from = e->all_pairs.n ? &e->all_pairs : &e->from;
	const struct ends *to = e->all_pairs.n ? &e->all_pairs : &e->to;
	struct topo_traffic *t = e->t;

	t->flows = calloc(from->n * to->n * 2, sizeof(*t->flows));
	if (!t->flows)
		return dec_nomem(d);
	for (size_t i = 0; i < from->n; i++) {
		for (size_t j = 0; j < to->n; j++) {
			const struct topo_end *a = &from->end[i], *b = &to->end[j];

			if (ends_same(a, b) || has_flow(t, a, b))
				continue;
			if (add_flow(d, t, a, b, to->place))
				return -EINVAL;
			if (e->both_ways && !has_flow(t, b, a) && add_flow(d, t, b, a, to->place))
				return -EINVAL;
		}
	}
	if (!t->n_flows)
		return dec_error(d, e->to.place, "\"from\" and \"to\" are the same NIC");
	return 0;
}

static int check_frames(struct dec *d, const struct entry *e)
{
	const struct topology *topo = d->t;
	const struct topo_end *end = &e->t->flows[0].from;

	/* Every flow of an entry may be on another network: all of them count. */
	for (size_t f = 0; f < e->t->n_flows; f++) {
		end = &e->t->flows[f].from;
		const struct topo_nic *nic = &topo->nodes[end->node].nics[end->nic];
		uint32_t mtu = mtu_of(topo, nic), max = mtu + ETHER_HDR_LEN + ETHER_FCS_LEN;

		for (size_t i = 0; i < e->n_sizes; i++) {
			uint32_t size =
				e->size[i] == TOPO_FRAME_IMIX ? TOPO_IMIX_LONGEST : e->size[i];

			if (size > max)
				return dec_error(d, e->size_place[i],
					"frames of %u bytes don't fit %s%s%s: with its MTU of %u "
					"they have at most %u (14 of header and 4 of FCS more); raise "
					"the MTU to %u or send smaller ones",
					size, WHERE(topo, nic->network), mtu, max,
					size - ETHER_HDR_LEN - ETHER_FCS_LEN);
		}
	}
	return 0;
}

/* What a search does by itself can't be asked for beside it. */
static int check_method(struct dec *d, const struct jtree *v, const struct entry *e)
{
	d->field = NULL;
	if (!e->method)
		return 0;
	if (topology_method_is_tcp(e->method))
		return tcp_check_keys(d, v);
	if (e->rate_place.line)
		return dec_error(
			d, e->rate_place, "\"method\" searches for the rate: leave out \"rate\"");
	if (e->max_loss_place.line)
		return dec_error(d, e->max_loss_place,
			"\"method\" has the loss that still passes in its \"loss\": leave out "
			"\"max_loss\"");
	if (e->group)
		return dec_error(d, e->method->place,
			"a search needs the path for itself: leave out \"group\"");
	return 0;
}

/* Frames that can only be lost are a mistake, unless the entry says that all may be. */
static int check_apart(struct dec *d, const struct entry *e)
{
	const struct topology *topo = d->t;
	char why[128], from[TOPO_NAME_MAX + 12], to[TOPO_NAME_MAX + 12];

	for (size_t f = 0; f < e->t->n_flows && e->max_loss < 1; f++) {
		const struct topo_end *a = &e->t->flows[f].from, *b = &e->t->flows[f].to;

		if (!topology_apart(&topo->nodes[a->node].nics[a->nic].policy,
			    &topo->nodes[b->node].nics[b->nic].policy, why, sizeof(why)))
			continue;
		return dec_error(d, e->to.n ? e->to.place : e->all_pairs.place,
			"nothing of this gets from %s to %s: %s%s",
			topology_port_name(topo, a->node, a->nic, from),
			topology_port_name(topo, b->node, b->nic, to), why,
			topology_method_is_tcp(e->method)
				? ""
				: "; if it is meant so, say \"max_loss\": 1");
	}
	return 0;
}

/* The entry's k-th path gives it its ends, and its name a tail. */
static int take_path(struct dec *d, struct entry *e, size_t k)
{
	const struct topo_path *p;
	char *name;

	if (!e->paths.n)
		return 0;
	p = &d->t->paths[e->paths.path[k]];
	e->t->path = e->paths.path[k];
	e->from.n = p->n_from;
	e->to.n = p->n_to;
	memcpy(e->from.end, p->from, p->n_from * sizeof(*p->from));
	memcpy(e->to.end, p->to, p->n_to * sizeof(*p->to));
	e->from.place = e->to.place = p->to_place;
	if (asprintf(&name, "%s, %s", e->name, p->name) < 0)
		return dec_nomem(d);
	e->t->entry_name = e->name;
	e->name = e->t->name = name;
	dec_enter(d, "path \"%s\"", p->name);
	return 0;
}

static int check_entry(struct dec *d, struct entry *e)
{
	bool tcp = topology_method_is_tcp(e->method);
	int rc = make_flows(d, e);

	if (!rc)
		rc = tcp ? tcp_check_flow(d, e->t) : check_frames(d, e);
	return rc ? rc : check_apart(d, e);
}

/* The entry, of several paths the k-th; *n_paths: of how many. */
static int decode_entry(
	struct dec *d, const struct jtree *v, size_t k, struct topo_traffic *t, size_t *n_paths)
{
	struct entry *e = calloc(1, sizeof(*e));
	int rc;

	if (!e)
		return dec_nomem(d);
	e->t = t;
	e->max_loss = -1;
	t->path = TOPO_NO_PATH;
	d->field = NULL;
	rc = dec_object(d, v, entry_keys, 0, e);
	/* The model owns what was made, whether all of it was or not. */
	t->name = e->name;
	t->group = e->group;
	t->method = e->method;
	if (!rc)
		rc = check_method(d, v, e);
	if (!rc)
		rc = check_ends(d, v, e);
	if (!rc)
		rc = take_path(d, e, k);
	if (!rc)
		rc = check_entry(d, e);
	t->n_sizes = e->n_sizes;
	memcpy(t->size, e->size, sizeof(t->size));
	t->rate = e->rate;
	t->l4_flows = e->l4_flows;
	t->seconds = e->seconds;
	t->max_loss = e->max_loss;
	t->place = v->place;
	*n_paths = e->paths.n;
	free(e);
	return rc;
}

/* Entries of one group run at once: for one time, and trial by trial. */
static int join_group(struct dec *d, size_t i)
{
	struct topology *t = d->t;
	struct topo_traffic *new = &t->traffic[i];
	uint32_t last = 0;

	for (size_t k = 0; new->group &&k < i; k++) {
		const struct topo_traffic *old = &t->traffic[k];

		last = old->group_id > last ? old->group_id : last;
		if (!old->group || strcmp(old->group, new->group) != 0)
			continue;
		new->group_id = old->group_id;
		if (old->seconds != new->seconds)
			return dec_error(d, new->place,
				"group \"%s\" runs at once, but this entry takes %g s and \"%s\" %g s",
				new->group, new->seconds, old->name, old->seconds);
		if (old->n_sizes != new->n_sizes && old->n_sizes != 1 && new->n_sizes != 1)
			return dec_error(d, new->place,
				"group \"%s\" runs trial by trial, but this entry has %zu frame sizes and "
				"\"%s\" %zu: give them the same number, or one",
				new->group, new->n_sizes, old->name, old->n_sizes);
	}
	if (new->group && !new->group_id)
		new->group_id = last + 1;
	return 0;
}

/* A guest takes TOPO_NODE_FLOWS_MAX flows at once, in both roles: of this entry and, in a group,
 * of those before it. */
static int check_node_flows(struct dec *d, size_t i)
{
	const struct topology *t = d->t;
	const struct topo_traffic *new = &t->traffic[i];
	unsigned n[TOPO_ITEMS_MAX] = { 0 };

	for (size_t k = 0; k <= i; k++) {
		const struct topo_traffic *x = &t->traffic[k];

		if (k != i && (!new->group_id || x->group_id != new->group_id))
			continue;
		/* Recovery from overload is measured with two flows for each. */
		unsigned each = x->method && x->method->recovery ? 2 : 1;

		for (size_t f = 0; f < x->n_flows; f++) {
			n[x->flows[f].from.node] += each;
			n[x->flows[f].to.node] += each;
		}
	}
	for (size_t k = 0; k < t->n_nodes; k++)
		if (n[k] > TOPO_NODE_FLOWS_MAX)
			return dec_error(d, new->place,
				"node \"%s\" would send and receive %u flows at once; a guest has %d at "
				"most",
				t->nodes[k].name, n[k], TOPO_NODE_FLOWS_MAX);
	return 0;
}

static int check_title(struct dec *d, size_t i)
{
	const struct topology *t = d->t;

	for (size_t k = 0; k < i; k++)
		if (strcmp(t->traffic[k].name, t->traffic[i].name) == 0)
			return dec_error(d, t->traffic[i].place,
				"two traffic entries are named \"%s\" (the first in line %d)",
				t->traffic[i].name, t->traffic[k].place.line);
	return 0;
}

/* One entry of the file: in the model one for each of its paths. */
static int add_entry(struct dec *d, const struct jtree *v, size_t number)
{
	const struct jtree *name = jtree_get(v, "name");
	struct topology *t = d->t;
	size_t n_paths = 1;

	for (size_t k = 0; k == 0 || k < n_paths; k++) {
		size_t i = t->n_traffic++;
		char quoted[DEC_SHOW];
		size_t outer = json_is_string(name ? name->json : NULL)
			? dec_enter(d, "traffic %s", dec_show(name->json, quoted))
			: dec_enter(d, "traffic entry %zu", number + 1);
		int rc = decode_entry(d, v, k, &t->traffic[i], &n_paths);

		t->traffic[i].entry = number;
		if (!rc)
			rc = check_title(d, i);
		if (!rc)
			rc = join_group(d, i);
		if (!rc)
			rc = check_node_flows(d, i);
		if (rc)
			return rc;
		dec_leave(d, outer);
	}
	return 0;
}

int traffic_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topology *t = d->t;
	size_t number = 0;

	if (!json_is_array(v->json))
		return dec_error_type(d, v, "a list of entries, [ { ... } ]");
	if (v->n > TOPO_ITEMS_MAX)
		return dec_error(
			d, v->place, "%zu entries; at most %d are possible", v->n, TOPO_ITEMS_MAX);
	t->traffic = calloc((v->n ? v->n : 1) * (t->n_paths ? t->n_paths : 1), sizeof(*t->traffic));
	if (!t->traffic)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next)
		if (add_entry(d, c, number++))
			return -EINVAL;
	return 0;
}

/* ---- shapes: see schema.h ---- */

#define SHAPE_BYTES                                                                        \
	"{'type': 'integer', 'minimum': " SHAPE_N(TOPO_FRAME_MIN) ", 'maximum': " SHAPE_N( \
		TOPO_FRAME_MAX) "}"
#define SHAPE_IMIX  "{'enum': ['imix']}"
#define SHAPE_FRAME "{'anyOf': [" SHAPE_BYTES ", " SHAPE_IMIX "]}"

const struct dec_shape traffic_shapes[] = {
	{ decode_both_ways, .like = dec_bool },
	{ decode_entry_rate, .like = dec_rate },
	{ decode_max_loss, .like = dec_real },
	{ decode_frame,
		.json = "{'anyOf': [" SHAPE_BYTES ", " SHAPE_IMIX
			", " SHAPE_LIST(1, TOPO_SIZES_MAX, SHAPE_FRAME) "]}" },
	{ traffic_decode, .json = SHAPE_LIST(0, TOPO_ITEMS_MAX, SHAPE_REF("traffic")),
		.object = "traffic", .keys = entry_keys },
	{ 0 },
};
