/* SPDX-License-Identifier: Apache-2.0 */
/* See ringclient.h. */
#include "ringclient.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

#define HDR   12u
#define ETYPE 0x88b5 /* IEEE local experimental */

const char *const rc_layout_names[RC_LAYOUTS] = { "one", "two", "chain", "indirect", "mixed",
	"small" };

/* Offsets within a pair's part of the memory. */
#define RING_BYTES 0x4000u
#define RX_RING    0u
#define TX_RING    RING_BYTES
#define RX_DATA    (2 * RING_BYTES)
#define TX_DATA    (RX_DATA + RC_SIZE * RC_SLOT)

static uint64_t pair_gpa(uint32_t pair, uint32_t off)
{
	return RC_GPA + (uint64_t)pair * RC_PAIR_BYTES + off;
}

static uint8_t *at_gpa(struct rc *c, uint64_t gpa)
{
	return c->mem + (gpa - RC_GPA);
}

int rc_open(struct rc *c, struct err *e)
{
	c->mem_size = (size_t)c->n_pairs * RC_PAIR_BYTES;
	c->mem_fd = memfd_create("ringclient", MFD_CLOEXEC);
	if (c->mem_fd < 0 || ftruncate(c->mem_fd, (off_t)c->mem_size))
		return err_set(e, -errno, "no guest memory");
	c->mem = mmap(NULL, c->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->mem_fd, 0);
	if (c->mem == MAP_FAILED)
		return err_set(e, -errno, "no guest memory");
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		struct rc_ring *r[2] = { &c->pair[p].rx, &c->pair[p].tx };

		for (int i = 0; i < 2; i++) {
			r[i]->gpa = pair_gpa(p, i ? TX_RING : RX_RING);
			r[i]->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			r[i]->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			r[i]->desc = (void *)at_gpa(c, r[i]->gpa);
			r[i]->avail = (void *)at_gpa(c, r[i]->gpa + 0x1000);
			r[i]->used = (void *)at_gpa(c, r[i]->gpa + 0x2000);
		}
	}
	return 0;
}

void rc_close(struct rc *c)
{
	vu_close(c->fe);
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		fd_close(&c->pair[p].rx.kick_fd);
		fd_close(&c->pair[p].rx.call_fd);
		fd_close(&c->pair[p].tx.kick_fd);
		fd_close(&c->pair[p].tx.call_fd);
	}
	if (c->mem)
		munmap(c->mem, c->mem_size);
	fd_close(&c->mem_fd);
}

int rc_mem_table(struct rc *c, struct err *e)
{
	/* The seam lies inside the receive buffers of pair 0: some buffer goes over it. */
	uint64_t first = c->two_regions ? RX_DATA + 8192 : c->mem_size;
	struct vu_region r[2] = {
		{ .gpa = RC_GPA, .size = first, .user_addr = RC_USER, .fd = c->mem_fd },
		{ .gpa = RC_GPA + first,
			.size = c->mem_size - first,
			.user_addr = RC_USER + first,
			.mmap_offset = first,
			.fd = c->mem_fd },
	};

	return vu_set_mem_table(c->fe, r, c->two_regions ? 2 : 1, e);
}

static void put_desc(
	struct rc_ring *r, uint16_t i, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[i] = (struct vring_desc){ gpa, len, flags, next };
}

static void make_avail(struct rc_ring *r, uint16_t head)
{
	r->avail->ring[r->avail_next++ % RC_SIZE] = head;
	__atomic_store_n(&r->avail->idx, r->avail_next, __ATOMIC_RELEASE);
}

static uint64_t rx_slot(uint32_t pair, uint16_t i)
{
	return pair_gpa(pair, RX_DATA + i * RC_SLOT);
}

/* Posts receive buffer i (its head descriptor's number); chains take descriptors i..i+3. */
static void rx_post(struct rc *c, uint32_t pair, uint16_t i)
{
	struct rc_ring *r = &c->pair[pair].rx;
	uint64_t gpa = rx_slot(pair, i);
	struct vring_desc *t = (void *)at_gpa(c, gpa + RC_SLOT - 64);

	memset(at_gpa(c, gpa), 0xee, RC_SLOT - 64);
	switch (c->rx_layout) {
	case RC_CHAIN:
		put_desc(r, i, gpa, 5, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i + 1);
		put_desc(r, i + 1, gpa + 5, 40, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i + 2);
		put_desc(r, i + 2, gpa + 45, 9400, VRING_DESC_F_WRITE, 0);
		break;
	case RC_TWO:
		put_desc(r, i, gpa, HDR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i + 1);
		put_desc(r, i + 1, gpa + HDR, 9400, VRING_DESC_F_WRITE, 0);
		break;
	case RC_INDIRECT:
		t[0] = (struct vring_desc){ gpa, HDR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1 };
		t[1] = (struct vring_desc){ gpa + HDR, 9400, VRING_DESC_F_WRITE, 0 };
		put_desc(r, i, gpa + RC_SLOT - 64, 32, VRING_DESC_F_INDIRECT, 0);
		break;
	default:
		put_desc(r, i, gpa, c->rx_layout == RC_SMALL ? 128 : 9600, VRING_DESC_F_WRITE, 0);
	}
	make_avail(r, i);
}

static uint16_t rx_stride(const struct rc *c)
{
	return c->rx_layout == RC_CHAIN ? 4 : c->rx_layout == RC_TWO ? 2 : 1;
}

static int ring_start(struct rc *c, struct rc_ring *r, uint32_t index, struct err *e)
{
	struct vu_ring v = { .index = index,
		.size = RC_SIZE,
		.desc = r->gpa - RC_GPA + RC_USER,
		.kick_fd = r->kick_fd,
		.call_fd = r->call_fd,
		.err_fd = -1 };
	int ret;

	v.avail = v.desc + 0x1000;
	v.used = v.desc + 0x2000;
	v.base = r->used->idx;
	ret = vu_start_ring(c->fe, &v, e);
	return ret ? ret : vu_enable_ring(c->fe, index, true, e);
}

/* Rings as a driver makes them at its start, all receive buffers posted. */
static void rings_clear(struct rc *c)
{
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		struct rc_pair *q = &c->pair[p];

		memset(at_gpa(c, pair_gpa(p, 0)), 0, 2 * RING_BYTES);
		memset(q->tx_busy, 0, sizeof(q->tx_busy));
		q->rx.avail_next = q->rx.used_seen = q->tx.avail_next = q->tx.used_seen = 0;
		for (uint16_t i = 0; i < RC_SIZE; i += rx_stride(c))
			rx_post(c, p, i);
	}
}

static int rings_start(struct rc *c, struct err *e)
{
	int ret = vu_set_features(c->fe, c->features, e);

	if (ret == 0)
		ret = rc_mem_table(c, e);
	for (uint32_t p = 0; p < c->n_pairs && ret == 0; p++) {
		ret = ring_start(c, &c->pair[p].rx, 2 * p, e);
		if (ret == 0)
			ret = ring_start(c, &c->pair[p].tx, 2 * p + 1, e);
	}
	return ret;
}

int rc_connect(struct rc *c, bool kept, struct err *e)
{
	int ret = vu_connect(c->path, 5000, -1, &c->fe, e);

	if (ret)
		return ret;
	ret = vu_negotiate(c->fe, 1u << VU_PF_MQ | 1u << VU_PF_REPLY_ACK, e);
	if (ret)
		return ret;
	if (c->features & ~vu_features(c->fe))
		return err_set(e, -EOPNOTSUPP, "wanted features 0x%llx, offered 0x%llx",
			(unsigned long long)c->features, (unsigned long long)vu_features(c->fe));
	if (!kept)
		rings_clear(c);
	return rings_start(c, e);
}

static int rings_stop(struct rc *c, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; i < 2 * c->n_pairs && ret == 0; i++)
		ret = vu_stop_ring(c->fe, i, NULL, e);
	return ret;
}

int rc_restart(struct rc *c, struct err *e)
{
	int ret = rings_stop(c, e);

	rings_clear(c);
	return ret ? ret : rings_start(c, e);
}

int rc_restart_kept(struct rc *c, struct err *e)
{
	int ret = rings_stop(c, e);

	return ret ? ret : rings_start(c, e);
}

int rc_call_fds(struct rc *c, struct err *e)
{
	for (uint32_t i = 0; i < 2 * c->n_pairs; i++) {
		struct rc_ring *r = i % 2 ? &c->pair[i / 2].tx : &c->pair[i / 2].rx;
		le64_t index = le64_of(i);
		int ret;

		fd_close(&r->call_fd);
		r->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ret = vu_call(c->fe, VU_SET_VRING_CALL, &index, sizeof(index), &r->call_fd, 1, NULL,
			0, e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static uint8_t pattern(uint32_t seq, uint32_t i)
{
	return (uint8_t)(seq * 31 + i * 7 + (i >> 8));
}

static void frame_make(uint8_t *to, const struct rc_frame *f)
{
	uint16_t type = __builtin_bswap16(f->type ? f->type : ETYPE);

	memcpy(to, f->dst.b, 6);
	memcpy(to + 6, f->src.b, 6);
	memcpy(to + 12, &type, 2);
	for (uint32_t i = ETHER_HDR_LEN; i < f->len; i++)
		to[i] = i >= 18 ? pattern(f->seq, i) : (uint8_t)(f->seq >> 8 * (i - 14));
}

/* Fills descs[] with pieces of [gpa, gpa + len): the header torn, then 40 bytes, then the rest in
 * thirds. Returns how many. */
static uint16_t pieces(struct vring_desc *d, uint64_t gpa, uint32_t len)
{
	uint32_t cut[6] = { 5, HDR - 5, 1, 40, 0, 0 }, at = 0;
	uint16_t n = 0;

	for (int i = 0; i < 6 && at < len; i++) {
		uint32_t take = cut[i] ? cut[i] : i == 4 ? (len - at + 1) / 2 : len - at;

		if (take > len - at)
			take = len - at;
		d[n] = (struct vring_desc){ gpa + at, take, VRING_DESC_F_NEXT, (uint16_t)(n + 1) };
		at += take;
		n++;
	}
	d[n - 1].flags = 0;
	return n;
}

static void tx_layout(struct rc *c, struct rc_ring *r, uint16_t first, uint64_t gpa, uint32_t len,
	enum rc_layout layout)
{
	uint64_t table = gpa + RC_SLOT - 256;
	struct vring_desc d[16];
	uint16_t n;

	switch (layout) {
	case RC_TWO:
		put_desc(r, first, gpa, HDR, VRING_DESC_F_NEXT, first + 1);
		put_desc(r, first + 1, gpa + HDR, len - HDR, 0, 0);
		break;
	case RC_CHAIN:
		n = pieces(d, gpa, len);
		for (uint16_t i = 0; i < n; i++)
			put_desc(r, first + i, d[i].addr, d[i].len, d[i].flags, first + i + 1);
		break;
	case RC_INDIRECT:
		n = pieces(d, gpa, len);
		memcpy(at_gpa(c, table), d, n * sizeof(d[0]));
		put_desc(r, first, table, n * (uint32_t)sizeof(d[0]), VRING_DESC_F_INDIRECT, 0);
		break;
	case RC_MIXED:
		n = pieces(d, gpa + HDR, len - HDR);
		memcpy(at_gpa(c, table), d, n * sizeof(d[0]));
		put_desc(r, first, gpa, HDR, VRING_DESC_F_NEXT, first + 1);
		put_desc(r, first + 1, table, n * (uint32_t)sizeof(d[0]), VRING_DESC_F_INDIRECT, 0);
		break;
	default:
		put_desc(r, first, gpa, len, 0, 0);
	}
}

void rc_kick(struct rc *c, struct rc_ring *r, uint16_t added)
{
	uint16_t *event = (void *)&r->used->ring[RC_SIZE];
	bool want;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (c->features & 1ull << VIRTIO_RING_F_EVENT_IDX)
		want = vring_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), r->avail_next,
			(uint16_t)(r->avail_next - added));
	else
		want = !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY);
	if (want)
		fd_event_signal(r->kick_fd);
}

int rc_send(struct rc *c, uint32_t pair, enum rc_layout layout, const struct rc_frame *f)
{
	struct rc_pair *q = &c->pair[pair];
	uint16_t slot = 0;
	uint64_t gpa;

	rc_reclaim(c);
	while (slot < RC_TX_SLOTS && q->tx_busy[slot])
		slot++;
	if (slot == RC_TX_SLOTS)
		return -EAGAIN;
	q->tx_busy[slot] = true;
	gpa = pair_gpa(pair, TX_DATA + slot * RC_SLOT);
	memset(at_gpa(c, gpa), 0, HDR);
	frame_make(at_gpa(c, gpa + HDR), f);
	tx_layout(c, &q->tx, (uint16_t)(slot * RC_TX_DESCS), gpa, f->len + HDR, layout);
	make_avail(&q->tx, (uint16_t)(slot * RC_TX_DESCS));
	rc_kick(c, &q->tx, 1);
	return 0;
}

void rc_reclaim(struct rc *c)
{
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		struct rc_ring *r = &c->pair[p].tx;

		while (r->used_seen != __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE)) {
			uint32_t id = r->used->ring[r->used_seen++ % RC_SIZE].id;

			c->pair[p].tx_busy[id / RC_TX_DESCS % RC_TX_SLOTS] = false;
		}
	}
}

uint32_t rc_tx_busy(const struct rc *c)
{
	uint32_t n = 0;

	for (uint32_t p = 0; p < c->n_pairs; p++)
		for (int i = 0; i < RC_TX_SLOTS; i++)
			n += c->pair[p].tx_busy[i];
	return n;
}

static void bad(struct rc *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void bad(struct rc *c, const char *fmt, ...)
{
	va_list ap;

	if (c->bad++)
		return;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
}

/* One frame, gathered with its header: is it what some rc_send made? */
static void frame_check(struct rc *c, const uint8_t *buf, uint32_t len, uint16_t n_buffers)
{
	uint16_t said;
	uint32_t seq, i;

	c->got++;
	c->bytes += len - HDR;
	memcpy(&said, buf + 10, 2);
	if (said != n_buffers)
		bad(c, "num_buffers %u, used %u", said, n_buffers);
	for (i = 0; i < 10; i++)
		if (buf[i])
			bad(c, "byte %u of the header is %u", i, buf[i]);
	buf += HDR;
	len -= HDR;
	if (len < 18)
		return;
	memcpy(&seq, buf + 14, 4);
	for (i = 18; i < len; i++)
		if (buf[i] != pattern(seq, i))
			break;
	if (i < len)
		bad(c, "byte %u of a frame of %u is wrong", i, len);
}

static uint32_t pair_receive(struct rc *c, uint32_t pair)
{
	struct rc_ring *r = &c->pair[pair].rx;
	uint8_t frame[RC_SLOT];
	uint32_t n = 0;

	while (r->used_seen != __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE)) {
		uint32_t len = 0;
		uint16_t buffers = 1, want = 1;

		for (uint16_t b = 0; b < want; b++) {
			struct vring_used_elem u = r->used->ring[r->used_seen++ % RC_SIZE];
			const uint8_t *at = at_gpa(c, rx_slot(pair, (uint16_t)u.id));

			if (u.id >= RC_SIZE || len + u.len > sizeof(frame) ||
				u.len < (b ? 1 : HDR)) {
				bad(c, "used entry: id %u, length %u", u.id, u.len);
				return n;
			}
			if (at[u.len] != 0xee && c->rx_layout != RC_SMALL)
				bad(c, "written beyond the length: id %u, length %u", u.id, u.len);
			memcpy(frame + len, at, u.len);
			len += u.len;
			if (b == 0 && c->features & 1ull << 15)
				memcpy(&want, frame + 10, 2);
			buffers = (uint16_t)(b + 1);
			rx_post(c, pair, (uint16_t)u.id);
		}
		rc_kick(c, r, buffers);
		frame_check(c, frame, len, buffers);
		n++;
	}
	return n;
}

uint32_t rc_receive(struct rc *c)
{
	uint32_t n = 0;

	for (uint32_t p = 0; p < c->n_pairs; p++)
		n += pair_receive(c, p);
	return n;
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
	put_desc(r, 0, gpa, 64, VRING_DESC_F_NEXT, RC_SIZE);
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
	struct vring_desc *t = (void *)at_gpa(c, gpa);

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
	struct vring_desc *t = (void *)at_gpa(c, gpa);

	t[0] = (struct vring_desc){ gpa, 16, VRING_DESC_F_NEXT, 1 };
	t[1] = (struct vring_desc){ gpa, 16, VRING_DESC_F_NEXT, 0 };
	put_desc(r, 0, gpa, 32, VRING_DESC_F_INDIRECT, 0);
}

static void a_rx_read_only(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	for (uint16_t i = 0; i < RC_SIZE; i++)
		put_desc(r, i, gpa, 2048, 0, 0);
}

static void a_rx_address(struct rc *c, struct rc_ring *r, uint64_t gpa)
{
	for (uint16_t i = 0; i < RC_SIZE; i++)
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

bool rc_attack(struct rc *c, const char *name)
{
	struct rc_ring *tx = &c->pair[0].tx;

	if (strcmp(name, "head") == 0) {
		make_avail(tx, RC_SIZE);
	} else if (strcmp(name, "index_jump") == 0) {
		tx->avail_next = (uint16_t)(tx->avail_next + RC_SIZE + 1);
		__atomic_store_n(&tx->avail->idx, tx->avail_next, __ATOMIC_RELEASE);
	} else if (strcmp(name, "used_index") == 0) {
		tx->used->idx = (uint16_t)(tx->avail_next + 1000); /* seen at the next start */
		return true;
	} else if (strcmp(name, "rx_index_jump") == 0) {
		struct rc_ring *rx = &c->pair[0].rx;

		rx->avail_next = (uint16_t)(rx->avail_next + RC_SIZE + 1);
		__atomic_store_n(&rx->avail->idx, rx->avail_next, __ATOMIC_RELEASE);
		return true;
	} else {
		const struct attack *a = NULL;

		for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
			if (strcmp(attacks[i].name, name) == 0)
				a = &attacks[i];
		if (!a)
			return false;
		a->fn(c, a->rx ? &c->pair[0].rx : tx, pair_gpa(0, TX_DATA));
		if (a->rx)
			return true;
		make_avail(tx, 0);
	}
	fd_event_signal(tx->kick_fd);
	return true;
}
