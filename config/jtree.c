/* SPDX-License-Identifier: Apache-2.0 */
#include "config/jtree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The scanner's position. It runs only on text that jansson accepted, and still checks each byte
 * against the end: a disagreement between the two is an error, not a crash. */
struct scan {
	const char *file;
	const char *p, *end;
	struct topo_place at;
	struct err *e;
};

static int syntax_error(
	const char *file, const char *text, size_t len, const json_error_t *je, struct err *e);
static int scan_value(struct scan *s, struct jtree *t);

static void step(struct scan *s)
{
	if (*s->p == '\n') {
		s->at.line++;
		s->at.col = 1;
	} else if (((unsigned char)s->p[0] & 0xc0) != 0x80) {
		s->at.col++; /* a continuation byte of UTF-8 is part of the character before */
	}
	s->p++;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && is_space(*s->p))
		step(s);
}

static int disagree(struct scan *s)
{
	return err_request(
		s->e, -EINVAL, "%s:%d:%d: not valid JSON", s->file, s->at.line, s->at.col);
}

/* Takes the character c after any white space. */
static bool take(struct scan *s, char c)
{
	skip_space(s);
	if (s->p == s->end || *s->p != c)
		return false;
	step(s);
	return true;
}

static int skip_string(struct scan *s)
{
	if (!take(s, '"'))
		return disagree(s);
	while (s->p < s->end && *s->p != '"') {
		if (*s->p == '\\' && s->p + 1 < s->end)
			step(s);
		step(s);
	}
	return take(s, '"') ? 0 : disagree(s);
}

/* A key's text as jansson decodes it: "\u0061" is "a". */
static char *key_decode(const char *p, size_t len)
{
	char *key = NULL;

	if (!memchr(p, '\\', len))
		return strndup(p + 1, len - 2);
	json_t *j = json_loadb(p, len, JSON_DECODE_ANY, NULL);
	if (json_is_string(j))
		key = strdup(json_string_value(j));
	json_decref(j);
	return key;
}

static struct jtree *child_new(struct jtree *parent)
{
	struct jtree *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	if (parent->last)
		parent->last->next = c;
	else
		parent->first = c;
	parent->last = c;
	parent->n++;
	return c;
}

static int scan_member(struct scan *s, struct jtree *c, const json_t *object)
{
	int rc;

	skip_space(s);
	c->key_place = s->at;
	const char *start = s->p;
	rc = skip_string(s);
	if (rc)
		return rc;
	c->key = key_decode(start, (size_t)(s->p - start));
	if (!c->key)
		return err_set(s->e, -ENOMEM, "out of memory");
	if (!take(s, ':'))
		return disagree(s);
	c->json = json_object_get(object, c->key);
	return scan_value(s, c);
}

static int duplicate_error(struct scan *s, const struct jtree *c, int first_line)
{
	json_t *key = json_string(c->key);
	char *quoted = json_dumps(key, JSON_ENCODE_ANY);

	err_request(s->e, -EINVAL,
		"%s:%d:%d: the key %.64s is given twice in one object (first in line %d): keep one",
		s->file, c->key_place.line, c->key_place.col, quoted ? quoted : "?", first_line);
	free(quoted);
	json_decref(key);
	return -EINVAL;
}

/* Names the second of two equal keys. A set of those seen keeps it linear in a hostile file. */
static int check_duplicates(struct scan *s, const struct jtree *t)
{
	json_t *seen = json_object();
	int rc = 0;

	for (const struct jtree *c = t->first; c && !rc; c = c->next) {
		const json_t *line = json_object_get(seen, c->key);

		if (line)
			rc = duplicate_error(s, c, (int)json_integer_value(line));
		else
			json_object_set_new(seen, c->key, json_integer(c->key_place.line));
	}
	json_decref(seen);
	return rc;
}

static int scan_members(struct scan *s, struct jtree *t, bool object)
{
	char close = object ? '}' : ']';

	step(s);
	if (take(s, close))
		return 0;
	do {
		struct jtree *c = child_new(t);
		int rc;

		if (!c)
			return err_set(s->e, -ENOMEM, "out of memory");
		if (object) {
			rc = scan_member(s, c, t->json);
		} else {
			c->json = json_array_get(t->json, t->n - 1);
			rc = scan_value(s, c);
		}
		if (rc)
			return rc;
	} while (take(s, ','));
	if (!take(s, close))
		return disagree(s);
	return object && json_object_size(t->json) != t->n ? check_duplicates(s, t) : 0;
}

/* Recursion is as deep as jansson's own, which stops at 2048. */
static int scan_value(struct scan *s, struct jtree *t)
{
	skip_space(s);
	if (s->p == s->end)
		return disagree(s);
	t->place = s->at;
	if (*s->p == '{' || *s->p == '[')
		return scan_members(s, t, *s->p == '{');
	if (*s->p == '"')
		return skip_string(s);
	while (s->p < s->end && !is_space(*s->p) && !strchr(",]}", *s->p))
		step(s);
	return 0;
}

int jtree_parse(const char *file, const char *text, size_t len, struct jtree **out, struct err *e)
{
	struct jtree *t = calloc(1, sizeof(*t));
	json_error_t je;
	int rc = -ENOMEM;

	*out = NULL;
	if (!t)
		return err_set(e, rc, "out of memory");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	t->json = json_loadb(text, len, 0, &je);
	if (!t->json) {
		rc = syntax_error(file, text, len, &je, e);
	} else {
		struct scan s = { file, text, text + len, { 1, 1 }, e };

		rc = scan_value(&s, t);
	}
	if (rc)
		jtree_free(t);
	else
		*out = t;
	return rc;
}

static void free_children(struct jtree *t)
{
	struct jtree *c = t->first, *next;

	for (; c; c = next) {
		next = c->next;
		free_children(c);
		free(c->key);
		free(c);
	}
}

void jtree_free(struct jtree *t)
{
	if (!t)
		return;
	free_children(t);
	json_decref(t->json);
	free(t->key);
	free(t);
}

const struct jtree *jtree_get(const struct jtree *t, const char *key)
{
	for (const struct jtree *c = t->first; c; c = c->next)
		if (c->key && strcmp(c->key, key) == 0)
			return c;
	return NULL;
}

/* What people trip over, by the token at which jansson gave up and what stands before it. */
static const char *syntax_hint(const char *text, size_t token, size_t len, const char *message)
{
	char c = token < len ? text[token] : '\0', before = '\0';

	for (size_t i = token; i > 0 && !before; i--)
		if (!is_space(text[i - 1]))
			before = text[i - 1];
	if (strncmp(message, "unable to decode", 16) == 0)
		return "the file must be UTF-8";
	if (before == ',' && (c == '}' || c == ']'))
		return "no comma may stand after the last entry";
	if (before && strchr("\"}]0123456789el", before) && (c == '"' || c == '{' || c == '['))
		return "is there a comma missing before it?";
	if (c == '/' || c == '#')
		return "JSON has no comments";
	if (c == '\'')
		return "strings stand in double quotes";
	if (token >= len)
		return len ? "the file ends too early" : "the file is empty";
	return NULL;
}

/* jansson's place is the end of the token that it did not like: ours is its start. */
static int syntax_error(
	const char *file, const char *text, size_t len, const json_error_t *je, struct err *e)
{
	size_t at = je->position > 0 ? (size_t)je->position : 0;
	char message[JSON_ERROR_TEXT_LENGTH];
	const char *near = strstr(je->text, " near '");

	snprintf(message, sizeof(message), "%s", je->text);
	if (at > len)
		at = len;
	if (near && strncmp(message, "unable to decode", 16) == 0) {
		message[near - je->text] = '\0'; /* what came before the byte: no help */
	} else if (near) {
		size_t n = strlen(near + 7);

		n = n ? n - 1 : 0;
		if (n <= at && memcmp(text + at - n, near + 7, n) == 0)
			at -= n;
	}
	char *eof = strstr(message, " near end of file");
	if (eof) {
		*eof = '\0';
		at = len;
	}
	struct scan s = { file, text, text + at, { 1, 1 }, e };
	while (s.p < s.end)
		step(&s);
	const char *hint = syntax_hint(text, at, len, message);
	return err_request(e, -EINVAL, "%s:%d:%d: not valid JSON: %s%s%s", file, s.at.line,
		s.at.col, message, hint ? "; " : "", hint ? hint : "");
}
