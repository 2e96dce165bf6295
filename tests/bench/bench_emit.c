/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to complete offloads in software: one frame's way from the sender's memory into
 * receivers' buffers, without rings. Prints cycles per byte and Gb/s, medians of rounds:
 *
 *	pass	the receiver takes the request: a copy
 *	csum	the checksum is computed while copying (frames of 1,514 bytes)
 *	cut	a TCP frame of 64 KiB becomes segments of 1,448 bytes, each with its checksums
 *
 *	bench_emit [MILLISECONDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "vswitch/dp/emit.h"
#include "vswitch/dp/offload.h"

#define BIG     65226u /* what Linux sends: 45 segments of 1,448 bytes and 66 of headers */
#define BUFFERS 64
#define BUF     2048u
#define ROUNDS  4096

static uint8_t frame[BIG] __attribute__((aligned(64)));
static uint8_t buffers[BUFFERS][BUF] __attribute__((aligned(64)));

/* A TCP frame of len bytes as peek leaves it, asking for segments of 1,448 bytes if it is big. */
static void frame_make(struct dp_burst *b, uint32_t len)
{
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = 34,
		.csum_offset = 16 };
	struct dp_frame *f = &b->frame[0];

	if (len > 1514) {
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = 1448;
	}
	frame[12] = 0x08;
	frame[14] = 0x45;
	frame[23] = 6;
	frame[46] = 0x80;
	memset(f, 0, sizeof(*f));
	memcpy(f->hdr, frame, DP_HDR_COPY);
	f->len = len;
	f->hdr_len = DP_HDR_COPY;
	f->rest = frame + DP_HDR_COPY;
	f->n_segs = 1;
	if (!dp_offload_check(b, f, &h, UINT32_MAX))
		abort();
}

static uint32_t frame_emit(const struct dp_frame *f, uint32_t accept)
{
	const struct dp_egress eg = { 0 };
	const struct emit_packet *p;
	struct ring_seg seg[BUFFERS];
	uint32_t n = 0, at = 0;
	struct emit e;

	emit_begin(&e, f, &eg, accept);
	while ((p = emit_next(&e))) {
		struct scatter s = { .seg = seg };
		uint32_t left = p->len;

		for (n = 0; left; n++, at = (at + 1) % BUFFERS) {
			seg[n] = (struct ring_seg){ buffers[at], left < BUF ? left : BUF };
			left -= seg[n].len;
		}
		emit_copy(p, &s);
	}
	return f->len;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(const char *name, uint32_t len, uint32_t accept, uint32_t ms, double hz)
{
	static struct dp_burst b;
	static double cost[ROUNDS];
	uint64_t end = clock_now_ns() + ms * NS_PER_MS;
	uint32_t n = 0;

	frame_make(&b, len);
	while (n < ROUNDS && clock_now_ns() < end) {
		uint64_t from = __rdtsc();
		uint32_t bytes = 0;

		for (int i = 0; i < 16; i++)
			bytes += frame_emit(&b.frame[0], accept);
		cost[n++] = (double)(__rdtsc() - from) / bytes;
	}
	qsort(cost, n, sizeof(cost[0]), compare);
	printf("%s %u B: %.3f cycles a byte (quartiles %.3f, %.3f), %.0f cycles a frame, %.1f "
	       "Gb/s\n",
		name, len, cost[n / 2], cost[n / 4], cost[3 * n / 4], cost[n / 2] * len,
		8e-9 * hz / cost[n / 2]);
}

int main(int argc, char **argv)
{
	uint32_t ms = argc > 1 ? (uint32_t)atoi(argv[1]) : 500;
	uint64_t ns = clock_now_ns(), tsc = __rdtsc();
	double hz;

	clock_sleep_ns(50 * NS_PER_MS);
	hz = (double)(__rdtsc() - tsc) * 1e9 / (double)(clock_now_ns() - ns);
	for (int i = 0; i < 2; i++) {
		measure("pass", 1514, DP_OFF_CSUM, ms, hz);
		measure("csum", 1514, 0, ms, hz);
		measure("pass", BIG, UINT32_MAX, ms, hz);
		measure("cut ", BIG, 0, ms, hz);
	}
	return 0;
}
