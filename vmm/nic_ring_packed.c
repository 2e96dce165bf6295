/* SPDX-License-Identifier: Apache-2.0 */
/* Packed rings: see nic_ring.h. Section numbers are those of virtio 1.2. */
#include <stddef.h>

#include "vmm/nic_ring.h"

enum {
	NEXT = 1u << 0,
	AVAIL = 1u << 7,
	USED = 1u << 15,
};

/* 2.8.13. The second half is written as one by us. */
struct entry {
	uint64_t addr;
	uint64_t len_id_flags;
};
_Static_assert(sizeof(struct entry) == 16, "virtio 2.8.13");

struct packed {
	struct entry *e;
	uint16_t size;
	uint16_t end; /* where the driver makes available next, in the lap of end_wrap */
	bool end_wrap;
};

/* The entry `back` places before the driver's, 1 to size. */
struct place {
	struct entry *e;
	uint64_t half;
	uint16_t i, flags, id;
	bool wrap;
	bool used; /* or available and not used */
};

static uint64_t half_load(const struct entry *e)
{
	return __atomic_load_n(&e->len_id_flags, __ATOMIC_ACQUIRE);
}

static bool avail_bit(const struct packed *r, uint16_t i)
{
	return half_load(&r->e[i]) >> 48 & AVAIL;
}

/* Where the AVAIL bits change. The driver's own place was this while we looked. */
static bool end_find(struct packed *r)
{
	bool first = avail_bit(r, 0), last = first;
	unsigned changes = 0;

	r->end = 0;
	r->end_wrap = !first;
	for (uint16_t i = 1; i < r->size; i++) {
		bool bit = avail_bit(r, i);

		if (bit == last)
			continue;
		last = bit;
		r->end = i;
		r->end_wrap = first;
		changes++;
	}
	return changes <= 1;
}

static struct place place_at(const struct packed *r, uint16_t back)
{
	bool wrapped = back > r->end;
	uint16_t i = (uint16_t)(wrapped ? r->end + r->size - back : r->end - back);
	uint64_t half = half_load(&r->e[i]);
	uint16_t flags = (uint16_t)(half >> 48);

	return (struct place){ .e = &r->e[i],
		.half = half,
		.i = i,
		.flags = flags,
		.id = (uint16_t)(half >> 32),
		.wrap = r->end_wrap != wrapped,
		.used = !(flags & AVAIL) == !(flags & USED) };
}

/* Entries in a row that are used, or that are not, going back from `back` + 1. */
static uint16_t run_of(const struct packed *r, uint16_t back, bool used)
{
	uint16_t n = 0;

	while (back + n < r->size && place_at(r, (uint16_t)(back + n + 1)).used == used)
		n++;
	return n;
}

/* Only if it still is what we read: an entry that is the driver's own by now stays its own. */
static void use(const struct place *p, uint16_t id)
{
	uint64_t flags = p->wrap ? AVAIL | USED : 0, was = p->half;

	__atomic_compare_exchange_n(&p->e->len_id_flags, &was, (uint64_t)id << 32 | flags << 48,
		false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static uint16_t id_at(const struct packed *r, uint16_t back)
{
	return place_at(r, back).id;
}

/* Entries of the chain whose first one is `back` places away. */
static uint16_t chain_len(const struct packed *r, uint16_t back)
{
	uint16_t n = 1;

	while (n < back && (place_at(r, (uint16_t)(back - n + 1)).flags & NEXT))
		n++;
	return n;
}

/* Returns the chain whose first entry is `back` places away: all entries are marked, the first one
 * last. The last one has the id (2.8.6). */
static uint16_t chain_use(const struct packed *r, uint16_t back)
{
	uint16_t n = chain_len(r, back), id = id_at(r, (uint16_t)(back - n + 1));

	for (uint16_t k = n; k > 0; k--) {
		struct place p = place_at(r, (uint16_t)(back - k + 1));

		use(&p, id);
	}
	return n;
}

/* Used entries going back from `back` + 1, and before them available ones: the first of them is a
 * chain that holds the others back, or all are the rest of the chain before, which nobody looks at
 * again; then what holds them back may be further back. */
static void unseen_publish(const struct packed *r, uint16_t back)
{
	for (;;) {
		uint16_t end = (uint16_t)(back + run_of(r, back, true));
		uint16_t begin = (uint16_t)(end + run_of(r, end, false));

		if (end == begin)
			return;
		for (uint16_t at = begin; at > end;) {
			uint16_t n = chain_use(r, at);

			at = (uint16_t)(n < at ? at - n : 0);
		}
		for (uint16_t at = end; at > back; at--) {
			struct place p = place_at(r, at);

			if ((uint32_t)p.half)
				use(&p, p.id);
		}
		if (begin == r->size ||
			place_at(r, begin).id != place_at(r, (uint16_t)(begin + 1)).id)
			return;
		back = begin;
	}
}

/*
 * How many of the n entries behind the last used one are the rest of its chain: those of its id,
 * unless they are a chain of their own, whose id was used again. That is as long as the next one
 * (buffers of a receive ring are of one shape). If there is none, they are the rest unless all
 * entries of a chain are marked, as those before were.
 */
static uint16_t rest_of_chain(const struct packed *r, uint16_t n)
{
	uint16_t rest = 0;
	bool chains = false;

	if (n == 0 || n == r->size)
		return 0;
	for (uint16_t back = 1; back <= n && !chains; back++)
		chains = place_at(r, back).flags & NEXT;
	while (chains && rest < n && id_at(r, (uint16_t)(n - rest)) == id_at(r, (uint16_t)(n + 1)))
		rest++;
	if (rest && rest < n)
		return chain_len(r, (uint16_t)(n - rest)) > rest ? rest : 0;
	if (rest && n + 2 <= r->size && place_at(r, (uint16_t)(n + 2)).used &&
		id_at(r, (uint16_t)(n + 2)) == id_at(r, (uint16_t)(n + 1)))
		return 0;
	return rest;
}

bool nic_ring_resume_packed(void *desc, uint16_t size, bool transmit, uint32_t *base)
{
	struct packed r = { .e = desc, .size = size };
	uint16_t waiting;
	uint32_t half;

	if (!end_find(&r))
		return false;
	waiting = run_of(&r, 0, false);
	unseen_publish(&r, waiting);
	if (transmit) {
		while (waiting)
			waiting = (uint16_t)(waiting - chain_use(&r, waiting));
	} else {
		waiting = (uint16_t)(waiting - rest_of_chain(&r, waiting));
	}
	half = waiting <= r.end ? (uint32_t)(r.end - waiting) | (uint32_t)r.end_wrap << 15
				: (uint32_t)(r.end + size - waiting) | (uint32_t)!r.end_wrap << 15;
	*base = half | half << 16;
	return true;
}
