/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/json.h"

/* What may come next. */
enum expect { VALUE, VALUE_OR_END, KEY, KEY_OR_END, COMMA_OR_END };

struct reader {
	struct json_doc *d;
	size_t at;
	uint16_t open[JSON_DEPTH_MAX]; /* tokens of the containers that are open */
	int depth;
};

static int fail(struct reader *r, const char *why)
{
	r->d->why = why;
	r->d->where = r->at;
	return -1;
}

static int peek(const struct reader *r)
{
	return r->at < r->d->len ? (unsigned char)r->d->text[r->at] : -1;
}

static void skip_space(struct reader *r)
{
	int c;

	while ((c = peek(r)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		r->at++;
}

static struct json_tok *token(struct reader *r, enum json_kind kind)
{
	struct json_doc *d = r->d;
	struct json_tok *t;

	if (d->n_tok == d->max_tok) {
		fail(r, "too many values");
		return NULL;
	}
	t = &d->tok[d->n_tok++];
	*t = (struct json_tok){ .kind = kind, .at = (uint16_t)r->at, .next = (uint16_t)d->n_tok };
	return t;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* One character of UTF-8 above 0x7f: its bytes, or 0 if it is none (RFC 3629). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	size_t n = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static int read_escape(struct reader *r)
{
	static const char simple[] = "\"\\/bfnrt";
	int c;

	r->at++;
	c = peek(r);
	if (c == 'u') {
		for (int i = 0; i < 4; i++) {
			r->at++;
			if (!is_hex(peek(r)))
				return fail(r, "expected four hexadecimal digits after \\u");
		}
		r->at++;
		return 0;
	}
	for (const char *s = simple; *s; s++)
		if (c == *s) {
			r->at++;
			return 0;
		}
	return fail(r, "unknown escape in a string");
}

/* At the opening quote; ends behind the closing one. */
static int read_string(struct reader *r)
{
	struct json_tok *t;
	const char *text = r->d->text;
	size_t n;
	int c;

	r->at++;
	t = token(r, JTOK_STRING);
	if (!t)
		return -1;
	while ((c = peek(r)) != '"') {
		if (c < 0)
			return fail(r, "a string has no end");
		if (c < 0x20)
			return fail(r, "control character in a string");
		if (c == '\\') {
			if (read_escape(r))
				return -1;
		} else if (c < 0x80) {
			r->at++;
		} else {
			n = utf8_len((const unsigned char *)text + r->at, r->d->len - r->at);
			if (!n)
				return fail(r, "a string is not UTF-8");
			r->at += n;
		}
	}
	t->len = (uint16_t)(r->at - t->at);
	r->at++;
	return 0;
}

static int read_digits(struct reader *r)
{
	if (!is_digit(peek(r)))
		return fail(r, "expected a digit");
	while (is_digit(peek(r)))
		r->at++;
	return 0;
}

static int read_number(struct reader *r)
{
	struct json_tok *t = token(r, JTOK_NUMBER);

	if (!t)
		return -1;
	if (peek(r) == '-')
		r->at++;
	if (peek(r) == '0')
		r->at++;
	else if (read_digits(r))
		return -1;
	if (is_digit(peek(r)))
		return fail(r, "a number begins with 0");
	if (peek(r) == '.') {
		r->at++;
		if (read_digits(r))
			return -1;
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		if (read_digits(r))
			return -1;
	}
	t->len = (uint16_t)(r->at - t->at);
	return 0;
}

static int read_word(struct reader *r, enum json_kind kind, const char *word)
{
	struct json_tok *t = token(r, kind);

	if (!t)
		return -1;
	for (; *word; word++, r->at++)
		if (peek(r) != *word)
			return fail(r, "expected a value");
	t->len = (uint16_t)(r->at - t->at);
	return 0;
}

static int read_scalar(struct reader *r)
{
	switch (peek(r)) {
	case '"':
		return read_string(r);
	case 't':
		return read_word(r, JTOK_TRUE, "true");
	case 'f':
		return read_word(r, JTOK_FALSE, "false");
	case 'n':
		return read_word(r, JTOK_NULL, "null");
	default:
		if (peek(r) == '-' || is_digit(peek(r)))
			return read_number(r);
		return fail(r, "expected a value");
	}
}

static bool same_text(const struct json_doc *d, const struct json_tok *a, const struct json_tok *b)
{
	return a->len == b->len && !__builtin_memcmp(d->text + a->at, d->text + b->at, a->len);
}

/* The key token that was read last must be new in its object. */
static bool key_is_new(const struct reader *r)
{
	const struct json_tok *tok = r->d->tok;
	size_t key = r->d->n_tok - 1, i = (size_t)r->open[r->depth - 1] + 1;

	while (i < key) {
		if (same_text(r->d, &tok[i], &tok[key]))
			return false;
		i = tok[i + 1].next;
	}
	return true;
}

static int read_key(struct reader *r)
{
	if (peek(r) != '"')
		return fail(r, "expected a key in quotes");
	if (read_string(r))
		return -1;
	if (!key_is_new(r))
		return fail(r, "a key comes twice");
	skip_space(r);
	if (peek(r) != ':')
		return fail(r, "expected ':'");
	r->at++;
	return 0;
}

static int open_container(struct reader *r, enum expect *next)
{
	bool object = peek(r) == '{';
	struct json_tok *t = token(r, object ? JTOK_OBJECT : JTOK_ARRAY);

	if (!t)
		return -1;
	if (r->depth == JSON_DEPTH_MAX)
		return fail(r, "nested too deeply");
	r->open[r->depth++] = (uint16_t)(t - r->d->tok);
	r->at++;
	*next = object ? KEY_OR_END : VALUE_OR_END;
	return 0;
}

static void close_container(struct reader *r)
{
	struct json_tok *t = &r->d->tok[r->open[--r->depth]];

	r->at++;
	t->len = (uint16_t)(r->at - t->at);
	t->next = (uint16_t)r->d->n_tok;
}

/* A value is complete: count it where it belongs. */
static enum expect value_done(struct reader *r)
{
	if (r->depth)
		r->d->tok[r->open[r->depth - 1]].n++;
	return COMMA_OR_END;
}

static int read_step(struct reader *r, enum expect *next)
{
	bool object = r->depth && r->d->tok[r->open[r->depth - 1]].kind == JTOK_OBJECT;
	int c = peek(r), end = object ? '}' : ']';

	if (*next == COMMA_OR_END) {
		if (c == ',') {
			r->at++;
			*next = object ? KEY : VALUE;
			return 0;
		}
		if (c != end)
			return fail(r, object ? "expected ',' or '}'" : "expected ',' or ']'");
	}
	if (c == end && *next != VALUE && *next != KEY) {
		close_container(r);
		*next = value_done(r);
		return 0;
	}
	if (*next == KEY || *next == KEY_OR_END) {
		*next = VALUE;
		return read_key(r);
	}
	if (c == '{' || c == '[')
		return open_container(r, next);
	if (read_scalar(r))
		return -1;
	*next = value_done(r);
	return 0;
}

int json_read(struct json_doc *d, const char *text, size_t len, struct json_tok *tok, size_t max)
{
	struct reader r = { .d = d };
	enum expect next = VALUE;

	*d = (struct json_doc){ .text = text, .len = len, .tok = tok, .max_tok = max };
	if (len > JSON_TEXT_MAX)
		return fail(&r, "the text is too long");
	do {
		skip_space(&r);
		if (read_step(&r, &next))
			return -1;
	} while (r.depth || next != COMMA_OR_END);
	skip_space(&r);
	return r.at == len ? 0 : fail(&r, "text follows the value");
}

bool json_is(const struct json_doc *d, int i, const char *s)
{
	const struct json_tok *t = &d->tok[i];
	size_t n = __builtin_strlen(s);

	return t->kind == JTOK_STRING && t->len == n && !__builtin_memcmp(d->text + t->at, s, n);
}

int json_find(const struct json_doc *d, int obj, const char *key)
{
	const struct json_tok *t = &d->tok[obj];
	int i = obj + 1;

	if (t->kind != JTOK_OBJECT)
		return -1;
	for (unsigned k = 0; k < t->n; k++) {
		if (json_is(d, i, key))
			return i + 1;
		i = d->tok[i + 1].next;
	}
	return -1;
}

bool json_u64(const struct json_doc *d, int i, uint64_t max, uint64_t *v)
{
	const struct json_tok *t = &d->tok[i];
	uint64_t n = 0;

	if (t->kind != JTOK_NUMBER)
		return false;
	for (unsigned k = 0; k < t->len; k++) {
		int c = d->text[t->at + k];

		if (!is_digit(c) || n > (UINT64_MAX - (uint64_t)(c - '0')) / 10)
			return false;
		n = n * 10 + (uint64_t)(c - '0');
	}
	if (n > max)
		return false;
	*v = n;
	return true;
}

bool json_bool(const struct json_doc *d, int i, bool *v)
{
	*v = d->tok[i].kind == JTOK_TRUE;
	return *v || d->tok[i].kind == JTOK_FALSE;
}

bool json_str(const struct json_doc *d, int i, char *out, size_t size)
{
	const struct json_tok *t = &d->tok[i];

	if (t->kind != JTOK_STRING || t->len >= size)
		return false;
	for (unsigned k = 0; k < t->len; k++)
		if (d->text[t->at + k] == '\\')
			return false;
	__builtin_memcpy(out, d->text + t->at, t->len);
	out[t->len] = '\0';
	return true;
}

static void put(struct json_out *o, const char *s, size_t n)
{
	if (o->overflow || n > o->cap - o->len) {
		o->overflow = true;
		return;
	}
	__builtin_memcpy(o->buf + o->len, s, n);
	o->len += n;
}

static void comma(struct json_out *o)
{
	char c = o->len ? o->buf[o->len - 1] : '{';

	if (c != '{' && c != '[' && c != ':')
		put(o, ",", 1);
}

void json_raw(struct json_out *o, const char *s, size_t n)
{
	comma(o);
	put(o, s, n);
}

void json_open(struct json_out *o, char bracket)
{
	json_raw(o, &bracket, 1);
}

void json_close(struct json_out *o, char bracket)
{
	put(o, &bracket, 1);
}

void json_put_str(struct json_out *o, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	comma(o);
	put(o, "\"", 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\') {
			put(o, "\\", 1);
			put(o, s, 1);
		} else if (c < 0x20 || c > 0x7e) {
			char esc[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

			put(o, esc, 6);
		} else {
			put(o, s, 1);
		}
	}
	put(o, "\"", 1);
}

void json_key(struct json_out *o, const char *key)
{
	json_put_str(o, key);
	put(o, ":", 1);
}

void json_text(struct json_out *o, const char *s)
{
	put(o, s, __builtin_strlen(s));
}

void json_text_u64(struct json_out *o, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(o, digits + n, sizeof(digits) - n);
}

void json_put_u64(struct json_out *o, uint64_t v)
{
	comma(o);
	json_text_u64(o, v);
}

void json_put_bool(struct json_out *o, bool v)
{
	json_raw(o, v ? "true" : "false", v ? 4 : 5);
}

void json_put_hex(struct json_out *o, uint64_t v)
{
	char s[19] = "0x";
	size_t n = 2;
	int shift = 60;

	while (shift && !(v >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		s[n++] = "0123456789abcdef"[v >> shift & 15];
	s[n] = '\0';
	json_put_str(o, s);
}
