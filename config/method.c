/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "method" of a traffic entry: that its rate is searched for, how, and what is measured at the rate
 * found; or that TCP is measured instead (tcp.c). Decoded here; what goes together with it is
 * checked in traffic.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "config/decode.h"
#include "config/schema.h"

/* A rate that limits the search: "max" is none. */
static int decode_limit(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct rate *r = out;
	char found[DEC_SHOW];

	if (dec_rate(d, v, f, r))
		return -EINVAL;
	if (r->kind == RATE_MAX)
		return dec_error(d, v->place,
			"\"%s\" of a search is a rate such as \"10kpps\" or \"1Gbps\"; found %s",
			d->field, dec_show(v->json, found));
	return 0;
}

/* Ascending numbers, `most` of them at most, each within `range`. */
static int decode_ascending(struct dec *d, const struct jtree *v, const struct dec_range *range,
	size_t most, double *out, size_t *n)
{
	const struct dec_field one = { .arg = range };

	*n = 0;
	if (!json_is_array(v->json))
		return dec_error_type(d, v, "a list of numbers");
	if (v->n > most)
		return dec_error(d, v->place, "\"%s\" may name %zu numbers at most; found %zu",
			d->field, most, v->n);
	for (const struct jtree *c = v->first; c; c = c->next) {
		if (dec_real(d, c, &one, &out[*n]))
			return -EINVAL;
		if (*n && out[*n] <= out[*n - 1])
			return dec_error(d, c->place,
				"\"%s\" is in ascending order, each once: %g comes after %g",
				d->field, out[*n], out[*n - 1]);
		++*n;
	}
	return 0;
}

static int decode_loss(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	static const struct dec_range range = { 0, 0.5,
		" (a fraction of the frames sent: 0 is none, 0.001 one in a thousand)" };
	struct topo_method *m = out;

	if (json_is_array(v->json) && v->n == 0)
		return dec_error(d, v->place,
			"\"loss\" names what may be lost, such as [0, 0.005]; found none");
	return decode_ascending(d, v, &range, TOPO_LOSSES_MAX, m->loss, &m->n_losses);
}

static int decode_latency_at(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	static const struct dec_range range = { 0.1, 120, " percent of the rate found" };
	struct topo_method *m = out;

	return decode_ascending(d, v, &range, TOPO_LATENCY_AT_MAX, m->latency_at, &m->n_latency_at);
}

static const char *const search_names[] = { "verified", "binary", NULL };
static const struct dec_range resolution_range = { 0.001, 0.5,
	" (a fraction of the rate: 0.01 is a hundredth)" };
static const struct dec_range verify_range = { 1, 10, "" };

static const struct dec_field method_keys[] = {
	{ "search", dec_enum, offsetof(struct topo_method, search), .def = "\"verified\"",
		.arg = search_names },
	{ "loss", decode_loss, 0 },
	{ "min", decode_limit, offsetof(struct topo_method, min), .def = NULL },
	{ "max", decode_limit, offsetof(struct topo_method, max), .def = NULL },
	{ "start", decode_limit, offsetof(struct topo_method, start), .def = NULL },
	{ "resolution", dec_real, offsetof(struct topo_method, resolution), .def = "0.02",
		.arg = &resolution_range },
	{ "verify", dec_uint, offsetof(struct topo_method, verify), .def = "2",
		.arg = &verify_range },
	{ "latency_at", decode_latency_at, 0 },
	{ "back_to_back", dec_bool, offsetof(struct topo_method, back_to_back), .def = "false" },
	{ "recovery", dec_bool, offsetof(struct topo_method, recovery), .def = "false" },
	{ "tcp", tcp_decode, offsetof(struct topo_method, tcp) },
	{ 0 },
};

/* Both given in the same unit can be compared here; else the search says it. */
static int check_limits(struct dec *d, const struct jtree *v, const struct topo_method *m)
{
	const struct rate *low = m->min.value ? &m->min : &m->start;
	const struct rate *high = m->max.value ? &m->max : &m->start;

	if (low->value && high->value && low != high && low->kind == high->kind &&
		low->value >= high->value) {
		d->field = NULL;
		return dec_error(d, v->place,
			"the search goes from \"min\" by way of \"start\" to \"max\": these are not in "
			"this order");
	}
	return 0;
}

/* What lists are unless they are given. */
static const struct topo_method defaults = {
	.n_losses = 2,
	.loss = { 0, 0.005 },
	.n_latency_at = 3,
	.latency_at = { 10, 50, 90 },
};

int method_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_method *m = malloc(sizeof(*m));
	int rc;

	if (!m)
		return dec_nomem(d);
	*m = defaults;
	free(*(struct topo_method **)out);
	*(struct topo_method **)out = m;
	m->place = v->place;
	rc = dec_object(d, v, method_keys, 0, m);
	if (!rc)
		rc = tcp_check_method(d, v);
	return rc ? rc : check_limits(d, v, m);
}

/* ---- shapes: see schema.h ---- */

#define SHAPE_LIMIT "{'type': 'string', 'pattern': '^[0-9]+(\\\\.[0-9]+)?[kMG]?(pps|bps)$'}"
#define SHAPE_LOSS  "{'type': 'number', 'minimum': 0, 'maximum': 0.5}"
#define SHAPE_PART  "{'type': 'number', 'minimum': 0.1, 'maximum': 120}"

const struct dec_shape method_shapes[] = {
	{ decode_limit, .json = SHAPE_LIMIT },
	{ decode_loss, .json = SHAPE_LIST(1, TOPO_LOSSES_MAX, SHAPE_LOSS) },
	{ decode_latency_at, .json = SHAPE_LIST(0, TOPO_LATENCY_AT_MAX, SHAPE_PART) },
	{ method_decode, .json = SHAPE_REF("method"), .object = "method", .keys = method_keys },
	{ 0 },
};
