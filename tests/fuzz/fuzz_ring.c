/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as two guests' memory, rings included: the data path moves frames or declares a fault,
 * and never touches a byte outside. Both guests get the same bytes; the input's head says how the
 * rings are made:
 *
 *	0	the rings' size
 *	1	features: MRG_RXBUF, INDIRECT_DESC, EVENT_IDX, VERSION_1, RING_PACKED; what senders
 *		may ask for; what receivers accept (four bits of each, by a table)
 *	2	memory regions
 *	3	1: holes between them; 2: descriptors are made mostly valid; 4: another thread
 *		rewrites the memory while we read; 8: both ports are captured, both ways (tap.h);
 *		16: frames leave with a VLAN tag
 *	4, 5	where the rings begin
 *	6, 7	how many entries the drivers add between bursts
 */
#include <pthread.h>
#include <sched.h>

#include "tests/lib/dprig.h"
#include "vswitch/dp/offload.h"
#include "vswitch/dp/ring_packed.h"

#define MEM    16384
#define ROUNDS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig r;

/* --- the thread that rewrites ---------------------------------------------------------------- */

/* It rewrites while `seed` is not 0, a few words at a time under the lock. So whoever has set it to
 * 0 under the lock has the memory alone, and waits for nobody if the other one is not running. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t seed;

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* A word somewhere, in the rings more often than not, takes another value, and the old one again:
 * whoever reads it twice sees two. */
static void rewrite(struct rig_guest *g, uint32_t *x)
{
	static const uint64_t odd[] = { 0, 1, 0x8000, UINT64_MAX, RIG_GPA, RIG_GPA + MEM - 8,
		0xffffffff00000000ull, 0x8080000000000000ull, 0x0004000000000010ull };
	size_t rings = 2 * rig_ring_bytes(g->in.ring.size);
	uint32_t where = next_random(x), how = next_random(x);
	uint64_t *at, old;

	where = where % 4 && rings < MEM ? where / 4 % (uint32_t)rings : where / 4 % MEM;
	at = (uint64_t *)(void *)(g->mem + (where & ~7u));
	old = __atomic_load_n(at, __ATOMIC_RELAXED);
	__atomic_store_n(at,
		how % 3 ? odd[how / 3 % (sizeof(odd) / sizeof(odd[0]))]
			: old ^ 1ull << (how / 3 % 64),
		__ATOMIC_RELAXED);
	if (how & 0x80000000)
		__atomic_store_n(at, old, __ATOMIC_RELAXED);
}

static void *rewriter(void *arg)
{
	for (;;) {
		if (!__atomic_load_n(&seed, __ATOMIC_RELAXED))
			sched_yield();
		pthread_mutex_lock(&lock);
		for (int i = 0; seed && i < 16; i++)
			rewrite(&r.guest[next_random(&seed) % 2], &seed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* 0: stops it. */
static void rewriter_set(uint32_t with)
{
	static pthread_t thread;

	if (!thread && pthread_create(&thread, NULL, rewriter, NULL))
		abort();
	pthread_mutex_lock(&lock);
	__atomic_store_n(&seed, with, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
}

/* --- the drivers ----------------------------------------------------------------------------- */

/* Most inputs name addresses that don't exist: then little else is tried. */
static void make_valid(struct rig_guest *g, struct ring *ring, bool write)
{
	for (uint32_t i = 0; i < ring->size; i++) {
		struct vring_desc *d = (struct vring_desc *)(void *)(ring->desc + i);

		d->addr = RIG_GPA + d->addr % MEM;
		d->len %= d->addr & 1 ? 200 : 4096;
		if (ring->packed && ring->pdesc[i].id % 8)
			ring->pdesc[i].flags = (uint16_t)((ring->pdesc[i].flags & 0x8085) |
				(write ? VRING_DESC_F_WRITE : 0));
		else if (!ring->packed && d->next % 8)
			d->flags = (uint16_t)((d->flags & 5) | (write ? VRING_DESC_F_WRITE : 0));
	}
	if (!ring->packed)
		for (uint32_t i = 0; i < ring->size; i++)
			ring->avail->ring[i] %= ring->size + (i == 7);
}

/* The driver goes on: n entries more. */
static void add_entries(struct ring *ring, uint32_t n)
{
	uint16_t at = ring->avail_next;
	bool wrap;

	if (!ring->packed) {
		ring->avail->idx = (uint16_t)(ring->avail->idx + n);
		return;
	}
	wrap = ring->avail_wrap;
	for (uint32_t i = 0; i < n; i++) {
		uint16_t *flags = &ring->pdesc[at].flags;

		*flags &= (uint16_t) ~(RING_PACKED_AVAIL | RING_PACKED_USED);
		*flags |= wrap ? RING_PACKED_AVAIL : RING_PACKED_USED;
		ring_packed_advance(&at, &wrap, ring->size, 1);
	}
}

static void stats_check(void)
{
	uint64_t in = 0, out = 0, drops = 0;

	for (uint32_t i = 0; i < r.n; i++) {
		const struct dp_port *p = &r.guest[i].port;

		in += p->in[0].traffic.frames;
		out += p->out[0].traffic.frames;
		drops += p->drops_down;
		for (int d = 0; d < DP_DROP_MAX; d++)
			drops += p->in[0].drops[d] + p->out[0].drops[d];
	}
	/* Two ports: each frame leaves by one or is dropped for one reason. */
	if (in != out + drops)
		abort();
}

/* A ring that did not fault stands somewhere in itself, with nothing half given back. */
static void ring_check(const struct ring *ring)
{
	uint16_t avail, used;

	if (ring->fault)
		return;
	ring_position(ring, &avail, &used);
	if (ring->packed && ((avail & 0x7fff) >= ring->size || avail != used || ring->pending))
		abort();
}

static void guest_make(struct rig_guest *g, const uint8_t *data, size_t size)
{
	static const uint8_t offloads[] = { 0, 1, 3, 15 };
	uint64_t features = (uint64_t)(data[1] & 1) << 15 | (uint64_t)(data[1] >> 1 & 1) << 28;
	bool packed = data[1] >> 4 & 1;
	size_t n = size - 8 < MEM ? size - 8 : MEM;
	uint32_t ring_size = packed ? data[0] % 128 + 1u : 1u << data[0] % 8;

	features |= (uint64_t)(data[1] >> 2 & 1) << 29 | (uint64_t)(data[1] >> 3 & 1) << 32 |
		(uint64_t)packed << 34;
	rig_guest_init(g, MEM, 1 + data[2] % 4, data[3] & 1);
	memcpy(g->mem, data + 8, n);
	rig_guest_rings(g, ring_size, features, (uint16_t)(data[4] | data[5] << 8));
	g->in.ring.may = offloads[data[1] >> 5 & 3];
	g->out.ring.accept = offloads[data[2] >> 2 & 3];
	if (data[3] & 2) {
		make_valid(g, &g->in.ring, false);
		make_valid(g, &g->out.ring, true);
	}
}

/* --- captures -------------------------------------------------------------------------------- */

static struct tap_ring capture[2];
static const struct dp_tap taps[] = { { .rings = &capture[0] }, { .rings = &capture[1] } };

static void captures_make(uint32_t snaplen)
{
	static uint8_t *mem[2];

	for (int i = 0; i < 2; i++) {
		if (!mem[i])
			mem[i] = aligned_alloc(64, TAP_RING_MIN);
		tap_ring_init(&capture[i], mem[i], TAP_RING_MIN, snaplen);
		for (int dir = 0; dir < TAP_DIRS; dir++)
			r.ports[i].taps[dir] = (struct dp_view_taps){ .tap = &taps[i], .n = 1 };
	}
}

/* What is kept is whole, and there is as much of it as was counted. */
static void captures_check(void)
{
	for (int i = 0; i < 2; i++) {
		uint64_t head = tap_ring_head(&capture[i]);

		for (const struct tap_rec *rec; (rec = tap_ring_front(&capture[i], head));) {
			uint32_t room = rec->size - (uint32_t)sizeof(*rec);

			if (rec->cap_len > room || room - rec->cap_len > 7 ||
				rec->cap_len > rec->len || rec->cap_len > capture[i].snaplen)
				abort();
			capture[i].kept--;
			tap_ring_take(&capture[i], rec);
		}
		tap_ring_give_back(&capture[i]);
		if (capture[i].kept)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t faults = 0;

	if (size < 8)
		return 0;
	memset(&r, 0, sizeof(r));
	for (int i = 0; i < 2; i++)
		guest_make(&r.guest[i], data, size);
	rig_init(&r, 2, data[2] & 0x10 ? 9000 : 1500);
	if (data[3] & 8)
		captures_make(data[7]);
	for (int i = 0; i < 2 && data[3] & 16; i++)
		r.ports[i].egress.native = 7;
	if (data[3] & 4) {
		uint32_t with;

		memcpy(&with, data + size - 4, 4);
		rewriter_set(with | 1);
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 2; i++) {
			struct rig_guest *g = &r.guest[i];

			if (round == 3 && !g->in.ring.fault && !g->port.fault)
				ring_skip(&g->in.ring, data[6] >> 4);
			else
				dp_forward(&r.fwd, &r.view, &g->in, 1, &faults);
			ring_arm(&g->in.ring);
			ring_has_avail(&g->in.ring);
		}
		for (int i = 0; i < 2; i++) {
			struct rig_guest *g = &r.guest[i];

			ring_check(&g->in.ring);
			ring_check(&g->out.ring);
			add_entries(&g->in.ring, data[6] % 4);
			add_entries(&g->out.ring, data[7] % 4);
			g->mem[data[size / 2] * 64 % MEM] ^= data[size - 1];
		}
		if (data[3] & 8)
			captures_check();
	}
	if (data[3] & 4)
		rewriter_set(0);
	stats_check();
	rig_fini(&r);
	return 0;
}
