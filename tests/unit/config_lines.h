/* SPDX-License-Identifier: Apache-2.0 */
/* A topology whose lines tests replace: for test_config.c and test_config_bad.c. */
#ifndef LANYARD_TESTS_CONFIG_LINES_H
#define LANYARD_TESTS_CONFIG_LINES_H

#include <stdlib.h>
#include <string.h>

#include "config/topology.h"
#include "config_dump.h"

/* A topology in six lines; a test replaces one of them (or sets one at the end). */
static const char *const base_lines[] = {
	"{ \"version\": 1, \"lab\": \"t\",",
	"  \"networks\": { \"lan\": { \"mtu\": 1500 }, \"quiet\": {} },",
	"  \"nodes\": {",
	"    \"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" }, { \"network\": \"quiet\" } ] },",
	"    \"b\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\" } ] },",
	"    \"x\": { \"kind\": \"external\", \"nics\": [ { \"network\": \"lan\" } ] } },",
	"  \"traffic\": [] }",
};
#define N_LINES (sizeof(base_lines) / sizeof(base_lines[0]))

static inline char *make_text(int line, const char *with)
{
	char *text = calloc(1, 8192);

	for (size_t i = 0; i < N_LINES; i++) {
		strcat(text, (int)i + 1 == line ? with : base_lines[i]);
		strcat(text, "\n");
	}
	return text;
}

/* line 0: `with` is the whole text. */
static inline int parse(int line, const char *with, struct topology **t, struct err *e)
{
	char *text = line ? make_text(line, with) : strdup(with);
	int rc = parse_dumped(text, t, e);

	free(text);
	return rc;
}

#define NODE_A(rest) "    \"a\": { " rest " },"
#define A_NICS       "\"nics\": [ { \"network\": \"lan\" } ]"
#define A_VM(rest)   NODE_A("\"kind\": \"vm\", " rest ", " A_NICS)
#define TRAFFIC(x)   "  \"traffic\": [ " x " ] }"
#define T(rest)      TRAFFIC("{ \"name\": \"n\", " rest " }")
#define AB           "\"from\": \"a.0\", \"to\": \"b.0\""

#endif
