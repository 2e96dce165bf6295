/* SPDX-License-Identifier: Apache-2.0 */
#include "config/decode.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"

int dec_error(struct dec *d, struct topo_place at, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_request(d->e, -EINVAL, "%s:%d:%d: %s%s%s", d->file, at.line, at.col, d->where,
		d->where[0] ? ": " : "", text);
	if (d->field)
		err_field(d->e, d->field);
	return -EINVAL;
}

int dec_nomem(struct dec *d)
{
	return err_set(d->e, -ENOMEM, "%s: out of memory", d->file);
}

/* Cuts at a character's start, not in its middle. */
static char *show_cut(char *text, char *out)
{
	size_t len = text ? strlen(text) : 0;

	if (len < DEC_SHOW) {
		strcpy(out, text ? text : "?");
	} else {
		len = DEC_SHOW - 5;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
		memcpy(out, text, len);
		strcpy(out + len, " ...");
	}
	free(text);
	return out;
}

char *dec_show(const json_t *j, char *out)
{
	return show_cut(
		json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(10)), out);
}

char *dec_quote(const char *s, char *out)
{
	json_t *j = json_string(s);

	dec_show(j, out);
	json_decref(j);
	return out;
}

int dec_error_type(struct dec *d, const struct jtree *v, const char *wanted)
{
	char found[DEC_SHOW];

	if (!d->field)
		return dec_error(d, v->place, "%s is needed here; found %s", wanted,
			dec_show(v->json, found));
	return dec_error(d, v->place, "\"%s\" must be %s; found %s", d->field, wanted,
		dec_show(v->json, found));
}

int dec_error_unknown(struct dec *d, struct topo_place at, const char *what, const char *found,
	size_t n, const char *(*word)(const void *ctx, size_t i), const void *ctx)
{
	const char *nearest = suggest_nearest(found, n, word, ctx);
	char list[384] = "", quoted[DEC_SHOW];
	size_t len = 0;

	for (size_t i = 0; i < n && len + TOPO_NAME_MAX + 8 < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%.*s", i ? ", " : "",
			TOPO_NAME_MAX, i == 24 ? "..." : word(ctx, i));
	return dec_error(d, at, "unknown %s %s%s%s%s (known: %s)", what, dec_quote(found, quoted),
		nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "",
		n ? list : "none");
}

size_t dec_enter(struct dec *d, const char *fmt, ...)
{
	size_t len = strlen(d->where);
	size_t at = len;
	va_list ap;

	if (at)
		at += (size_t)snprintf(d->where + at, sizeof(d->where) - at, ", ");
	if (at < sizeof(d->where)) {
		va_start(ap, fmt);
		vsnprintf(d->where + at, sizeof(d->where) - at, fmt, ap);
		va_end(ap);
	}
	return len;
}

void dec_leave(struct dec *d, size_t len)
{
	d->where[len] = '\0';
}

struct words {
	const struct dec_field *table;
	unsigned kind_bit;
};

static bool has_key(const struct dec_field *f, unsigned kind_bit)
{
	return !f->kinds || (f->kinds & kind_bit);
}

static const char *word_of_table(const void *ctx, size_t i)
{
	const struct words *w = ctx;

	for (const struct dec_field *f = w->table; f->name; f++)
		if (has_key(f, w->kind_bit) && i-- == 0)
			return f->name;
	return "";
}

/* The row of this kind, or else anybody's. */
static const struct dec_field *find_key(
	const struct dec_field *table, const char *name, unsigned kind_bit)
{
	const struct dec_field *found = NULL;

	for (; table->name; table++)
		if (strcmp(table->name, name) == 0 && (!found || has_key(table, kind_bit)))
			found = table;
	return found;
}

/* Keys that no row has, or none for this kind of node, in the order of the file. */
static int check_keys(
	struct dec *d, const struct jtree *v, const struct dec_field *table, unsigned kind_bit)
{
	struct words w = { table, kind_bit };
	size_t n = 0;

	for (const struct dec_field *f = table; f->name; f++)
		n += has_key(f, kind_bit);
	for (const struct jtree *c = v->first; c; c = c->next) {
		const struct dec_field *f = find_key(table, c->key, kind_bit);

		if (f && has_key(f, kind_bit))
			continue;
		d->field = f ? f->name : NULL;
		if (f && f->only)
			return dec_error(d, c->key_place,
				"\"%s\" is for %s only: leave it out, or %s", f->name, f->only,
				f->hint ? f->hint : "change the node's kind or guest");
		if (f)
			return dec_error(d, c->key_place,
				"\"%s\" is not for a node of this kind: leave it out", f->name);
		return dec_error_unknown(d, c->key_place, "key", c->key, n, word_of_table, &w);
	}
	return 0;
}

/* A default is JSON text as a user would write it, decoded by the row's own function. */
static int decode_default(struct dec *d, const struct dec_field *f, void *out)
{
	struct jtree v = { .json = json_loads(f->def, JSON_DECODE_ANY, NULL) };
	int rc = v.json ? f->fn(d, &v, f, out) : dec_nomem(d);

	json_decref(v.json);
	return rc;
}

int dec_object(
	struct dec *d, const struct jtree *v, const struct dec_field *table, int kind, void *out)
{
	unsigned kind_bit = 1u << kind;
	const char *outer = d->field;
	int rc;

	if (!json_is_object(v->json))
		return dec_error_type(d, v, "an object, { ... }");
	rc = check_keys(d, v, table, kind_bit);
	for (const struct dec_field *f = table; f->name && !rc; f++) {
		const struct jtree *c = jtree_get(v, f->name);
		void *to = (char *)out + f->offset;

		if (!has_key(f, kind_bit))
			continue;
		d->field = f->name;
		if (c)
			rc = f->fn(d, c, f, to);
		else if (f->required)
			rc = dec_error(d, v->place, "\"%s\" is missing", f->name);
		else if (f->def)
			rc = decode_default(d, f, to);
	}
	if (!rc)
		d->field = outer;
	return rc;
}
