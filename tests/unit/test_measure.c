/* SPDX-License-Identifier: Apache-2.0 */
/* The search for a rate on a device that is simulated: known limit, loss curve and noise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "measure/search.h"
#include "measure/stats.h"

#define SEEDS     1000
#define MAX_FPS   1e6
#define TRIAL_S   2
#define PDR_RATIO 0.005

/* ---- the device ---- */

struct device {
	uint64_t rng;
	double limit_fps;   /* up to which it loses nothing */
	double steep;       /* of what it gets too much, the part that it loses */
	double jitter;      /* of the limit, from trial to trial: standard deviation */
	double transient_p; /* of a trial in which something else loses frames */
	double generator_fps;
};

static uint64_t next(struct device *d)
{
	uint64_t z = d->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static double uniform(struct device *d, double from, double to)
{
	return from + (to - from) * (double)(next(d) >> 11) * 0x1p-53;
}

static double normal(struct device *d)
{
	double u = uniform(d, 1e-12, 1), v = uniform(d, 0, 1);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static struct device device_make(uint64_t seed)
{
	struct device d = { .rng = seed * 7919, .generator_fps = INFINITY };

	d.limit_fps = exp(uniform(&d, log(0.02 * MAX_FPS), log(0.97 * MAX_FPS)));
	d.steep = uniform(&d, 0.3, 1);
	d.jitter = 0.001;
	d.transient_p = 0.03;
	return d;
}

static struct search_outcome device_run(struct device *d, double fps)
{
	double sent_fps = fmin(fps, d->generator_fps), frames = floor(sent_fps * TRIAL_S), lost = 0;
	double limit = d->limit_fps * (1 + d->jitter * normal(d));

	if (sent_fps > limit)
		lost = frames * d->steep * (sent_fps - limit) / sent_fps;
	if (uniform(d, 0, 1) < d->transient_p)
		lost += frames * uniform(d, 0.0002, 0.03);
	return (struct search_outcome){ .sent_fps = sent_fps, .loss_ratio = floor(lost) / frames };
}

/* Where the loss curve passes a ratio. */
static double truth(const struct device *d, double ratio)
{
	return fmin(MAX_FPS, d->limit_fps * d->steep / (d->steep - ratio));
}

static const struct search_params defaults = {
	.method = SEARCH_VERIFIED,
	.min_fps = 0.01 * MAX_FPS,
	.max_fps = MAX_FPS,
	.resolution = 0.01,
	.verify = 2,
	.n_goals = 2,
	.loss_ratio = { 0, PDR_RATIO },
};

static void run(struct search *s, const struct search_params *p, struct device *d)
{
	struct err e = { 0 };
	double fps;

	assert_int_equal(search_init(s, p, &e), 0);
	while (search_next(s, &fps)) {
		struct search_outcome o = device_run(d, fps);

		assert_true(fps >= p->min_fps && fps <= p->max_fps);
		search_tell(s, &o);
	}
}

/* Of SEEDS devices, those whose figure is not within the stated width of the truth. */
static unsigned misses(const struct search_params *p, size_t goal, double transient_p)
{
	static struct search s;
	unsigned n = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct device d = device_make(seed);

		d.transient_p = transient_p;
		run(&s, p, &d);
		const struct search_goal *g = &s.goal[goal];
		double width = p->resolution * g->upper_fps;

		n += g->end == SEARCH_MIN_LOSES || g->end == SEARCH_GAVE_UP ||
			fabs(g->lower_fps - truth(&d, p->loss_ratio[goal])) > width;
	}
	return n;
}

/* ---- the search ---- */

static void test_verified(void **state)
{
	unsigned ndr = misses(&defaults, 0, 0.03), pdr = misses(&defaults, 1, 0.03);

	print_message("of %d seeds, not within the width: NDR %u, PDR %u\n", SEEDS, ndr, pdr);
	assert_true(ndr <= SEEDS / 100);
	assert_true(pdr <= SEEDS / 100);
}

/* RFC 2544's is as good on a device that loses frames for no reason but its load, and that trials
 * which lose frames for another reason mislead it is what the verification is for. */
static void test_binary(void **state)
{
	struct search_params p = defaults;

	p.method = SEARCH_BINARY;
	p.resolution = 0.02;
	unsigned calm = misses(&p, 0, 0), disturbed = misses(&p, 0, 0.03);
	print_message("RFC 2544: not within the width: %u, disturbed %u\n", calm, disturbed);
	assert_true(calm <= SEEDS / 100);
	assert_true(disturbed > SEEDS / 20);
}

static void test_start_and_shared_trials(void **state)
{
	struct search_params p = defaults;
	struct device d = device_make(1);
	struct search s;

	d.jitter = d.transient_p = 0;
	d.limit_fps = 500e3;
	d.steep = 1;
	p.start_fps = 501e3; /* fails for the one, passes for the other */
	run(&s, &p, &d);
	assert_true(s.trial[0].fps == p.start_fps);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(s.goal[i].end, SEARCH_FOUND);
	assert_true(s.goal[0].lower_fps <= 500e3 && s.goal[0].upper_fps > 500e3);
	assert_true(s.goal[1].lower_fps <= 500e3 / 0.995 && s.goal[1].upper_fps > 500e3 / 0.995);
	assert_true(s.goal[0].upper_fps - s.goal[0].lower_fps <= 0.01 * s.goal[0].upper_fps);
	assert_true(s.goal[0].upper_loss_ratio > 0);
	/* Every halving once, whoever asked for it: those that failed three times. */
	assert_true(s.n_trials < 45);
}

static void test_min_loses(void **state)
{
	struct search_params p = defaults;
	struct device d = device_make(1);
	char text[512];
	struct search s;

	d.limit_fps = 1000;
	run(&s, &p, &d);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s.goal[i].end, SEARCH_MIN_LOSES);
		assert_true(s.goal[i].lower_fps == 0);
		search_describe(&s, i, text, sizeof(text));
		assert_non_null(strstr(text, "lower limit, 10000 frames/s, lost "));
		assert_non_null(strstr(text, "no rate to name"));
	}
	/* The maximum and the minimum, each with its repeats, and not one more. */
	assert_int_equal(s.n_trials, 6);
}

static void test_at_max(void **state)
{
	struct search_params p = defaults;
	struct device d = device_make(1);
	struct search s;
	char text[512];

	d.limit_fps = 2 * MAX_FPS;
	d.transient_p = 0;
	run(&s, &p, &d);
	assert_int_equal(s.n_trials, 1);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s.goal[i].end, SEARCH_AT_MAX);
		assert_true(s.goal[i].lower_fps == MAX_FPS && s.goal[i].upper_fps == MAX_FPS);
	}
	assert_non_null(strstr(search_describe(&s, 0, text, sizeof(text)), "upper limit"));
}

/* A rate that can't be sent does not pass, however little is lost of what was sent instead. */
static void test_not_offered(void **state)
{
	struct search_params p = defaults;
	struct device d = device_make(1);
	struct search s;
	char text[512];

	d.limit_fps = 2 * MAX_FPS;
	d.transient_p = 0;
	d.generator_fps = 300e3;
	run(&s, &p, &d);
	assert_int_equal(s.goal[0].end, SEARCH_FOUND);
	assert_true(s.goal[0].lower_fps <= 300e3 / SEARCH_OFFERED);
	assert_true(s.goal[0].upper_fps > 300e3 / SEARCH_OFFERED);
	assert_true(s.goal[0].upper_not_offered);
	assert_non_null(strstr(search_describe(&s, 0, text, sizeof(text)), "could not be sent"));
}

/* Lost, but never sent at its rate either: both are said. */
static void test_not_offered_and_lost(void **state)
{
	struct search_params p = defaults;
	struct device d = device_make(1);
	struct search s;
	char text[512];

	d.limit_fps = 1000;
	d.generator_fps = 5000;
	run(&s, &p, &d);
	assert_int_equal(s.goal[0].end, SEARCH_MIN_LOSES);
	search_describe(&s, 0, text, sizeof(text));
	assert_non_null(strstr(text, "10000 frames/s, could not be sent at that rate, and lost "));
}

static void test_gave_up(void **state)
{
	struct search_params p = defaults;
	struct device d = device_make(3);
	struct search s;
	char text[512];

	p.max_trials = 5;
	run(&s, &p, &d);
	assert_int_equal(s.n_trials, 5);
	assert_int_equal(s.goal[0].end, SEARCH_GAVE_UP);
	assert_non_null(strstr(search_describe(&s, 0, text, sizeof(text)), "after 5 trials"));
}

static void test_asked_twice(void **state)
{
	struct search_outcome o = { MAX_FPS, 0 };
	struct search s;
	struct err e;
	double a, b;

	assert_int_equal(search_init(&s, &defaults, &e), 0);
	assert_true(search_next(&s, &a) && search_next(&s, &b) && a == b);
	assert_int_equal(s.n_trials, 0);
	search_tell(&s, &o);
	search_tell(&s, &o); /* of no trial: nothing */
	assert_int_equal(s.n_trials, 1);
	assert_false(search_next(&s, &a));
}

static void test_bad_params(void **state)
{
	static const struct {
		const char *says;
		struct search_params p;
	} bad[] = {
		{ "expected more than 0", { .min_fps = 0, .max_fps = 1 } },
		{ "expected more than 0", { .min_fps = 2, .max_fps = 1 } },
		{ "within its limits", { .min_fps = 2, .max_fps = 3, .start_fps = 1 } },
		{ "resolution", { .min_fps = 2, .max_fps = 3, .resolution = 1 } },
		{ "repeats", { SEARCH_VERIFIED, .min_fps = 2, .max_fps = 3, .resolution = .1 } },
		{ "goals", { .min_fps = 2, .max_fps = 3, .resolution = .1 } },
		{ "ascending",
			{ .min_fps = 2,
				.max_fps = 3,
				.resolution = .1,
				.n_goals = 2,
				.loss_ratio = { .1, 0 } } },
		{ "ascending",
			{ .min_fps = 2,
				.max_fps = 3,
				.resolution = .1,
				.n_goals = 1,
				.loss_ratio = { 1 } } },
	};
	struct search s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = { 0 };

		assert_int_not_equal(search_init(&s, &bad[i].p, &e), 0);
		assert_int_equal(e.class, ERR_REQUEST);
		if (!strstr(e.text, bad[i].says))
			fail_msg("%zu: \"%s\" does not say \"%s\"", i, e.text, bad[i].says);
	}
}

/* ---- medians ---- */

static void test_median(void **state)
{
	double odd[] = { 3, NAN, 1, 2 }, even[] = { 4, 1, 3, 2 }, none[] = { NAN };

	assert_true(stats_median(odd, 4) == 2);
	assert_true(stats_median(even, 4) == 2.5);
	assert_true(isnan(stats_median(none, 1)));
}

static void test_interval(void **state)
{
	double v[] = { 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 };
	struct stats_interval x = stats_median_interval(v, 10, 0.95);

	/* Of 10: P(B <= 1) = 11 / 1024, of both sides 0.0215; with k = 3 it would be 0.109. */
	assert_true(x.low == 2 && x.high == 9);
	assert_true(fabs(x.confidence - (1 - 22.0 / 1024)) < 1e-12);
	x = stats_median_interval(v, 5, 0.95); /* too few: all of them, and the truth about it */
	assert_true(x.low == 1 && x.high == 5 && fabs(x.confidence - 0.9375) < 1e-12);
	x = stats_median_interval(v, 1, 0.95);
	assert_true(x.low == 1 && x.high == 1 && x.confidence == 0);
	x = stats_median_interval(v, 0, 0.95);
	assert_true(isnan(x.low) && isnan(x.high));

	/* What one call has sorted the next may be asked about, with those that are no numbers. */
	double some[] = { NAN, NAN, 9, 1, 8 };
	assert_true(stats_median(some, 5) == 8);
	x = stats_median_interval(some, 5, 0.95);
	assert_true(x.low == 1 && x.high == 9 && fabs(x.confidence - 0.75) < 1e-12);
}

/* It holds what it says: how often intervals of 9 normal values enclose their median. */
static void test_interval_covers(void **state)
{
	struct device d = { .rng = 1 };
	unsigned covered = 0;
	double said = 0;

	for (unsigned i = 0; i < 20000; i++) {
		double v[9];

		for (size_t k = 0; k < 9; k++)
			v[k] = normal(&d);
		struct stats_interval x = stats_median_interval(v, 9, 0.95);
		covered += x.low <= 0 && x.high >= 0;
		said = x.confidence;
	}
	assert_true(said >= 0.95);
	assert_true(fabs(covered / 20000.0 - said) < 0.005);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verified),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_start_and_shared_trials),
		cmocka_unit_test(test_min_loses),
		cmocka_unit_test(test_at_max),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_not_offered_and_lost),
		cmocka_unit_test(test_gave_up),
		cmocka_unit_test(test_asked_twice),
		cmocka_unit_test(test_bad_params),
		cmocka_unit_test(test_median),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_interval_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
