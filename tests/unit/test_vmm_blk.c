/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk on a real file and io_uring, with no machine: a driver of ours in the registers and
 * rings. What is read and what the file holds is compared with a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/virtio_rig.h"
#include "vmm/blk.h"

#define SECTORS  4096u
#define QUEUES   3u
#define SLOTS    48u      /* requests of the driver's, under way at most */
#define SLOT     0x40000u /* bytes of memory for each */
#define SLOTS_AT 0x2800000u
#define DATA     0x1000u /* where the data begins in a slot */
#define MOST     100u    /* sectors of a request */
#define V1       VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define IND      VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define EVENT    VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define PACKED   VIRTIO_BIT(VIRTIO_F_RING_PACKED)

_Static_assert(RIG_RINGS + QUEUES * VQ_BYTES <= SLOTS_AT, "rings before buffers");
_Static_assert(SLOTS_AT + SLOTS * SLOT <= RIG_MEM, "buffers in memory");

struct head {
	uint32_t type, reserved;
	uint64_t sector;
};

struct slot {
	bool busy;
	uint16_t id;
	unsigned queue;
	struct head head;
	uint32_t sectors;
};

struct world {
	struct virtio_rig r;
	struct blk *b;
	char dir[64], path[80];
	struct disk_setup setup;
	uint8_t *copy;         /* of the disk */
	bool claimed[SECTORS]; /* by a request under way */
	struct slot slot[SLOTS];
	unsigned n_busy;
};

static unsigned below(unsigned n)
{
	return (unsigned)rand() % n;
}

static void make_file(const char *path, size_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	rig_init(&w->r);
	srand(7);
	snprintf(w->dir, sizeof(w->dir), "/tmp/lanyard-blk-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/disk", w->dir);
	make_file(w->path, SECTORS * BLK_SECTOR);
	w->copy = calloc(SECTORS, BLK_SECTOR);
	w->setup = (struct disk_setup){ .file = w->path, .serial = "LY-0001", .queues = QUEUES };
	*state = w;
	return 0;
}

static void unplug(struct world *w)
{
	if (w->b)
		w->b->dev.ops->free(&w->b->dev);
	w->b = NULL;
}

static int world_teardown(void **state)
{
	struct world *w = *state;

	unplug(w);
	unlink(w->path);
	rmdir(w->dir);
	free(w->copy);
	rig_fini(&w->r);
	free(w);
	return 0;
}

static void plug(struct world *w)
{
	struct err e = { 0 };

	if (blk_new(0, &w->setup, RIG_BAR, &w->r.host, &w->b, &e) ||
		w->b->dev.ops->start(&w->b->dev, &e))
		fail_msg("%s", e.text);
	rig_plug(&w->r, &w->b->d);
}

static uint64_t slot_gpa(const struct world *w, const struct slot *s)
{
	return SLOTS_AT + (uint64_t)(s - w->slot) * SLOT;
}

static uint8_t *slot_data(struct world *w, const struct slot *s)
{
	return w->r.m + slot_gpa(w, s) + DATA;
}

static uint8_t *slot_status(struct world *w, const struct slot *s)
{
	return w->r.m + slot_gpa(w, s) + SLOT - 1;
}

/* `len` bytes at gpa as one to three parts. */
static unsigned cut(struct vq_seg *seg, uint64_t gpa, uint32_t len, bool write)
{
	unsigned n = 0;

	while (len) {
		uint32_t here = n == 2 || len == 1 || below(2) ? len : 1 + below(len - 1);

		seg[n++] = (struct vq_seg){ gpa, here, write };
		gpa += here;
		len -= here;
	}
	return n;
}

/* Header, `out` bytes of data to the disk, `in` from it, status. False: no room in the ring. */
static bool add(struct world *w, struct slot *s, unsigned queue, uint32_t out, uint32_t in)
{
	uint64_t gpa = slot_gpa(w, s);
	struct vq_seg seg[16];
	unsigned n;

	memcpy(w->r.m + gpa, &s->head, sizeof(s->head));
	*slot_status(w, s) = 0xee;
	n = cut(seg, gpa, sizeof(s->head), false);
	n += cut(seg + n, gpa + DATA, out, false);
	n += cut(seg + n, gpa + DATA, in, true);
	n += cut(seg + n, gpa + SLOT - 1, 1, true);
	if (!vq_add(&w->r.q[queue], seg, (uint16_t)n, below(2) && (w->r.d->v.acked & IND), &s->id))
		return false;
	s->queue = queue;
	s->busy = true;
	w->n_busy++;
	return true;
}

static bool claim(struct world *w, const struct slot *s, bool on)
{
	for (uint32_t i = 0; on && i < s->sectors; i++)
		if (w->claimed[s->head.sector + i])
			return false;
	for (uint32_t i = 0; i < s->sectors; i++)
		w->claimed[s->head.sector + i] = on;
	return true;
}

static void fill_random(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rand();
}

/* A request of some kind, for sectors that no other one is about. */
static void submit(struct world *w)
{
	static const uint32_t kinds[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT,
		VIRTIO_BLK_T_IN, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_DISCARD,
		VIRTIO_BLK_T_WRITE_ZEROES };
	struct slot *s = w->slot;
	uint32_t out = 0, in = 0, bytes;

	while (s < w->slot + SLOTS && s->busy)
		s++;
	if (s == w->slot + SLOTS)
		return;
	s->head = (struct head){ .type = kinds[below(7)], .sector = below(SECTORS - MOST) };
	s->sectors = 1 + below(MOST);
	bytes = s->sectors * BLK_SECTOR;
	if (s->head.type == VIRTIO_BLK_T_FLUSH)
		s->sectors = 0;
	if (!claim(w, s, true))
		return;
	if (s->head.type == VIRTIO_BLK_T_OUT) {
		fill_random(slot_data(w, s), out = bytes);
	} else if (s->head.type == VIRTIO_BLK_T_IN) {
		in = bytes;
	} else if (s->head.type != VIRTIO_BLK_T_FLUSH) {
		struct {
			uint64_t sector;
			uint32_t sectors, flags;
		} range = { s->head.sector, s->sectors,
			s->head.type == VIRTIO_BLK_T_WRITE_ZEROES && below(2) };

		memcpy(slot_data(w, s), &range, out = sizeof(range));
	}
	if (!add(w, s, below(QUEUES), out, in))
		claim(w, s, false);
}

static void finish(struct world *w, struct slot *s, uint32_t len)
{
	uint8_t *disk = w->copy + s->head.sector * BLK_SECTOR;
	size_t bytes = (size_t)s->sectors * BLK_SECTOR;
	bool in = s->head.type == VIRTIO_BLK_T_IN;

	assert_int_equal(*slot_status(w, s), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 1 + (in ? bytes : 0));
	if (in)
		assert_memory_equal(slot_data(w, s), disk, bytes);
	else if (s->head.type == VIRTIO_BLK_T_OUT)
		memcpy(disk, slot_data(w, s), bytes);
	else
		memset(disk, 0, bytes);
	claim(w, s, false);
	s->busy = false;
	w->n_busy--;
}

static struct slot *slot_find(struct world *w, unsigned queue, uint16_t id)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (w->slot[i].busy && w->slot[i].queue == queue && w->slot[i].id == id)
			return &w->slot[i];
	fail_msg("queue %u: %u was used, and is not out", queue, id);
	return NULL;
}

static unsigned collect(struct world *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < QUEUES; i++) {
		uint16_t id;
		uint32_t len;

		for (; vq_take(&w->r.q[i], &id, &len); n++)
			finish(w, slot_find(w, i, id), len);
	}
	return n;
}

static void check_file(struct world *w)
{
	uint8_t *now = malloc(SECTORS * BLK_SECTOR);
	int fd = open(w->path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, now, SECTORS * BLK_SECTOR, 0), SECTORS * BLK_SECTOR);
	assert_memory_equal(now, w->copy, SECTORS * BLK_SECTOR);
	close(fd);
	free(now);
}

static void run_random(struct world *w, unsigned requests)
{
	unsigned done = 0;

	while (done < requests || w->n_busy) {
		for (unsigned i = below(20); i && done < requests; i--)
			submit(w);
		for (unsigned i = 0; i < QUEUES; i++)
			rig_kick(&w->r, i);
		done += collect(w);
		if (w->n_busy == SLOTS || (done >= requests && w->n_busy))
			assert_true(rig_wait(&w->r, QUEUES));
	}
}

static void test_integrity(void **state)
{
	static const uint64_t formats[] = { 0, EVENT, IND | EVENT, PACKED | IND | EVENT, PACKED };
	struct world *w = *state;

	plug(w);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		assert_true(rig_start(&w->r, QUEUES, i & 1 ? 64 : 256,
			V1 | formats[i] | VIRTIO_BIT(VIRTIO_BLK_F_MQ)));
		run_random(w, 800);
		assert_true(rig_reset(&w->r));
	}
	assert_int_equal(w->b->counts[BLK_FAILED], 0);
	assert_int_equal(w->b->counts[BLK_REFUSED], 0);
	assert_true(w->b->counts[BLK_DISCARDS] > 50 && w->b->counts[BLK_ZEROES] > 50);
	unplug(w);
	check_file(w);
}

/* Requests under way at a reset: none touches memory after the driver saw it done, and the device
 * works on. Every third time it is the machine that is reset. */
static void test_reset_in_flight(void **state)
{
	struct world *w = *state;
	uint8_t *pattern = malloc(SLOTS * SLOT);

	memset(pattern, 0x5a, SLOTS * SLOT);
	plug(w);
	for (int round = 0; round < 60; round++) {
		assert_true(rig_start(&w->r, QUEUES, 256, V1 | IND | EVENT));
		for (unsigned i = 0; i < SLOTS; i++) {
			struct slot *s = &w->slot[i];

			s->head =
				(struct head){ .type = below(2), .sector = below(SECTORS - MOST) };
			if (!add(w, s, i % QUEUES,
				    s->head.type == VIRTIO_BLK_T_OUT ? MOST * BLK_SECTOR : 0,
				    s->head.type == VIRTIO_BLK_T_OUT ? 0 : MOST * BLK_SECTOR))
				fail_msg("no room");
			rig_kick(&w->r, i % QUEUES);
		}
		if (round % 3 == 2) {
			w->b->dev.ops->reset(&w->b->dev, 2 * RIG_WAIT_MS);
			assert_int_equal(w->b->serve.n_active, 0);
			rig_plug(&w->r, &w->b->d); /* decoding is off after it */
			assert_int_equal(rig_status(&w->r), 0);
		} else {
			assert_true(rig_reset(&w->r));
		}
		memset(w->r.m + SLOTS_AT, 0x5a, SLOTS * SLOT);
		memset(w->r.m + RIG_RINGS, 0, QUEUES * VQ_BYTES);
		if (round % 4)
			usleep(500);
		assert_memory_equal(w->r.m + SLOTS_AT, pattern, SLOTS * SLOT);
		for (unsigned i = 0; i < 2 * VQ_RING_GPA + 4; i++)
			assert_int_equal(w->r.m[RIG_RINGS + i], 0);
		memset(w->slot, 0, sizeof(w->slot));
		w->n_busy = 0;
	}
	/* and now a disk whose contents are known again */
	assert_true(rig_start(&w->r, QUEUES, 256, V1 | IND | EVENT));
	for (uint64_t at = 0; at < SECTORS; at += 64) {
		struct slot *s = &w->slot[0];
		uint16_t id;
		uint32_t len = 0;

		s->head = (struct head){ .type = VIRTIO_BLK_T_OUT, .sector = at };
		s->sectors = 64;
		fill_random(slot_data(w, s), 64 * BLK_SECTOR);
		add(w, s, 1, 64 * BLK_SECTOR, 0);
		rig_kick(&w->r, 1);
		while (!vq_take(&w->r.q[1], &id, &len))
			assert_true(rig_wait(&w->r, QUEUES));
		finish(w, s, len);
	}
	unplug(w);
	check_file(w);
	free(pattern);
}

/* One request by itself; returns its status. */
static uint8_t one(struct world *w, uint32_t type, uint64_t sector, uint32_t out, uint32_t in)
{
	struct slot *s = &w->slot[0];
	uint16_t id;
	uint32_t len;

	s->head = (struct head){ .type = type, .sector = sector };
	assert_true(add(w, s, 0, out, in));
	rig_kick(&w->r, 0);
	while (!vq_take(&w->r.q[0], &id, &len))
		assert_true(rig_wait(&w->r, 1));
	assert_int_equal(id, s->id);
	s->busy = false;
	w->n_busy--;
	return *slot_status(w, s);
}

static uint8_t range(struct world *w, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	uint8_t *p = slot_data(w, &w->slot[0]);

	memcpy(p, &sector, 8);
	memcpy(p + 8, &n, 4);
	memcpy(p + 12, &flags, 4);
	return one(w, type, 0, 16, 0);
}

static void test_refused_requests(void **state)
{
	struct world *w = *state;

	plug(w);
	assert_true(rig_start(&w->r, 1, 16, V1));
#define IO(type, sector, out, in) \
	assert_int_equal(one(w, type, sector, out, in), VIRTIO_BLK_S_IOERR)
	IO(VIRTIO_BLK_T_IN, SECTORS, 0, 512);
	IO(VIRTIO_BLK_T_IN, SECTORS - 1, 0, 1024);
	IO(VIRTIO_BLK_T_IN, ~0ull, 0, 512);
	IO(VIRTIO_BLK_T_IN, ~0ull >> 9, 0, 512);
	IO(VIRTIO_BLK_T_IN, 0, 0, 511);
	IO(VIRTIO_BLK_T_OUT, SECTORS, 512, 0);
	IO(VIRTIO_BLK_T_OUT, 1, 100, 0);
	IO(VIRTIO_BLK_T_DISCARD, 0, 32, 0);
	IO(VIRTIO_BLK_T_WRITE_ZEROES, 0, 15, 0);
	IO(VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 0);
#undef IO
	assert_int_equal(range(w, VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(w, VIRTIO_BLK_T_DISCARD, 0, ~0u, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(w, VIRTIO_BLK_T_DISCARD, 0, 1, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(w, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(w, VIRTIO_BLK_T_WRITE_ZEROES, 5, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(one(w, 77, 0, 512, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, SECTORS, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(w->b->counts[BLK_FAILED], 0);
	/* it still works */
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, SECTORS - 1, 0, 512), VIRTIO_BLK_S_OK);
	unplug(w);
	check_file(w);
}

static void expect_needs_reset(struct world *w, const char *why)
{
	uint64_t until = clock_now_ns() + RIG_WAIT_MS * NS_PER_MS;

	rig_kick(&w->r, 0);
	while (!(rig_status(&w->r) & VIRTIO_S_NEEDS_RESET))
		assert_true(clock_now_ns() < until);
	if (!strstr(w->b->d.v.reason, why))
		fail_msg("\"%s\" does not say \"%s\"", w->b->d.v.reason, why);
	assert_true(rig_reset(&w->r));
	assert_true(rig_start(&w->r, 1, 16, V1));
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, 0, 0, 512), VIRTIO_BLK_S_OK);
}

static void test_broken_rings(void **state)
{
	struct world *w = *state;
	struct vq_seg seg[2] = { { SLOTS_AT, 16, false }, { SLOTS_AT + 64, 1, true } };
	uint16_t id;

	plug(w);
	assert_true(rig_start(&w->r, 1, 16, V1));
	vq_add(&w->r.q[0], seg, 1, false, &id);
	expect_needs_reset(w, "16 readable and 0 writable");
	vq_add(&w->r.q[0], seg + 1, 1, false, &id);
	expect_needs_reset(w, "0 readable and 1 writable");
	seg[0].len = 15;
	vq_add(&w->r.q[0], seg, 2, false, &id);
	expect_needs_reset(w, "15 readable");
	seg[0] = (struct vq_seg){ RIG_MEM, 16, false };
	vq_add(&w->r.q[0], seg, 2, false, &id);
	expect_needs_reset(w, "not in memory");
	w->r.q[0].avail->idx = 999;
	expect_needs_reset(w, "available index");
}

static void test_what_the_driver_sees(void **state)
{
	struct world *w = *state;
	uint8_t id[20] = "LY-0001";

	plug(w);
	assert_int_equal(rig_read(&w->r, VIRTIO_BAR_DEVICE, 4), SECTORS);
	assert_int_equal(rig_read(&w->r, VIRTIO_BAR_DEVICE + 12, 4), BLK_SEG_MAX);
	assert_int_equal(rig_read(&w->r, VIRTIO_BAR_DEVICE + 20, 4), 512);
	assert_int_equal(rig_read(&w->r, VIRTIO_BAR_DEVICE + 34, 2), QUEUES);
	assert_true(rig_read(&w->r, VIRTIO_BAR_DEVICE + 24, 1) >= 3); /* 4 KiB or more */
	assert_true(rig_start(&w->r, 1, 16, V1));
	assert_int_equal(one(w, VIRTIO_BLK_T_GET_ID, 0, 0, 20), VIRTIO_BLK_S_OK);
	assert_memory_equal(slot_data(w, &w->slot[0]), id, 20);
	memset(slot_data(w, &w->slot[0]), 1, 20);
	assert_int_equal(one(w, VIRTIO_BLK_T_GET_ID, 0, 0, 4), VIRTIO_BLK_S_OK);
	assert_memory_equal(slot_data(w, &w->slot[0]), "LY-0\1", 5);
}

static void test_readonly(void **state)
{
	struct world *w = *state;

	w->setup.readonly = true;
	plug(w);
	assert_true(w->b->d.v.offered & VIRTIO_BIT(VIRTIO_BLK_F_RO));
	assert_false(w->b->d.v.offered & VIRTIO_BIT(VIRTIO_BLK_F_DISCARD));
	assert_true(rig_start(&w->r, 1, 16, V1 | VIRTIO_BIT(VIRTIO_BLK_F_RO)));
	assert_int_equal(one(w, VIRTIO_BLK_T_OUT, 0, 512, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(w, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(w, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, 0, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(one(w, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
}

/* The host cuts the file: an error for the guest, and nothing else. */
static void test_host_error(void **state)
{
	struct world *w = *state;

	plug(w);
	assert_true(rig_start(&w->r, 1, 16, V1));
	assert_int_equal(truncate(w->path, 1024), 0);
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, 0, 0, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, 0, 0, 1536), VIRTIO_BLK_S_IOERR);
	assert_int_equal(one(w, VIRTIO_BLK_T_IN, 8, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(w->b->counts[BLK_FAILED], 2);
}

/* Discarded blocks are the host's again. */
static void test_discard_frees(void **state)
{
	struct world *w = *state;
	struct stat before, after;

	plug(w);
	assert_true(rig_start(&w->r, 1, 16, V1));
	for (uint64_t at = 0; at < SECTORS; at += 64)
		assert_int_equal(one(w, VIRTIO_BLK_T_OUT, at, 64 * BLK_SECTOR, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(one(w, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	stat(w->path, &before);
	assert_int_equal(range(w, VIRTIO_BLK_T_DISCARD, 0, SECTORS / 2, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(
		range(w, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS / 2, SECTORS / 4, 1), VIRTIO_BLK_S_OK);
	stat(w->path, &after);
	assert_true(after.st_blocks < before.st_blocks / 3);
	assert_int_equal(after.st_size, before.st_size);
}

/* --- files that are no disks ----------------------------------------------------------------- */

static void refused(const char *path, bool readonly, int code, enum err_class class, const char *a,
	const char *b)
{
	struct blk_file f;
	struct err e = { 0 };

	assert_int_equal(blk_file_open(&f, path, readonly, &e), code);
	assert_int_equal(e.class, class);
	if (!strstr(e.text, a) || !strstr(e.text, b) || !strstr(e.text, path))
		fail_msg("\"%s\" does not say \"%s\", \"%s\", \"%s\"", e.text, path, a, b);
	blk_file_close(&f);
}

static void test_files(void **state)
{
	struct world *w = *state;

	refused(w->dir, false, -EINVAL, ERR_REQUEST, "a folder", "expected a file");
	refused("/dev/null", false, -EINVAL, ERR_REQUEST, "a character device", "block device");
	make_file(w->path, 1000);
	refused(w->path, false, -EINVAL, ERR_REQUEST, "1000 bytes", "truncate -s 1024");
	make_file(w->path, 0);
	refused(w->path, true, -EINVAL, ERR_REQUEST, "0 bytes", "truncate -s 512");
	unlink(w->path);
	refused(w->path, false, -ENOENT, ERR_REQUEST, "not there", "truncate -s 10G");
	assert_int_equal(mkfifo(w->path, 0600), 0);
	refused(w->path, false, -EINVAL, ERR_REQUEST, "a pipe", "expected a file");
}

/* Root may write to anything, so that another user is asked. */
static void test_not_writable(void **state)
{
	struct world *w = *state;
	pid_t child;
	int status;

	chmod(w->dir, 0755);
	chmod(w->path, 0444);
	child = fork();
	if (!child) {
		struct blk_file f;
		struct err e = { 0 };
		bool ok;

		ok = (geteuid() != 0 || setuid(65534) == 0) &&
			blk_file_open(&f, w->path, false, &e) == -EACCES && e.class == ERR_HOST &&
			strstr(e.text, "cannot be written to") && strstr(e.text, "readonly=on") &&
			blk_file_open(&f, w->path, true, &e) == 0;
		_exit(!ok);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_lock(void **state)
{
	struct world *w = *state;
	struct blk_file readers[2];
	int ready[2], status;
	struct err e = { 0 };
	char pid[32], c;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		struct blk_file f;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		c = blk_file_open(&f, w->path, false, &e) == 0;
		if (write(ready[1], &c, 1) < 0)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 1);
	snprintf(pid, sizeof(pid), "pid %d", child);
	refused(w->path, false, -EBUSY, ERR_HOST, "in use by", pid);
	refused(w->path, true, -EBUSY, ERR_HOST, pid, "writes to it");
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	/* with its holder the lock goes; readers are many, or there is a writer */
	for (int i = 0; i < 2; i++)
		assert_int_equal(blk_file_open(&readers[i], w->path, true, &e), 0);
	refused(w->path, false, -EBUSY, ERR_HOST, "in use by", "readonly=on");
	for (int i = 0; i < 2; i++)
		blk_file_close(&readers[i]);
	close(ready[0]);
	close(ready[1]);
	plug(w);
	refused(w->path, true, -EBUSY, ERR_HOST, "in use by", "");
}

/* A host that refuses io_uring, as containers do. */
static void test_no_io_uring(void **state)
{
	struct world *w = *state;
	pid_t child = fork();
	int status;

	if (!child) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog prog = { .len = 4, .filter = code };
		struct err e = { 0 };
		bool ok;

		ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0 &&
			blk_new(0, &w->setup, RIG_BAR, &w->r.host, &w->b, &e) == -EPERM &&
			e.class == ERR_HOST && strstr(e.text, "kernel.io_uring_disabled=0");
		unplug(w);
		_exit(!ok);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_integrity),
		T(test_reset_in_flight),
		T(test_refused_requests),
		T(test_broken_rings),
		T(test_what_the_driver_sees),
		T(test_readonly),
		T(test_host_error),
		T(test_discard_frees),
		T(test_files),
		T(test_not_writable),
		T(test_lock),
		T(test_no_io_uring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
