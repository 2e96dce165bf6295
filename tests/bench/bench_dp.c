/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path's cost, without anything around it: one thread moves bursts between two ports on
 * plain memory, another one on another CPU plays both guests, as testpmd's "mac" forwarding does
 * (each frame that arrives is sent back by the other port, rewritten). Prints the median of busy
 * cycles per frame over all bursts, so that a preempted burst does not count.
 *
 *	bench_dp [FRAME_BYTES [MILLISECONDS [LAYOUT]]]	sizes without FCS; one, two, indirect
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "tests/lib/dprig.h"

#define SIZE     1024u
#define IN_LOOP  1024u /* frames on their way, each direction */
#define BUF      2304u
#define HEADROOM 128u
#define HDR      12u
#define MEM      (16u << 20)

static struct rig rig;
static bool stop;
static uint32_t frame_len = 60;
static enum { ONE, TWO, INDIRECT } layout;

/* A guest's buffers: free ones on a stack, as a mempool's cache does it. */
struct pool {
	uint32_t free[4096];
	uint32_t n;
	uint16_t used_in, used_out;
	uint32_t in_buf[SIZE], out_buf[SIZE]; /* by descriptor */
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
	case INDIRECT:
		t = (struct vring_desc *)(void *)(buf_data(g, buf) - HEADROOM);
		t[0] = (struct vring_desc){ gpa - HDR, HDR, VRING_DESC_F_NEXT, 1 };
		t[1] = (struct vring_desc){ gpa, frame_len, 0, 0 };
		r->desc[d] = (struct vring_desc){ gpa - HEADROOM, 32, VRING_DESC_F_INDIRECT, 0 };
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
		data[11] = (uint8_t)(1 + g); /* source */
		data[5] = (uint8_t)(2 - g);  /* destination: the other */
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
			guest_round(g);
	return NULL;
}

static void guest_init(int g)
{
	struct ring *in = &rig.guest[g].in.ring, *out = &rig.guest[g].out.ring;
	struct pool *p = &pool[g];

	for (uint32_t b = 0; b < 4096; b++)
		p->free[p->n++] = 4095 - b;
	for (uint16_t d = 0; d < SIZE; d++) {
		post_out(g, d, p->free[--p->n], out);
		out->avail->ring[d] = d;
	}
	out->avail->idx = SIZE;
	for (uint16_t d = 0; d < IN_LOOP / (layout == TWO ? 2 : 1); d++) {
		uint32_t buf = p->free[--p->n];
		uint8_t *data = buf_data(g, buf);

		memset(data, 0, frame_len);
		memcpy(data, "\x02\0\0\0\0\0\x02\0\0\0\0\0\x88\xb5", 14);
		data[11] = (uint8_t)(1 + g);
		data[5] = (uint8_t)(2 - g);
		post_in(g, d, buf, in);
		in->avail->ring[d] = d;
	}
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

static int compare(const void *a, const void *b)
{
	const float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	enum { SAMPLES = 1 << 20 };
	static float sample[SAMPLES];
	uint64_t frames = 0, bursts = 0, until, last;
	uint32_t ms = 300, n = 0, faults = 0;
	pthread_t thread;

	if (argc > 1)
		frame_len = (uint32_t)atoi(argv[1]);
	if (argc > 2)
		ms = (uint32_t)atoi(argv[2]);
	if (argc > 3)
		layout = strcmp(argv[3], "two") == 0       ? TWO
			: strcmp(argv[3], "indirect") == 0 ? INDIRECT
							   : ONE;
	for (int g = 0; g < 2; g++) {
		struct rig_guest *q = &rig.guest[g];

		rig_guest_init(q, MEM, 1, false);
		memory_huge(q);
		rig_guest_rings(q, SIZE, 1ull << 32 | 1ull << 15 | 1ull << 28, 0);
	}
	rig_init(&rig, 2, 9000);
	for (int g = 0; g < 2; g++)
		guest_init(g);
	pin(1);
	pthread_create(&thread, NULL, guests, NULL);
	pin(0);
	until = clock_now_ns() + ms * NS_PER_MS;
	last = __rdtsc();
	while (n < SAMPLES && (bursts & 1023 || clock_now_ns() < until)) {
		uint32_t got = dp_forward(&rig.fwd, &rig.view, &rig.guest[0].in, 1, &faults) +
			dp_forward(&rig.fwd, &rig.view, &rig.guest[1].in, 1, &faults);
		uint64_t now = __rdtsc();

		bursts++;
		if (got) {
			frames += got;
			sample[n++] = (float)(now - last) / (float)got;
		}
		last = now;
	}
	stop = true;
	pthread_join(thread, NULL);
	qsort(sample, n, sizeof(sample[0]), compare);
	printf("%u B: %.1f cycles a frame (quartiles %.1f, %.1f), %.1f frames a round, %.2f Mpps, "
	       "faults %u\n",
		frame_len, sample[n / 2], sample[n / 4], sample[3 * n / 4], (double)frames / n,
		(double)frames / ms / 1e3, faults);
	return 0;
}
