/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarding database against a plain table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/dp/fdb.h"

#define PORTS 8

static uint64_t mac(uint32_t i)
{
	return fdb_key(1, 0x02 | (uint64_t)i << 16);
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
	assert_int_equal(fdb_lookup(&f, mac(1)), FDB_NO_PORT);
	assert_int_equal(fdb_learn(&f, mac(1), 3, 100), FDB_LEARNED);
	assert_int_equal(fdb_lookup(&f, mac(1)), 3);
	assert_int_equal(fdb_lookup(&f, fdb_key(2, 0x02 | 1 << 16)), FDB_NO_PORT);
	epoch = fdb_epoch(&f);
	assert_int_equal(fdb_learn(&f, mac(1), 3, 100), FDB_KNOWN);
	assert_int_equal(fdb_learn(&f, mac(1), 3, 101), FDB_REFRESHED);
	/* What only ages does not make workers look anew. */
	assert_int_equal(fdb_epoch(&f), epoch);
	assert_int_equal(fdb_learn(&f, mac(1), 4, 101), FDB_MOVED);
	assert_int_not_equal(fdb_epoch(&f), epoch);
	assert_int_equal(fdb_lookup(&f, mac(1)), 4);
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
		fdb_learn(&f, mac(i), 1, 100 + i);
	epoch = fdb_epoch(&f);
	assert_int_equal(fdb_sweep(&f, keep_seen_from, &from), 5);
	assert_int_not_equal(fdb_epoch(&f), epoch);
	assert_int_equal(fdb_lookup(&f, mac(4)), FDB_NO_PORT);
	assert_int_equal(fdb_lookup(&f, mac(5)), 1);
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
			enum fdb_result r = fdb_learn(&f, mac(i), port, 5);

			assert_int_equal(r,
				want[i] == FDB_NO_PORT    ? FDB_LEARNED
					: want[i] == port ? FDB_KNOWN
							  : FDB_MOVED);
			want[i] = port;
		}
		assert_int_equal(fdb_lookup(&f, mac(i)), want[i]);
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
		assert_int_equal(fdb_learn(&f, mac(i), (uint16_t)(1 + i % 4), 10), FDB_LEARNED);
	for (uint32_t i = 1000; i < 101000; i++)
		fdb_learn(&f, mac(i), 7, 11);
	for (uint32_t i = 0; i < 40; i++)
		kept += fdb_lookup(&f, mac(i)) == 1 + i % 4;
	assert_int_equal(kept, 40);
	assert_true(f.port_entries[7] > 128);
	assert_true(f.n_entries <= 256);
	/* And a newcomer still finds room, at the flooder's cost. */
	for (uint32_t i = 200; i < 240; i++) {
		assert_int_equal(fdb_learn(&f, mac(i), 2, 12), FDB_LEARNED);
		assert_int_equal(fdb_lookup(&f, mac(i)), 2);
	}
	fdb_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learns_moves_refreshes),
		cmocka_unit_test(expires),
		cmocka_unit_test(against_a_table),
		cmocka_unit_test(flood_stays_at_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
