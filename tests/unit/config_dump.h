/* SPDX-License-Identifier: Apache-2.0 */
/* topology_parse of "t.json"; LANYARD_DUMP names a file that gets what was parsed and what was said
 * of it, an object a line: tests/integration/test_schema.py holds the schema against them. */
#ifndef LANYARD_TESTS_CONFIG_DUMP_H
#define LANYARD_TESTS_CONFIG_DUMP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "config/topology.h"

static inline int parse_dumped(const char *text, struct topology **t, struct err *e)
{
	int rc = topology_parse("t.json", text, strlen(text), t, e);
	FILE *out = getenv("LANYARD_DUMP") ? fopen(getenv("LANYARD_DUMP"), "a") : NULL;
	json_t *line = json_pack("{s:s, s:s}", "text", text, "error", rc ? e->text : "");

	if (out && line) { /* no line: not UTF-8 */
		json_dumpf(line, out, JSON_COMPACT);
		fputc('\n', out);
	}
	if (out)
		fclose(out);
	json_decref(line);
	return rc;
}

#endif
