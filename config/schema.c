/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REF "#/definitions/"

/* Each file that decodes has its list. */
static const struct dec_shape *const lists[] = { values_shapes, topology_shapes, guest_shapes,
	storage_shapes, address_shapes, policy_shapes, ports_shapes, ends_shapes, path_shapes,
	traffic_shapes, method_shapes, tcp_shapes, pfs_shapes, vf_shapes, vf_user_shapes };

/* In the order of enum dec_kind: they are part of definitions' names. */
static const char *const kind_names[] = { [DEC_PROBE] = "probe",
	[DEC_PROCESS] = "process",
	[DEC_EXTERNAL] = "external",
	[DEC_LINUX] = "linux",
	[DEC_FILE] = "file" };
#define N_KINDS (sizeof(kind_names) / sizeof(kind_names[0]))
#define NO_KIND (-1)

struct maker {
	json_t *definitions;
	struct err *e;
};

static json_t *make_object(
	struct maker *m, const char *name, const struct dec_field *table, int kind);

static const struct dec_shape *find_shape(dec_fn fn)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct dec_shape *s = lists[i]; s->fn; s++)
			if (s->fn == fn)
				return s;
	return NULL;
}

/* A shape's text, whose strings stand in single quotes. */
static json_t *parse_text(struct maker *m, const char *text)
{
	char *copy = strdup(text);
	json_error_t error;
	json_t *j;

	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	j = json_loads(copy, 0, &error);
	if (!j)
		err_set(m->e, -EINVAL, "a shape is no JSON: %s: %s", error.text, text);
	free(copy);
	return j;
}

/* A definition of the object's table; by kind, if its rows or the one above have any. */
static bool has_kinds(const struct dec_field *table)
{
	for (; table->name; table++)
		if (table->kinds)
			return true;
	return false;
}

static void definition_name(const char *object, int kind, char *out, size_t size)
{
	snprintf(out, size, "%s%s%s", object, kind == NO_KIND ? "" : "-",
		kind == NO_KIND ? "" : kind_names[kind]);
}

static int define(struct maker *m, const char *object, const struct dec_field *keys, int kind)
{
	char name[64];
	json_t *j;

	definition_name(object, kind, name, sizeof(name));
	if (json_object_get(m->definitions, name))
		return 0;
	j = make_object(m, object, keys, kind);
	return json_object_set_new(m->definitions, name, j); /* fails if j is NULL */
}

static json_t *words_of(const struct dec_field *f)
{
	json_t *words = json_array();

	for (const char *const *w = f->arg; *w; w++)
		json_array_append_new(words, json_string(*w));
	return json_pack("{s:o}", "enum", words);
}

/* An object of several kinds: whichever condition is true says which table holds. */
static int define_kinds(struct maker *m, const struct dec_shape *s)
{
	json_t *all = json_array();
	char name[64];

	for (int kind = 0; kind < (int)N_KINDS; kind++) {
		json_t *cond = s->kinds[kind] ? parse_text(m, s->kinds[kind]) : NULL;

		definition_name(s->object, kind, name, sizeof(name));
		if (!cond || define(m, s->object, s->keys, kind)) {
			json_decref(cond);
			json_decref(all);
			if (!m->e->code)
				err_set(m->e, -EINVAL, "this kind has no condition");
			return err_prefix(m->e, "\"%s\"", name);
		}
		json_array_append_new(
			all, json_pack("{s:o, s:{s:s+}}", "if", cond, "then", "$ref", REF, name));
	}
	return json_object_set_new(m->definitions, s->object,
		json_pack("{s:s, s:[s], s:{s:o}, s:o}", "type", "object", "required",
			s->keys[0].name, "properties", s->keys[0].name, words_of(&s->keys[0]),
			"allOf", all));
}

/* References to the shape's object get the kind's name, if its table depends on it. */
static void point_to(json_t *j, const char *object, const char *name)
{
	char from[96], to[96];
	const char *key;
	json_t *v;
	size_t i;

	snprintf(from, sizeof(from), REF "%s", object);
	snprintf(to, sizeof(to), REF "%s", name);
	if (json_is_array(j))
		json_array_foreach (j, i, v)
			point_to(v, object, name);
	json_object_foreach (j, key, v) {
		if (strcmp(key, "$ref") == 0 && strcmp(json_string_value(v), from) == 0)
			json_string_set(v, to);
		else
			point_to(v, object, name);
	}
}

/* References to the object become such to it or the other. */
static void widen(json_t *j, const char *name, const char *other)
{
	char ref[96];
	const char *key;
	json_t *v;

	snprintf(ref, sizeof(ref), REF "%s", name);
	json_object_foreach (j, key, v) {
		if (!json_is_object(v))
			continue;
		const char *to = json_string_value(json_object_get(v, "$ref"));

		if (to && strcmp(to, ref) == 0)
			json_object_set_new(j, key,
				json_pack("{s:[{s:s}, {s:s+}]}", "anyOf", "$ref", ref, "$ref", REF,
					other));
		else
			widen(v, name, other);
	}
}

static json_t *make_value(struct maker *m, const struct dec_field *f, int kind);

static json_t *range_of(const struct dec_field *f, const char *type)
{
	const struct dec_range *r = f->arg;

	if (!r)
		return json_pack("{s:s}", "type", type);
	if (strcmp(type, "integer") == 0)
		return json_pack("{s:s, s:I, s:I}", "type", type, "minimum", (json_int_t)r->min,
			"maximum", (json_int_t)r->max);
	return json_pack("{s:s, s:f, s:f}", "type", type, "minimum", r->min, "maximum", r->max);
}

static json_t *make_shape(
	struct maker *m, const struct dec_shape *s, const struct dec_field *f, int kind)
{
	char name[64], other[64];
	json_t *j;

	if (s->row)
		return make_value(m, s->row, kind);
	if (s->like) {
		struct dec_field row = *f;

		row.fn = s->like;
		return make_value(m, &row, kind);
	}
	if (s->object) {
		int k = has_kinds(s->keys) ? kind : NO_KIND;

		definition_name(s->object, k, name, sizeof(name));
		if (s->kinds ? define_kinds(m, s) : define(m, s->object, s->keys, k))
			return NULL;
	}
	j = s->json ? parse_text(m, s->json) : json_pack("{s:s+}", "$ref", REF, name);
	if (s->object)
		point_to(j, s->object, name);
	if (s->or_object && (!s->or_keys->kinds || s->or_keys->kinds & 1u << kind)) {
		definition_name(s->or_object, kind, other, sizeof(other));
		if (define(m, s->or_object, s->or_keys, kind)) {
			json_decref(j);
			return NULL;
		}
		widen(j, name, other);
	}
	return j;
}

/* What a row's value may be. */
static json_t *make_value(struct maker *m, const struct dec_field *f, int kind)
{
	const struct dec_shape *s;

	if (f->fn == dec_uint)
		return range_of(f, "integer");
	if (f->fn == dec_real)
		return range_of(f, "number");
	if (f->fn == dec_enum)
		return words_of(f);
	s = find_shape(f->fn);
	if (s)
		return make_shape(m, s, f, kind);
	err_set(m->e, -ENOENT,
		"key \"%s\": its function has no shape: add it to the list at the end of its file "
		"(config/schema.h says how)",
		f->name);
	return NULL;
}

static const char *find_word(const char *object, const char *key)
{
	for (const struct schema_word *w = schema_words; w->object; w++)
		if (strcmp(w->object, object) == 0 && strcmp(w->key, key) == 0)
			return w->text;
	return NULL;
}

/* In draft 7 nothing beside a $ref counts: it goes into an allOf of one. */
static json_t *annotate(json_t *value, const char *object, const struct dec_field *f)
{
	const char *word = find_word(object, f->name);

	if (json_object_get(value, "$ref") && (word || f->def))
		value = json_pack("{s:[o]}", "allOf", value);
	if (word)
		json_object_set_new(value, "description", json_string(word));
	if (f->def)
		json_object_set_new(value, "default", json_loads(f->def, JSON_DECODE_ANY, NULL));
	return value;
}

static json_t *make_object(
	struct maker *m, const char *name, const struct dec_field *table, int kind)
{
	json_t *properties = json_object(), *required = json_array();

	for (const struct dec_field *f = table; f->name; f++) {
		json_t *value;

		if (kind != NO_KIND && f->kinds && !(f->kinds & 1u << kind))
			continue;
		value = make_value(m, f, kind);
		if (!value) {
			json_decref(properties);
			json_decref(required);
			err_prefix(m->e, "object \"%s\"", name);
			return NULL;
		}
		json_object_set_new(properties, f->name, annotate(value, name, f));
		if (f->required)
			json_array_append_new(required, json_string(f->name));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
		"required", required, "additionalProperties", 0);
}

json_t *schema_make(struct err *e)
{
	struct err none = { 0 };
	struct maker m = { .definitions = json_object(), .e = e ? e : &none };
	json_t *root = json_pack("{s:s, s:s, s:s}", "$schema",
		"http://json-schema.org/draft-07/schema#", "title", "Lanyard topology file",
		"description",
		"What a lab is made of, and the traffic that lanyard bench runs in it. lanyard "
		"validate checks more than a schema can.");
	json_t *body = make_object(&m, "topology", topology_keys, NO_KIND);

	if (!body) {
		json_decref(root);
		json_decref(m.definitions);
		return NULL;
	}
	json_object_update(root, body);
	json_object_set_new(root, "definitions", m.definitions);
	json_decref(body);
	return root;
}
