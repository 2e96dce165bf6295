/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many small guests in one process, for tests and benchmarks of scale: each is a vhost-user front
 * end with one queue pair, its rings up and its receive buffers posted. They do nothing unless
 * told. A command a line on stdin, a JSON object a line on stdout; it dies with its stdin.
 *
 *	crowd PREFIX FIRST COUNT	the sockets PREFIX<FIRST> .. PREFIX<FIRST + COUNT - 1>
 *
 *	wake FROM TO N GAP_US	N times: waits, sends a frame from one guest (its number in the
 *				crowd) to another, and looks until it is there: nanoseconds of each
 *	say GUEST N		N broadcasts from that guest
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "vhost-user/frontend.h"

#define SIZE    64u /* descriptors of a ring; receive buffers */
#define HDR     12u
#define LEN     60u
#define BUF     2048u
#define RX_RING 0u
#define TX_RING 0x1000u
#define BUFFERS 0x2000u
/* Whole pages: DPDK 24.11 refuses a file that ends within one. */
#define MEM     ((BUFFERS + (SIZE + 1) * BUF + 4095) & ~4095u)
#define GPA     0x100000000ull
#define USER    0x7000000000ull
#define WAIT_NS (2 * NS_PER_S) /* for a frame */
#define V1      (1ull << 32)

struct ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	int kick_fd, call_fd;
};

struct guest {
	struct vu_frontend *fe;
	uint8_t *mem;
	int mem_fd;
	struct ring rx, tx;
	uint8_t mac[6];
};

static struct guest *guests;
static uint32_t n_guests;

static void fail(const struct err *e)
{
	printf("{\"ok\": false, \"error\": \"%s\"}\n", e->text);
	fflush(stdout);
	exit(1);
}

static void ring_at(struct guest *g, struct ring *r, uint32_t off)
{
	r->desc = (void *)(g->mem + off);
	r->avail = (void *)(g->mem + off + 16 * SIZE);
	r->used = (void *)(g->mem + off + 16 * SIZE + 512);
	r->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static int ring_start(struct guest *g, struct ring *r, uint32_t index, uint32_t off, struct err *e)
{
	struct vu_ring v = { .index = index,
		.size = SIZE,
		.desc = USER + off,
		.avail = USER + off + 16 * SIZE,
		.used = USER + off + 16 * SIZE + 512,
		.kick_fd = r->kick_fd,
		.call_fd = r->call_fd,
		.err_fd = -1 };
	int ret = vu_start_ring(g->fe, &v, e);

	return ret ? ret : vu_enable_ring(g->fe, index, true, e);
}

static int guest_open(struct guest *g, const char *path, uint32_t number, struct err *e)
{
	struct vu_region region = { .gpa = GPA, .size = MEM, .user_addr = USER };
	int ret;

	g->mem_fd = memfd_create("crowd", MFD_CLOEXEC);
	if (g->mem_fd < 0 || ftruncate(g->mem_fd, MEM))
		return err_set(e, -errno, "no guest memory");
	g->mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, g->mem_fd, 0);
	if (g->mem == MAP_FAILED)
		return err_set(e, -errno, "no guest memory");
	ring_at(g, &g->rx, RX_RING);
	ring_at(g, &g->tx, TX_RING);
	for (uint16_t i = 0; i < SIZE; i++) {
		g->rx.desc[i] =
			(struct vring_desc){ GPA + BUFFERS + i * BUF, BUF, VRING_DESC_F_WRITE, 0 };
		g->rx.avail->ring[i] = i;
	}
	g->rx.avail->idx = SIZE;
	g->tx.desc[0] = (struct vring_desc){ GPA + BUFFERS + SIZE * BUF, HDR + LEN, 0, 0 };
	g->mac[0] = 2;
	g->mac[1] = 0xc0;
	memcpy(g->mac + 2, &number, 4);
	region.fd = g->mem_fd;
	ret = vu_connect(path, 10000, -1, &g->fe, e);
	if (!ret)
		ret = vu_negotiate(g->fe, 1u << VU_PF_REPLY_ACK, e);
	if (!ret)
		ret = vu_set_features(g->fe, V1, e);
	if (!ret)
		ret = vu_set_mem_table(g->fe, &region, 1, e);
	if (!ret)
		ret = ring_start(g, &g->rx, 0, RX_RING, e);
	return ret ? ret : ring_start(g, &g->tx, 1, TX_RING, e);
}

/* One frame into the transmit ring, with a kick if the switch wants one. False: the switch has not
 * taken the last one. */
static bool send_frame(struct guest *g, const uint8_t *dst)
{
	uint8_t *at = g->mem + BUFFERS + SIZE * BUF;
	uint16_t n = g->tx.avail->idx;

	if (__atomic_load_n(&g->tx.used->idx, __ATOMIC_ACQUIRE) != n)
		return false;
	memset(at, 0, HDR + LEN);
	memcpy(at + HDR, dst, 6);
	memcpy(at + HDR + 6, g->mac, 6);
	memcpy(at + HDR + 12, "\x88\xb5", 2);
	g->tx.avail->ring[n % SIZE] = 0;
	__atomic_store_n(&g->tx.avail->idx, (uint16_t)(n + 1), __ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(&g->tx.used->flags, __ATOMIC_SEQ_CST) & VRING_USED_F_NO_NOTIFY))
		fd_event_signal(g->tx.kick_fd);
	return true;
}

/* Waits until the switch has given out more than `seen` buffers; all go back to it. */
static bool wait_frame(struct guest *g, uint16_t seen)
{
	uint64_t until = clock_now_ns() + WAIT_NS;

	while (__atomic_load_n(&g->rx.used->idx, __ATOMIC_ACQUIRE) == seen)
		if (clock_now_ns() > until)
			return false;
	return true;
}

static void buffers_back(struct guest *g)
{
	uint16_t used = __atomic_load_n(&g->rx.used->idx, __ATOMIC_ACQUIRE);
	uint16_t avail = g->rx.avail->idx;

	while ((uint16_t)(avail - used) < SIZE) {
		g->rx.avail->ring[avail % SIZE] = (uint16_t)g->rx.used->ring[avail % SIZE].id;
		avail++;
	}
	__atomic_store_n(&g->rx.avail->idx, avail, __ATOMIC_RELEASE);
}

static struct guest *guest_of(unsigned i)
{
	if (i >= n_guests)
		exit(2);
	return &guests[i];
}

static void do_wake(const char *args)
{
	unsigned from, to, n, gap_us;
	struct guest *a, *b;
	bool ok = true;

	if (sscanf(args, "%u %u %u %u", &from, &to, &n, &gap_us) != 4)
		exit(2);
	a = guest_of(from);
	b = guest_of(to);
	printf("{\"ns\": [");
	for (unsigned i = 0; i < n && ok; i++) {
		uint16_t seen;
		uint64_t began;

		clock_sleep_ns(gap_us * NS_PER_US);
		buffers_back(b);
		seen = b->rx.used->idx;
		began = clock_now_ns();
		ok = send_frame(a, b->mac) && wait_frame(b, seen);
		printf("%s%llu", i ? ", " : "", (unsigned long long)(clock_now_ns() - began));
	}
	printf("], \"ok\": %s}\n", ok ? "true" : "false");
	fflush(stdout);
}

static void do_say(const char *args)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint64_t until = clock_now_ns() + WAIT_NS;
	unsigned who, n;
	struct guest *g;

	if (sscanf(args, "%u %u", &who, &n) != 2)
		exit(2);
	g = guest_of(who);
	while (n && clock_now_ns() < until)
		n -= send_frame(g, all);
	while (g->tx.used->idx != g->tx.avail->idx && clock_now_ns() < until)
		;
	printf("{\"ok\": %s}\n", n ? "false" : "true");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	char path[128], line[128];
	uint32_t first;

	if (argc != 4)
		return 2;
	first = (uint32_t)atoi(argv[2]);
	n_guests = (uint32_t)atoi(argv[3]);
	guests = calloc(n_guests, sizeof(*guests));
	if (!guests)
		return 1;
	for (uint32_t i = 0; i < n_guests; i++) {
		snprintf(path, sizeof(path), "%s%u", argv[1], first + i);
		if (guest_open(&guests[i], path, first + i, &e))
			fail(&e);
	}
	printf("{\"ok\": true, \"n\": %u}\n", n_guests);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, "wake ", 5) == 0)
			do_wake(line + 5);
		else if (strncmp(line, "say ", 4) == 0)
			do_say(line + 4);
		else
			return 2;
	}
	return 0; /* the kernel closes it all */
}
