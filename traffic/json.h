/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON for the agent channel: a strict reader into tokens, and a writer into a fixed buffer. No
 * allocation, no recursion, no libc. What comes in was written by somebody else: every length is
 * checked, strings must be UTF-8, a key may not come twice, and nesting ends at JSON_DEPTH_MAX.
 */
#ifndef LANYARD_TRAFFIC_JSON_H
#define LANYARD_TRAFFIC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16
#define JSON_TEXT_MAX  65535 /* tokens hold 16-bit places */

enum json_kind {
	JTOK_OBJECT,
	JTOK_ARRAY,
	JTOK_STRING,
	JTOK_NUMBER,
	JTOK_TRUE,
	JTOK_FALSE,
	JTOK_NULL
};

/* A token. The members of an object are key, value, key, value ...; a value's tokens are
 * followed by the next member's: `next` skips them. */
struct json_tok {
	uint8_t kind;
	uint16_t at, len; /* in the text; of a string: what is between the quotes */
	uint16_t n;       /* members of an object, elements of an array */
	uint16_t next;    /* index of the token after this one and all that is in it */
};

struct json_doc {
	const char *text;
	size_t len;
	struct json_tok *tok;
	size_t n_tok, max_tok;
	const char *why; /* after an error: what was expected */
	size_t where;    /* and the byte where, from 0 */
};

/* Reads one value, and nothing but white space after it. 0, or -1 with d->why and d->where.
 * The text is borrowed and must stay. Token 0 is the value. */
int json_read(struct json_doc *d, const char *text, size_t len, struct json_tok *tok, size_t max);

/* The value of `key` in object token `obj`, or -1. */
int json_find(const struct json_doc *d, int obj, const char *key);

/* True if string token i is s (no escapes in s). */
bool json_is(const struct json_doc *d, int i, const char *s);

/* A whole number without sign, fraction or exponent, at most max. */
bool json_u64(const struct json_doc *d, int i, uint64_t max, uint64_t *v);
bool json_bool(const struct json_doc *d, int i, bool *v);
/* A string without escapes, of fewer than `size` bytes, with a NUL. */
bool json_str(const struct json_doc *d, int i, char *out, size_t size);

/* The writer. Commas come by themselves. What doesn't fit is dropped and `overflow` set. */
struct json_out {
	char *buf;
	size_t cap, len;
	bool overflow;
};

void json_raw(struct json_out *o, const char *s, size_t n); /* as it is, after a comma if due */
void json_open(struct json_out *o, char bracket);           /* '{' or '[' */
void json_close(struct json_out *o, char bracket);          /* '}' or ']' */
void json_key(struct json_out *o, const char *key);
void json_put_str(struct json_out *o, const char *s);
void json_put_u64(struct json_out *o, uint64_t v);
void json_put_bool(struct json_out *o, bool v);
void json_put_hex(struct json_out *o, uint64_t v); /* as a string, "0x..." */

/* Plain text, for a line that is not JSON: no commas, no quotes. */
void json_text(struct json_out *o, const char *s);
void json_text_u64(struct json_out *o, uint64_t v);

static inline void json_member_str(struct json_out *o, const char *key, const char *s)
{
	json_key(o, key);
	json_put_str(o, s);
}

static inline void json_member_u64(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_put_u64(o, v);
}

static inline void json_member_bool(struct json_out *o, const char *key, bool v)
{
	json_key(o, key);
	json_put_bool(o, v);
}

#endif
