/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a vhost-user disk, without KVM (see vdguest.h):
 *
 *	diskguest SOCKET QUEUES
 *
 * It reads commands, one a line, and answers each with a line:
 *	info		what `info` of the VMM says of the disk
 *	storm N		N requests, 32 at a time: writes of random 4 KiB blocks, reads that are
 *			checked, flushes. Says "at K" from time to time
 *	verify		reads every block and compares it with what was last written there
 *	expect FILE	writes what the disk should hold to FILE
 *	overwrite	one write beyond the end, or to a read-only disk: says its status
 *	reset		as the machine's reset button; the driver starts anew
 *	bad		makes a request available that is no descriptor
 *	lost		a read, and a machine reset at once, which a back end that keeps the read
 *			delays until it is cut off
 *	quit
 * A request that is completed twice, lost, or fails ends it with a sentence and status 1.
 */
#include <jansson.h>
#include <sys/mman.h>

#include "tests/lib/vdguest.h"
#include "vmm/relay_ring.h"
#include "vmm/vublk.h"

#define BLOCK  4096u
#define DEPTH  32
#define BLOCKS 4096u /* of the disk that are used: 16 MiB */

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4 };

struct request {
	bool busy;
	unsigned type, block, generation, queue;
	uint64_t gpa; /* header, data, status */
};

struct disk {
	struct vdguest g;
	struct vublk *b;
	unsigned blocks, generation[BLOCKS];
	bool block_busy[BLOCKS];
	struct request r[DEPTH];
	int by_id[VDG_QUEUES][VDG_SIZE]; /* id in the ring -> request, or -1 */
	unsigned n_busy;
	uint8_t last_status;
	uint64_t features;
};

static void fill(uint64_t *to, unsigned block, unsigned generation)
{
	for (unsigned i = 0; i < BLOCK / 8; i++)
		to[i] = generation ? ((uint64_t)block << 40 | (uint64_t)generation << 12 | i) : 0;
}

static uint8_t *at(struct disk *d, uint64_t gpa)
{
	return (uint8_t *)d->g.mem.map + gpa;
}

static void submit(struct disk *d, unsigned type, uint64_t sector, struct request *r)
{
	uint32_t header[4] = { type, 0, (uint32_t)sector, (uint32_t)(sector >> 32) };
	struct vq_seg seg[3] = { { r->gpa, 16, false }, { r->gpa + BLOCK, BLOCK, type == T_IN },
		{ r->gpa + 16, 1, true } };
	uint16_t id;

	if (type == T_FLUSH)
		seg[1] = seg[2];
	memcpy(at(d, r->gpa), header, sizeof(header));
	*at(d, r->gpa + 16) = 0xee;
	if (!vq_add(&d->g.q[r->queue], seg, type == T_FLUSH ? 2 : 3, rand() % 2, &id))
		die("the ring is full");
	d->by_id[r->queue][id] = (int)(r - d->r);
	r->busy = true;
	r->type = type;
	d->n_busy++;
	vdg_kick(&d->g, r->queue);
}

static void completed(struct disk *d, unsigned queue, uint16_t id)
{
	uint64_t want[BLOCK / 8];
	struct request *r;

	if (id >= VDG_SIZE || d->by_id[queue][id] < 0)
		die("queue %u: %u is completed, which is not under way", queue, id);
	r = &d->r[d->by_id[queue][id]];
	d->by_id[queue][id] = -1;
	d->last_status = *at(d, r->gpa + 16);
	r->busy = false;
	d->n_busy--;
	if (r->type == T_FLUSH || r->block >= d->blocks)
		return;
	d->block_busy[r->block] = false;
	if (d->last_status)
		die("%s of block %u: status %u", r->type == T_IN ? "read" : "write", r->block,
			d->last_status);
	if (r->type == T_OUT) {
		d->generation[r->block] = r->generation;
		return;
	}
	fill(want, r->block, d->generation[r->block]);
	if (memcmp(want, at(d, r->gpa + BLOCK), BLOCK))
		die("block %u is not what was written there (generation %u): 0x%llx", r->block,
			d->generation[r->block],
			*(unsigned long long *)(void *)at(d, r->gpa + BLOCK));
}

/* Until at most `left` are under way. */
static void drain(struct disk *d, unsigned left)
{
	while (d->n_busy > left) {
		vdg_wait(&d->g);
		for (unsigned i = 0; i < d->g.n; i++) {
			uint16_t id;
			uint32_t len;

			while (vq_take(&d->g.q[i], &id, &len))
				completed(d, i, id);
		}
	}
}

static struct request *idle(struct disk *d)
{
	struct request *r = d->r;

	drain(d, DEPTH - 1);
	while (r->busy)
		r++;
	r->queue = (unsigned)rand() % d->g.n;
	return r;
}

static void one(struct disk *d, unsigned type, unsigned block)
{
	struct request *r = idle(d);

	r->block = block;
	if (type == T_OUT) {
		r->generation = d->generation[block] + 1;
		fill((uint64_t *)(void *)at(d, r->gpa + BLOCK), block, r->generation);
	} else if (type == T_IN) {
		memset(at(d, r->gpa + BLOCK), 0xdd, BLOCK);
	}
	if (type != T_FLUSH)
		d->block_busy[block] = true;
	submit(d, type, (uint64_t)block * (BLOCK / 512), r);
}

static void storm(struct disk *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned what = (unsigned)rand() % 64, block = (unsigned)rand() % d->blocks;

		while (d->block_busy[block])
			block = (block + 1) % d->blocks;
		one(d, what == 0 ? T_FLUSH : what < 24 ? T_IN : T_OUT, block);
		if (i % 500 == 0) {
			printf("at %u\n", i);
			fflush(stdout);
		}
	}
	drain(d, 0);
}

static void verify(struct disk *d)
{
	for (unsigned i = 0; i < d->blocks; i++)
		one(d, T_IN, i);
	drain(d, 0);
}

static void expect(struct disk *d, const char *path)
{
	uint64_t block[BLOCK / 8];
	FILE *f = fopen(path, "w");

	for (unsigned i = 0; f && i < d->blocks; i++) {
		fill(block, i, d->generation[i]);
		fwrite(block, BLOCK, 1, f);
	}
	if (!f || fclose(f))
		die("cannot write %s", path);
}

static void overwrite(struct disk *d, bool beyond)
{
	struct request *r = idle(d);

	r->block = BLOCKS; /* its outcome is not checked there */
	submit(d, T_OUT, beyond ? 1ull << 40 : 0, r);
	drain(d, 0);
}

static void buffers(struct disk *d)
{
	for (unsigned i = 0; i < DEPTH; i++)
		d->r[i].gpa = VDG_DATA + i * 2ull * BLOCK;
}

static void driver(struct disk *d)
{
	unsigned n;

	memset(d->by_id, 0xff, sizeof(d->by_id));
	n = (unsigned)vdg_read(&d->g, VIRTIO_BAR_DEVICE + 34, 2);
	d->features = vdg_driver(&d->g, n < VDG_QUEUES ? n : VDG_QUEUES, ~0ull);
	d->blocks = (unsigned)(vdg_read(&d->g, VIRTIO_BAR_DEVICE, 8) * 512 / BLOCK);
	if (d->blocks > BLOCKS)
		d->blocks = BLOCKS;
}

/* The driver's fault: the device must say so, and work again after a reset. */
static void bad(struct disk *d)
{
	struct vq_driver *q = &d->g.q[0];
	uint64_t begin = clock_now_ns();

	drain(d, 0);
	one(d, T_IN, 0);
	q->avail->ring[q->avail->idx % q->size] = (uint16_t)(VDG_SIZE + 7);
	__atomic_store_n(&q->avail->idx, (uint16_t)(q->avail->idx + 1), __ATOMIC_RELEASE);
	fd_event_signal(d->g.d->kick_fd[0]);
	while (!(vdg_read(&d->g, 20, 1) & VIRTIO_S_NEEDS_RESET))
		if (clock_now_ns() - begin > VDG_PATIENCE)
			die("a broken ring goes unnoticed");
	drain(d, 0);
	driver(d);
}

static void lost(struct disk *d)
{
	uint64_t begin = clock_now_ns();

	one(d, T_IN, 0);
	while (!relay_in_flight(d->b->relay)) /* on its way to the back end */
		if (clock_now_ns() - begin > VDG_PATIENCE)
			die("the request is not passed on");
	d->b->dev.ops->reset(&d->b->dev, 200);
	memset(d->r, 0, sizeof(d->r));
	d->n_busy = 0;
	memset(d->block_busy, 0, sizeof(d->block_busy));
	buffers(d);
	driver(d);
}

static void info(struct disk *d)
{
	json_t *o = d->b->dev.ops->info(&d->b->dev);

	json_object_set_new(o, "offered", json_integer((json_int_t)vdg_offered(&d->g)));
	json_object_set_new(o, "config_bytes",
		json_integer((json_int_t)vdg_read(&d->g, VIRTIO_BAR_DEVICE, 8) * 512));
	json_object_set_new(o, "generation", json_integer((json_int_t)vdg_read(&d->g, 21, 1)));
	json_dumpf(o, stdout, JSON_COMPACT);
	json_decref(o);
	fputc('\n', stdout);
	fflush(stdout);
}

static bool command(struct disk *d, const char *line)
{
	char path[256];
	unsigned n;

	if (!strncmp(line, "quit", 4))
		return false;
	if (!strncmp(line, "info", 4)) {
		info(d);
		return true;
	}
	if (sscanf(line, "storm %u", &n) == 1)
		storm(d, n);
	else if (!strncmp(line, "verify", 6))
		verify(d);
	else if (sscanf(line, "expect %255s", path) == 1)
		expect(d, path);
	else if (sscanf(line, "overwrite %u", &n) == 1)
		overwrite(d, n);
	else if (!strncmp(line, "bad", 3))
		bad(d);
	else if (!strncmp(line, "lost", 4))
		lost(d);
	else if (!strncmp(line, "reset", 5)) {
		drain(d, 0);
		d->b->dev.ops->reset(&d->b->dev, 1500);
		/* What the relay maps next is not where it was. */
		for (unsigned k = 1; k <= 16; k++)
			mmap(NULL, k * RELAY_RING_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				0);
		driver(d);
	} else
		die("what is \"%s\"?", line);
	printf("ok %u\n", d->last_status);
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	static struct disk d;
	struct disk_setup setup = { .socket = argc > 2 ? argv[1] : NULL };
	struct err e = { 0 };
	char line[300];

	if (argc != 3)
		die("usage: diskguest SOCKET QUEUES");
	setup.queues = (unsigned)atoi(argv[2]);
	vdg_init(&d.g);
	if (vublk_new(0, &setup, 1ull << 38, &d.g.host, &d.b, &e))
		die("%s", e.text);
	buffers(&d);
	vdg_start(&d.g, &d.b->dev, &d.b->d);
	driver(&d);
	info(&d);
	while (fgets(line, sizeof(line), stdin) && command(&d, line))
		;
	vdg_fini(&d.g);
	return 0;
}
