/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues a worker looks at: idle ones by turns, and moves between two workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/dprig.h"
#include "vswitch/dp/poll.h"

#define N    40u
#define SIZE 8u

/* N queues of rings with SIZE entries, and two workers' views of them. */
struct bed {
	struct rig_guest g[N];
	struct dp_inq *list[2][N];
	struct dp_view_worker workers[2];
	struct dp_view view;
	struct dp_poll p[2];
};

static struct bed b;

static void bed_make(void)
{
	memset(&b, 0, sizeof(b));
	for (uint32_t i = 0; i < N; i++) {
		rig_guest_init(&b.g[i], 4096, 1, false);
		rig_guest_rings(&b.g[i], SIZE, 1ull << 32, 0);
		b.g[i].in.port = &b.g[i].port;
		b.list[0][i] = &b.g[i].in;
	}
	for (int w = 0; w < 2; w++) {
		b.workers[w].inqs = b.list[w];
		assert_int_equal(0, dp_poll_init(&b.p[w], (uint16_t)w, N));
	}
	b.workers[0].n_inqs = N;
	b.view = (struct dp_view){ .generation = 1, .n_workers = 2, .workers = b.workers };
}

static void bed_end(void)
{
	for (uint32_t i = 0; i < N; i++)
		free(b.g[i].mem);
	for (int w = 0; w < 2; w++)
		dp_poll_fini(&b.p[w]);
}

/* What a worker does with queues that have nothing: all that are quiet become idle. */
static void demote_all(struct dp_poll *p)
{
	for (uint32_t i = 0; i < p->n_active;) {
		p->active[i]->quiet = DP_POLL_QUIET;
		if (!dp_poll_demote(p, i))
			i++;
	}
}

static bool is_in(struct dp_inq *const *list, uint32_t n, const struct dp_inq *q)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == q)
			return true;
	return false;
}

/* In exactly one of the lists. */
static void assert_listed(const struct dp_poll *p, const struct dp_inq *q, bool active)
{
	assert_int_equal(active, is_in(p->active, p->n_active, q));
	assert_int_equal(!active, is_in(p->idle, p->n_idle, q));
}

static void frame_post(uint32_t i)
{
	b.g[i].in.ring.avail->idx++;
}

static void test_idle_by_turns(void **state)
{
	struct dp_poll *p = &b.p[0];
	uint32_t rounds = 0;

	bed_make();
	dp_poll_adopt(p, &b.view);
	assert_int_equal(N, p->n_active);
	frame_post(7);
	demote_all(p);
	/* The one with news stays; nothing is lost between two looks. */
	assert_int_equal(1, p->n_active);
	assert_ptr_equal(&b.g[7].in, p->active[0]);
	assert_int_equal(N - 1, p->n_idle);
	for (uint32_t i = 0; i < N; i++)
		if (i != 7)
			frame_post(i);
	while (p->n_idle) {
		uint32_t n = dp_poll_quota(p, 2 * DP_POLL_CYCLES), before = p->n_idle;

		dp_poll_look(p, n);
		assert_int_equal(before - n, p->n_idle);
		rounds++;
	}
	assert_int_equal(N / 3, rounds);
	for (uint32_t i = 0; i < N; i++)
		assert_listed(p, &b.g[i].in, true);
	bed_end();
}

/* Each idle queue is seen within as many looks as there are, wherever the turn stands. */
static void test_every_turn(void **state)
{
	struct dp_poll *p = &b.p[0];

	bed_make();
	dp_poll_adopt(p, &b.view);
	demote_all(p);
	for (uint32_t k = 0; k < 10 * N; k++) {
		uint32_t i = k * 7 % N, rounds = 0;

		frame_post(i);
		while (!p->n_active) {
			dp_poll_look(p, dp_poll_quota(p, 0));
			assert_true(++rounds <= N);
		}
		assert_listed(p, &b.g[i].in, true);
		assert_int_equal(0, b.g[i].in.quiet);
		b.g[i].in.ring.avail_next++; /* taken */
		demote_all(p);
		assert_int_equal(N, p->n_idle);
	}
	/* One that woke us needs no turn; one that is not ours, or gone, is nothing. */
	dp_poll_hint(p, &b.g[9].in);
	assert_listed(p, &b.g[9].in, true);
	dp_poll_hint(p, &b.g[9].in);
	dp_poll_hint(p, &b);
	assert_int_equal(1, p->n_active);
	demote_all(p);
	/* After a round with frames: a few, by the time that it took; never more than there are. */
	assert_int_equal(1, dp_poll_quota(p, 1));
	assert_int_equal(11, dp_poll_quota(p, 10 * DP_POLL_CYCLES));
	assert_int_equal(N, dp_poll_quota(p, UINT64_MAX));
	/* All at once, with more asked for than there are. */
	dp_poll_look(p, UINT32_MAX);
	assert_int_equal(N, p->n_idle);
	frame_post(N - 1);
	dp_poll_look(p, UINT32_MAX);
	assert_listed(p, &b.g[N - 1].in, true);
	bed_end();
}

static void test_new_view(void **state)
{
	struct dp_poll *p = &b.p[0];

	bed_make();
	dp_poll_adopt(p, &b.view);
	demote_all(p);
	/* Idle ones stay so; one with news meanwhile does not; one that is gone is gone. */
	frame_post(3);
	b.view.generation = 2;
	b.workers[0].n_inqs = N - 1;
	dp_poll_adopt(p, &b.view);
	assert_int_equal(2, p->generation);
	assert_int_equal(1, p->n_active);
	assert_int_equal(N - 2, p->n_idle);
	assert_listed(p, &b.g[3].in, true);
	assert_false(is_in(p->idle, p->n_idle, &b.g[N - 1].in));
	assert_true(p->next_idle < p->n_idle);
	bed_end();
}

static void view_move(uint32_t i, uint16_t to)
{
	b.g[i].in.to = to;
	b.list[to][b.workers[to].n_inqs++] = &b.g[i].in;
	b.view.generation++;
}

static void owned_once(const struct dp_inq *q)
{
	int n = 0;

	for (int w = 0; w < 2; w++)
		n += is_in(b.p[w].active, b.p[w].n_active, q) +
			is_in(b.p[w].idle, b.p[w].n_idle, q);
	assert_true(n <= 1);
}

/* first: the worker that sees the new view first. idle: the queue has nothing. */
static void move_one(int first, bool idle)
{
	struct dp_inq *q = &b.g[5].in;

	bed_make();
	dp_poll_adopt(&b.p[0], &b.view);
	dp_poll_adopt(&b.p[1], &b.view);
	if (idle)
		demote_all(&b.p[0]);
	view_move(5, 1);
	dp_poll_adopt(&b.p[first], &b.view);
	/* One alone moves nothing: the old one goes on until the new one is there. */
	dp_poll_move(&b.p[first]);
	assert_int_equal(0, q->owner);
	if (first == 0)
		assert_listed(&b.p[0], q, !idle);
	dp_poll_adopt(&b.p[!first], &b.view);
	assert_int_equal(1, b.p[1].n_coming);
	assert_int_equal(1, b.p[0].n_leaving);
	dp_poll_move(&b.p[1]); /* not yet let go */
	assert_int_equal(1, b.p[1].n_coming);
	dp_poll_move(&b.p[0]);
	assert_int_equal(1, q->owner);
	owned_once(q);
	dp_poll_move(&b.p[1]);
	assert_listed(&b.p[1], q, !idle);
	owned_once(q);
	assert_int_equal(N - 1, b.p[0].n_active + b.p[0].n_idle);
	assert_int_equal(0, b.p[1].n_coming + b.p[0].n_leaving);
	bed_end();
}

static void test_move(void **state)
{
	for (int first = 0; first < 2; first++) {
		move_one(first, false);
		move_one(first, true);
	}
}

/* There, back, and there again: what an earlier move left behind moves nothing. */
static void test_move_back(void **state)
{
	struct dp_inq *q = &b.g[5].in;

	bed_make();
	b.list[0][5] = b.list[0][N - 1];
	b.list[0][N - 1] = q;
	for (uint16_t k = 0; k < 6; k++) {
		uint16_t from = k % 2, to = !from;

		view_move(5, to);
		dp_poll_adopt(&b.p[from], &b.view);
		dp_poll_move(&b.p[from]);
		assert_int_equal(from, q->owner);
		dp_poll_adopt(&b.p[to], &b.view);
		dp_poll_move(&b.p[from]);
		dp_poll_move(&b.p[to]);
		assert_int_equal(to, q->owner);
		owned_once(q);
		/* The view that lists it once. */
		b.workers[0].n_inqs = N - 1;
		b.workers[1].n_inqs = 0;
		if (to == 0)
			b.list[0][b.workers[0].n_inqs++] = q;
		else
			b.list[1][b.workers[1].n_inqs++] = q;
		b.view.generation++;
		for (int w = 0; w < 2; w++)
			dp_poll_adopt(&b.p[w], &b.view);
		assert_int_equal(0, b.p[0].n_leaving + b.p[1].n_leaving);
		assert_int_equal(0, b.p[0].n_coming + b.p[1].n_coming);
		assert_true(is_in(b.p[to].active, b.p[to].n_active, q));
	}
	bed_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_by_turns),
		cmocka_unit_test(test_every_turn),
		cmocka_unit_test(test_new_view),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
