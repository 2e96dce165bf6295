/* SPDX-License-Identifier: Apache-2.0 */
/* traffic/: sequence accounting against a plain reference, the histogram's bounds, pacing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "traffic/hist.h"
#include "traffic/pacer.h"
#include "traffic/seq.h"

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return rng_state >> 29;
}

/* The reference: a flag for each number ever. */
#define REF_MAX 2000000
static uint8_t ref_seen[REF_MAX];
static struct {
	uint64_t next, lost, duplicated, reordered, stale, frames;
} ref;

static void ref_add(uint64_t seq)
{
	ref.frames++;
	if (seq >= ref.next) {
		ref.lost += seq - ref.next;
		ref.next = seq + 1;
		ref_seen[seq] = 1;
	} else if (ref.next - seq > TRAFFIC_SEQ_WINDOW) {
		ref.stale++;
	} else if (ref_seen[seq]) {
		ref.duplicated++;
	} else {
		ref_seen[seq] = 1;
		ref.lost--;
		ref.reordered++;
	}
}

static void check_same(const struct traffic_seq *q)
{
	assert_int_equal(q->next, ref.next);
	assert_int_equal(q->lost, ref.lost);
	assert_int_equal(q->duplicated, ref.duplicated);
	assert_int_equal(q->reordered, ref.reordered);
	assert_int_equal(q->stale, ref.stale);
	assert_int_equal(ref.frames, q->next - q->lost + q->duplicated + q->stale);
}

static uint64_t next_number(uint64_t *at, unsigned mood)
{
	unsigned back;

	switch (mood) {
	case 0: /* in order */
		break;
	case 1: /* losses */
		if (rng() % 10 == 0)
			*at += rng() % 5;
		break;
	case 2: /* anything near, and far */
		back = rng() % 3 ? 40 : 9000;
		if (rng() % 2 && *at > back)
			return *at - 1 - rng() % back;
		break;
	case 3: /* gaps around the window's length */
		if (rng() % 50 == 0)
			*at += rng() % (3 * TRAFFIC_SEQ_WINDOW);
		else if (rng() % 3 == 0 && *at > 2 * TRAFFIC_SEQ_WINDOW)
			return *at - 1 - rng() % (2 * TRAFFIC_SEQ_WINDOW);
		break;
	}
	return (*at)++;
}

static void test_seq_random(void **state)
{
	for (unsigned run = 0; run < 40; run++) {
		static struct traffic_seq q;
		uint64_t at = 0;

		memset(&q, 0, sizeof(q));
		memset(&ref, 0, sizeof(ref));
		memset(ref_seen, 0, sizeof(ref_seen));
		rng_state = run;
		for (int i = 0; i < 60000 && at < REF_MAX - 4 * TRAFFIC_SEQ_WINDOW; i++) {
			uint64_t seq = next_number(&at, run < 4 ? run : (i / 1000 + run) % 4);

			traffic_seq_add(&q, seq);
			ref_add(seq);
			if (i % 97 == 0)
				check_same(&q);
		}
		check_same(&q);
	}
}

static void test_seq_edges(void **state)
{
	static struct traffic_seq q;

	/* The oldest number that is remembered, and the one before. */
	traffic_seq_add(&q, TRAFFIC_SEQ_WINDOW);
	assert_int_equal(q.lost, TRAFFIC_SEQ_WINDOW);
	traffic_seq_add(&q, 1);
	assert_int_equal(q.reordered, 1);
	traffic_seq_add(&q, 1);
	assert_int_equal(q.duplicated, 1);
	traffic_seq_add(&q, 0);
	assert_int_equal(q.stale, 1);
	assert_int_equal(q.lost, TRAFFIC_SEQ_WINDOW - 1);
	/* Far ahead, at the end of the number space. */
	traffic_seq_add(&q, (1ull << 48) - 1);
	traffic_seq_add(&q, (1ull << 48) - 2);
	assert_int_equal(q.reordered, 2);
}

static void test_hist_bounds(void **state)
{
	uint64_t prev_end = 0;

	/* Buckets follow each other without a gap, and none is wider than 1 % of its start. */
	for (uint32_t i = 0; i < TRAFFIC_HIST_BUCKETS; i++) {
		uint64_t lo = traffic_hist_lower(i), w = traffic_hist_width(i);

		assert_int_equal(lo, prev_end);
		assert_int_equal(traffic_hist_index(lo), i);
		assert_int_equal(traffic_hist_index(lo + w - 1), i);
		assert_true(w == 1 || w * 100 <= lo);
		prev_end = lo + w;
	}
	assert_int_equal(prev_end, 1ull << TRAFFIC_HIST_MAX_BITS);
	assert_int_equal(traffic_hist_index(UINT64_MAX), TRAFFIC_HIST_BUCKETS - 1);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_hist_quantiles(void **state)
{
	static const uint32_t q[] = { 1, 500000, 900000, 990000, 999000, 1000000 };
	enum { N = 50000 };
	static uint64_t v[N];
	static struct traffic_hist h, part[2], merged;

	for (unsigned run = 0; run < 12; run++) {
		uint64_t sum = 0;

		rng_state = run;
		traffic_hist_init(&h);
		traffic_hist_init(&part[0]);
		traffic_hist_init(&part[1]);
		for (int i = 0; i < N; i++) {
			v[i] = rng() >> rng() % 34; /* all magnitudes to 2^35 */
			sum += v[i];
			traffic_hist_add(&h, v[i]);
			traffic_hist_add(&part[rng() % 2], v[i]);
		}
		qsort(v, N, sizeof(v[0]), cmp_u64);
		merged = part[0];
		traffic_hist_merge(&merged, &part[1]);
		assert_memory_equal(&merged, &h, sizeof(h));
		assert_int_equal(h.count, N);
		assert_int_equal(h.sum, sum);
		assert_int_equal(h.min, v[0]);
		assert_int_equal(h.max, v[N - 1]);
		for (size_t k = 0; k < sizeof(q) / sizeof(q[0]); k++) {
			uint64_t rank = ((uint64_t)N * q[k] + 999999) / 1000000;
			double want = (double)v[rank - 1];
			double got = (double)traffic_hist_quantile(&h, q[k]);

			assert_true(got >= want * 0.99 - 1 && got <= want * 1.01 + 1);
		}
	}
	traffic_hist_init(&h);
	assert_int_equal(traffic_hist_quantile(&h, 500000), 0);
	traffic_hist_add(&h, UINT64_MAX);
	assert_int_equal(traffic_hist_quantile(&h, 500000), UINT64_MAX);
}

/* Deadlines are exact for any rate: compared with the formula in 128 bits. */
static void test_pacer_exact(void **state)
{
	static const uint64_t rates[] = { 1, 999, 1000, 333333, 10000000, 14880952381, 1000000000,
		7777777777, 1000000000000 };
	const uint64_t hz = 2445428571, start = 123456789;

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct traffic_pacer p;

		traffic_pacer_init(&p, start, hz, rates[r]);
		for (uint64_t k = 0; k < 200000; k++) {
			uint64_t want =
				start + (uint64_t)((unsigned __int128)k * 1000 * hz / rates[r]);

			if (p.next_tsc != want)
				fail_msg("rate %llu, frame %llu: due at %llu instead of %llu",
					(unsigned long long)rates[r], (unsigned long long)k,
					(unsigned long long)p.next_tsc, (unsigned long long)want);
			traffic_pacer_advance(&p);
		}
	}
}

static void test_pacer_due(void **state)
{
	struct traffic_pacer p;

	traffic_pacer_init(&p, 1000, 1000000, 10000000); /* a frame each 100 ticks */
	assert_int_equal(traffic_pacer_due(&p, 999, 10), 0);
	assert_int_equal(traffic_pacer_due(&p, 1000, 10), 1);
	assert_int_equal(traffic_pacer_due(&p, 1199, 10), 2);
	assert_int_equal(traffic_pacer_due(&p, 1000000, 10), 10);
	assert_int_equal(p.next_tsc, 1000);
}

/* A sender that was away for half a second: it never sends more than 40 ms' worth at once,
 * goes at four times its rate meanwhile, and ends where it would have been. */
static void test_pacer_catches_up(void **state)
{
	static const uint64_t rates[] = { 10, 1000, 10000, 100000, 1000000 }; /* frames/s */
	const uint64_t hz = 2000000000;

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		uint64_t tsc = hz / 2, sent = 0, most = 0, step = hz / rates[r];
		uint64_t bound = rates[r] / 25 + 8; /* 20 ms of catching up, then 20 ms */
		struct traffic_pacer p;

		traffic_pacer_init(&p, 0, hz, rates[r] * 1000);
		/* 1.2 s of rounds of 10 us each, in which as much is sent as may be. */
		for (; tsc < 17 * hz / 10; tsc += hz / 100000) {
			uint64_t round = 0;
			uint32_t n;

			while ((n = traffic_pacer_release(&p, tsc, 64))) {
				for (uint32_t i = 0; i < n; i++)
					traffic_pacer_advance(&p);
				round += n;
			}
			most = round > most ? round : most;
			sent += round;
			/* Never ahead; while it is behind, no faster than four times the rate. */
			assert_true(sent <= tsc / step + 1);
			assert_true(sent <= 4 * (tsc - hz / 2) / step + 2 * bound);
		}
		assert_true(most <= bound);
		assert_true(sent >= (tsc - 2 * hz / 100000) / step - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seq_random),
		cmocka_unit_test(test_seq_edges),
		cmocka_unit_test(test_hist_bounds),
		cmocka_unit_test(test_hist_quantiles),
		cmocka_unit_test(test_pacer_exact),
		cmocka_unit_test(test_pacer_due),
		cmocka_unit_test(test_pacer_catches_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
