/* SPDX-License-Identifier: Apache-2.0 */
#include "config/ends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

static const char *word_of_nodes(const void *ctx, size_t i)
{
	return ((const struct topology *)ctx)->nodes[i].name;
}

/* "NODE.NIC" */
static int decode_end(struct dec *d, const struct jtree *v, struct topo_end *end)
{
	const struct topology *t = d->t;
	const char *s = json_string_value(v->json);
	const char *dot = s ? strchr(s, '.') : NULL;
	char node[TOPO_NAME_MAX + 2], found[DEC_SHOW];

	if (!dot || dot == s || !dot[1] || strlen(dot + 1) > 3 ||
		dot[1 + strspn(dot + 1, "0123456789")])
		return dec_error(d, v->place,
			"\"%s\" must be NODE.NIC, such as \"a.0\" for the first NIC of \"a\"; found %s",
			d->field, dec_show(v->json, found));
	snprintf(node, sizeof(node), "%.*s", (int)(dot - s), s);
	end->nic = strtoul(dot + 1, NULL, 10);
	for (end->node = 0; end->node < t->n_nodes; end->node++)
		if (strcmp(t->nodes[end->node].name, node) == 0)
			break;
	if (end->node == t->n_nodes)
		return dec_error_unknown(d, v->place, "node", node, t->n_nodes, word_of_nodes, t);
	const struct topo_node *n = &t->nodes[end->node];
	if (end->nic >= n->n_nics)
		return dec_error(d, v->place, "node \"%s\" has no NIC %zu: its NICs are 0 to %zu",
			n->name, end->nic, n->n_nics - 1);
	if (n->kind == TOPO_EXTERNAL)
		return dec_error(d, v->place,
			"node \"%s\" is external: Lanyard can make traffic in its own nodes only",
			n->name);
	if (n->kind == TOPO_VM && n->guest_kind == TOPO_GUEST_FILE)
		return dec_error(d, v->place,
			"the guest of node \"%s\" is an image of yours, which has no traffic engine of "
			"ours: name a NIC of a probe or of a guest that is \"linux\"",
			n->name);
	return 0;
}

static int ends_add(struct dec *d, const struct jtree *v, struct ends *ends)
{
	struct topo_end end;
	char found[DEC_SHOW];

	if (decode_end(d, v, &end))
		return -EINVAL;
	for (size_t i = 0; i < ends->n; i++)
		if (ends->end[i].node == end.node && ends->end[i].nic == end.nic)
			return dec_error(
				d, v->place, "%s is named twice", dec_show(v->json, found));
	ends->end[ends->n++] = end;
	return 0;
}

int ends_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct ends *ends = out;

	ends->place = v->place;
	if (json_is_string(v->json))
		return ends_add(d, v, ends);
	if (!json_is_array(v->json))
		return dec_error_type(d, v, "an end such as \"a.0\", or a list of them");
	if (v->n == 0 || v->n > TOPO_ENDS_MAX)
		return dec_error(d, v->place, "\"%s\" must name 1 to %d ends; found %zu", d->field,
			TOPO_ENDS_MAX, v->n);
	for (const struct jtree *c = v->first; c; c = c->next)
		if (ends_add(d, c, ends))
			return -EINVAL;
	return 0;
}

int ends_decode_pairs(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	if (!json_is_array(v->json) || v->n < 2)
		return dec_error_type(
			d, v, "a list of two ends or more, such as [\"a.0\", \"b.0\", \"c.0\"]");
	return ends_decode(d, v, f, out);
}

bool ends_same(const struct topo_end *a, const struct topo_end *b)
{
	return a->node == b->node && a->nic == b->nic;
}

/* ---- shapes: see schema.h ---- */

#define SHAPE_END "{'type': 'string', 'pattern': '^[a-z0-9_-]+\\\\.[0-9]{1,3}$'}"

const struct dec_shape ends_shapes[] = {
	{ ends_decode,
		.json = "{'anyOf': [" SHAPE_END ", " SHAPE_LIST(1, TOPO_ENDS_MAX, SHAPE_END) "]}" },
	{ ends_decode_pairs, .json = SHAPE_LIST(2, TOPO_ENDS_MAX, SHAPE_END) },
	{ 0 },
};
