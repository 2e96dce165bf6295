/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of a topology: what traffic over them becomes, and every sentence about bad ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/topology.h"
#include "config_dump.h"

#define HEAD                                                                                   \
	"{ \"version\": 1, \"lab\": \"t\", \"networks\": { \"lan\": {}, \"wan\": {} },\n"      \
	"  \"nodes\": {\n"                                                                     \
	"    \"a\": { \"kind\": \"process\", \"nics\": [ { \"network\": \"lan\" }, "           \
	"{ \"network\": \"wan\" } ] },\n"                                                      \
	"    \"b\": { \"kind\": \"process\", \"nics\": [ { \"network\": \"lan\" }, "           \
	"{ \"network\": \"wan\" } ] },\n"                                                      \
	"    \"x\": { \"kind\": \"external\", \"nics\": [ { \"network\": \"lan\" } ] } },\n"
#define TWO                                                                                    \
	"  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"b.0\", \"what\": \"the first\" },\n" \
	"    \"two\": { \"from\": \"a.1\", \"to\": [ \"b.1\" ] } },\n"
#define N "  \"traffic\": [ { \"name\": \"n\", "

static const struct bad {
	const char *text; /* after HEAD, from line 6 on */
	const char *message;
} bad[] = {
	{ "  \"paths\": [] }",
		"t.json:6:12: \"paths\" must be an object of names, { \"NAME\": { ... } }; found []" },
	{ "  \"paths\": { \"One\": { \"from\": \"a.0\", \"to\": \"b.0\" } } }", NULL },
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\" } } }",
		"t.json:6:21: path \"one\": \"to\" is missing" },
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"a.0\" } } }",
		"t.json:6:44: path \"one\": \"from\" and \"to\" are the same NIC" },
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"c.0\" } } }",
		"t.json:6:44: path \"one\": unknown node \"c\" (known: a, b, x)" },
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"b.7\" } } }",
		"t.json:6:44: path \"one\": node \"b\" has no NIC 7: its NICs are 0 to 1" },
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"b.0\", \"what\": \"\" } } }",
		"t.json:6:59: path \"one\": \"what\" must have 1 to 64 bytes, and no space at its ends" },
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"b.0\", \"rate\": 1 } } }", NULL },
	{ TWO N "\"paths\": [ \"one\", \"tow\" ] } ] }",
		"t.json:8:49: traffic \"n\": unknown path \"tow\"; did you mean \"two\"? (known: one, two)" },
	{ N "\"paths\": [ \"one\" ] } ] }",
		"t.json:6:42: traffic \"n\": path \"one\": the topology has no \"paths\", which say what each "
		"name leads to" },
	{ N "\"paths\": \"all\" } ] }",
		"t.json:6:40: traffic \"n\": \"all\" of no paths: the topology has no \"paths\"" },
	{ TWO N "\"paths\": [ \"one\", \"one\" ] } ] }",
		"t.json:8:49: traffic \"n\": \"one\" is named twice" },
	{ TWO N "\"paths\": [] } ] }",
		"t.json:8:40: traffic \"n\": \"paths\" must name 1 to 16 paths; found 0" },
	{ TWO N "\"paths\": \"one\" } ] }",
		"t.json:8:40: traffic \"n\": \"paths\" must be \"all\", or a list of names of \"paths\"; "
		"found \"one\"" },
	{ TWO N "\"paths\": \"all\", \"from\": \"a.0\" } ] }",
		"t.json:8:55: traffic \"n\": \"paths\" have their ends already: leave out \"from\"" },
	{ TWO N "\"paths\": \"all\", \"all_pairs\": [ \"a.0\", \"b.0\" ] } ] }",
		"t.json:8:60: traffic \"n\": \"paths\" have their ends already: leave out \"all_pairs\"" },
	{ TWO N "\"paths\": \"all\", \"group\": \"g\" } ] }",
		"t.json:8:40: traffic \"n\": each path is measured by itself: leave out \"group\"" },
	/* What is wrong between a path's ends is said of the path, where it is used. */
	{ "  \"paths\": { \"one\": { \"from\": \"a.0\", \"to\": \"b.1\" } },\n" N
	  "\"paths\": \"all\" } ] }",
		"t.json:6:44: traffic \"n\", path \"one\": a.0 is on network \"lan\" and b.1 on network \"wan\": no "
		"frame gets across" },
	{ TWO N "\"paths\": \"all\" }, { \"name\": \"n, two\", \"from\": \"a.0\", \"to\": \"b.0\" } ] }",
		"t.json:8:49: traffic \"n, two\": two traffic entries are named \"n, two\" (the first in line "
		"8)" },
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct topology *t;
		struct err e = { 0 };
		char text[4096];

		snprintf(text, sizeof(text), "%s%s", HEAD, bad[i].text);
		assert_int_equal(parse_dumped(text, &t, &e), -EINVAL);
		assert_null(t);
		assert_int_equal(e.class, ERR_REQUEST);
		if (bad[i].message)
			assert_string_equal(e.text, bad[i].message);
	}
}

static void test_too_many(void **state)
{
	for (int n = TOPO_PATHS_MAX; n <= TOPO_PATHS_MAX + 1; n++) {
		struct topology *t;
		struct err e = { 0 };
		char text[8192] = HEAD "  \"paths\": {";

		for (int i = 0; i < n; i++) {
			size_t len = strlen(text);

			snprintf(text + len, sizeof(text) - len,
				"%s \"p%d\": { \"from\": \"a.0\", \"to\": \"b.0\" }", i ? "," : "", i);
		}
		strcat(text, " } }");
		assert_int_equal(parse_dumped(text, &t, &e), n == TOPO_PATHS_MAX ? 0 : -EINVAL);
		if (n > TOPO_PATHS_MAX)
			assert_string_equal(
				e.text, "t.json:6:12: 17 paths; at most 16 are possible");
		topology_free(t);
	}
}

static void test_entries(void **state)
{
	const char *text =
		HEAD TWO N "\"from\": \"a.0\", \"to\": \"b.0\" }, { \"name\": \"m\", \"paths\": [ \"two\", "
			   "\"one\" ], \"both_ways\": true, \"frame\": [ 64, 1518 ], \"method\": {} } ] }";
	struct topology *t;
	struct err e = { 0 };

	assert_int_equal(parse_dumped(text, &t, &e), 0);
	assert_int_equal(t->n_paths, 2);
	assert_string_equal(t->paths[0].what, "the first");
	assert_null(t->paths[1].what);
	assert_int_equal(t->n_traffic, 3);
	assert_int_equal(t->traffic[0].path, TOPO_NO_PATH);
	assert_null(t->traffic[0].entry_name);
	for (size_t i = 1; i < 3; i++) {
		const struct topo_traffic *x = &t->traffic[i];

		assert_int_equal(x->entry, 1);
		assert_int_equal(x->path, 2 - i);
		assert_string_equal(x->entry_name, "m");
		assert_string_equal(x->name, i == 1 ? "m, two" : "m, one");
		assert_int_equal(x->n_sizes, 2);
		assert_int_equal(x->n_flows, 2);
		assert_int_equal(x->flows[0].from.nic, 2 - i);
		assert_int_equal(x->flows[1].from.node, 1);
		assert_non_null(x->method);
	}
	assert_ptr_not_equal(t->traffic[1].method, t->traffic[2].method);
	topology_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
