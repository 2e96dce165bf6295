/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a virtqueue against a plain driver, split and packed: random chains, used in
 * random order, neither side ever asleep while there is work for it; and each way in which a driver
 * can break a ring.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/vq_driver.h"
#include "vmm/vring.h"

#define MEM   (64u << 20)
#define RING  0x100000u
#define BUF   0x2000000u
#define EVENT VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define IND   VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define PACK  VIRTIO_BIT(VIRTIO_F_RING_PACKED)

static uint8_t *memory;
static struct gmem mem;

/* A chain as the driver made it. */
struct made {
	struct vq_seg seg[VQ_SEGS_MAX];
	uint16_t n, id;
};

struct world {
	struct vq_driver d;
	struct vring_dev r;
	uint64_t features;

	struct made made[VQ_SIZE_MAX]; /* a FIFO of what is not popped */
	unsigned made_at, made_n;
	struct vring_chain out[VQ_SIZE_MAX]; /* popped */
	unsigned out_n;
	struct {
		uint16_t id;
		uint32_t len;
	} done[VQ_SIZE_MAX]; /* a FIFO of what is pushed and not taken */
	unsigned done_at, done_n;

	bool device_sleeps, driver_sleeps;
};

static unsigned below(unsigned n)
{
	return (unsigned)rand() % n;
}

static void world_init(struct world *w, uint16_t size, uint64_t features)
{
	struct virtio_queue q = { .size = size,
		.enabled = true,
		.desc = RING,
		.driver = RING + VQ_RING_GPA,
		.device = RING + 2 * VQ_RING_GPA };
	struct err e;

	memset(w, 0, sizeof(*w));
	w->features = features;
	vq_driver_init(&w->d, memory, RING, size, features & PACK, features & EVENT);
	assert_int_equal(vring_dev_init(&w->r, &mem, &q, features, &e), 0);
	w->device_sleeps = !vring_arm(&w->r);
	assert_true(w->device_sleeps);
	w->driver_sleeps = !vq_interrupts(&w->d, true, 0);
}

static void add(struct world *w)
{
	struct made *m = &w->made[(w->made_at + w->made_n) % VQ_SIZE_MAX];
	bool indirect = (w->features & IND) && below(2);
	unsigned most = indirect ? 20 : w->d.size < 6 ? w->d.size : 6;
	unsigned reads;

	m->n = (uint16_t)(1 + below(most));
	reads = below(m->n + 1u);
	for (unsigned i = 0; i < m->n; i++)
		m->seg[i] = (struct vq_seg){ .gpa = BUF + below(1 << 20),
			.len = below(10) ? 1 + below(9000) : 0,
			.write = i >= reads };
	if (w->made_n == VQ_SIZE_MAX || !vq_add(&w->d, m->seg, m->n, indirect, &m->id))
		return;
	w->made_n++;
	if (w->device_sleeps)
		assert_true(vq_wants_kick(&w->d));
	else
		vq_wants_kick(&w->d);
	w->device_sleeps = false;
}

static void pop(struct world *w)
{
	const struct made *m = &w->made[w->made_at];
	struct iovec iov[VQ_SEGS_MAX];
	struct vring_chain c;
	uint32_t len[2] = { 0, 0 };
	unsigned k = 0;
	struct err e;
	int got;

	if (w->device_sleeps)
		return;
	if (below(2))
		vring_disarm(&w->r);
	got = vring_pop(&w->r, &c, iov, VQ_SEGS_MAX, &e);
	assert_int_equal(got, w->made_n > 0);
	if (!got) {
		w->device_sleeps = !vring_arm(&w->r);
		assert_true(w->device_sleeps);
		return;
	}
	assert_int_equal(c.id, m->id);
	for (unsigned i = 0; i < m->n; i++) {
		if (!m->seg[i].len)
			continue;
		assert_ptr_equal(iov[k].iov_base, memory + m->seg[i].gpa);
		assert_int_equal(iov[k].iov_len, m->seg[i].len);
		assert_int_equal(k >= c.n_read, m->seg[i].write);
		len[m->seg[i].write] += m->seg[i].len;
		k++;
	}
	assert_int_equal(k, c.n_read + c.n_write);
	assert_int_equal(c.read_len, len[0]);
	assert_int_equal(c.write_len, len[1]);
	w->out[w->out_n++] = c;
	w->made_at = (w->made_at + 1) % VQ_SIZE_MAX;
	w->made_n--;
}

static void push(struct world *w)
{
	unsigned at = w->out_n ? below(w->out_n) : 0, end;
	uint32_t len = below(3) ? below(9000) : 0;
	bool wants;

	if (!w->out_n)
		return;
	end = (w->done_at + w->done_n++) % VQ_SIZE_MAX;
	w->done[end].id = w->out[at].id;
	w->done[end].len = len;
	vring_push(&w->r, &w->out[at], len);
	w->out[at] = w->out[--w->out_n];
	wants = vring_wants_interrupt(&w->r);
	if (w->driver_sleeps)
		assert_true(wants);
	w->driver_sleeps = false;
	assert_false(vring_wants_interrupt(&w->r)); /* for the same thing once */
}

static void take(struct world *w)
{
	uint16_t id;
	uint32_t len;
	bool got;

	if (w->driver_sleeps)
		return;
	if (below(2))
		vq_interrupts(&w->d, false, 0);
	got = vq_take(&w->d, &id, &len);
	assert_int_equal(got, w->done_n > 0);
	if (!got) {
		w->driver_sleeps = !vq_interrupts(&w->d, true, 0);
		assert_true(w->driver_sleeps);
		return;
	}
	assert_int_equal(id, w->done[w->done_at].id);
	/* 2.8.5: of a packed buffer that was not written to, the length has no meaning */
	assert_int_equal(len, w->done[w->done_at].len);
	w->done_at = (w->done_at + 1) % VQ_SIZE_MAX;
	w->done_n--;
}

static void test_random(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 4, 16, 256, 1024, 7,
		13 }; /* the odd: packed only */
	static void (*const ops[])(struct world *) = { add, pop, push, take };
	static struct world w;

	for (unsigned f = 0; f < 8; f++) {
		uint64_t features = (f & 1 ? PACK : 0) | (f & 2 ? EVENT : 0) | (f & 4 ? IND : 0);

		for (unsigned s = 0; s < (f & 1 ? 8u : 6u); s++) {
			world_init(&w, sizes[s], features);
			for (unsigned i = 0; i < 30000; i++)
				/* now one side is faster, now the other */
				ops[(below(4) + (below(5) ? i / 1000 : 0)) % 4](&w);
			assert_false(w.r.broken);
		}
	}
}

/* The used index goes around 65536 (split), the interrupt is wanted where it was asked for. */
static void test_far_event(void **state)
{
	static struct world w;

	for (int packed = 0; packed < 2; packed++) {
		world_init(&w, 8, EVENT | (packed ? PACK : 0));
		for (unsigned i = 0; i < 70000; i++) {
			struct vq_seg seg = { BUF, 8, false };
			struct vring_chain c;
			struct iovec iov;
			struct err e;
			uint32_t len;
			uint16_t id;

			if (i % 4 == 0) /* after four from now */
				vq_interrupts(&w.d, true, 3);
			assert_true(vq_add(&w.d, &seg, 1, false, &id));
			assert_int_equal(vring_pop(&w.r, &c, &iov, 1, &e), 1);
			vring_push(&w.r, &c, 0);
			assert_int_equal(vring_wants_interrupt(&w.r), i % 4 == 3);
			if (i % 4 == 3)
				for (int k = 0; k < 4; k++)
					assert_true(vq_take(&w.d, &id, &len));
		}
	}
}

static void expect_broken(struct world *w, const char *why)
{
	struct iovec iov[4];
	struct vring_chain c;
	struct err e = { 0 };

	assert_int_equal(vring_pop(&w->r, &c, iov, 4, &e), -EBADMSG);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
	assert_true(w->r.broken);
	assert_int_equal(vring_pop(&w->r, &c, iov, 4, &e), -EBADMSG);
	assert_false(vring_arm(&w->r)); /* nobody spins on it */
}

static struct vring_desc *split_new(struct world *w)
{
	world_init(w, 8, IND);
	w->d.avail->idx = 1;
	return w->d.desc;
}

static void test_split_broken(void **state)
{
	static struct world w;
	struct vring_desc *d, *t = (void *)(memory + BUF);

	d = split_new(&w);
	w.d.avail->ring[0] = 8;
	expect_broken(&w, "descriptor 8 of 8");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 1, VRING_DESC_F_NEXT, 65535 };
	expect_broken(&w, "descriptor 65535");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 0, VRING_DESC_F_NEXT, 0 };
	expect_broken(&w, "loop");
	d = split_new(&w);
	d[0] = (struct vring_desc){ MEM - 1, 2, 0, 0 };
	expect_broken(&w, "not in memory");
	d = split_new(&w);
	d[0] = (struct vring_desc){ ~0ull, 2, 0, 0 };
	expect_broken(&w, "not in memory");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1 };
	d[1] = (struct vring_desc){ BUF, 1, 0, 0 };
	expect_broken(&w, "readable part comes after");
	d = split_new(&w);
	for (uint16_t i = 0; i < 5; i++)
		d[i] = (struct vring_desc){ BUF, 1, VRING_DESC_F_NEXT, (uint16_t)(i + 1) };
	expect_broken(&w, "more than 4 parts");
	split_new(&w);
	w.d.avail->idx = 9;
	expect_broken(&w, "available index");
	/* indirect */
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 };
	expect_broken(&w, "goes on after an indirect");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 33, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "table of 33 bytes");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 0, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "table of 0 bytes");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 16 * 1025, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "table of 16400 bytes");
	d = split_new(&w);
	d[0] = (struct vring_desc){ MEM - 16, 32, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "table of 32 bytes");
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 32, VRING_DESC_F_INDIRECT, 0 };
	t[0] = (struct vring_desc){ BUF, 0, VRING_DESC_F_NEXT, 1 };
	t[1] = (struct vring_desc){ BUF, 0, VRING_DESC_F_NEXT, 0 };
	expect_broken(&w, "a loop");
	t[1] = (struct vring_desc){ BUF, 0, VRING_DESC_F_NEXT, 2 };
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 32, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "goes on at 2");
	t[1] = (struct vring_desc){ BUF, 16, VRING_DESC_F_INDIRECT, 0 };
	d = split_new(&w);
	d[0] = (struct vring_desc){ BUF, 32, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "names another");
	world_init(&w, 8, 0);
	w.d.avail->idx = 1;
	w.d.desc[0] = (struct vring_desc){ BUF, 16, VRING_DESC_F_INDIRECT, 0 };
	expect_broken(&w, "not agreed on");
}

static void test_packed_broken(void **state)
{
	static struct world w;
	struct vring_packed_desc *p = (void *)(memory + RING), *t = (void *)(memory + BUF);

	world_init(&w, 8, PACK | IND);
	for (int i = 0; i < 8; i++)
		p[i] = (struct vring_packed_desc){ BUF, 0, 1, PD_AVAIL | VRING_DESC_F_NEXT };
	expect_broken(&w, "does not end");
	world_init(&w, 8, PACK | IND);
	p[0] = (struct vring_packed_desc){ MEM, 1, 1, PD_AVAIL };
	expect_broken(&w, "not in memory");
	world_init(&w, 8, PACK | IND);
	p[0] = (struct vring_packed_desc){ BUF, 16, 1, PD_AVAIL | VRING_DESC_F_INDIRECT };
	t[0] = (struct vring_packed_desc){ BUF, 16, 1, VRING_DESC_F_INDIRECT };
	expect_broken(&w, "names another");
	world_init(&w, 8, PACK);
	p[0] = (struct vring_packed_desc){ BUF, 16, 1, PD_AVAIL | VRING_DESC_F_INDIRECT };
	expect_broken(&w, "not agreed on");
}

/* A driver that gives more than the ring holds is not followed: what is out is bounded. */
static void test_too_many(void **state)
{
	static struct world w;
	struct vring_packed_desc *p = (void *)(memory + RING);
	struct vring_chain c, none;
	struct iovec iov;
	struct err e;

	world_init(&w, 4, PACK);
	for (int i = 0; i < 4; i++)
		p[i] = (struct vring_packed_desc){ BUF, 1, 1, PD_AVAIL };
	for (int i = 0; i < 4; i++)
		assert_int_equal(vring_pop(&w.r, &c, &iov, 1, &e), 1);
	for (int i = 0; i < 4; i++)
		p[i].flags = PD_USED; /* available again, says the driver */
	assert_int_equal(vring_pop(&w.r, &none, &iov, 1, &e), 0);
	assert_false(vring_arm(&w.r));
	vring_push(&w.r, &c, 0);
	assert_int_equal(w.r.n_out, 3);

	world_init(&w, 4, 0);
	w.d.avail->idx = 4;
	w.d.desc[0] = (struct vring_desc){ BUF, 1, 0, 0 };
	for (int i = 0; i < 4; i++)
		assert_int_equal(vring_pop(&w.r, &c, &iov, 1, &e), 1);
	w.d.avail->idx = 5;
	assert_int_equal(vring_pop(&w.r, &c, &iov, 1, &e), -EBADMSG);
}

static void test_not_in_memory(void **state)
{
	struct virtio_queue q = { .size = 8, .desc = MEM - 64, .driver = 0, .device = 0 };
	struct vring_chain c;
	struct vring_dev r;
	struct iovec iov;
	struct err e;

	assert_int_equal(vring_dev_init(&r, &mem, &q, 0, &e), -EFAULT);
	assert_int_equal(vring_pop(&r, &c, &iov, 1, &e), -EBADMSG);
}

static int setup(void **state)
{
	memory = calloc(1, MEM);
	gmem_wrap(&mem, memory, MEM);
	srand(4);
	return !memory;
}

static int teardown(void **state)
{
	free(memory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_far_event),
		cmocka_unit_test(test_split_broken),
		cmocka_unit_test(test_packed_broken),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_not_in_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
