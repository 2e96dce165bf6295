/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths: what `lanyard compare` holds against each other. A path is a name for two ends (or two
 * lists of them); a traffic entry that names paths instead of ends is run over each of them, so the
 * traffic is the same by construction.
 *
 *	"paths":   { "split": { "from": "a.0", "to": "b.0" }, "packed": { ... } }
 *	"traffic": [ { "name": "throughput", "paths": "all", ... } ]
 *
 * In the model such an entry is one for each path (traffic.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/ends.h"
#include "config/schema.h"

/* A path as it is written. */
struct path {
	struct ends from, to;
	char *what;
};

/* More room than a title has: it stands in reports. */
static int decode_what(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	size_t len = s ? strlen(s) : 0;

	if (!s)
		return dec_error_type(d, v, "a string");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || (unsigned char)s[i] == 0x7f)
			return dec_error(d, v->place,
				"\"%s\" has a control character at its character %zu", d->field,
				i + 1);
	if (len == 0 || len > TOPO_WHAT_MAX || s[0] == ' ' || s[len - 1] == ' ')
		return dec_error(d, v->place,
			"\"%s\" must have 1 to %d bytes, and no space at its ends", d->field,
			TOPO_WHAT_MAX);
	free(*(char **)out);
	*(char **)out = strdup(s);
	return *(char **)out ? 0 : dec_nomem(d);
}

static const struct dec_field path_keys[] = {
	{ "from", ends_decode, offsetof(struct path, from), .required = true },
	{ "to", ends_decode, offsetof(struct path, to), .required = true },
	{ "what", decode_what, offsetof(struct path, what) },
	{ 0 },
};

static int keep_ends(struct dec *d, const struct ends *e, size_t *n, struct topo_end **out)
{
	*out = calloc(e->n, sizeof(**out));
	if (!*out)
		return dec_nomem(d);
	memcpy(*out, e->end, e->n * sizeof(**out));
	*n = e->n;
	return 0;
}

static int decode_path(struct dec *d, const struct jtree *v, struct topo_path *out)
{
	struct path *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return dec_nomem(d);
	d->field = NULL;
	rc = dec_object(d, v, path_keys, 0, p);
	out->to_place = p->to.place;
	out->what = p->what; /* the model owns it, whatever comes of the rest */
	if (!rc && p->from.n == 1 && p->to.n == 1 && ends_same(&p->from.end[0], &p->to.end[0]))
		rc = dec_error(d, p->to.place, "\"from\" and \"to\" are the same NIC");
	if (!rc)
		rc = keep_ends(d, &p->from, &out->n_from, &out->from);
	if (!rc)
		rc = keep_ends(d, &p->to, &out->n_to, &out->to);
	free(p);
	return rc;
}

int paths_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topology *t = d->t;
	int rc = 0;

	if (!json_is_object(v->json))
		return dec_error_type(d, v, "an object of names, { \"NAME\": { ... } }");
	if (v->n > TOPO_PATHS_MAX)
		return dec_error(
			d, v->place, "%zu paths; at most %d are possible", v->n, TOPO_PATHS_MAX);
	t->paths = calloc(v->n ? v->n : 1, sizeof(*t->paths));
	if (!t->paths)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		struct topo_path *p = &t->paths[t->n_paths];

		if (dec_check_name(d, c->key_place, "a path's name", c->key))
			return -EINVAL;
		t->n_paths++;
		p->place = c->key_place;
		p->name = strdup(c->key);
		if (!p->name)
			return dec_nomem(d);
		size_t outer = dec_enter(d, "path \"%s\"", p->name);
		rc = decode_path(d, c, p);
		if (!rc)
			dec_leave(d, outer);
	}
	return rc;
}

static const char *word_of_paths(const void *ctx, size_t i)
{
	return ((const struct topology *)ctx)->paths[i].name;
}

static int add_name(struct dec *d, const struct jtree *v, struct path_names *names)
{
	const struct topology *t = d->t;
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];
	size_t k = 0;

	if (!s)
		return dec_error_type(d, v, "\"all\", or a list of names of \"paths\"");
	while (k < t->n_paths && strcmp(t->paths[k].name, s) != 0)
		k++;
	if (k == t->n_paths && !t->n_paths)
		return dec_error(d, v->place,
			"path %s: the topology has no \"paths\", which say what each name leads to",
			dec_show(v->json, found));
	if (k == t->n_paths)
		return dec_error_unknown(d, v->place, "path", s, t->n_paths, word_of_paths, t);
	for (size_t i = 0; i < names->n; i++)
		if (names->path[i] == k)
			return dec_error(
				d, v->place, "%s is named twice", dec_show(v->json, found));
	names->each[names->n] = v->place;
	names->path[names->n++] = k;
	return 0;
}

int paths_decode_names(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *word = json_string_value(v->json);
	struct path_names *names = out;
	const struct topology *t = d->t;

	names->place = v->place;
	if (word && strcmp(word, "all") == 0) {
		if (!t->n_paths)
			return dec_error(
				d, v->place, "\"all\" of no paths: the topology has no \"paths\"");
		for (; names->n < t->n_paths; names->n++) {
			names->path[names->n] = names->n;
			names->each[names->n] = v->place;
		}
		return 0;
	}
	if (!json_is_array(v->json))
		return dec_error_type(d, v, "\"all\", or a list of names of \"paths\"");
	if (v->n == 0 || v->n > TOPO_PATHS_MAX)
		return dec_error(d, v->place, "\"%s\" must name 1 to %d paths; found %zu", d->field,
			TOPO_PATHS_MAX, v->n);
	for (const struct jtree *c = v->first; c; c = c->next)
		if (add_name(d, c, names))
			return -EINVAL;
	return 0;
}

/* ---- shapes: see schema.h ---- */

#define SHAPE_WHAT                                                               \
	"{'type': 'string', 'minLength': 1, 'maxLength': " SHAPE_N(              \
		TOPO_WHAT_MAX) ", 'pattern': '^[^ \\\\u0000-\\\\u001f\\\\u007f]" \
			       "([^\\\\u0000-\\\\u001f\\\\u007f]*[^ ])?$'}"

const struct dec_shape path_shapes[] = {
	{ decode_what, .json = SHAPE_WHAT },
	{ paths_decode, .json = SHAPE_NAMED(0, TOPO_PATHS_MAX, SHAPE_REF("path")), .object = "path",
		.keys = path_keys },
	{ paths_decode_names,
		.json = "{'anyOf': [{'const': 'all'}, " SHAPE_LIST(
			1, TOPO_PATHS_MAX, SHAPE_NAME) "]}" },
	{ 0 },
};
