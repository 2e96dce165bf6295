/* SPDX-License-Identifier: Apache-2.0 */
/* The ring client as an attacker: each way to break the rules, by name. See ringclient.h. */
#include "ringclient.h"

#include <string.h>

#include "base/fd.h"

static void put_desc(
	struct rc_ring *r, uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[i] = (struct vring_desc){ gpa, len, flags, next };
}

struct attack {
	const char *name;
	bool rx; /* on the receive ring: it bites when a frame is to be delivered */
	void (*fn)(struct rc *c, struct rc_ring *r, uint64_t gpa);
};

static void a_loop(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 64, VRING_DESC_F_NEXT, 1);
	put_desc(r, 1, gpa, 64, VRING_DESC_F_NEXT, 0);
}

static void a_self_loop(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 0, VRING_DESC_F_NEXT, 0);
}

static void a_address(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, 0xdead0000, 64, 0, 0);
}

static void a_address_end(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, RC_GPA + c->mem_size - 16, 64, 0, 0);
}

static void a_wrap(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, UINT64_MAX - 15, 64, 0, 0);
}

static void a_length(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, UINT32_MAX, 0, 0);
}

static void a_next(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 64, VRING_DESC_F_NEXT, r->size);
}

static void a_short(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 3, 0, 0);
}

static void a_direction(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 80, VRING_DESC_F_WRITE, 0);
}

static void a_nested(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	struct vring_desc *t = (void *)rc_at(c, gpa);

	t[0] = (struct vring_desc){ gpa, 16, VRING_DESC_F_INDIRECT, 0 };
	put_desc(r, 0, gpa, 16, VRING_DESC_F_INDIRECT, 0);
}

static void a_indirect_part(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 24, VRING_DESC_F_INDIRECT, 0);
}

static void a_indirect_long(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 1u << 20, VRING_DESC_F_INDIRECT, 0);
}

static void a_indirect_next(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	put_desc(r, 0, gpa, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
}

static void a_indirect_loop(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	struct vring_desc *t = (void *)rc_at(c, gpa);

	t[0] = (struct vring_desc){ gpa, 16, VRING_DESC_F_NEXT, 1 };
	t[1] = (struct vring_desc){ gpa, 16, VRING_DESC_F_NEXT, 0 };
	put_desc(r, 0, gpa, 32, VRING_DESC_F_INDIRECT, 0);
}

static void a_rx_read_only(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	for (uint16_t i = 0; i < r->size; i++)
		put_desc(r, i, gpa, 2048, 0, 0);
}

static void a_rx_address(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	for (uint16_t i = 0; i < r->size; i++)
		put_desc(r, i, 0xdead0000, 2048, VRING_DESC_F_WRITE, 0);
}

static const struct attack attacks[] = {
	{ "loop", false, a_loop },
	{ "self_loop", false, a_self_loop },
	{ "address", false, a_address },
	{ "address_end", false, a_address_end },
	{ "wrap", false, a_wrap },
	{ "length", false, a_length },
	{ "next", false, a_next },
	{ "short", false, a_short },
	{ "direction", false, a_direction },
	{ "indirect_nested", false, a_nested },
	{ "indirect_part", false, a_indirect_part },
	{ "indirect_long", false, a_indirect_long },
	{ "indirect_next", false, a_indirect_next },
	{ "indirect_loop", false, a_indirect_loop },
	{ "rx_read_only", true, a_rx_read_only },
	{ "rx_address", true, a_rx_address },
};

static bool attack_split(struct rc *c, const char *name)
{
	struct rc_ring *tx = &c->pair[0].tx;

	if (strcmp(name, "head") == 0) {
		rc_make_avail(tx, tx->size);
	} else if (strcmp(name, "index_jump") == 0) {
		tx->avail_next = (uint16_t)(tx->avail_next + tx->size + 1);
		__atomic_store_n(&tx->avail->idx, tx->avail_next, __ATOMIC_RELEASE);
	} else if (strcmp(name, "rx_index_jump") == 0) {
		struct rc_ring *rx = &c->pair[0].rx;

		rx->avail_next = (uint16_t)(rx->avail_next + rx->size + 1);
		__atomic_store_n(&rx->avail->idx, rx->avail_next, __ATOMIC_RELEASE);
		return true;
	} else {
		const struct attack *a = NULL;

		for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
			if (strcmp(attacks[i].name, name) == 0)
				a = &attacks[i];
		if (!a)
			return false;
		a->fn(c, a->rx ? &c->pair[0].rx : tx, rc_pair_gpa(0, RC_TX_DATA));
		if (a->rx)
			return true;
		rc_make_avail(tx, 0);
	}
	fd_event_signal(tx->kick_fd);
	return true;
}

/* Of packed rings: one entry is enough for most. */
static const struct {
	const char *name;
	uint64_t addr; /* 0: a good one; 1: 16 bytes before the memory's end */
	uint32_t len;
	uint16_t flags;
} packed_attacks[] = {
	{ "address", 0xdead0000, 64, 0 },
	{ "address_end", 1, 64, 0 },
	{ "wrap", UINT64_MAX - 15, 64, 0 },
	{ "length", 0, UINT32_MAX, 0 },
	{ "short", 0, 3, 0 },
	{ "direction", 0, 80, VRING_DESC_F_WRITE },
	{ "indirect_part", 0, 24, VRING_DESC_F_INDIRECT },
	{ "indirect_long", 0, 1u << 20, VRING_DESC_F_INDIRECT },
	{ "indirect_next", 0, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT },
};

/* All entries that are posted, changed behind the device's back. */
static bool attack_packed_rx(struct rc *c, const char *name)
{
	struct rc_ring *r = &c->pair[0].rx;
	bool address = strcmp(name, "rx_address") == 0;

	if (!address && strcmp(name, "rx_read_only") && strcmp(name, "rx_loop"))
		return false;
	for (uint16_t i = 0; i < r->size; i++) {
		if (address)
			r->pd.desc[i].addr = 0xdead0000;
		else if (strcmp(name, "rx_loop") == 0)
			r->pd.desc[i].flags |= VRING_DESC_F_NEXT;
		else
			r->pd.desc[i].flags &= (uint16_t)~VRING_DESC_F_WRITE;
	}
	return true;
}

static bool attack_packed(struct rc *c, const char *name)
{
	struct rc_ring *tx = &c->pair[0].tx;
	struct vring_packed_desc d = { rc_pair_gpa(0, RC_TX_DATA), 64, 0, VRING_DESC_F_NEXT };

	if (strcmp(name, "loop") == 0) {
		/* As many entries as there are, each with a next one. */
		for (uint16_t i = 0; i < tx->size; i++)
			pd_add(&tx->pd, &d, 1, 1);
		fd_event_signal(tx->kick_fd);
		return true;
	}
	for (size_t i = 0; i < sizeof(packed_attacks) / sizeof(packed_attacks[0]); i++) {
		if (strcmp(packed_attacks[i].name, name))
			continue;
		if (packed_attacks[i].addr == 1)
			d.addr = RC_GPA + c->mem_size - 16;
		else if (packed_attacks[i].addr)
			d.addr = packed_attacks[i].addr;
		d.len = packed_attacks[i].len;
		d.flags = packed_attacks[i].flags;
		pd_add(&tx->pd, &d, 1, 1);
		fd_event_signal(tx->kick_fd);
		return true;
	}
	return attack_packed_rx(c, name);
}

bool rc_attack(struct rc *c, const char *name)
{
	struct rc_ring *tx = &c->pair[0].tx;

	if (strcmp(name, "used_index") == 0) { /* seen at the next start */
		tx->used->idx = (uint16_t)(tx->avail_next + 1000);
		tx->pd.used = tx->size;
		return true;
	}
	return tx->packed ? attack_packed(c, name) : attack_split(c, name);
}
