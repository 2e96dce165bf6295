/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch's data path on plain memory: ports whose guests are arrays. For unit tests, the
 * fuzzer and the micro benchmark. One view, one forwarder; no thread, no DPDK.
 */
#ifndef LANYARD_TESTS_DPRIG_H
#define LANYARD_TESTS_DPRIG_H

#include <stdlib.h>
#include <string.h>

#include "vswitch/dp/forward.h"

#define RIG_PORTS 4
#define RIG_GPA   0x1000000ull

struct rig_guest {
	uint8_t *mem; /* exactly mem_size bytes: a sanitizer sees any access beyond */
	size_t mem_size;
	struct dp_mem table;
	struct dp_port port;
	struct dp_inq in;
	struct dp_outq out;
};

struct rig {
	struct rig_guest guest[RIG_PORTS];
	struct fdb fdb;
	struct dp_net_stats net_stats;
	struct dp_view_port ports[RIG_PORTS];
	struct dp_view_net net;
	uint16_t members[RIG_PORTS];
	struct dp_outq *outs[RIG_PORTS];
	struct dp_view view;
	struct dp_forwarder fwd;
	uint32_t n;
};

/* Where a ring's parts lie in a guest's memory; each ring_bytes(size) long. */
static inline size_t rig_ring_bytes(uint32_t size)
{
	return (16 * size + 6 + 2 * size + 6 + 8 * size + 8 + 63) & ~(size_t)63;
}

static inline struct ring_config rig_ring_config(
	struct rig_guest *g, size_t off, uint32_t size, uint64_t features)
{
	struct ring_config c = { .desc = g->mem + off,
		.avail = g->mem + off + 16 * size,
		.size = size,
		.mem = &g->table };

	c.packed = features & 1ull << 34;
	c.used = g->mem + off + ((16 * size + 6 + 2 * size + 3) & ~(size_t)3);
	c.mergeable = features & 1ull << 15;
	c.hdr_len = features & (1ull << 15 | 1ull << 32 | 1ull << 34) ? 12 : 10;
	c.indirect = features & 1ull << 28;
	c.event_idx = features & 1ull << 29;
	return c;
}

/* A guest of mem_size bytes (zeroed), its memory cut into n_regions that adjoin in guest addresses,
 * or leave a hole of a page between them. */
static inline void rig_guest_init(
	struct rig_guest *g, size_t mem_size, uint32_t n_regions, bool holes)
{
	memset(g, 0, sizeof(*g));
	g->mem = aligned_alloc(64, mem_size);
	if (!g->mem)
		abort();
	memset(g->mem, 0, mem_size);
	g->mem_size = mem_size;
	for (uint32_t i = 0; i < n_regions; i++) {
		size_t from = mem_size / n_regions * i;
		size_t to = i + 1 == n_regions ? mem_size : mem_size / n_regions * (i + 1);

		g->table.region[i] = (struct dp_region){
			.gpa = RIG_GPA + from + (holes ? i * 4096 : 0),
			.size = to - from,
			.host = g->mem + from,
		};
	}
	g->table.n_regions = n_regions;
}

/* The rings: the one that is received from at 0, the other behind it. */
static inline void rig_guest_rings(
	struct rig_guest *g, uint32_t size, uint64_t features, uint16_t avail_base)
{
	struct ring_config in = rig_ring_config(g, 0, size, features);
	struct ring_config out = rig_ring_config(g, rig_ring_bytes(size), size, features);

	in.avail_base = out.avail_base = avail_base;
	if (ring_init(&g->in.ring, &in))
		g->port.fault = g->in.ring.fault;
	if (ring_init(&g->out.ring, &out))
		g->port.fault = g->out.ring.fault;
}

/* Everything else, when n guests are made. */
static inline void rig_init(struct rig *r, uint32_t n, uint32_t mtu)
{
	r->n = n;
	if (fdb_init(&r->fdb, 64, RIG_PORTS, 12345) || dp_forwarder_init(&r->fwd, RIG_PORTS, false))
		abort();
	for (uint16_t i = 0; i < n; i++) {
		struct rig_guest *g = &r->guest[i];

		g->port.id = i;
		g->in.port = g->out.port = &g->port;
		g->in.stats = &g->port.in[0];
		g->out.stats = &g->port.out[0];
		r->ports[i] = (struct dp_view_port){ .port = &g->port, .n_outs = 1, .out_slot = i };
		r->members[i] = i;
		r->outs[i] = &g->out;
	}
	r->net = (struct dp_view_net){ .id = 1,
		.max_len = mtu + 14,
		.n_members = n,
		.members = r->members,
		.stats = &r->net_stats };
	r->view = (struct dp_view){ .generation = 1,
		.n_ports = n,
		.n_nets = 1,
		.n_outs = n,
		.ports = r->ports,
		.nets = &r->net,
		.outs = r->outs,
		.fdb = &r->fdb };
}

static inline void rig_fini(struct rig *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		free(r->guest[i].mem);
	fdb_fini(&r->fdb);
	dp_forwarder_fini(&r->fwd);
}

#endif
