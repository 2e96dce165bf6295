/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency histograms on their way to who reads them: percentiles against those of the sorted
 * values, and the encoding, read back by a decoder that shares nothing with the encoder. (A foreign
 * one, HdrHistogram's own, reads it in tests/integration/test_hdr.py.)
 *
 * test_hdr FILE writes a histogram and what it holds there, for that test.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/base64.h"
#include "lab/bench_hist.h"
#include "traffic/hist.h"

#define N      200000
#define TSC_HZ 2.4451e9

static uint64_t rng_state = 1;

static double uniform(void)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(rng_state >> 11) * 0x1p-53;
}

/* Latencies as they are: most near one value, a long tail. */
static uint64_t latency_tsc(double median_us, double spread)
{
	double normal = sqrt(-2 * log(uniform() + 1e-12)) * cos(2 * M_PI * uniform());

	return (uint64_t)(median_us * TSC_HZ / 1e6 * exp(spread * normal));
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* As the agent puts it. */
static json_t *latency_json(const struct traffic_hist *t)
{
	json_t *buckets = json_array();

	for (uint32_t i = 0; i < TRAFFIC_HIST_BUCKETS; i++)
		if (t->bucket[i])
			json_array_append_new(buckets,
				json_pack("[I, I]", (json_int_t)traffic_hist_lower(i),
					(json_int_t)t->bucket[i]));
	return json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)t->count, "min_tsc",
		(json_int_t)t->min, "max_tsc", (json_int_t)t->max, "buckets", buckets);
}

/* values: sorted afterwards. */
static struct hdr *make(uint64_t *values, size_t n, double median_us, double spread)
{
	static struct traffic_hist t;
	struct hdr *h = hdr_new();
	struct err e;

	traffic_hist_init(&t);
	for (size_t i = 0; i < n; i++) {
		values[i] = latency_tsc(median_us, spread);
		traffic_hist_add(&t, values[i]);
	}
	qsort(values, n, sizeof(*values), by_value);
	json_t *j = latency_json(&t);
	assert_int_equal(bench_hist_add(h, j, TSC_HZ, &e), 0);
	json_decref(j);
	return h;
}

static double exact_ns(const uint64_t *sorted, size_t n, uint32_t ppm)
{
	size_t rank = (size_t)ceil((double)n * ppm / 1e6);

	return (double)sorted[rank ? rank - 1 : 0] * 1e9 / TSC_HZ;
}

static const uint32_t quantiles[] = { 0, 1000, 10000, 100000, 250000, 500000, 900000, 990000,
	999000, 999900, 1000000 };
#define N_QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static void test_quantiles(void **state)
{
	static uint64_t values[N];
	static const double medians_us[] = { 1, 7.3, 120, 5000 }, spreads[] = { 0.05, 0.5, 1.5 };

	for (size_t k = 0; k < 12; k++) {
		struct hdr *h = make(values, N, medians_us[k % 4], spreads[k / 4]);

		assert_int_equal(h->total, N);
		for (size_t i = 0; i < N_QUANTILES; i++) {
			double exact = exact_ns(values, N, quantiles[i]);
			double got = (double)hdr_quantile(h, quantiles[i]);

			if (fabs(got - exact) > 0.01 * exact + 1)
				fail_msg("%u ppm: %.0f ns, exactly %.0f", quantiles[i], got, exact);
		}
		free(h);
	}
}

static void test_edges(void **state)
{
	struct hdr *h = hdr_new();

	assert_int_equal(hdr_quantile(h, 500000), 0);
	for (uint64_t v = 0; v < 2048; v++)
		hdr_add(h, v, 1);
	assert_int_equal(hdr_quantile(h, 1000000), 2047);
	hdr_add(h, 2048, 1);
	assert_int_equal(hdr_quantile(h, 1000000), 2049);
	hdr_add(h, UINT64_MAX, 1); /* counts as the highest */
	assert_true(hdr_quantile(h, 1000000) >= HDR_VALUE_MAX);
	free(h);
}

/* ---- read back ---- */

static uint64_t get(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | *p++;
	return v;
}

/* Inflates what the base64 text holds; its length. */
static size_t unpack(const char *text, uint8_t *out, size_t room)
{
	uint8_t *packed = malloc(strlen(text));
	ssize_t len = base64_decode(text, strlen(text), packed);
	uLongf got = room;

	assert_true(len > 8);
	assert_int_equal(get(packed, 4), 0x1c849314);
	assert_int_equal(get(packed + 4, 4), len - 8);
	assert_int_equal(uncompress(out, &got, packed + 8, (uLong)len - 8), Z_OK);
	free(packed);
	return got;
}

static const uint8_t *get_word(const uint8_t *p, int64_t *v)
{
	uint64_t u = 0;
	unsigned n = 0;

	for (;; n++) {
		u |= (uint64_t)(n < 8 ? *p & 0x7f : *p) << 7 * n;
		if (n == 8 || !(*p++ & 0x80))
			break;
	}
	if (n == 8)
		p++;
	*v = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
	return p;
}

static void check_encoding(const struct hdr *h)
{
	static uint8_t plain[HDR_COUNTS * 10];
	struct err e;
	char *text = hdr_encode(h, &e);
	size_t len = unpack(text, plain, sizeof(plain)), at = 0;
	const uint8_t *p = plain + 40;

	assert_int_equal(get(plain, 4), 0x1c849313);
	assert_int_equal(get(plain + 4, 4), len - 40);
	assert_int_equal(get(plain + 8, 4), 0);
	assert_int_equal(get(plain + 12, 4), 3);
	assert_int_equal(get(plain + 16, 8), 1);
	assert_int_equal(get(plain + 24, 8), HDR_VALUE_MAX);
	assert_int_equal(get(plain + 32, 8), 0x3ff0000000000000);
	while (p < plain + len) {
		int64_t v;

		p = get_word(p, &v);
		assert_true(at < HDR_COUNTS);
		if (v >= 0)
			assert_int_equal(h->count[at++], v);
		for (; v < 0; v++)
			assert_int_equal(h->count[at++], 0);
	}
	for (; at < HDR_COUNTS; at++)
		assert_int_equal(h->count[at], 0);
	free(text);
}

static void test_encoding(void **state)
{
	static uint64_t values[N];
	struct hdr *h = hdr_new();

	check_encoding(h); /* of nothing */
	hdr_add(h, 0, 1);
	hdr_add(h, 2, 1ull << 62); /* nine bytes; a single zero before it */
	hdr_add(h, HDR_VALUE_MAX, 127);
	hdr_add(h, 5000, 64); /* the first count of two bytes */
	check_encoding(h);
	free(h);
	h = make(values, N, 40, 0.8);
	check_encoding(h);
	free(h);
}

static void test_bad_replies(void **state)
{
	struct hdr *h = hdr_new();
	struct err e;
	json_t *none = json_object();
	json_t *wrong = json_pack("{s:i, s:i, s:i, s:[[i, i]]}", "count", 3, "min_tsc", 5,
		"max_tsc", 9, "buckets", 5, 2);

	assert_int_not_equal(bench_hist_add(h, none, TSC_HZ, &e), 0);
	assert_non_null(strstr(e.text, "lacks its \"buckets\""));
	assert_int_not_equal(bench_hist_add(h, wrong, TSC_HZ, &e), 0);
	assert_non_null(strstr(e.text, "counts 3 frames, but its buckets hold 2"));
	json_decref(none);
	json_decref(wrong);
	free(h);
}

static int write_sample(const char *path)
{
	static uint64_t values[N];
	struct hdr *h = make(values, N, 40, 0.8);
	struct err e;
	char *text = hdr_encode(h, &e);
	json_t *exact = json_array(), *j;

	for (size_t i = 0; i < N_QUANTILES; i++)
		json_array_append_new(exact,
			json_pack("[i, f]", (int)quantiles[i], exact_ns(values, N, quantiles[i])));
	j = json_pack("{s:s, s:i, s:o}", "hdr", text, "count", N, "exact_ns", exact);
	int rc = json_dump_file(j, path, 0);
	json_decref(j);
	free(text);
	free(h);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_bad_replies),
	};

	if (argc == 2)
		return write_sample(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
