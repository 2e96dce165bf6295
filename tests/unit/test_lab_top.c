/* SPDX-License-Identifier: Apache-2.0 */
/* top: rates out of two of the switch's stats, the text of them, and what keys do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/top.h"

static json_t *parse(const char *text)
{
	char *copy = strdup(text);
	json_t *j;

	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	j = json_loads(copy, 0, NULL);
	free(copy);
	assert_non_null(j);
	return j;
}

static void expect(const json_t *doc, const char *key, const char *text)
{
	char *got = json_dumps(json_object_get(doc, key), JSON_ENCODE_ANY | JSON_COMPACT);

	if (!got || strcmp(got, text) != 0)
		fail_msg("%s: %s; expected %s", key, got ? got : "nothing", text);
	free(got);
}

static const char before_text[] =
	"{'time_ns': 1000000000, 'ports': ["
	"{'name': 'a.0', 'network': 'lan', 'kind': 'vhost', 'state': 'up', 'reason': null, "
	"'rx': {'frames': 100, 'bytes': 6000}, 'tx': {'frames': 50, 'bytes': 3000}, "
	"'drops': {'rx_vlan': 7, 'tx_ring_full': 0}}, "
	"{'name': 'b.0', 'network': 'lan', 'kind': 'vhost', 'state': 'up', 'reason': null, "
	"'rx': {'frames': 1000, 'bytes': 60000}, 'tx': {'frames': 0, 'bytes': 0}, 'drops': {}}], "
	"'workers': [{'cpu': 2, 'load': 0.25, 'frames': 1100, 'busy_cycles': 1000, 'sleeps': 4}]}";

/* Two seconds later: b.0 was made anew, c.0 is new, worker 3 too. */
static const char after_text[] =
	"{'time_ns': 3000000000, 'ports': ["
	"{'name': 'a.0', 'network': 'lan', 'kind': 'vhost', 'state': 'up', 'reason': null, "
	"'rx': {'frames': 300, 'bytes': 18000}, 'tx': {'frames': 50, 'bytes': 3000}, "
	"'drops': {'rx_vlan': 7, 'tx_ring_full': 30}}, "
	"{'name': 'b.0', 'network': 'lan', 'kind': 'vhost', 'state': 'waiting', 'reason': null, "
	"'rx': {'frames': 10, 'bytes': 600}, 'tx': {'frames': 0, 'bytes': 0}, 'drops': {}}, "
	"{'name': 'c.0', 'network': 'lan', 'kind': 'tap', 'state': 'up', 'reason': null, "
	"'rx': {'frames': 9, 'bytes': 540}, 'tx': {'frames': 9, 'bytes': 540}, 'drops': {}}], "
	"'workers': [{'cpu': 2, 'load': 0.5, 'frames': 1300, 'busy_cycles': 21000, 'sleeps': 4}, "
	"{'cpu': 3, 'frames': 0, 'busy_cycles': 0, 'sleeps': 0}]}";

static json_t *document(void)
{
	json_t *before = parse(before_text), *after = parse(after_text);
	json_t *doc = top_document("pair", before, after);

	json_decref(before);
	json_decref(after);
	return doc;
}

static void test_rates(void **state)
{
	json_t *doc = document(), *p = json_object_get(doc, "ports"), *w, *d;

	expect(doc, "lab", "\"pair\"");
	expect(doc, "seconds", "2.0");
	expect(doc, "rx_fps", "100.0");
	expect(doc, "dropped_fps", "15.0");
	expect(json_array_get(p, 0), "rx_fps", "100.0");
	expect(json_array_get(p, 0), "rx_bps", "48000.0");
	expect(json_array_get(p, 0), "tx_fps", "0.0");
	expect(json_array_get(p, 0), "dropped", "37.0");
	d = json_object_get(json_array_get(p, 0), "drops");
	assert_int_equal(json_array_size(d), 2); /* what dropped nothing is not there */
	expect(json_array_get(d, 0), "fps", "0.0");
	expect(json_array_get(d, 1), "fps", "15.0");
	expect(json_array_get(d, 1), "text", "\"the receiver has no free buffers\"");
	/* A counter that began anew, and a port that was not there: no rate is made up. */
	expect(json_array_get(p, 1), "rx_fps", "null");
	expect(json_array_get(p, 2), "rx_fps", "null");
	expect(json_array_get(p, 2), "dropped_fps", "null");
	w = json_object_get(doc, "workers");
	expect(json_array_get(w, 0), "fps", "100.0");
	expect(json_array_get(w, 0), "cycles_per_frame", "100.0");
	expect(json_array_get(w, 0), "load", "0.5");
	expect(json_array_get(w, 1), "fps", "null");
	expect(json_array_get(w, 1), "load", "null");
	json_decref(doc);
}

static void test_first_look(void **state)
{
	json_t *after = parse(after_text), *doc = top_document("pair", NULL, after);

	expect(doc, "seconds", "0.0");
	expect(json_array_get(json_object_get(doc, "ports"), 0), "rx_fps", "null");
	json_decref(doc);
	json_decref(after);
}

static void test_text(void **state)
{
	json_t *doc = document();
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	top_print(doc, out, 0);
	fclose(out);
	assert_non_null(strstr(text, "lab pair, 2.00 s: 100 frames/s in, 0 out, 15 dropped\n"));
	assert_non_null(strstr(text, "48.0 k"));
	assert_non_null(strstr(text, "waiting"));
	assert_non_null(strstr(text, "its port is no member of its VLAN"));
	assert_non_null(strstr(text, "50 %"));
	free(text);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rates),
		cmocka_unit_test(test_first_look), cmocka_unit_test(test_text) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
