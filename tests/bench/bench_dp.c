/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path's cost, without anything around it: one thread moves bursts between two ports on
 * plain memory, another one on another CPU plays both guests, as testpmd's "mac" forwarding does
 * (each frame that arrives is sent back by the other port, rewritten). Prints the median of busy
 * cycles per frame over all bursts, so that a preempted burst does not count.
 *
 *	bench_dp [FRAME_BYTES [MILLISECONDS [LAYOUT]]]	sizes without FCS; one, two,
 *	indirect, packed
 *	bench_dp macs N [FRAME_BYTES [MILLISECONDS]]	N addresses, half of them behind each port;
 *							each frame's two are chosen at random
 *	bench_dp idle N [FRAME_BYTES [MILLISECONDS]]	N silent queues beside; in every other stretch
 *							they are looked at as workers do it
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "tests/lib/dprig.h"
#include "tests/lib/packed_driver.h"
#include "vswitch/dp/poll.h"

#define SIZE     1024u
#define IN_LOOP  1024u /* frames on their way, each direction */
#define BUF      2304u
#define HEADROOM 128u
#define HDR      12u
#define MEM      (16u << 20)

static struct rig rig;
static bool stop;
static uint32_t n_idle; /* silent queues */
static uint32_t frame_len = 60;
static uint32_t n_macs; /* behind each port; 0: one, and no choice */
static enum { ONE, TWO, INDIRECT, PACKED } layout;

/* A guest's buffers: free ones on a stack, as a mempool's cache does it. */
struct pool {
	uint32_t free[4096];
	uint32_t n;
	uint16_t used_in, used_out;
	uint32_t in_buf[SIZE], out_buf[SIZE]; /* by descriptor */
	struct packed_driver in, out;
	uint16_t in_id; /* the next buffer's */
};

static struct pool pool[2];

static uint64_t buf_gpa(uint32_t buf)
{
	return RIG_GPA + 131072 + (uint64_t)buf * BUF;
}

static uint8_t *buf_data(int g, uint32_t buf)
{
	return rig.guest[g].mem + 131072 + (size_t)buf * BUF + HEADROOM;
}

/* Writes the MAC of host number i behind port g. */
static void mac_write(uint8_t *at, int g, uint32_t i)
{
	at[1] = (uint8_t)(1 + g);
	at[3] = (uint8_t)(i >> 16);
	at[4] = (uint8_t)(i >> 8);
	at[5] = (uint8_t)i;
}

static void macs_choose(int g, uint8_t *data)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	mac_write(data, 1 - g, (uint32_t)((state >> 32) * n_macs >> 32));
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	mac_write(data + 6, g, (uint32_t)((state >> 32) * n_macs >> 32));
}

static void macs_learn(void)
{
	uint8_t mac[8] = { 2 };
	uint64_t raw;
	uint32_t lost = 0;

	for (int g = 0; g < 2; g++)
		for (uint32_t i = 0; i < n_macs; i++) {
			struct fdb_addr a;

			mac_write(mac, g, i);
			memcpy(&raw, mac, 8);
			a = fdb_addr(&rig.fdb, fdb_key(1, raw), 0);
			fdb_learn(&rig.fdb, &a, (uint16_t)g, 1, FDB_NO_LIMIT);
		}
	for (int g = 0; g < 2; g++)
		lost += n_macs - rig.fdb.port_entries[g];
	printf("%u addresses, %u found no room; ", 2 * n_macs, lost);
}

static void post_packed(int g, bool out, uint16_t id, uint32_t buf)
{
	struct packed_driver *d = out ? &pool[g].out : &pool[g].in;
	struct vring_packed_desc v = { buf_gpa(buf) + HEADROOM - HDR,
		out ? BUF - HEADROOM : frame_len + HDR, 0, out ? VRING_DESC_F_WRITE : 0 };

	(out ? pool[g].out_buf : pool[g].in_buf)[id] = buf;
	if (!pd_add(d, &v, 1, id))
		abort();
}

static void post_out(int g, uint16_t d, uint32_t buf, struct ring *r)
{
	pool[g].out_buf[d] = buf;
	r->desc[d].addr = buf_gpa(buf) + HEADROOM - HDR;
	r->desc[d].len = BUF - HEADROOM;
	r->desc[d].flags = VRING_DESC_F_WRITE;
}

static void post_in(int g, uint16_t d, uint32_t buf, struct ring *r)
{
	uint64_t gpa = buf_gpa(buf) + HEADROOM;
	struct vring_desc *t;

	pool[g].in_buf[d] = buf;
	switch (layout) {
	case ONE:
		r->desc[d] = (struct vring_desc){ gpa - HDR, frame_len + HDR, 0, 0 };
		break;
	case TWO:
		r->desc[d] = (struct vring_desc){ gpa - HDR, HDR, VRING_DESC_F_NEXT,
			(uint16_t)(d + SIZE / 2) };
		r->desc[d + SIZE / 2] = (struct vring_desc){ gpa, frame_len, 0, 0 };
		break;
	case PACKED:
		break;
	case INDIRECT:
		t = (struct vring_desc *)(void *)(buf_data(g, buf) - HEADROOM);
		t[0] = (struct vring_desc){ gpa - HDR, HDR, VRING_DESC_F_NEXT, 1 };
		t[1] = (struct vring_desc){ gpa, frame_len, 0, 0 };
		r->desc[d] = (struct vring_desc){ gpa - HEADROOM, 32, VRING_DESC_F_INDIRECT, 0 };
	}
}

/* The same as guest_round. */
static void guest_round_packed(int g)
{
	struct pool *p = &pool[g];
	uint16_t id, n = 0;
	uint32_t len;

	while (p->n < 4096 && pd_take(&p->in, &id, &len))
		p->free[p->n++] = p->in_buf[id];
	while (n < 32 && p->n && p->in.n_free && pd_take(&p->out, &id, &len)) {
		uint32_t buf = p->out_buf[id];
		uint8_t *data = buf_data(g, buf);
		volatile uint16_t *buffers = (void *)(data - 2);

		if (*buffers != 1)
			abort();
		data[11] = (uint8_t)(1 + g); /* source */
		data[5] = (uint8_t)(2 - g);  /* destination: the other */
		post_packed(g, true, id, p->free[--p->n]);
		post_packed(g, false, p->in_id, buf);
		p->in_id = (p->in_id + 1) % SIZE;
		n++;
	}
}

/* Frames that arrived at guest g's port go out by the same guest's in ring. */
static bool guest_round(int g)
{
	struct ring *in = &rig.guest[g].in.ring, *out = &rig.guest[g].out.ring;
	struct pool *p = &pool[g];
	uint16_t ring_n = layout == TWO ? SIZE / 2 : SIZE, n = 0;
	uint16_t done = __atomic_load_n(&in->used->idx, __ATOMIC_ACQUIRE);
	uint16_t got = __atomic_load_n(&out->used->idx, __ATOMIC_ACQUIRE);
	uint16_t in_idx = in->avail->idx, out_idx = out->avail->idx;

	while (p->used_in != done)
		p->free[p->n++] = p->in_buf[in->used->ring[p->used_in++ % SIZE].id];
	while (p->used_out != got && n < 32 && (uint16_t)(in_idx - p->used_in) < ring_n && p->n) {
		uint16_t d = (uint16_t)out->used->ring[p->used_out++ % SIZE].id;
		uint32_t buf = p->out_buf[d];
		uint8_t *data = buf_data(g, buf);
		volatile uint16_t *buffers = (void *)(data - 2);

		if (*buffers != 1)
			abort();
		if (n_macs) {
			macs_choose(g, data);
		} else {
			data[11] = (uint8_t)(1 + g); /* source */
			data[5] = (uint8_t)(2 - g);  /* destination: the other */
		}
		post_out(g, d, p->free[--p->n], out);
		out->avail->ring[out_idx++ % SIZE] = d;
		d = in_idx % ring_n;
		post_in(g, d, buf, in);
		in->avail->ring[in_idx++ % SIZE] = d;
		n++;
	}
	__atomic_store_n(&out->avail->idx, out_idx, __ATOMIC_RELEASE);
	__atomic_store_n(&in->avail->idx, in_idx, __ATOMIC_RELEASE);
	return n;
}

static void *guests(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		for (int g = 0; g < 2; g++)
			if (layout == PACKED)
				guest_round_packed(g);
			else
				guest_round(g);
	return NULL;
}

static void guest_init(int g)
{
	struct ring *in = &rig.guest[g].in.ring, *out = &rig.guest[g].out.ring;
	struct pool *p = &pool[g];

	for (uint32_t b = 0; b < 4096; b++)
		p->free[p->n++] = 4095 - b;
	if (layout == PACKED) {
		pd_init(&p->in, in->pdesc, in->driver_event, in->device_event, SIZE, 0x8000);
		pd_init(&p->out, out->pdesc, out->driver_event, out->device_event, SIZE, 0x8000);
	}
	for (uint16_t d = 0; d < SIZE; d++) {
		if (layout == PACKED) {
			post_packed(g, true, d, p->free[--p->n]);
			continue;
		}
		post_out(g, d, p->free[--p->n], out);
		out->avail->ring[d] = d;
	}
	if (layout != PACKED)
		out->avail->idx = SIZE;
	for (uint16_t d = 0; d < IN_LOOP / (layout == TWO ? 2 : 1); d++) {
		uint32_t buf = p->free[--p->n];
		uint8_t *data = buf_data(g, buf);

		memset(data, 0, frame_len);
		memcpy(data, "\x02\0\0\0\0\0\x02\0\0\0\0\0\x88\xb5", 14);
		data[11] = (uint8_t)(1 + g);
		data[5] = (uint8_t)(2 - g);
		if (layout == PACKED) {
			post_packed(g, false, p->in_id, buf);
			p->in_id = (p->in_id + 1) % SIZE;
			continue;
		}
		post_in(g, d, buf, in);
		in->avail->ring[d] = d;
	}
	if (layout == PACKED)
		return;
	in->avail->idx = IN_LOOP / (layout == TWO ? 2 : 1);
	in->avail->flags = out->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

/* As a VM's memory should be; without hugepages the figures are those of a VM that has none. */
static void memory_huge(struct rig_guest *g)
{
	void *mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);

	if (mem == MAP_FAILED) {
		printf("no hugepages; ");
		return;
	}
	free(g->mem);
	g->mem = g->table.region[0].host = mem;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Silent queues, each ring in pages of its own as a guest's would be; all idle. */
static void idle_make(struct dp_poll *p)
{
	struct dp_inq *q = aligned_alloc(64, n_idle * sizeof(*q));
	struct dp_inq **list = calloc(n_idle + 1, sizeof(struct dp_inq *));
	struct dp_view_worker worker = { .n_inqs = n_idle, .inqs = list };
	struct dp_view v = { .generation = 1, .n_workers = 1, .workers = &worker };
	uint8_t *mem = mmap(NULL, (size_t)n_idle * 16384, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (!q || !list || mem == MAP_FAILED || dp_poll_init(p, 0, n_idle))
		abort();
	memset(q, 0, n_idle * sizeof(*q));
	for (uint32_t i = 0; i < n_idle; i++) {
		uint8_t *at = mem + (size_t)i * 16384;
		struct ring_config c = { .desc = at,
			.avail = at + 4096,
			.used = at + 8192,
			.size = 256,
			.hdr_len = 12,
			.mem = &rig.guest[0].table };

		if (ring_init(&q[i].ring, &c))
			abort();
		q[i].quiet = DP_POLL_QUIET;
		list[i] = &q[i];
	}
	dp_poll_adopt(p, &v);
	if (p->n_idle != n_idle)
		abort();
	free(list);
}

static int compare(const void *a, const void *b)
{
	const float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	enum { SAMPLES = 1 << 20 };
	static float sample[SAMPLES], with_idle[SAMPLES];
	uint64_t frames = 0, bursts = 0, began, until, last, took = 0;
	uint32_t ms = 300, n = 0, k = 0, faults = 0, now_s = 1;
	struct dp_poll poll = { 0 };
	pthread_t thread;

	if (argc > 2 && strcmp(argv[1], "macs") == 0) {
		n_macs = (uint32_t)atoi(argv[2]) / 2;
		ms = 1500;
		argc -= 2;
		argv += 2;
	}
	if (argc > 2 && strcmp(argv[1], "idle") == 0) {
		n_idle = (uint32_t)atoi(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (argc > 1)
		frame_len = (uint32_t)atoi(argv[1]);
	if (argc > 2)
		ms = (uint32_t)atoi(argv[2]);
	if (argc > 3)
		layout = strcmp(argv[3], "two") == 0       ? TWO
			: strcmp(argv[3], "indirect") == 0 ? INDIRECT
			: strcmp(argv[3], "packed") == 0   ? PACKED
							   : ONE;
	for (int g = 0; g < 2; g++) {
		struct rig_guest *q = &rig.guest[g];

		rig_guest_init(q, MEM, 1, false);
		memory_huge(q);
		rig_guest_rings(q, SIZE,
			1ull << 32 | 1ull << 15 | 1ull << 28 | (layout == PACKED ? 1ull << 34 : 0),
			layout == PACKED ? 0x8000 : 0);
	}
	rig_init(&rig, 2, 9000);
	fdb_fini(&rig.fdb);
	if (fdb_init(&rig.fdb, 1u << 20, RIG_PORTS, 12345))
		abort();
	macs_learn();
	if (n_idle)
		idle_make(&poll);
	for (int g = 0; g < 2; g++)
		guest_init(g);
	pin(1);
	pthread_create(&thread, NULL, guests, NULL);
	pin(0);
	began = clock_now_ns();
	until = began + ms * NS_PER_MS;
	last = __rdtsc();
	while (n < SAMPLES && k < SAMPLES && (bursts & 1023 || clock_now_ns() < until)) {
		bool look = n_idle && bursts & 256;
		uint64_t now;
		uint32_t got;

		if (look)
			dp_poll_look(&poll, dp_poll_quota(&poll, took));
		got = dp_forward(&rig.fwd, &rig.view, &rig.guest[0].in, now_s, &faults) +
			dp_forward(&rig.fwd, &rig.view, &rig.guest[1].in, now_s, &faults);
		now = __rdtsc();
		bursts++;
		took = got ? now - last : 0;
		if (got) {
			float cycles = (float)(now - last) / (float)got;

			frames += got;
			if (look)
				with_idle[k++] = cycles;
			else
				sample[n++] = cycles;
		}
		if (n_macs && !(bursts & 1023)) /* ages are renewed once a second */
			now_s = 1 + (uint32_t)((clock_now_ns() - began) / NS_PER_S);
		last = now;
	}
	stop = true;
	pthread_join(thread, NULL);
	qsort(sample, n, sizeof(sample[0]), compare);
	qsort(with_idle, k, sizeof(with_idle[0]), compare);
	if (k)
		printf("%u silent queues: %.1f cycles a frame with them, %.3f of without\n", n_idle,
			with_idle[k / 2], with_idle[k / 2] / sample[n / 2]);
	printf("%u B: %.1f cycles a frame (quartiles %.1f, %.1f), %.1f frames a round, %.2f Mpps, "
	       "faults %u\n",
		frame_len, sample[n / 2], sample[n / 4], sample[3 * n / 4],
		(double)frames / (n + k), (double)frames / ms / 1e3, faults);
	return 0;
}
