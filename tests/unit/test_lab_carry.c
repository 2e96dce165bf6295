/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of doing and undoing, against a model of a host: a set of things, one a step, that
 * each step makes and its undoing removes. Whatever step fails, and however, the host is
 * afterwards as it was.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/carry.h"

#define N_STEPS 8

enum how { FAIL_CLEAN, FAIL_HALF_DONE }; /* did the step leave something when it failed? */

/* The world of one test: single-threaded, reset by each. */
static struct world {
	bool made[N_STEPS];
	char order[256]; /* "+0+1-1-0" */
	int fail_at, undo_fails_at;
	enum how how;
} world;

static int index_of(const struct carry *c, const struct step *s)
{
	return (int)(s - c->plan->steps);
}

static void note(char sign, int i)
{
	size_t n = strlen(world.order);

	snprintf(world.order + n, sizeof world.order - n, "%c%d", sign, i);
}

static int model_run(struct carry *c, struct step *s, struct err *e)
{
	int i = index_of(c, s);

	assert_int_equal(s->state, STEP_BEGUN);
	note('+', i);
	assert_false(world.made[i]);
	for (int j = 0; j < i; j++)
		assert_true(world.made[j]); /* what came before stands */
	if (i == world.fail_at) {
		world.made[i] = world.how == FAIL_HALF_DONE;
		return err_set(e, -EIO, "step %d fails", i);
	}
	world.made[i] = true;
	return 0;
}

static int model_undo(struct carry *c, struct step *s, struct err *e)
{
	int i = index_of(c, s);

	note('-', i);
	if (i == world.undo_fails_at)
		return err_set(e, -EBUSY, "step %d stays", i);
	world.made[i] = false;
	return 0;
}

static const struct step_ops model_ops[STEP_KIND_N] = {
	[STEP_FOLDER] = { model_run, model_undo },
	[STEP_HUGEPAGES] = { model_run, model_undo },
	[STEP_SWITCH] = { model_run, model_undo },
	[STEP_NETWORK] = { model_run, model_undo },
	[STEP_PORT] = { model_run, model_undo },
	[STEP_VM] = { model_run, model_undo },
	[STEP_GUEST] = { model_run, model_undo },
	[STEP_LINKS] = { model_run, model_undo },
};

static struct progress progress = { .quiet = true };

static void begin(struct carry *c, struct plan *p)
{
	static const enum step_kind kinds[N_STEPS] = { STEP_FOLDER, STEP_HUGEPAGES, STEP_SWITCH,
		STEP_NETWORK, STEP_PORT, STEP_VM, STEP_GUEST, STEP_LINKS };

	world = (struct world){ .fail_at = -1, .undo_fails_at = -1 };
	*p = (struct plan){ 0 };
	for (int i = 0; i < N_STEPS; i++) {
		struct step *s = plan_add(p, kinds[i]);

		s->name = lab_asprintf("s%d", i);
		s->path = lab_strdup("/nowhere");
		s->network = lab_strdup("n");
		s->socket = lab_strdup("/nowhere/s");
		s->log = lab_strdup("/nowhere/l");
	}
	*c = (struct carry){ .plan = p, .ops = model_ops, .progress = &progress, .signal_fd = -1 };
}

static bool nothing_made(void)
{
	for (int i = 0; i < N_STEPS; i++) {
		if (world.made[i])
			return false;
	}
	return true;
}

static void test_all_well(void **state)
{
	struct carry c;
	struct plan p;
	struct err e = { 0 };

	begin(&c, &p);
	assert_int_equal(carry_out(&c, &e), 0);
	assert_string_equal(world.order, "+0+1+2+3+4+5+6+7");
	for (int i = 0; i < N_STEPS; i++)
		assert_int_equal(p.steps[i].state, STEP_DONE);
	assert_int_equal(carry_out(&c, &e), 0); /* nothing is left to do */
	assert_string_equal(world.order, "+0+1+2+3+4+5+6+7");
	assert_int_equal(carry_undo(&c, false, &e), 0);
	assert_string_equal(world.order, "+0+1+2+3+4+5+6+7-7-6-5-4-3-2-1-0");
	assert_true(nothing_made());
	assert_int_equal(carry_undo(&c, false, &e), 0); /* nor to undo */
	assert_int_equal(strlen(world.order), 32);
	plan_clear(&p);
}

/* Each step in turn, failing before or after it left something. */
static void test_each_fails(void **state)
{
	for (int how = FAIL_CLEAN; how <= FAIL_HALF_DONE; how++) {
		for (int i = 0; i < N_STEPS; i++) {
			char want[64];
			struct carry c;
			struct plan p;
			struct err e = { 0 };

			begin(&c, &p);
			world.fail_at = i;
			world.how = (enum how)how;
			assert_int_equal(carry_out(&c, &e), -EIO);
			snprintf(want, sizeof want, "step %d fails", i);
			assert_string_equal(e.text, want);
			assert_true(nothing_made());
			for (int j = 0; j < N_STEPS; j++)
				assert_int_equal(p.steps[j].state, STEP_PLANNED);
			/* undone newest first, the failed one included */
			for (int j = i, at = 2 * (i + 1); j >= 0; j--, at += 2) {
				snprintf(want, sizeof want, "-%d", j);
				assert_memory_equal(world.order + at, want, 2);
			}
			assert_int_equal(strlen(world.order), 4 * (i + 1));
			plan_clear(&p);
		}
	}
}

/* A repair runs two steps of a lab that is up; when one fails only those two are undone. */
static void test_repair_fails(void **state)
{
	struct carry c;
	struct plan p;
	struct err e = { 0 };

	begin(&c, &p);
	assert_int_equal(carry_out(&c, &e), 0);
	world.order[0] = '\0';
	p.steps[2].state = p.steps[4].state = STEP_PLANNED;
	world.made[2] = world.made[4] = false;
	world.fail_at = 4;
	assert_int_equal(carry_out(&c, &e), -EIO);
	assert_string_equal(world.order, "+2+4-4-2");
	assert_int_equal(p.steps[3].state, STEP_DONE);
	assert_true(world.made[3] && world.made[5]);
	plan_clear(&p);
}

/* What can't be undone keeps the run folder with its record; a second try ends it. */
static void test_undo_fails(void **state)
{
	struct carry c;
	struct plan p;
	struct err e = { 0 };

	begin(&c, &p);
	assert_int_equal(carry_out(&c, &e), 0);
	world.undo_fails_at = 5;
	assert_int_equal(carry_undo(&c, false, &e), -EBUSY);
	assert_string_equal(e.text, "step 5 stays");
	assert_true(world.made[5] && world.made[0]);
	assert_false(world.made[1] || world.made[2] || world.made[7]);
	world.undo_fails_at = -1;
	assert_int_equal(carry_undo(&c, false, &e), 0);
	assert_true(nothing_made());
	plan_clear(&p);
}

/* A crash leaves the step at work BEGUN: undoing starts there. */
static void test_crash(void **state)
{
	struct carry c;
	struct plan p;
	struct err e = { 0 };

	begin(&c, &p);
	for (int i = 0; i < 3; i++) {
		p.steps[i].state = i < 2 ? STEP_DONE : STEP_BEGUN;
		world.made[i] = true;
	}
	assert_int_equal(carry_undo(&c, false, &e), 0);
	assert_string_equal(world.order, "-2-1-0");
	assert_true(nothing_made());
	plan_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_well),
		cmocka_unit_test(test_each_fails),
		cmocka_unit_test(test_repair_fails),
		cmocka_unit_test(test_undo_fails),
		cmocka_unit_test(test_crash),
	};

	if (!freopen("/dev/null", "w", stderr)) /* failures show on it even when quiet */
		return 1;
	return cmocka_run_group_tests_name("lab/carry", tests, NULL, NULL);
}
