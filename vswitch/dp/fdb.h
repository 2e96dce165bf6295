/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding database: (network, MAC) -> port, learnt from source addresses.
 *
 * A hash of buckets, each one cache line of four entries: an 8-byte key and an 8-byte value. An
 * address may lie in either of two buckets. Look-ups take no lock and write nothing. Changes are
 * rare (a new address, a move, a refresh of the age at most once a second): they take a lock
 * that covers the bucket pair. Readers check the key again after reading the value.
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
#include <stdint.h>

#define FDB_NO_PORT     UINT16_MAX
#define FDB_BUCKET_SIZE 4
#define FDB_MAC_MASK    0xffffffffffffull

struct fdb_bucket {
	uint64_t key[FDB_BUCKET_SIZE];   /* 0: free */
	uint64_t value[FDB_BUCKET_SIZE]; /* port | seconds << 16 */
} __attribute__((aligned(64)));

struct fdb {
	struct fdb_bucket *buckets;
	uint64_t seed;
	uint32_t mask;          /* buckets - 1 */
	uint32_t lock;          /* writers */
	uint32_t epoch;         /* any: w (atomic), worker: r */
	uint32_t n_entries;     /* under the lock; r relaxed */
	uint32_t *port_entries; /* by port id; under the lock */
	uint32_t n_ports;
};

enum fdb_result {
	FDB_LEARNED,   /* new */
	FDB_MOVED,     /* was at another port */
	FDB_REFRESHED, /* known, age renewed */
	FDB_KNOWN,     /* known, age is this second's */
	FDB_FULL,      /* no room that this port may take */
};

/* A key: mac in the frame's byte order in the low 48 bits, as an 8-byte load gives it. */
static inline uint64_t fdb_key(uint16_t net_id, uint64_t mac_raw)
{
	return (uint64_t)net_id << 48 | (mac_raw & FDB_MAC_MASK);
}

/* n_buckets: a power of 2. -ENOMEM. seed: random, so that guests can't choose colliding
 * addresses. */
int fdb_init(struct fdb *f, uint32_t n_buckets, uint32_t n_ports, uint64_t seed);
void fdb_fini(struct fdb *f);

static inline uint32_t fdb_hash(const struct fdb *f, uint64_t key)
{
	uint64_t h = (key ^ f->seed) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return (uint32_t)(h >> 32);
}

/* The other bucket of an address; fdb_other(fdb_other(b)) is b. */
static inline uint32_t fdb_other(const struct fdb *f, uint32_t bucket)
{
	return (bucket ^ 1) & f->mask;
}

/* The port of a key, or FDB_NO_PORT. Any thread. */
uint16_t fdb_lookup(const struct fdb *f, uint64_t key);

static inline uint32_t fdb_epoch(const struct fdb *f)
{
	return __atomic_load_n(&f->epoch, __ATOMIC_ACQUIRE);
}

/* Source `key` was seen at `port` in second now_s. Any thread. */
enum fdb_result fdb_learn(struct fdb *f, uint64_t key, uint16_t port, uint32_t now_s);

/* The control side: */
struct fdb_entry {
	uint64_t key;
	uint16_t port;
	uint32_t seen_s;
};

/* Calls keep(arg, entry) for every entry, without the lock, and removes those for which it says
 * false unless they changed meanwhile. Returns how many were removed. */
uint32_t fdb_sweep(struct fdb *f, bool (*keep)(void *arg, const struct fdb_entry *e), void *arg);

#endif
