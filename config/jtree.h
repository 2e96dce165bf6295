/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with places. jansson parses and validates the text but tells positions for syntax errors
 * only; so the text, once known to be valid, is scanned a second time and the line and column of
 * every value and key is kept next to jansson's value. Duplicate keys, of which jansson keeps the
 * last without a word, are errors here.
 *
 * Lines and columns count from 1, columns in characters (code points), a tab being one.
 */
#ifndef LANYARD_CONFIG_JTREE_H
#define LANYARD_CONFIG_JTREE_H

#include <stddef.h>
#include <jansson.h>

#include "base/err.h"
#include "config/topology.h"

struct jtree {
	json_t *json;                      /* borrowed from the root, which owns all values */
	char *key;                         /* in an object; NULL in an array and at the root */
	struct topo_place place;           /* of the value's first character */
	struct topo_place key_place;       /* of the key's opening quote */
	size_t n;                          /* children */
	struct jtree *first, *last, *next; /* children in the order of the text; next sibling */
};

/*
 * Parses len bytes of UTF-8 (a byte order mark is passed over). Returns 0 and a tree to be freed,
 * or -EINVAL (not JSON, duplicate key) with "FILE:LINE:COL: ..." and ERR_REQUEST, or -ENOMEM.
 */
int jtree_parse(const char *file, const char *text, size_t len, struct jtree **out, struct err *e);
void jtree_free(struct jtree *t);

/* The value of a key, or NULL. */
const struct jtree *jtree_get(const struct jtree *t, const char *key);

#endif
