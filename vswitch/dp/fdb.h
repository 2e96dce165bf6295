/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding database: (network, VLAN, MAC) -> port, learnt from source addresses, or given.
 *
 * A hash of buckets, each one cache line of four entries: an 8-byte key and an 8-byte value. An
 * address may lie in either bucket of a pair of neighbours. Look-ups take no lock and write
 * nothing; a renewed age is one compare-and-swap, and not each second. Other changes are rare (a
 * new address, a move): they take one lock. Readers check the key again after reading the value.
 * The network and the MAC are the key; the VLAN stands in the value, for want of room, and is
 * compared as well.
 *
 * The table grows with what is in it, so that few addresses lie close together: linear hashing,
 * which splits one pair of buckets at a time as new addresses come (Litwin 1980). It grows in
 * place, in memory that the kernel gives when it is first written. Counters for each chunk of it
 * let sweeps pass by what is empty or not yet old.
 *
 * Ages are in whole seconds of the control side's clock. Expiry is the control side's job
 * (fdb_age). A port that floods us with addresses can only push out its own: see fdb_learn.
 *
 * The epoch changes whenever a mapping does, so that a worker may trust what it looked up before
 * for as long as the epoch stays.
 */
#ifndef LANYARD_VSWITCH_DP_FDB_H
#define LANYARD_VSWITCH_DP_FDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDB_NO_PORT     UINT16_MAX
#define FDB_NO_LIMIT    UINT32_MAX
#define FDB_BUCKET_SIZE 4
#define FDB_MAC_MASK    0xffffffffffffull
#define FDB_NETS        65536 /* network ids that a key can hold */

struct fdb_bucket {
	uint64_t key[FDB_BUCKET_SIZE];   /* network << 48 | MAC; 0: free */
	uint64_t value[FDB_BUCKET_SIZE]; /* port | seconds << 16 | VLAN << 48 | FDB_STATIC */
} __attribute__((aligned(64)));

#define FDB_STATIC (1ull << 60) /* given, not learnt: never ages, moves, or makes room */

/* Of FDB_CHUNK buckets. Under the lock; read relaxed. */
struct fdb_chunk {
	uint32_t n;     /* entries */
	uint32_t due_s; /* none of them is too old before that second */
};

struct fdb {
	struct fdb_bucket *buckets;
	uint64_t seed;
	uint64_t shape; /* pairs of buckets in use | mask << 32. Under the lock; r (acquire) */
	uint32_t pairs_max;
	uint32_t lock;  /* writers */
	uint32_t epoch; /* any: w (atomic), worker: r */

	/* Under the lock; read relaxed. */
	uint32_t n_entries;
	uint32_t age_min_s;     /* no network's ageing is shorter */
	uint32_t renew_s;       /* an age is renewed when it is so old: a sixteenth of that */
	uint32_t *port_entries; /* learnt ones, by port id */
	uint32_t *net_entries;  /* all, by network id */
	struct fdb_chunk *chunks;
	uint32_t n_ports;
};

enum fdb_result {
	FDB_LEARNED,   /* new */
	FDB_MOVED,     /* was at another port */
	FDB_REFRESHED, /* known, age renewed */
	FDB_KNOWN,     /* known, not old enough to be renewed; or static, wherever */
	FDB_FULL,      /* no room that this port may take */
	FDB_LIMITED,   /* the port has as many as it may have */
};

/* An address as it is looked for. */
struct fdb_addr {
	uint64_t key;
	uint32_t hash;
	uint16_t vid;
};

/* A key: mac in the frame's byte order in the low 48 bits, as an 8-byte load gives it. */
static inline uint64_t fdb_key(uint16_t net_id, uint64_t mac_raw)
{
	return (uint64_t)net_id << 48 | (mac_raw & FDB_MAC_MASK);
}

static inline struct fdb_addr fdb_addr(const struct fdb *f, uint64_t key, uint16_t vid)
{
	uint64_t h = (key ^ f->seed ^ (uint64_t)vid << 32) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return (struct fdb_addr){ key, (uint32_t)(h >> 32), vid };
}

/* max_buckets: a power of 2, at least 2: room for that many addresses, if crowded for four times as
 * many. -ENOMEM. seed: random, so that guests can't choose colliding addresses. */
int fdb_init(struct fdb *f, uint32_t max_buckets, uint32_t n_ports, uint64_t seed);
void fdb_fini(struct fdb *f);

/* The first of the two buckets that an address may be in, in a table of that shape. All first
 * buckets lie together, and the second ones, which few look-ups need, behind them. */
static inline struct fdb_bucket *fdb_bucket(
	const struct fdb *f, uint64_t shape, const struct fdb_addr *a)
{
	uint32_t n_pairs = (uint32_t)shape, mask = (uint32_t)(shape >> 32);
	uint32_t pair = a->hash & mask;

	if (pair >= n_pairs) /* not split yet */
		pair &= mask >> 1;
	return &f->buckets[pair];
}

static inline void fdb_prefetch(const struct fdb *f, const struct fdb_addr *a)
{
	__builtin_prefetch(fdb_bucket(f, __atomic_load_n(&f->shape, __ATOMIC_RELAXED), a));
}

/* The port of an address, or FDB_NO_PORT. Any thread. */
uint16_t fdb_lookup(const struct fdb *f, const struct fdb_addr *a);

/* The same, but FDB_NO_PORT if nothing of it was heard there lately: within a sixteenth of the
 * ageing time, to which ages are exact. Static ones are always there. */
uint16_t fdb_lookup_fresh(const struct fdb *f, const struct fdb_addr *a, uint32_t now_s);

static inline uint32_t fdb_epoch(const struct fdb *f)
{
	return __atomic_load_n(&f->epoch, __ATOMIC_ACQUIRE);
}

/* Source `a` was seen at `port` in second now_s; limit: that many learnt ones are the most the port
 * may have (FDB_NO_LIMIT). Any thread. */
enum fdb_result fdb_learn(
	struct fdb *f, const struct fdb_addr *a, uint16_t port, uint32_t now_s, uint32_t limit);

/* The control side: */
struct fdb_entry {
	uint64_t key;
	uint16_t port, vid;
	bool is_static;
	uint32_t seen_s;
};

/* Address `a` lives at `port`, whatever is seen. -ENOSPC: no room that could be taken. */
int fdb_static_add(struct fdb *f, const struct fdb_addr *a, uint16_t port);
/* Forgets it, if it is static and at that port. */
void fdb_static_del(struct fdb *f, const struct fdb_addr *a, uint16_t port);

/* Calls keep(arg, entry) for every entry, without the lock, and removes those for which it says
 * false unless they changed meanwhile. Returns how many were removed. */
uint32_t fdb_sweep(struct fdb *f, bool (*keep)(void *arg, const struct fdb_entry *e), void *arg);

/* Removes learnt entries that were last seen ages[network id] seconds ago or earlier, and those of
 * networks from n_ages on. Looks only where something may be due. Returns how many. */
uint32_t fdb_age(struct fdb *f, const uint32_t *ages, uint32_t n_ages, uint32_t now_s);
/* Ages have changed: the shortest one is now this. */
void fdb_ages_changed(struct fdb *f, uint32_t age_min_s, uint32_t now_s);

#endif
