/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue seen from the device, of either layout: split (virtio 1.2, section 2.7; ring.c) or
 * packed (section 2.8; ring_packed.[ch]).
 *
 * Everything in the ring but the used part is written by a guest that may be hostile and may write
 * while we read. So each field is read once into a local and checked there; nothing is read again
 * to act upon. What breaks the rules makes a fault: the ring stops there (nothing of the offending
 * chain is touched) and its port is disabled until the driver starts anew.
 *
 * One thread at a time works on a ring: its worker, or whoever holds its port's output lock. The
 * control side makes it and, after a grace period, ends it. No DPDK here: tests and fuzzers run
 * this code on plain memory.
 */
#ifndef LANYARD_VSWITCH_DP_RING_H
#define LANYARD_VSWITCH_DP_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <linux/virtio_ring.h>

#include "vswitch/dp/mem.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A chain of more pieces than this is legal but no frame of ours: it is dropped (in) or not used
 * (out). Linux sends at most 19. */
#define RING_SEGS_MAX 64

/* And no more links are followed, so that a guest with a huge ring can't take our time. */
#define RING_LINKS_MAX 1024

/* What a guest can do wrong. One list makes the enum and the sentences. */
#define RING_FAULTS(X)                                                                        \
	X(INDEX_JUMP, "the available index moved by more entries than the ring has")          \
	X(BAD_HEAD, "an available entry names a descriptor beyond the table")                 \
	X(BAD_NEXT, "a descriptor's next index lies beyond its table")                        \
	X(LOOP, "a descriptor chain has more links than its table has entries: a loop")       \
	X(BAD_ADDRESS, "a descriptor points outside the guest's memory")                      \
	X(ADDRESS_WRAP, "a descriptor's address plus its length overflows")                   \
	X(LENGTH, "a descriptor chain's total length overflows")                              \
	X(DIRECTION, "a descriptor has the wrong direction for its ring")                     \
	X(SHORT_CHAIN, "a descriptor chain is shorter than the virtio-net header")            \
	X(INDIRECT_OFF, "an indirect descriptor, which was not negotiated")                   \
	X(INDIRECT_NESTED, "an indirect descriptor inside an indirect table")                 \
	X(INDIRECT_NEXT, "an indirect descriptor that also has a next one")                   \
	X(INDIRECT_SIZE, "an indirect table of no entries, of a part of one, or of too many") \
	X(MISALIGNED, "a part of the ring is not aligned as virtio demands")                  \
	X(RING_BASE, "the start index given for the ring does not fit what the ring says")    \
	X(SIZE, "a ring of no entries, of more than 32768, or (split) of no power of 2")

enum ring_fault {
	RING_OK,
#define X(name, text) RING_FAULT_##name,
	RING_FAULTS(X)
#undef X
		RING_FAULT_MAX
};

const char *ring_fault_text(enum ring_fault f);

struct ring_seg {
	uint8_t *base;
	uint32_t len;
};

struct ring {
	/* Set by ring_init, then constant. */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *pdesc; /* if packed */
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	const struct dp_mem *mem;
	uint16_t size, mask;
	uint8_t hdr_len; /* of virtio_net_hdr: 12, or 10 without VERSION_1 and MRG_RXBUF */
	bool event_idx, indirect, mergeable, packed;
	bool recovered; /* packed: the start was found in the ring, the given one could not be */
	uint8_t may;    /* the guest's ring to us: what it may ask for, DP_OFF_* (dp/offload.h) */
	uint8_t accept; /* our ring to it: what it takes as it is */

	/* Whoever works on the ring. */
	uint16_t avail_next; /* the next available entry to take */
	uint16_t used_next;  /* the next used entry to fill */
	union {
		struct {                     /* split */
			uint16_t avail_seen; /* the guest's index when it was last read */
			uint16_t used_done;  /* used->idx as published */
			uint16_t signalled;  /* used index at the last decision to notify; the
					      * guest is told once when the ring goes into
					      * service */
		};
		struct {                            /* packed */
			bool avail_wrap, used_wrap; /* wrap counters of the two places */
			bool deep;           /* the last burst found more than it could take */
			bool pending;        /* used entries are written but for the first one */
			uint16_t first;      /* where that is */
			uint32_t moved;      /* entries used since the last decision to notify */
			uint64_t first_used; /* what is to be written there */
		};
	};
	bool armed;            /* the guest's kicks are wanted */
	uint32_t mem_hint;     /* the region that the last address was in */
	enum ring_fault fault; /* worker: w once, control: r (relaxed) */

	int call_fd; /* control: w (exchange, closed after a grace period), worker: r; -1: none */
	int kick_fd; /* control's; -1: none */
};

struct ring_config {
	void *desc, *avail, *used; /* packed: descriptors, driver's and device's event structures */
	const struct dp_mem *mem;
	uint32_t size;
	uint8_t hdr_len;
	bool event_idx, indirect, mergeable, packed;
	uint8_t may, accept;
	uint16_t avail_base; /* where to go on; packed: bit 15 is the wrap counter */
};

/*
 * Makes *r of *c. fds are -1. Returns RING_OK or the fault, which r->fault holds too.
 * Split: used->idx is taken from the ring itself, as Linux's vhost does, and the base is checked
 * against it. Packed: see ring_packed_init.
 */
enum ring_fault ring_init(struct ring *r, const struct ring_config *c);

/* Where the ring stands, as SET_VRING_BASE has it: the next entry to take, the next to fill. */
void ring_position(const struct ring *r, uint16_t *avail, uint16_t *used);

/* Whether some device has used entries of it before us. */
bool ring_has_history(const struct ring *r);

/* Gives up to n chains back unread. Returns how many. */
uint32_t ring_skip(struct ring *r, uint32_t n);

/* Declares the ring broken. The first fault stays. Returns f. */
enum ring_fault ring_fail(struct ring *r, enum ring_fault f);

/* Split: how many entries the guest has made available that we have not taken. Reads the guest's
 * index only when the known ones are used up (or fewer than `want`). A jump is a fault and 0. */
static inline uint16_t ring_split_avail(struct ring *r, uint16_t want)
{
	uint16_t n = (uint16_t)(r->avail_seen - r->avail_next);

	if (n >= want)
		return n;
	r->avail_seen = __atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE);
	n = (uint16_t)(r->avail_seen - r->avail_next);
	if (unlikely(n > r->size)) {
		ring_fail(r, RING_FAULT_INDEX_JUMP);
		return 0;
	}
	return n;
}

/* Is there anything to take? */
bool ring_has_avail(struct ring *r);

/* Split: the i-th available entry from avail_next: a descriptor index, not yet checked. */
static inline uint16_t ring_head(const struct ring *r, uint16_t i)
{
	return __atomic_load_n(
		&r->avail->ring[(uint16_t)(r->avail_next + i) & r->mask], __ATOMIC_RELAXED);
}

/* One descriptor, read once. */
static inline struct vring_desc ring_desc_read(const struct vring_desc *d)
{
	struct vring_desc v;
	uint64_t lo = __atomic_load_n((const uint64_t *)d, __ATOMIC_RELAXED);
	uint64_t hi = __atomic_load_n((const uint64_t *)d + 1, __ATOMIC_RELAXED);

	v.addr = lo;
	v.len = (uint32_t)hi;
	v.flags = (uint16_t)(hi >> 32);
	v.next = (uint16_t)(hi >> 48);
	return v;
}

/* Fills used entry number i (a free-running index; used_next is the caller's to move on). The
 * entry often holds the same from the last lap: then the line is not written, and stays in the
 * guest's cache (a quarter of a short frame's cost). */
static inline void ring_use_at(
	struct vring_used_elem *ring, uint16_t i, uint16_t head, uint32_t len)
{
	uint8_t *e = (uint8_t *)&ring[i]; /* aligned to 4 only */
	uint64_t v = head | (uint64_t)len << 32, old;

	memcpy(&old, e, sizeof(old));
	if (old != v)
		memcpy(e, &v, sizeof(v));
}

static inline void ring_use(struct ring *r, uint16_t head, uint32_t len)
{
	ring_use_at(r->used->ring, r->used_next & r->mask, head, len);
	r->used_next++;
}

/* A chain as taken from a ring, to be given back. */
struct ring_chain {
	uint16_t id; /* split: the head descriptor; packed: the buffer's id */
	uint16_t n;  /* entries that it takes: of a split ring 1, of a packed one all its links */
};

/*
 * The chain that begins `ahead` entries behind avail_next, into seg[] as ring_walk does. Returns
 * the number of pieces, -EAGAIN if there is none yet, -E2BIG (c is set: it may be given back), or
 * -EINVAL after a fault. Nothing is consumed: the caller goes on by c->n (ring_advance).
 */
int ring_chain_at(struct ring *r, uint16_t ahead, bool writable, struct ring_seg *seg,
	uint32_t *len, struct ring_chain *c);

/* Gives a chain back with len bytes written; visible at the next ring_publish. Chains are given
 * back in the order in which they were taken. */
void ring_chain_use(struct ring *r, const struct ring_chain *c, uint32_t len);

/* n entries more are taken. */
void ring_advance(struct ring *r, uint16_t n);

/* Makes all used entries filled so far visible to the guest. */
void ring_publish(struct ring *r);

static inline void ring_split_publish(struct ring *r)
{
	if (r->used_done != r->used_next) {
		r->used_done = r->used_next;
		__atomic_store_n(&r->used->idx, r->used_next, __ATOMIC_RELEASE);
	}
}

/* Where the guest's next entry will show, and what stands there until then. Reading it costs less
 * than asking the ring, and the ring need not be touched. */
struct ring_watch {
	const uint16_t *at;
	uint16_t seen;
};

/* For whoever works on the ring. False: an entry is there already. Holds until one is taken. */
bool ring_watch(const struct ring *r, struct ring_watch *w);

/* Split: the event fields behind the two rings (section 2.7.7 to 2.7.10). */
static inline uint16_t *ring_used_event(const struct ring *r)
{
	return &r->avail->ring[r->size];
}

static inline uint16_t *ring_avail_event(const struct ring *r)
{
	return (uint16_t *)(void *)&r->used->ring[r->size];
}

/* After ring_publish: does the guest want to be told? Ask once a publication. */
bool ring_wants_notify(struct ring *r);

/* Asks for kicks (before sleeping) or asks for none (while polling). After arming, look at
 * ring_has_avail once more: a kick may have been left out just before. */
void ring_arm(struct ring *r);
void ring_disarm(struct ring *r);

/*
 * Split: walks the chain that begins at descriptor `head` into seg[], at most RING_SEGS_MAX pieces.
 * All descriptors must have the direction `writable`. Empty pieces are left out.
 * Returns the number of pieces and the sum of their lengths, -E2BIG for a chain of too many pieces
 * or links (*len is not set), or -EINVAL after a fault.
 */
int ring_walk(struct ring *r, uint16_t head, bool writable, struct ring_seg *seg, uint32_t *len);

#endif
