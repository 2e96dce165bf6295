/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarding database against a plain table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/dp/fdb.h"

#define PORTS 8

static struct fdb_addr addr(const struct fdb *f, uint16_t net, uint16_t vid, uint32_t i)
{
	return fdb_addr(f, fdb_key(net, 0x02 | (uint64_t)i << 16), vid);
}

static enum fdb_result learn(struct fdb *f, uint32_t i, uint16_t port, uint32_t now_s)
{
	struct fdb_addr a = addr(f, 1, 0, i);

	return fdb_learn(f, &a, port, now_s, FDB_NO_LIMIT);
}

static uint16_t lookup(const struct fdb *f, uint32_t i)
{
	struct fdb_addr a = addr(f, 1, 0, i);

	return fdb_lookup(f, &a);
}

static bool keep_all(void *arg, const struct fdb_entry *e)
{
	++*(uint32_t *)arg;
	return true;
}

static bool keep_seen_from(void *arg, const struct fdb_entry *e)
{
	return e->seen_s >= *(uint32_t *)arg;
}

static void learns_moves_refreshes(void **state)
{
	struct fdb f;
	uint32_t epoch;

	assert_int_equal(fdb_init(&f, 64, PORTS, 1), 0);
	assert_int_equal(lookup(&f, 1), FDB_NO_PORT);
	assert_int_equal(learn(&f, 1, 3, 100), FDB_LEARNED);
	assert_int_equal(lookup(&f, 1), 3);
	epoch = fdb_epoch(&f);
	assert_int_equal(learn(&f, 1, 3, 100), FDB_KNOWN);
	/* An age is renewed after a sixteenth of the shortest ageing, here the default's 300 s. */
	assert_int_equal(learn(&f, 1, 3, 117), FDB_KNOWN);
	assert_int_equal(learn(&f, 1, 3, 118), FDB_REFRESHED);
	assert_int_equal(learn(&f, 1, 3, 118), FDB_KNOWN);
	fdb_ages_changed(&f, 20, 118);
	assert_int_equal(learn(&f, 1, 3, 119), FDB_REFRESHED);
	/* What only ages does not make workers look anew. */
	assert_int_equal(fdb_epoch(&f), epoch);
	assert_int_equal(learn(&f, 1, 4, 119), FDB_MOVED);
	assert_int_not_equal(fdb_epoch(&f), epoch);
	assert_int_equal(lookup(&f, 1), 4);
	assert_int_equal(f.n_entries, 1);
	assert_int_equal(f.port_entries[3], 0);
	assert_int_equal(f.port_entries[4], 1);
	fdb_fini(&f);
}

static void expires(void **state)
{
	uint32_t from = 105, left = 0, epoch;
	struct fdb f;

	assert_int_equal(fdb_init(&f, 64, PORTS, 1), 0);
	for (uint32_t i = 0; i < 10; i++)
		learn(&f, i, 1, 100 + i);
	epoch = fdb_epoch(&f);
	assert_int_equal(fdb_sweep(&f, keep_seen_from, &from), 5);
	assert_int_not_equal(fdb_epoch(&f), epoch);
	assert_int_equal(lookup(&f, 4), FDB_NO_PORT);
	assert_int_equal(lookup(&f, 5), 1);
	assert_int_equal(fdb_sweep(&f, keep_all, &left), 0);
	assert_int_equal(left, 5);
	assert_int_equal(f.n_entries, 5);
	assert_int_equal(f.port_entries[1], 5);
	fdb_fini(&f);
}

/* Nothing that was learnt is forgotten or mistaken while there is room. */
static void against_a_table(void **state)
{
	enum { N = 300 };
	uint16_t want[N];
	struct fdb f;

	assert_int_equal(fdb_init(&f, 1024, PORTS, 7), 0);
	memset(want, 0xff, sizeof(want));
	srandom(1);
	for (int step = 0; step < 100000; step++) {
		uint32_t i = (uint32_t)random() % N;
		uint16_t port = (uint16_t)(random() % PORTS);

		if (random() % 3 == 0) {
			enum fdb_result r = learn(&f, i, port, 5);

			assert_int_equal(r,
				want[i] == FDB_NO_PORT    ? FDB_LEARNED
					: want[i] == port ? FDB_KNOWN
							  : FDB_MOVED);
			want[i] = port;
		}
		assert_int_equal(lookup(&f, i), want[i]);
	}
	fdb_fini(&f);
}

/* A port that makes up addresses pushes out its own, not those of others. */
static void flood_stays_at_home(void **state)
{
	struct fdb f;
	uint32_t kept = 0;

	assert_int_equal(fdb_init(&f, 64, PORTS, 3), 0);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(learn(&f, i, (uint16_t)(1 + i % 4), 10), FDB_LEARNED);
	for (uint32_t i = 1000; i < 101000; i++)
		learn(&f, i, 7, 11);
	for (uint32_t i = 0; i < 40; i++)
		kept += lookup(&f, i) == 1 + i % 4;
	assert_int_equal(kept, 40);
	assert_true(f.port_entries[7] > 128);
	assert_true(f.n_entries <= 256);
	/* And a newcomer still finds room, at the flooder's cost. */
	for (uint32_t i = 200; i < 240; i++) {
		assert_int_equal(learn(&f, i, 2, 12), FDB_LEARNED);
		assert_int_equal(lookup(&f, i), 2);
	}
	fdb_fini(&f);
}

/* The same MAC in several networks and VLANs: so many addresses. */
static void networks_and_vlans_apart(void **state)
{
	static const uint16_t vids[] = { 0, 1, 2, 10, 4094 };
	struct fdb f;

	assert_int_equal(fdb_init(&f, 256, PORTS, 1), 0);
	for (uint16_t net = 1; net < 4; net++)
		for (uint16_t v = 0; v < 5; v++) {
			struct fdb_addr a = addr(&f, net, vids[v], 7);

			assert_int_equal(fdb_lookup(&f, &a), FDB_NO_PORT);
			assert_int_equal(
				fdb_learn(&f, &a, (net + v) % PORTS, 5, FDB_NO_LIMIT), FDB_LEARNED);
		}
	for (uint16_t net = 1; net < 4; net++) {
		assert_int_equal(f.net_entries[net], 5);
		for (uint16_t v = 0; v < 5; v++) {
			struct fdb_addr a = addr(&f, net, vids[v], 7);

			assert_int_equal(fdb_lookup(&f, &a), (net + v) % PORTS);
		}
	}
	fdb_fini(&f);
}

static uint32_t entries_where(struct fdb *f, bool (*keep)(void *, const struct fdb_entry *))
{
	uint32_t n = 0;

	assert_int_equal(fdb_sweep(f, keep, &n), 0);
	return n;
}

/* From a few to very many, none is lost on the way, the counts are right, and sweeps see all. */
static void grows(void **state)
{
	enum { N = 300000 };
	uint32_t lost = 0;
	struct fdb f;

	assert_int_equal(fdb_init(&f, 1u << 18, PORTS, 9), 0);
	assert_int_equal((uint32_t)f.shape, 64);
	for (uint32_t i = 0; i < N; i++) {
		enum fdb_result res = learn(&f, i, (uint16_t)(i % PORTS), 5);

		assert_true(res == FDB_LEARNED || (res == FDB_FULL && i > 100000));
		if (i == 31)
			assert_int_equal((uint32_t)f.shape, 64);
		if (i % 1000 == 0)
			for (uint32_t j = 0; j < i && i < 100000; j += 97)
				lost += lookup(&f, j) != j % PORTS;
	}
	assert_in_range(lost, 0, 5);
	assert_int_equal((uint32_t)f.shape, 1u << 17);
	lost = 0;
	for (uint32_t i = 0; i < N; i++)
		lost += lookup(&f, i) != i % PORTS;
	/* More than two to a pair of eight: some pairs overflow. */
	assert_true(lost < N / 500);
	assert_int_equal(f.n_entries, N - lost);
	assert_int_equal(f.net_entries[1], N - lost);
	assert_int_equal(entries_where(&f, keep_all), N - lost);
	fdb_fini(&f);
}

static void static_ones_stay(void **state)
{
	struct fdb_addr a;
	struct fdb f;
	uint32_t all, ages[2] = { 0, 10 };

	assert_int_equal(fdb_init(&f, 64, PORTS, 1), 0);
	a = addr(&f, 1, 0, 5);
	assert_int_equal(learn(&f, 5, 2, 100), FDB_LEARNED);
	assert_int_equal(fdb_static_add(&f, &a, 3), 0);
	assert_int_equal(lookup(&f, 5), 3);
	assert_int_equal(f.port_entries[2], 0);
	assert_int_equal(f.port_entries[3], 0); /* learnt ones only */
	assert_int_equal(f.net_entries[1], 1);
	/* Neither seen elsewhere, nor long not seen, nor pushed out. */
	assert_int_equal(learn(&f, 5, 4, 101), FDB_KNOWN);
	assert_int_equal(fdb_age(&f, ages, 2, 5000), 0);
	for (uint32_t i = 1000; i < 50000; i++)
		learn(&f, i, 7, 5001);
	assert_int_equal(lookup(&f, 5), 3);
	/* Only its own port's owner takes it back. */
	fdb_static_del(&f, &a, 2);
	assert_int_equal(lookup(&f, 5), 3);
	fdb_static_del(&f, &a, 3);
	assert_int_equal(lookup(&f, 5), FDB_NO_PORT);
	all = f.n_entries;
	assert_int_equal(f.port_entries[7], all);
	assert_int_equal(fdb_age(&f, ages, 2, 6000), all);
	assert_int_equal(entries_where(&f, keep_all), 0);
	fdb_fini(&f);
}

/* A table full of static ones says so, and is as before. */
static void static_ones_need_room(void **state)
{
	struct fdb f;
	uint32_t full = 0;

	assert_int_equal(fdb_init(&f, 64, PORTS, 1), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct fdb_addr a = addr(&f, 1, 0, i);
		int ret = fdb_static_add(&f, &a, 1);

		if (ret) {
			assert_int_equal(ret, -ENOSPC);
			assert_int_equal(lookup(&f, i), FDB_NO_PORT);
			full++;
		}
	}
	assert_int_equal(f.n_entries, 1000 - full);
	assert_int_equal(f.n_entries, 64 * FDB_BUCKET_SIZE);
	assert_int_equal(learn(&f, 5000, 2, 1), FDB_FULL);
	fdb_fini(&f);
}

static void limits(void **state)
{
	struct fdb_addr a;
	struct fdb f;

	assert_int_equal(fdb_init(&f, 64, PORTS, 1), 0);
	for (uint32_t i = 0; i < 5; i++) {
		a = addr(&f, 1, 0, i);
		assert_int_equal(fdb_learn(&f, &a, 1, 10, 3), i < 3 ? FDB_LEARNED : FDB_LIMITED);
	}
	assert_int_equal(f.port_entries[1], 3);
	a = addr(&f, 1, 0, 2); /* what it has is renewed */
	assert_int_equal(fdb_learn(&f, &a, 1, 30, 3), FDB_REFRESHED);
	/* What another port has does not move to one that has enough. */
	assert_int_equal(learn(&f, 9, 2, 10), FDB_LEARNED);
	a = addr(&f, 1, 0, 9);
	assert_int_equal(fdb_learn(&f, &a, 1, 11, 3), FDB_LIMITED);
	assert_int_equal(lookup(&f, 9), 2);
	/* When one has moved away there is room. */
	assert_int_equal(learn(&f, 0, 2, 11), FDB_MOVED);
	assert_int_equal(fdb_learn(&f, &a, 1, 11, 3), FDB_MOVED);
	/* Static ones don't count. */
	a = addr(&f, 1, 0, 20);
	assert_int_equal(fdb_static_add(&f, &a, 3), 0);
	a = addr(&f, 1, 0, 21);
	assert_int_equal(fdb_learn(&f, &a, 3, 11, 1), FDB_LEARNED);
	fdb_fini(&f);
}

/* Ageing by network against a plain table, over time; most sweeps look at nothing. */
static void ages(void **state)
{
	enum { N = 2000 };
	uint32_t ages_s[3] = { 0, 40, 7 }, seen[2][N] = { { 0 } }, left = 0;
	struct fdb f;

	assert_int_equal(fdb_init(&f, 4096, PORTS, 3), 0);
	fdb_ages_changed(&f, 7, 100);
	srandom(5);
	for (uint32_t now = 101; now < 400; now++) {
		uint32_t gone = 0, want = 0;

		for (int k = 0; k < 200; k++) {
			uint32_t i = (uint32_t)random() % N, net = (uint32_t)random() % 2;
			struct fdb_addr a = addr(&f, (uint16_t)(net + 1), 3, i);

			fdb_learn(&f, &a, 1, now, FDB_NO_LIMIT);
			seen[net][i] = now;
		}
		if (now == 250) { /* a change counts at once, in both directions */
			ages_s[1] = 3;
			ages_s[2] = 30;
			fdb_ages_changed(&f, 3, now);
		}
		for (uint32_t net = 0; net < 2; net++)
			for (uint32_t i = 0; i < N; i++)
				if (seen[net][i] && now - seen[net][i] >= ages_s[net + 1]) {
					seen[net][i] = 0;
					want++;
				}
		gone = fdb_age(&f, ages_s, 3, now);
		assert_int_equal(gone, want);
		assert_int_equal(fdb_age(&f, ages_s, 3, now), 0);
	}
	for (uint32_t net = 0; net < 2; net++)
		for (uint32_t i = 0; i < N; i++)
			left += seen[net][i] != 0;
	assert_int_equal(f.n_entries, left);
	assert_true(left > 100);
	fdb_fini(&f);
}

/* A network that is gone takes its addresses along. */
static void ages_out_of_networks(void **state)
{
	uint32_t ages_s[2] = { 0, 300 };
	struct fdb_addr a;
	struct fdb f;

	assert_int_equal(fdb_init(&f, 64, PORTS, 3), 0);
	a = addr(&f, 2, 0, 1);
	fdb_learn(&f, &a, 1, 10, FDB_NO_LIMIT);
	learn(&f, 2, 1, 10);
	fdb_ages_changed(&f, 300, 11);
	assert_int_equal(fdb_age(&f, ages_s, 2, 11), 1);
	assert_int_equal(fdb_lookup(&f, &a), FDB_NO_PORT);
	assert_int_equal(lookup(&f, 2), 1);
	fdb_fini(&f);
}

struct reader {
	struct fdb *f;
	bool stop;
	uint64_t looked, missed;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
		for (uint32_t i = 0; i < 50; i++) {
			r->missed += lookup(r->f, i) != i % PORTS;
			r->looked++;
		}
	return NULL;
}

/* Look-ups don't miss while the table grows under them. */
static void grows_under_readers(void **state)
{
	struct reader r = { 0 };
	pthread_t thread;
	struct fdb f;

	assert_int_equal(fdb_init(&f, 1u << 18, PORTS, 9), 0);
	for (uint32_t i = 0; i < 50; i++)
		learn(&f, i, (uint16_t)(i % PORTS), 5);
	r.f = &f;
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &r), 0);
	for (uint32_t i = 50; i < 130000; i++)
		learn(&f, i, 1, 4);
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_true(r.looked > 0);
	assert_int_equal(r.missed, 0);
	fdb_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learns_moves_refreshes),
		cmocka_unit_test(expires),
		cmocka_unit_test(against_a_table),
		cmocka_unit_test(flood_stays_at_home),
		cmocka_unit_test(networks_and_vlans_apart),
		cmocka_unit_test(grows),
		cmocka_unit_test(grows_under_readers),
		cmocka_unit_test(static_ones_stay),
		cmocka_unit_test(static_ones_need_room),
		cmocka_unit_test(limits),
		cmocka_unit_test(ages),
		cmocka_unit_test(ages_out_of_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
