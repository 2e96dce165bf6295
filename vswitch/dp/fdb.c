/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarding database: see fdb.h. */
#include "vswitch/dp/fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void fdb_lock(struct fdb *f)
{
	while (__atomic_exchange_n(&f->lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&f->lock, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
}

static void fdb_unlock(struct fdb *f)
{
	__atomic_store_n(&f->lock, 0, __ATOMIC_RELEASE);
}

static uint64_t value_of(uint16_t port, uint32_t now_s)
{
	return port | (uint64_t)now_s << 16;
}

static uint16_t value_port(uint64_t v)
{
	return (uint16_t)v;
}

static uint32_t value_seen(uint64_t v)
{
	return (uint32_t)(v >> 16);
}

int fdb_init(struct fdb *f, uint32_t n_buckets, uint32_t n_ports, uint64_t seed)
{
	memset(f, 0, sizeof(*f));
	f->buckets = aligned_alloc(64, (size_t)n_buckets * sizeof(*f->buckets));
	f->port_entries = calloc(n_ports, sizeof(*f->port_entries));
	if (!f->buckets || !f->port_entries) {
		fdb_fini(f);
		return -ENOMEM;
	}
	memset(f->buckets, 0, (size_t)n_buckets * sizeof(*f->buckets));
	f->mask = n_buckets - 1;
	f->n_ports = n_ports;
	f->seed = seed;
	return 0;
}

void fdb_fini(struct fdb *f)
{
	free(f->buckets);
	free(f->port_entries);
	f->buckets = NULL;
	f->port_entries = NULL;
}

/* The slot of key in one bucket, or -1. */
static int bucket_find(const struct fdb_bucket *b, uint64_t key)
{
	for (int i = 0; i < FDB_BUCKET_SIZE; i++)
		if (__atomic_load_n(&b->key[i], __ATOMIC_ACQUIRE) == key)
			return i;
	return -1;
}

static void epoch_advance(struct fdb *f)
{
	__atomic_fetch_add(&f->epoch, 1, __ATOMIC_RELEASE);
}

static void slot_clear(struct fdb *f, struct fdb_bucket *b, int i)
{
	f->port_entries[value_port(b->value[i])]--;
	__atomic_store_n(&f->n_entries, f->n_entries - 1, __ATOMIC_RELAXED);
	__atomic_store_n(&b->key[i], 0, __ATOMIC_RELEASE);
}

static void slot_fill(
	struct fdb *f, struct fdb_bucket *b, int i, uint64_t key, uint16_t port, uint32_t now_s)
{
	__atomic_store_n(&b->value[i], value_of(port, now_s), __ATOMIC_RELEASE);
	__atomic_store_n(&b->key[i], key, __ATOMIC_RELEASE);
	f->port_entries[port]++;
	__atomic_store_n(&f->n_entries, f->n_entries + 1, __ATOMIC_RELAXED);
}

/*
 * The slot to give to a new address of `port` when both buckets are full: the oldest entry of the
 * port that has the most entries altogether, unless every port here has fewer than the asker. So a
 * port that makes up addresses ends by pushing out its own.
 */
static struct fdb_bucket *victim_find(struct fdb *f, uint32_t at, uint16_t port, int *slot)
{
	struct fdb_bucket *best = NULL;
	uint32_t most = f->port_entries[port], oldest = UINT32_MAX;

	for (int side = 0; side < 2; side++, at = fdb_other(f, at)) {
		struct fdb_bucket *b = &f->buckets[at];

		for (int i = 0; i < FDB_BUCKET_SIZE; i++) {
			uint32_t n = f->port_entries[value_port(b->value[i])];
			uint32_t seen = value_seen(b->value[i]);

			if (n < most || (n == most && best && seen >= oldest))
				continue;
			if (n == most && !best && value_port(b->value[i]) != port)
				continue;
			most = n;
			oldest = seen;
			best = b;
			*slot = i;
		}
	}
	return best;
}

static enum fdb_result learn_new(
	struct fdb *f, uint64_t key, uint32_t at, uint16_t port, uint32_t now_s)
{
	struct fdb_bucket *b;
	int slot;

	for (int side = 0; side < 2; side++) {
		uint32_t to = side ? fdb_other(f, at) : at;

		b = &f->buckets[to];
		slot = bucket_find(b, 0);
		if (slot >= 0) {
			slot_fill(f, b, slot, key, port, now_s);
			return FDB_LEARNED;
		}
	}
	b = victim_find(f, at, port, &slot);
	if (!b)
		return FDB_FULL;
	slot_clear(f, b, slot);
	slot_fill(f, b, slot, key, port, now_s);
	return FDB_LEARNED;
}

static enum fdb_result learn_locked(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	uint32_t at = fdb_hash(f, key) & f->mask;

	for (int side = 0; side < 2; side++) {
		struct fdb_bucket *b = &f->buckets[side ? fdb_other(f, at) : at];
		int i = bucket_find(b, key);
		uint64_t v;

		if (i < 0)
			continue;
		v = b->value[i];
		if (v == value_of(port, now_s))
			return FDB_KNOWN;
		__atomic_store_n(&b->value[i], value_of(port, now_s), __ATOMIC_RELEASE);
		if (value_port(v) == port)
			return FDB_REFRESHED;
		f->port_entries[value_port(v)]--;
		f->port_entries[port]++;
		return FDB_MOVED;
	}
	return learn_new(f, key, at, port, now_s);
}

/* The value of a key as look-ups see it, without the lock. False: not there (or just moving). */
static bool value_read(const struct fdb *f, uint64_t key, uint64_t *v)
{
	uint32_t at = fdb_hash(f, key) & f->mask;

	for (int side = 0; side < 2; side++, at = fdb_other(f, at)) {
		const struct fdb_bucket *b = &f->buckets[at];
		int i = bucket_find(b, key);

		if (i < 0)
			continue;
		*v = __atomic_load_n(&b->value[i], __ATOMIC_ACQUIRE);
		/* The slot may have been given away between the two loads. */
		if (__atomic_load_n(&b->key[i], __ATOMIC_RELAXED) == key)
			return true;
	}
	return false;
}

uint16_t fdb_lookup(const struct fdb *f, uint64_t key)
{
	uint64_t v;

	return value_read(f, key, &v) ? value_port(v) : FDB_NO_PORT;
}

enum fdb_result fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s)
{
	enum fdb_result res;
	uint64_t v;

	if (value_read(f, key, &v) && v == value_of(port, now_s))
		return FDB_KNOWN;
	fdb_lock(f);
	res = learn_locked(f, key, port, now_s);
	fdb_unlock(f);
	if (res == FDB_LEARNED || res == FDB_MOVED)
		epoch_advance(f);
	return res;
}

uint32_t fdb_sweep(struct fdb *f, bool (*keep)(void *arg, const struct fdb_entry *e), void *arg)
{
	uint32_t removed = 0;

	for (size_t n = 0; n < (size_t)(f->mask + 1ull) * FDB_BUCKET_SIZE; n++) {
		struct fdb_bucket *b = &f->buckets[n / FDB_BUCKET_SIZE];
		int i = n % FDB_BUCKET_SIZE;
		uint64_t key = __atomic_load_n(&b->key[i], __ATOMIC_ACQUIRE);
		uint64_t v = __atomic_load_n(&b->value[i], __ATOMIC_ACQUIRE);
		struct fdb_entry e = { .key = key, .port = value_port(v), .seen_s = value_seen(v) };

		if (!key || __atomic_load_n(&b->key[i], __ATOMIC_RELAXED) != key || keep(arg, &e))
			continue;
		fdb_lock(f);
		if (b->key[i] == key && b->value[i] == v) {
			slot_clear(f, b, i);
			removed++;
		}
		fdb_unlock(f);
	}
	if (removed)
		epoch_advance(f);
	return removed;
}
