/* SPDX-License-Identifier: Apache-2.0 */
/* The probe's JSON reader and writer, against jansson as the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <cmocka.h>

#include "traffic/json.h"

static bool reference_accepts(const char *text, size_t len)
{
	json_t *v = json_loadb(
		text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

	json_decref(v);
	return v;
}

static struct json_tok tok[4096];
static struct json_doc doc;

static bool reads(const char *s, size_t len)
{
	/* At the end of its allocation, so that a sanitizer sees a byte read too many. */
	char *copy = malloc(len ? len : 1);
	bool ok;

	memcpy(copy, s, len);
	ok = !json_read(&doc, copy, len, tok, sizeof(tok) / sizeof(tok[0]));
	if (!ok) {
		assert_non_null(doc.why);
		assert_true(doc.where <= len);
	}
	free(copy);
	doc.text = s;
	return ok;
}

static void test_accepts(void **state)
{
	static const char *const good[] = { "0", "-1", "1.5e+3", "\"\"", "true", "null", "{}", "[]",
		" { \"a\" : [ 1 , 2 , { \"b\" : false } ] } \n", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
		"\"\\u00e9\\n\\\\\\/\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" };
	static const char *const bad[] = { "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]",
		"{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "01", "-", "1.", ".5", "1e", "+1",
		"tru", "nul", "truex", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\t\"", "\"\xff\"",
		"\"\xc0\x80\"", "\"\xed\xa0\x80\"", "1 2", "{} {}", "]", "}", "{\"a\":1]", "[1}",
		"{\"a\":1,\"a\":2}", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "\"\xf0\x9f\x98\"" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!reads(good[i], strlen(good[i])))
			fail_msg("refused: %s: %s", good[i], doc.why);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (reads(bad[i], strlen(bad[i])))
			fail_msg("accepted: %s", bad[i]);
	assert_false(reads("nul\0l", 5));
}

static void test_values(void **state)
{
	static const char s[] =
		"{\"n\": 18446744073709551615, \"big\": 18446744073709551616, "
		"\"neg\": -1, \"f\": 1.0, \"t\": true, \"s\": \"text\", \"e\": \"a\\nb\", "
		"\"in\": {\"n\": 7, \"x\": [1, [2, 3], 4]}, \"last\": 9}";
	char text[8];
	uint64_t v;
	bool b;
	int in;

	assert_true(reads(s, sizeof(s) - 1));
	assert_true(json_u64(&doc, json_find(&doc, 0, "n"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_false(json_u64(&doc, json_find(&doc, 0, "n"), UINT64_MAX - 1, &v));
	assert_false(json_u64(&doc, json_find(&doc, 0, "big"), UINT64_MAX, &v));
	assert_false(json_u64(&doc, json_find(&doc, 0, "neg"), UINT64_MAX, &v));
	assert_false(json_u64(&doc, json_find(&doc, 0, "f"), UINT64_MAX, &v));
	assert_false(json_u64(&doc, json_find(&doc, 0, "s"), UINT64_MAX, &v));
	assert_true(json_bool(&doc, json_find(&doc, 0, "t"), &b) && b);
	assert_false(json_bool(&doc, json_find(&doc, 0, "n"), &b));
	assert_true(json_str(&doc, json_find(&doc, 0, "s"), text, 5));
	assert_string_equal(text, "text");
	assert_false(json_str(&doc, json_find(&doc, 0, "s"), text, 4));
	assert_false(json_str(&doc, json_find(&doc, 0, "e"), text, 8));
	in = json_find(&doc, 0, "in");
	assert_true(json_u64(&doc, json_find(&doc, in, "n"), 7, &v));
	assert_int_equal(tok[json_find(&doc, in, "x")].n, 3);
	assert_true(json_u64(&doc, json_find(&doc, 0, "last"), 9, &v));
	assert_int_equal(json_find(&doc, 0, "x"), -1);
	assert_int_equal(json_find(&doc, json_find(&doc, 0, "n"), "x"), -1);
}

static void test_limits(void **state)
{
	static char text[JSON_TEXT_MAX + 2];
	struct json_tok few[3];

	assert_int_equal(json_read(&doc, "[1,2]", 5, few, 3), 0);
	assert_int_equal(json_read(&doc, "[1,2,3]", 7, few, 3), -1);
	assert_string_equal(doc.why, "too many values");
	memset(text, ' ', sizeof(text));
	text[0] = '1';
	assert_int_equal(json_read(&doc, text, JSON_TEXT_MAX, few, 3), 0);
	assert_int_equal(json_read(&doc, text, JSON_TEXT_MAX + 1, few, 3), -1);
}

static uint64_t rng_state = 1;

static unsigned rng(unsigned n)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(rng_state >> 33) % n;
}

/* Mutations of real requests: the reader and jansson agree on each. */
static void test_like_jansson(void **state)
{
	static const char seed[] =
		"{\"jsonrpc\":\"2.0\",\"id\":\"x\\u00e9\",\"method\":\"traffic_start\",\"params\":"
		"{\"flows\":[{\"id\":1,\"role\":\"send\",\"rate\":-1.5e3},{\"a\":[true,false,null]}],"
		"\"reset\":true}}";
	static const char bits[] = "{}[]:,\"\\ -+.eE019truefalsnu\x80\xc3\xa9\xed\xf0\x1f\x7f\n";
	unsigned accepted = 0;
	char s[512];

	for (int i = 0; i < 50000; i++) {
		size_t n = sizeof(seed) - 1;

		memcpy(s, seed, n);
		for (unsigned k = rng(4); k-- && n;) {
			size_t at = rng((unsigned)n);

			switch (rng(4)) {
			case 0:
				s[at] = bits[rng(sizeof(bits) - 1)];
				break;
			case 1:
				memmove(s + at, s + at + 1, --n - at);
				break;
			case 2:
				memmove(s + at + 1, s + at, n++ - at);
				s[at] = bits[rng(sizeof(bits) - 1)];
				break;
			case 3:
				n = at + 1;
				break;
			}
		}
		if (reads(s, n) != reference_accepts(s, n))
			fail_msg("jansson %s: %.*s",
				reference_accepts(s, n) ? "accepts" : "refuses", (int)n, s);
		accepted += reads(s, n);
	}
	assert_true(accepted > 1000 && accepted < 49000);
}

static void test_writer(void **state)
{
	char buf[256];
	struct json_out o = { .buf = buf, .cap = sizeof(buf) };

	json_open(&o, '{');
	json_member_str(&o, "s", "a\"b\\c\n\x7f");
	json_member_u64(&o, "n", UINT64_MAX);
	json_key(&o, "list");
	json_open(&o, '[');
	json_put_u64(&o, 0);
	json_put_bool(&o, true);
	json_open(&o, '[');
	json_close(&o, ']');
	json_put_hex(&o, 0);
	json_put_hex(&o, 0x120018028);
	json_close(&o, ']');
	json_close(&o, '}');
	assert_false(o.overflow);
	buf[o.len] = '\0';
	assert_string_equal(buf,
		"{\"s\":\"a\\\"b\\\\c\\u000a\\u007f\",\"n\":18446744073709551615,"
		"\"list\":[0,true,[],\"0x0\",\"0x120018028\"]}");
	/* Never a byte more than there is room for. */
	for (size_t cap = 0; cap < 20; cap++) {
		memset(buf, 'x', sizeof(buf));
		o = (struct json_out){ .buf = buf, .cap = cap };
		json_open(&o, '[');
		json_put_u64(&o, 1234567890);
		json_put_str(&o, "abcdefgh");
		json_close(&o, ']');
		assert_true(o.overflow);
		assert_true(o.len <= cap);
		assert_int_equal(buf[cap], 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_like_jansson),
		cmocka_unit_test(test_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
