/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as two guests' memory, rings included: the data path moves frames or declares a fault,
 * and never touches a byte outside. Both guests get the same bytes; the input's head says how the
 * rings are made. The guest's memory changes between bursts too, as a live one does.
 */
#include "tests/lib/dprig.h"

#define MEM 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stats_check(const struct rig *r)
{
	uint64_t in = 0, out = 0, drops = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		const struct dp_port *p = &r->guest[i].port;

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig r;
	uint64_t features = 0;
	uint32_t log2, faults = 0;

	if (size < 8)
		return 0;
	memset(&r, 0, sizeof(r));
	log2 = data[0] % 8;
	features |= (uint64_t)(data[1] & 1) << 15 | (uint64_t)(data[1] >> 1 & 1) << 28;
	features |= (uint64_t)(data[1] >> 2 & 1) << 29 | (uint64_t)(data[1] >> 3 & 1) << 32;
	for (int i = 0; i < 2; i++) {
		struct rig_guest *g = &r.guest[i];
		size_t n = size - 8 < MEM ? size - 8 : MEM;

		rig_guest_init(g, MEM, 1 + data[2] % 4, data[3] & 1);
		memcpy(g->mem, data + 8, n);
		rig_guest_rings(g, 1u << log2, features, (uint16_t)(data[4] | data[5] << 8));
	}
	rig_init(&r, 2, 1500);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 2; i++) {
			struct rig_guest *g = &r.guest[i];

			dp_forward(&r.fwd, &r.view, &g->in, 1, &faults);
			/* The driver goes on: more entries, something rewritten. */
			g->in.ring.avail->idx = (uint16_t)(g->in.ring.avail->idx + data[6] % 4);
			g->out.ring.avail->idx = (uint16_t)(g->out.ring.avail->idx + data[7] % 4);
			g->mem[data[size / 2] * 64 % MEM] ^= data[size - 1];
		}
	}
	stats_check(&r);
	rig_fini(&r);
	return 0;
}
