/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path's cost, without anything around it: one thread moves bursts between two ports on
 * plain memory, another one on another CPU plays both guests, as testpmd's "mac" forwarding does
 * (each frame that arrives is sent back by the other port, rewritten). Prints the median of busy
 * cycles per frame over all bursts, so that a preempted burst does not count.
 *
 *	bench_dp [FRAME_BYTES [MILLISECONDS [LAYOUT]]]
 *		sizes without FCS; layouts one, two, indirect, packed
 *	bench_dp macs N,N,... [FRAME_BYTES [MS]]
 *		so many addresses, half of them behind each port, chosen at random for each
 *		frame; by turns
 *	bench_dp demands [FRAME_BYTES [MS]]
 *		two more ports, busy too, without and with all that can be demanded of them; by
 *		turns. Counted are the other two, plain, then with demands as well
 *	bench_dp idle N [FRAME_BYTES [MILLISECONDS]]
 *		N silent queues beside; in every other stretch they are looked at as workers do it
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
static int n_guests = 2;
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

static struct pool pool[RIG_PORTS];

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
	uint32_t n = __atomic_load_n(&n_macs, __ATOMIC_RELAXED);
	static uint64_t state = 1;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	mac_write(data, 1 - g, (uint32_t)((state >> 32) * n >> 32));
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	mac_write(data + 6, g, (uint32_t)((state >> 32) * n >> 32));
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
		data[11] = (uint8_t)(1 + g);      /* source */
		data[5] = (uint8_t)(1 + (g ^ 1)); /* destination: the other */
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
			data[11] = (uint8_t)(1 + g);      /* source */
			data[5] = (uint8_t)(1 + (g ^ 1)); /* destination: the other */
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
		for (int g = 0; g < n_guests; g++)
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
		data[5] = (uint8_t)(1 + (g ^ 1));
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

/* What is measured by turns, so that what others do on the machine meets all of them alike. */
#define VARIANTS     4
#define TURN_MS 100
#define TURN_WAIT_MS 4 /* until frames of the turn before are gone */
#define TURN_SAMPLES (1u << 18)

static struct variant {
	char name[64];
	uint32_t n_macs;
	int demands_from; /* ports from this one on have demands */
	struct fdb fdb;
	float sample[TURN_SAMPLES];
	uint32_t n;
} variant[VARIANTS];

static uint32_t n_variants;
static struct dp_policy demands[RIG_PORTS];

static struct fdb_addr host_addr(const struct fdb *f, uint32_t at1, uint32_t i, uint16_t vid)
{
	uint8_t mac[8] = { 2, (uint8_t)at1 };
	uint64_t raw;

	mac[3] = (uint8_t)(i >> 16);
	mac[4] = (uint8_t)(i >> 8);
	mac[5] = (uint8_t)i;
	memcpy(&raw, mac, 8);
	return fdb_addr(f, fdb_key(1, raw), vid);
}

static struct variant *variant_new(uint32_t macs)
{
	struct variant *v = &variant[n_variants++];

	if (n_variants > VARIANTS || fdb_init(&v->fdb, 1u << 20, RIG_PORTS, 12345))
		abort();
	v->n_macs = macs / 2;
	v->demands_from = RIG_PORTS;
	for (uint32_t k = 0; k < macs; k++) {
		struct fdb_addr a = host_addr(&v->fdb, 1 + k % 2, k / 2, 0);

		fdb_learn(&v->fdb, &a, (uint16_t)(k % 2), 1, FDB_NO_LIMIT);
	}
	if (macs)
		snprintf(v->name, sizeof(v->name), "%u addresses (%u found no room)", macs,
			macs - v->fdb.port_entries[0] - v->fdb.port_entries[1]);
	return v;
}

/* So that nothing is ever flooded from one pair to the other. */
static void four_known(struct fdb *f)
{
	for (uint32_t g = 0; g < RIG_PORTS; g++)
		for (uint16_t vid = 0; vid <= 10; vid += 10) {
			struct fdb_addr a = host_addr(f, 0, 1 + g, vid);

			if (fdb_static_add(f, &a, (uint16_t)g))
				abort();
		}
}

static void macs_variants(char *list)
{
	for (char *n = strtok(list, ","); n; n = strtok(NULL, ","))
		variant_new((uint32_t)atoi(n));
}

/* Everything that looks at each frame, at limits that are not reached. */
static void demand_all(int g)
{
	const struct dp_rate vast = { 1ull << 40, 100, 1u << 20 };
	struct dp_policy *p = &demands[g];
	uint8_t mac[8] = { 2, 0, 0, 0, 0, (uint8_t)(1 + g) };

	p->each = true;
	p->untagged = 10;
	p->vlans[0] = 1 << 10;
	p->mac_limit = 100;
	p->police = p->storm[0] = p->storm[1] = p->storm[2] = vast;
	p->spoof.n_macs = p->spoof.n_ip4 = p->spoof.n_ip6 = 1;
	memcpy(&p->spoof.macs[0], mac, 8);
}

static void demands_variants(void)
{
	static const char *const names[] = { "others plain", "others with all demands",
		"all ports with all demands" };

	for (int k = 0; k < 3; k++) {
		struct variant *v = variant_new(0);

		snprintf(v->name, sizeof(v->name), "%s", names[k]);
		v->demands_from = RIG_PORTS - 2 * k;
		four_known(&v->fdb);
	}
	for (int g = 0; g < RIG_PORTS; g++)
		demand_all(g);
	n_guests = RIG_PORTS;
}

static void variant_enter(struct variant *v, bool settled)
{
	__atomic_store_n(&n_macs, v->n_macs, __ATOMIC_RELAXED);
	/* What is still under way would be learnt: meanwhile, elsewhere. */
	rig.view.fdb = settled ? &v->fdb : &rig.fdb;
	for (int g = 0; g < n_guests; g++) {
		rig.ports[g].policy = g >= v->demands_from ? &demands[g] : NULL;
		rig.ports[g].egress.native = g >= v->demands_from ? 10 : 0;
	}
	rig.view.generation++;
}

/* A turn of one variant. now_s: ages are renewed once a second. */
static void variant_turn(struct variant *v, uint32_t now_s)
{
	uint64_t began = clock_now_ns(), now = began;
	uint32_t faults = 0;
	bool settled = false;

	if (n_guests > 2 && !rig.fdb.n_entries)
		four_known(&rig.fdb);
	variant_enter(v, false);
	for (uint32_t round = 1; now - began < TURN_MS * NS_PER_MS; round++) {
		uint64_t from;
		uint32_t got;

		for (int g = 2; g < n_guests; g++)
			dp_forward(&rig.fwd, &rig.view, &rig.guest[g].in, now_s, &faults);
		from = __rdtsc();
		got = dp_forward(&rig.fwd, &rig.view, &rig.guest[0].in, now_s, &faults) +
			dp_forward(&rig.fwd, &rig.view, &rig.guest[1].in, now_s, &faults);
		if (got && settled && v->n < TURN_SAMPLES)
			v->sample[v->n++] = (float)(__rdtsc() - from) / (float)got;
		if (round % 16)
			continue;
		now = clock_now_ns();
		if (!settled && now - began > TURN_WAIT_MS * NS_PER_MS) {
			settled = true;
			variant_enter(v, true);
		}
	}
	if (faults || rig.guest[2].port.in[0].drops[DP_DROP_rx_spoofed] ||
		rig.guest[2].port.in[0].drops[DP_DROP_rx_policed] ||
		rig.guest[2].port.in[0].drops[DP_DROP_rx_vlan])
		abort(); /* not what was to be measured */
}

static void variants_run(uint32_t ms)
{
	uint64_t began = clock_now_ns(), now = began;

	while (now - began < ms * NS_PER_MS)
		for (uint32_t k = 0; k < n_variants; k++) {
			now = clock_now_ns();
			variant_turn(&variant[k], 1 + (uint32_t)((now - began) / NS_PER_S));
		}
	for (uint32_t k = 0; k < n_variants; k++) {
		struct variant *v = &variant[k];

		qsort(v->sample, v->n, sizeof(v->sample[0]), compare);
		printf("%u B, %s: %.1f cycles a frame (quartiles %.1f, %.1f), %.3f of the first\n",
			frame_len, v->name, v->sample[v->n / 2], v->sample[v->n / 4],
			v->sample[3 * v->n / 4],
			v->sample[v->n / 2] / variant[0].sample[variant[0].n / 2]);
	}
}

int main(int argc, char **argv)
{
	enum { SAMPLES = 1 << 20 };
	static float sample[SAMPLES], with_idle[SAMPLES];
	uint64_t frames = 0, bursts = 0, began, until, last, took = 0;
	uint32_t ms = 300, n = 0, k = 0, faults = 0;
	struct dp_poll poll = { 0 };
	pthread_t thread;

	if (argc > 2 && strcmp(argv[1], "macs") == 0) {
		macs_variants(argv[2]);
		ms = 3000;
		argc -= 2;
		argv += 2;
	}
	if (argc > 1 && strcmp(argv[1], "demands") == 0) {
		demands_variants();
		ms = 3000;
		argc--;
		argv++;
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
	for (int g = 0; g < n_guests; g++) {
		struct rig_guest *q = &rig.guest[g];

		rig_guest_init(q, MEM, 1, false);
		memory_huge(q);
		rig_guest_rings(q, SIZE,
			1ull << 32 | 1ull << 15 | 1ull << 28 | (layout == PACKED ? 1ull << 34 : 0),
			layout == PACKED ? 0x8000 : 0);
	}
	rig_init(&rig, (uint32_t)n_guests, 9000);
	fdb_fini(&rig.fdb);
	if (fdb_init(&rig.fdb, 1u << 20, RIG_PORTS, 12345))
		abort();
	if (n_idle)
		idle_make(&poll);
	for (int g = 0; g < n_guests; g++)
		guest_init(g);
	pin(1);
	pthread_create(&thread, NULL, guests, NULL);
	pin(0);
	if (n_variants) {
		variants_run(ms);
		stop = true;
		pthread_join(thread, NULL);
		return 0;
	}
	began = clock_now_ns();
	until = began + ms * NS_PER_MS;
	last = __rdtsc();
	while (n < SAMPLES && k < SAMPLES && (bursts & 1023 || clock_now_ns() < until)) {
		bool look = n_idle && bursts & 256;
		uint64_t now;
		uint32_t got;

		if (look)
			dp_poll_look(&poll, dp_poll_quota(&poll, took));
		got = dp_forward(&rig.fwd, &rig.view, &rig.guest[0].in, 1, &faults) +
			dp_forward(&rig.fwd, &rig.view, &rig.guest[1].in, 1, &faults);
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
