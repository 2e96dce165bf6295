/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarding database: see fdb.h. */
#include "vswitch/dp/fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAIRS_MIN     64u
#define PAIRS_LARGE   32768u
#define CHUNK_PAIRS   128u
#define HUGE          (2u << 20) /* bytes of a large page */
#define AGE_DEFAULT_S 300u
#define NEVER_S       0x7fffffffu /* from now: as far as a second can be ahead */

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

static uint64_t value_of(uint16_t port, uint32_t now_s, uint16_t vid)
{
	return port | (uint64_t)now_s << 16 | (uint64_t)vid << 48;
}

static uint16_t value_port(uint64_t v)
{
	return (uint16_t)v;
}

static uint32_t value_seen(uint64_t v)
{
	return (uint32_t)(v >> 16);
}

static uint16_t value_vid(uint64_t v)
{
	return v >> 48 & 0xfff;
}

/* Entries may be thought so much older than they are; but a store to each of a million every second
 * would cost their look-ups dearly. */
static uint32_t renew_of(uint32_t age_min_s)
{
	return age_min_s < 32 ? 1 : age_min_s / 16;
}

static uint64_t shape_of(uint32_t n_pairs, uint32_t mask)
{
	return n_pairs | (uint64_t)mask << 32;
}

static uint32_t n_pairs(const struct fdb *f)
{
	return (uint32_t)__atomic_load_n(&f->shape, __ATOMIC_ACQUIRE);
}

/* Zeroed, and no page of it is there before it is written. */
static void *pages_get(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void pages_put(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

static size_t buckets_size(const struct fdb *f)
{
	return (size_t)f->pairs_max * 2 * sizeof(*f->buckets);
}

/* Large tables in large pages, where their TLB misses would cost more than the rest of a look-up;
 * the beginning, which is all that most have, in small ones. Only advice. */
static void pages_advise(void *p, size_t size)
{
	uintptr_t from = ((uintptr_t)p + 2 * HUGE - 1) & ~(uintptr_t)(HUGE - 1);
	uintptr_t end = (uintptr_t)p + size;

	if (from < end)
		madvise((void *)from, end - from, MADV_HUGEPAGE);
}

static uint32_t n_chunks(const struct fdb *f)
{
	return (n_pairs(f) - 1) / CHUNK_PAIRS + 1;
}

int fdb_init(struct fdb *f, uint32_t max_buckets, uint32_t n_ports, uint64_t seed)
{
	uint32_t first;

	memset(f, 0, sizeof(*f));
	f->pairs_max = max_buckets / 2;
	first = f->pairs_max < PAIRS_MIN ? f->pairs_max : PAIRS_MIN;
	f->shape = shape_of(first, first - 1);
	f->n_ports = n_ports;
	f->seed = seed;
	f->age_min_s = AGE_DEFAULT_S;
	f->renew_s = renew_of(AGE_DEFAULT_S);
	f->buckets = pages_get(buckets_size(f));
	f->net_entries = pages_get(FDB_NETS * sizeof(*f->net_entries));
	f->port_entries = calloc(n_ports, sizeof(*f->port_entries));
	f->chunks = calloc(f->pairs_max / CHUNK_PAIRS + 1, sizeof(*f->chunks));
	if (!f->buckets || !f->net_entries || !f->port_entries || !f->chunks) {
		fdb_fini(f);
		return -ENOMEM;
	}
	pages_advise(f->buckets, buckets_size(f) / 2);
	pages_advise(f->buckets + f->pairs_max, buckets_size(f) / 2);
	return 0;
}

void fdb_fini(struct fdb *f)
{
	pages_put(f->buckets, buckets_size(f));
	pages_put(f->net_entries, FDB_NETS * sizeof(*f->net_entries));
	free(f->port_entries);
	free(f->chunks);
	f->buckets = NULL;
	f->net_entries = f->port_entries = NULL;
	f->chunks = NULL;
}

static void epoch_advance(struct fdb *f)
{
	__atomic_fetch_add(&f->epoch, 1, __ATOMIC_RELEASE);
}

static struct fdb_bucket *second_of(const struct fdb *f, const struct fdb_bucket *first)
{
	return &f->buckets[(size_t)(first - f->buckets) + f->pairs_max];
}

/* The slot of an address in one bucket with its value, or -1. As readers must do it. All keys are
 * compared before the only branch: where in the bucket it stands can't be foretold. */
static inline int bucket_read(const struct fdb_bucket *b, const struct fdb_addr *a, uint64_t *v)
{
	uint32_t hits = 0;

	for (int i = 0; i < FDB_BUCKET_SIZE; i++)
		hits |= (uint32_t)(__atomic_load_n(&b->key[i], __ATOMIC_ACQUIRE) == a->key) << i;
	for (; hits; hits &= hits - 1) {
		int i = __builtin_ctz(hits);

		*v = __atomic_load_n(&b->value[i], __ATOMIC_ACQUIRE);
		/* The slot may have been given away between the two loads. */
		if (value_vid(*v) == a->vid &&
			__atomic_load_n(&b->key[i], __ATOMIC_RELAXED) == a->key)
			return i;
	}
	return -1;
}

/* Where an address stands, or NULL; *slot, *v: its slot and value. As readers must do it: what is
 * not where it was may just have moved, as the table grew. */
static inline struct fdb_bucket *addr_find(
	const struct fdb *f, const struct fdb_addr *a, int *slot, uint64_t *v)
{
	uint64_t shape = __atomic_load_n(&f->shape, __ATOMIC_ACQUIRE), now = shape;

	do {
		struct fdb_bucket *b = fdb_bucket(f, shape = now, a);

		*slot = bucket_read(b, a, v);
		if (*slot >= 0)
			return b;
		b = second_of(f, b);
		*slot = bucket_read(b, a, v);
		if (*slot >= 0)
			return b;
		now = __atomic_load_n(&f->shape, __ATOMIC_ACQUIRE);
	} while (shape != now);
	return NULL;
}

uint16_t fdb_lookup(const struct fdb *f, const struct fdb_addr *a)
{
	uint64_t v;
	int i;

	return addr_find(f, a, &i, &v) ? value_port(v) : FDB_NO_PORT;
}

uint16_t fdb_lookup_fresh(const struct fdb *f, const struct fdb_addr *a, uint32_t now_s)
{
	uint64_t v;
	int i;

	if (!addr_find(f, a, &i, &v))
		return FDB_NO_PORT;
	/* Other workers' seconds may be one ahead. */
	if (!(v & FDB_STATIC) &&
		(int32_t)(now_s - value_seen(v)) >
			(int32_t)__atomic_load_n(&f->renew_s, __ATOMIC_RELAXED) + 1)
		return FDB_NO_PORT;
	return value_port(v);
}

/* Everything from here to fdb_learn is under the lock. */
static void count_chunk(struct fdb *f, const struct fdb_bucket *b, uint64_t v, int by)
{
	struct fdb_chunk *c = &f->chunks[(size_t)(b - f->buckets) % f->pairs_max / CHUNK_PAIRS];
	uint32_t due = value_seen(v) + f->age_min_s;

	if (by > 0 && !(v & FDB_STATIC) && (!c->n || (int32_t)(due - c->due_s) < 0))
		__atomic_store_n(&c->due_s, due, __ATOMIC_RELAXED);
	__atomic_store_n(&c->n, c->n + (uint32_t)by, __ATOMIC_RELAXED);
}

static void count_entry(struct fdb *f, uint64_t key, int by)
{
	uint32_t *net = &f->net_entries[key >> 48];

	__atomic_store_n(&f->n_entries, f->n_entries + (uint32_t)by, __ATOMIC_RELAXED);
	__atomic_store_n(net, *net + (uint32_t)by, __ATOMIC_RELAXED);
}

static void count_port(struct fdb *f, uint64_t v, int by)
{
	uint32_t *n = &f->port_entries[value_port(v)];

	if (!(v & FDB_STATIC))
		__atomic_store_n(n, *n + (uint32_t)by, __ATOMIC_RELAXED);
}

static void slot_clear(struct fdb *f, struct fdb_bucket *b, int i)
{
	count_port(f, b->value[i], -1);
	count_chunk(f, b, b->value[i], -1);
	count_entry(f, b->key[i], -1);
	__atomic_store_n(&b->key[i], 0, __ATOMIC_RELEASE);
}

static void slot_fill(struct fdb *f, struct fdb_bucket *b, int i, uint64_t key, uint64_t v)
{
	__atomic_store_n(&b->value[i], v, __ATOMIC_RELEASE);
	__atomic_store_n(&b->key[i], key, __ATOMIC_RELEASE);
	count_port(f, v, 1);
	count_chunk(f, b, v, 1);
	count_entry(f, key, 1);
}

/* The pair of number `to` is new: entries of pair `from` that belong there get a second place.
 * Then, when look-ups know of the new pair, they lose the first one. */
static void pair_split(struct fdb *f, uint32_t from, uint32_t to, uint32_t mask)
{
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < 2 * FDB_BUCKET_SIZE; i++) {
			size_t side = i / FDB_BUCKET_SIZE * (size_t)f->pairs_max;
			struct fdb_bucket *old = &f->buckets[side + from];
			struct fdb_bucket *new = &f->buckets[side + to];
			uint32_t s = i % FDB_BUCKET_SIZE;
			uint64_t key = old->key[s], v = old->value[s];

			if (!key || (fdb_addr(f, key, value_vid(v)).hash & mask) != to)
				continue;
			count_chunk(f, pass ? old : new, v, pass ? -1 : 1);
			if (pass) {
				__atomic_store_n(&old->key[s], 0, __ATOMIC_RELEASE);
				continue;
			}
			__atomic_store_n(&new->value[s], v, __ATOMIC_RELEASE);
			__atomic_store_n(&new->key[s], key, __ATOMIC_RELEASE);
		}
		if (!pass)
			__atomic_store_n(&f->shape, shape_of(to + 1, mask), __ATOMIC_RELEASE);
	}
}

/* By one pair, as long as there are too many addresses: half as many as pairs, in a large table as
 * many. A pair holds eight, so it is rare (one in ten thousand, in a large table) that more want
 * into the same. */
static void table_grow(struct fdb *f)
{
	uint32_t n = n_pairs(f), mask = (uint32_t)(f->shape >> 32);

	if (n == f->pairs_max || f->n_entries < (n < PAIRS_LARGE ? n / 2 : n))
		return;
	if (n == mask + 1)
		mask = 2 * mask + 1;
	pair_split(f, n & mask >> 1, n, mask);
}

static bool slot_free_find(
	const struct fdb *f, const struct fdb_addr *a, struct fdb_bucket **b, int *slot)
{
	*b = fdb_bucket(f, f->shape, a);
	for (int side = 0; side < 2; side++) {
		if (side)
			*b = second_of(f, *b);
		for (*slot = 0; *slot < FDB_BUCKET_SIZE; ++*slot)
			if (!(*b)->key[*slot])
				return true;
	}
	return false;
}

/*
 * The slot to give to a new address when both buckets are full: the oldest entry of the port that
 * has the most entries altogether, unless every port here has fewer than the asker, which has
 * `most`. So a port that makes up addresses ends by pushing out its own.
 */
static bool victim_find(const struct fdb *f, const struct fdb_addr *a, uint16_t port, uint32_t most,
	struct fdb_bucket **best, int *slot)
{
	struct fdb_bucket *b = fdb_bucket(f, f->shape, a);
	uint32_t oldest = UINT32_MAX;

	*best = NULL;
	for (int side = 0; side < 2; side++) {
		if (side)
			b = second_of(f, b);
		for (int i = 0; i < FDB_BUCKET_SIZE; i++) {
			uint64_t v = b->value[i];
			uint32_t n = f->port_entries[value_port(v)];
			uint32_t seen = value_seen(v);

			if (v & FDB_STATIC || n < most || (n == most && *best && seen >= oldest))
				continue;
			if (n == most && !*best && value_port(v) != port)
				continue;
			most = n;
			oldest = seen;
			*best = b;
			*slot = i;
		}
	}
	return *best != NULL;
}

static enum fdb_result learn_new(
	struct fdb *f, const struct fdb_addr *a, uint16_t port, uint32_t now_s, uint32_t limit)
{
	struct fdb_bucket *b;
	int slot;

	if (f->port_entries[port] >= limit)
		return FDB_LIMITED;
	table_grow(f);
	if (!slot_free_find(f, a, &b, &slot)) {
		if (!victim_find(f, a, port, f->port_entries[port], &b, &slot))
			return FDB_FULL;
		slot_clear(f, b, slot);
	}
	slot_fill(f, b, slot, a->key, value_of(port, now_s, a->vid));
	return FDB_LEARNED;
}

static enum fdb_result learn_locked(
	struct fdb *f, const struct fdb_addr *a, uint16_t port, uint32_t now_s, uint32_t limit)
{
	uint64_t v, want = value_of(port, now_s, a->vid);
	struct fdb_bucket *b;
	int i;

	b = addr_find(f, a, &i, &v);
	if (!b)
		return learn_new(f, a, port, now_s, limit);
	if (v & FDB_STATIC || v == want)
		return FDB_KNOWN;
	if (value_port(v) == port) {
		__atomic_store_n(&b->value[i], want, __ATOMIC_RELEASE);
		return FDB_REFRESHED;
	}
	if (f->port_entries[port] >= limit)
		return FDB_LIMITED;
	count_port(f, v, -1);
	count_port(f, want, 1);
	__atomic_store_n(&b->value[i], want, __ATOMIC_RELEASE);
	return FDB_MOVED;
}

enum fdb_result fdb_learn(
	struct fdb *f, const struct fdb_addr *a, uint16_t port, uint32_t now_s, uint32_t limit)
{
	uint64_t v, want = value_of(port, now_s, a->vid);
	struct fdb_bucket *b;
	enum fdb_result res;
	int i;

	b = addr_find(f, a, &i, &v);
	if (b &&
		(v & FDB_STATIC ||
			(value_port(v) == port &&
				now_s - value_seen(v) <
					__atomic_load_n(&f->renew_s, __ATOMIC_RELAXED))))
		return FDB_KNOWN;
	/* Only the seconds change, so whatever happens to the slot meanwhile the counts stay right;
	 * the worst is that a like entry of the same port looks younger than it is. */
	if (b && value_port(v) == port &&
		__atomic_compare_exchange_n(
			&b->value[i], &v, want, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		return FDB_REFRESHED;
	if (!b && __atomic_load_n(&f->port_entries[port], __ATOMIC_RELAXED) >= limit)
		return FDB_LIMITED;
	fdb_lock(f);
	res = learn_locked(f, a, port, now_s, limit);
	fdb_unlock(f);
	if (res == FDB_LEARNED || res == FDB_MOVED)
		epoch_advance(f);
	return res;
}

int fdb_static_add(struct fdb *f, const struct fdb_addr *a, uint16_t port)
{
	struct fdb_bucket *b;
	int i, ret = 0;
	uint64_t v;

	fdb_lock(f);
	table_grow(f);
	b = addr_find(f, a, &i, &v);
	if (b || (!slot_free_find(f, a, &b, &i) && victim_find(f, a, port, 0, &b, &i)))
		slot_clear(f, b, i);
	if (b)
		slot_fill(f, b, i, a->key, value_of(port, 0, a->vid) | FDB_STATIC);
	else
		ret = -ENOSPC;
	fdb_unlock(f);
	epoch_advance(f);
	return ret;
}

void fdb_static_del(struct fdb *f, const struct fdb_addr *a, uint16_t port)
{
	struct fdb_bucket *b;
	uint64_t v;
	int i;

	fdb_lock(f);
	b = addr_find(f, a, &i, &v);
	if (b && v & FDB_STATIC && value_port(v) == port)
		slot_clear(f, b, i);
	fdb_unlock(f);
	epoch_advance(f);
}

/* One chunk of a sweep: calls keep for its entries, removes those that it gives up. */
static uint32_t chunk_sweep(
	struct fdb *f, uint32_t c, bool (*keep)(void *arg, const struct fdb_entry *e), void *arg)
{
	uint32_t first = c * CHUNK_PAIRS, end = first + CHUNK_PAIRS, removed = 0;

	if (end > n_pairs(f))
		end = n_pairs(f);
	for (uint32_t n = first * 2 * FDB_BUCKET_SIZE; n < end * 2 * FDB_BUCKET_SIZE; n++) {
		struct fdb_bucket *b = &f->buckets[n / FDB_BUCKET_SIZE / 2];
		uint32_t i = n % FDB_BUCKET_SIZE;
		uint64_t key, v;

		if (n / FDB_BUCKET_SIZE % 2)
			b = second_of(f, b);
		key = __atomic_load_n(&b->key[i], __ATOMIC_ACQUIRE);
		v = __atomic_load_n(&b->value[i], __ATOMIC_ACQUIRE);
		if (!key || __atomic_load_n(&b->key[i], __ATOMIC_RELAXED) != key)
			continue;
		if (keep(arg,
			    &(struct fdb_entry){ .key = key,
				    .port = value_port(v),
				    .vid = value_vid(v),
				    .is_static = v & FDB_STATIC,
				    .seen_s = value_seen(v) }))
			continue;
		fdb_lock(f);
		if (b->key[i] == key && __atomic_load_n(&b->value[i], __ATOMIC_RELAXED) == v) {
			slot_clear(f, b, (int)i);
			removed++;
		}
		fdb_unlock(f);
	}
	return removed;
}

uint32_t fdb_sweep(struct fdb *f, bool (*keep)(void *arg, const struct fdb_entry *e), void *arg)
{
	uint32_t removed = 0;

	for (uint32_t c = 0; c < n_chunks(f); c++)
		if (__atomic_load_n(&f->chunks[c].n, __ATOMIC_RELAXED))
			removed += chunk_sweep(f, c, keep, arg);
	if (removed)
		epoch_advance(f);
	return removed;
}

struct age_arg {
	const uint32_t *ages;
	uint32_t n_ages, now_s, due_s;
};

static bool entry_is_young(void *arg, const struct fdb_entry *en)
{
	struct age_arg *a = arg;
	uint32_t net = (uint32_t)(en->key >> 48), due;

	if (en->is_static)
		return true;
	if (net >= a->n_ages)
		return false;
	due = en->seen_s + a->ages[net];
	if ((int32_t)(a->now_s - due) >= 0)
		return false;
	if ((int32_t)(due - a->due_s) < 0)
		a->due_s = due;
	return true;
}

/* Puts off when a chunk is to be looked at next, or brings that forward, as learning does. */
static void chunk_due(struct fdb *f, uint32_t c, uint32_t due_s, bool put_off)
{
	fdb_lock(f);
	if (put_off || (int32_t)(due_s - f->chunks[c].due_s) < 0)
		__atomic_store_n(&f->chunks[c].due_s, due_s, __ATOMIC_RELAXED);
	fdb_unlock(f);
}

uint32_t fdb_age(struct fdb *f, const uint32_t *ages, uint32_t n_ages, uint32_t now_s)
{
	uint32_t removed = 0;

	for (uint32_t c = 0; c < n_chunks(f); c++) {
		struct age_arg a = { ages, n_ages, now_s, now_s + NEVER_S };

		if (!__atomic_load_n(&f->chunks[c].n, __ATOMIC_RELAXED) ||
			(int32_t)(now_s - __atomic_load_n(&f->chunks[c].due_s, __ATOMIC_RELAXED)) <
				0)
			continue;
		chunk_due(f, c, a.due_s, true); /* what is learnt from here on counts */
		removed += chunk_sweep(f, c, entry_is_young, &a);
		chunk_due(f, c, a.due_s, false);
	}
	if (removed)
		epoch_advance(f);
	return removed;
}

void fdb_ages_changed(struct fdb *f, uint32_t age_min_s, uint32_t now_s)
{
	fdb_lock(f);
	f->age_min_s = age_min_s;
	__atomic_store_n(&f->renew_s, renew_of(age_min_s), __ATOMIC_RELAXED);
	for (uint32_t c = 0; c < n_chunks(f); c++)
		f->chunks[c].due_s = now_s;
	fdb_unlock(f);
}
