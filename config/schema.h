/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON Schema (draft 7) of the topology file, made of the decoder's own tables: keys, who has
 * them, which are required, defaults, ranges and words are the rows of struct dec_field that
 * decode them. What a decoding function takes beyond its row's range or words is its shape, which
 * stands below the function in its file; one list of shapes a file, all of them in schema.c.
 * What is said of a key is its line in docs/topology.md (tools/topology-words).
 *
 * A schema accepts all that the decoder accepts. It can't say what keys mean together (names that
 * must exist, what is unique): that stays the decoder's. tests/integration/test_schema.py compares
 * the two.
 */
#ifndef LANYARD_CONFIG_SCHEMA_H
#define LANYARD_CONFIG_SCHEMA_H

#include <assert.h>
#include <jansson.h>

#include "base/err.h"
#include "config/decode.h"

/* One of like, row, json and keys says it. */
struct dec_shape {
	dec_fn fn;                   /* NULL ends a list */
	dec_fn like;                 /* takes what this one does, with fn's own row */
	const struct dec_field *row; /* takes what this row does */
	/* A schema, with ' for ". It refers to `object` as "#/definitions/OBJECT". */
	const char *json;
	const char *object;           /* the name of an object that values have or are */
	const struct dec_field *keys; /* its table */
	/* Another object that may be in its place, where its first row is for that kind. */
	const char *or_object;
	const struct dec_field *or_keys;
	/* Of an object of which there are kinds: a schema that is true for one, by enum dec_kind.
	 * Tables below it have the same kind. */
	const char *const *kinds;
};

/* Limits are macros that are plain numbers. */
#define SHAPE_N(n)   SHAPE_N_(n)
#define SHAPE_N_(n)  #n
#define SHAPE_REF(o) "{'$ref': '#/definitions/" o "'}"
#define SHAPE_LIST(min, max, item)                                              \
	"{'type': 'array', 'minItems': " SHAPE_N(min) ", 'maxItems': " SHAPE_N( \
		max) ", 'items': " item "}"
/* An object whose keys are names. */
#define SHAPE_NAMED(min, max, item)                                                        \
	"{'type': 'object', 'minProperties': " SHAPE_N(min) ", 'maxProperties': " SHAPE_N( \
		max) ", 'propertyNames': " SHAPE_NAME ", 'additionalProperties': " item "}"
#define SHAPE_NAME "{'type': 'string', 'pattern': '^[a-z0-9][a-z0-9_-]{0,31}$'}"
#define SHAPE_PATH \
	"{'type': 'string', 'minLength': 1, 'maxLength': 511, 'pattern': '^[^\\\\u0000-\\\\u001f,\\\\u007f]*$'}"
#define SHAPE_MAC                                                                          \
	"{'type': 'string', 'pattern': '^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$', " \
	"'not': {'pattern': '^[0:]+$'}}"
#define SHAPE_SIZE   "{'type': 'string', 'pattern': '^[0-9]+(\\\\.[0-9]+)?[BKMGT]$'}"
#define SHAPE_VLAN   "{'type': 'integer', 'minimum': 1, 'maximum': 4094}"
#define SHAPE_DRIVER "{'type': 'string', 'pattern': '^[A-Za-z0-9_-]{1,31}$'}"

static_assert(TOPO_NAME_MAX == 32, "SHAPE_NAME");
static_assert(TOPO_PATH_MAX == 512, "SHAPE_PATH");
static_assert(TOPO_VLAN_MAX == 4094, "SHAPE_VLAN");
static_assert(PFS_DRIVER_LEN == 32, "SHAPE_DRIVER");

extern const struct dec_shape values_shapes[], topology_shapes[], guest_shapes[], storage_shapes[],
	address_shapes[], policy_shapes[], ports_shapes[], ends_shapes[], path_shapes[],
	traffic_shapes[], method_shapes[], tcp_shapes[], pfs_shapes[], vf_shapes[],
	vf_user_shapes[];
extern const struct dec_field topology_keys[], vf_nic_keys[];

/* What docs/topology.md says of a key: generated. object NULL ends the list. */
struct schema_word {
	const char *object, *key, *text;
};
extern const struct schema_word schema_words[];

/* A new reference; NULL with *e: a row's function has no shape, which names the row. */
json_t *schema_make(struct err *e);

#endif
