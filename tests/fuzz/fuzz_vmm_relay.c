/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest and a hostile back end at the two sides of a relayed ring (vmm/relay_ring.h):
 * both write anything into their rings at any time. What is under way is known at any time, the
 * guest is told of nothing that it did not ask for, and never of more than it asked for.
 *
 * Input: four bytes an operation: which, and what it takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/relay_ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE 8

struct rings {
	uint16_t avail[3 + SIZE];
	_Alignas(4) uint16_t used[3 + 4 * SIZE];
	_Alignas(8) uint8_t b[RELAY_RING_BYTES];
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_ring(const struct relay_ring *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RELAY_SIZE_MAX; i++) {
		n += r->in_flight[i] != 0;
		check(!r->in_flight[i] || i < SIZE);
		check(r->in_flight[i] <= r->order);
	}
	check(n == r->n_in_flight);
}

static void check_complete(struct relay_ring *r, struct rings *m)
{
	uint64_t before[RELAY_SIZE_MAX];
	uint16_t at = r->used_idx, n_before = r->n_in_flight;
	struct err e = { 0 };
	bool interrupt;
	int n;

	memcpy(before, r->in_flight, sizeof(before));
	n = relay_ring_complete(r, &interrupt, &e);
	check(n >= 0 || (n == -EPROTO && e.text[0]));
	check(n_before - r->n_in_flight == (uint16_t)(r->used_idx - at));
	for (; at != r->used_idx; at++) {
		uint16_t head = m->used[2 + 4 * (at % SIZE)];

		check(head < SIZE && before[head]); /* asked for, and told once */
		before[head] = 0;
	}
	check(r->used_idx == (uint16_t)(at));
}

static void step(struct relay_ring *r, struct rings *m, const uint8_t *op)
{
	uint16_t *b = (uint16_t *)(void *)m->b;
	uint16_t *b_used = (uint16_t *)(void *)(m->b + RELAY_AVAIL_BYTES);
	uint16_t v = (uint16_t)(op[2] | op[3] << 8);
	struct err e = { 0 };
	bool kick;
	int n;

	switch (op[0] % 8) {
	case 0: /* the guest makes a request */
		m->avail[2 + m->avail[1]++ % SIZE] = op[1] % (SIZE + 1);
		break;
	case 1: /* or writes what it likes */
		m->avail[op[1] % (2 + SIZE)] = v;
		break;
	case 2: /* the back end completes one */
		b_used[2 + 4 * (b_used[1] % SIZE)] = op[1] % (SIZE + 1);
		b_used[1]++;
		break;
	case 3:
		b_used[op[1] % (2 + 4 * SIZE)] = v;
		break;
	case 4:
		b[op[1] % (2 + SIZE)] = v;
		break;
	case 5:
		n = relay_ring_forward(r, &kick, &e);
		check(n >= 0 ? n <= SIZE : n == -EINVAL && e.text[0]);
		check(!r->stuck || relay_ring_forward(r, &kick, &e) == 0);
		break;
	case 6:
		check_complete(r, m);
		break;
	default:
		if (op[1] % 4)
			break;
		check(relay_ring_restart(r, m->b) == r->n_in_flight);
		check(b[1] == r->n_in_flight);
		for (unsigned i = 0; i < b[1]; i++)
			check(r->in_flight[b[2 + i]]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct relay_ring r;
	static struct rings m;

	memset(&m, 0, sizeof(m));
	relay_ring_init(&r, SIZE, m.avail, m.used);
	relay_ring_restart(&r, m.b);
	for (; size >= 4; data += 4, size -= 4) {
		step(&r, &m, data);
		check_ring(&r);
	}
	return 0;
}
