/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's accesses to a disk of our own: configuration space, the BAR, the guest's memory with
 * rings and requests in it, while the disk's thread serves them from a memfd. Nothing reaches the
 * file's neighbourhood, the disk ends when it is told to, and a reset is done in the end.
 *
 * Input: 0: 1 read-only, 2 packed rings are offered; then operations of 12 bytes: kind and width,
 * offset, value. Kind 3 makes the rings of a sensible driver, and a request as the value says.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tests/lib/vq_driver.h"
#include "vmm/blk.h"

#define MEM_BYTES (4u << 20)
#define BAR       0x4000100000ull
#define DISK      (256u << 10)
#define RING      0x10000u
#define BUF       0x8000u
#define OPS_MAX   200
#define RESET_NS  (20 * NS_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, width;
	uint16_t off;
	uint64_t v;
} __attribute__((packed));

struct world {
	pthread_mutex_t lock;
	struct kvm kvm;
	struct pci_bus bus;
	struct gmem mem;
	struct blk *b;
	struct vq_driver q;
	uint8_t *m;
};

static void bar_write(struct world *w, uint64_t off, uint64_t v, unsigned len)
{
	pthread_mutex_lock(&w->lock);
	pci_mmio_write(&w->bus, BAR + off, v, len);
	pthread_mutex_unlock(&w->lock);
}

static uint64_t bar_read(struct world *w, uint64_t off, unsigned len)
{
	uint64_t v = 0;

	pthread_mutex_lock(&w->lock);
	pci_mmio_read(&w->bus, BAR + off, &v, len);
	pthread_mutex_unlock(&w->lock);
	return v;
}

static void decode_on(struct world *w)
{
	pthread_mutex_lock(&w->lock);
	pci_config_write(&w->b->d.v.fn, 4, 6, 2);
	pci_config_write(&w->b->d.v.fn, 0x10, (uint32_t)BAR, 4);
	pci_config_write(&w->b->d.v.fn, 0x14, BAR >> 32, 4);
	pthread_mutex_unlock(&w->lock);
}

/* As a driver does it; a reset that is never done is a finding. */
static void reset(struct world *w)
{
	uint64_t until = clock_now_ns() + RESET_NS;

	decode_on(w);
	bar_write(w, 20, 0, 1);
	while (bar_read(w, 20, 1))
		if (clock_now_ns() > until)
			abort();
}

static void driver_start(struct world *w, uint64_t features)
{
	bool packed;

	reset(w);
	bar_write(w, 20, 3, 1);
	features &= w->b->d.v.offered;
	packed = features & VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	features |= VIRTIO_BIT(VIRTIO_F_VERSION_1);
	for (uint32_t half = 0; half < 2; half++) {
		bar_write(w, 8, half, 4);
		bar_write(w, 12, (uint32_t)(features >> 32 * half), 4);
	}
	bar_write(w, 20, 11, 1);
	vq_driver_init(&w->q, w->m, RING, 16, packed, features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
	bar_write(w, 22, 0, 2);
	bar_write(w, 24, 16, 2);
	for (uint32_t part = 0; part < 3; part++) {
		bar_write(w, 32 + 8 * part, RING + part * VQ_RING_GPA, 4);
		bar_write(w, 36 + 8 * part, 0, 4);
	}
	bar_write(w, 28, 1, 2);
	bar_write(w, 20, 15, 1);
}

/* A request of sorts: its type, place and length are the value's. */
static void request(struct world *w, uint64_t v)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} head = { .type = v % 15, .sector = v >> 4 & 0x3ff };
	uint32_t len = (v >> 16 & 0xf) * 512 + (v >> 20 & 1) * 16;
	struct vq_seg seg[3] = { { BUF, 16, false }, { BUF + 64, len, v >> 21 & 1 },
		{ BUF + 32, (uint32_t)(v >> 22 & 1) ^ 1, true } };
	uint32_t used;
	uint16_t id;

	if (!w->q.size)
		return;
	/* what came back; the driver's own books may be rubbish by now, as its memory is */
	while (!w->q.packed && vq_take(&w->q, &id, &used))
		;
	memcpy(w->m + BUF, &head, sizeof(head));
	if (w->q.n_free > 3)
		vq_add(&w->q, seg, 3, !w->q.packed && (v >> 23 & 1), &id);
	fd_event_signal(w->b->d.kick_fd[0]);
}

static void run(struct world *w, const struct op *op)
{
	unsigned len = 1u << (op->width & 3);
	uint64_t at = op->off % (VIRTIO_BAR_SIZE + 16);

	switch (op->kind >> 1 & 7) {
	case 0:
		pthread_mutex_lock(&w->lock);
		if (op->kind & 1)
			pci_ecam_write(&w->bus, 1u << 15 | (op->off & 0xfff), op->v, len);
		else
			pci_ecam_read(&w->bus, 1u << 15 | (op->off & 0xfff), len);
		pthread_mutex_unlock(&w->lock);
		break;
	case 1:
		if (op->kind & 1)
			bar_write(w, at, op->v, len);
		else
			bar_read(w, at, len);
		break;
	case 2: /* the rings, or the requests */
		memcpy(w->m + (op->kind & 1 ? RING + (op->off & 0x1ffff) : BUF + (op->off & 0x3ff)),
			&op->v, len);
		break;
	case 3:
		driver_start(w, op->v);
		break;
	case 4:
		w->b->dev.ops->reset(&w->b->dev, 20000);
		decode_on(w);
		break;
	case 5:
		reset(w);
		break;
	default:
		request(w, op->v);
	}
}

static struct blk *disk_new(const struct vdev_host *host, bool readonly)
{
	static char path[32];
	static struct disk_setup setup = { .file = path, .serial = "fuzz", .queues = 2 };
	static int fd = -1;
	struct blk *b;
	struct err e;

	if (fd < 0) {
		fd = memfd_create("disk", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (fd < 0 || ftruncate(fd, DISK))
			abort();
	}
	setup.readonly = readonly;
	if (blk_new(0, &setup, BAR, host, &b, &e) || b->dev.ops->start(&b->dev, &e))
		abort();
	return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *memory;
	struct world w = { .lock = PTHREAD_MUTEX_INITIALIZER,
		.kvm = { .dev_fd = -1, .vm_fd = -1 } };
	struct vdev_host host = { .kvm = &w.kvm, .mem = &w.mem, .lock = &w.lock };

	if (size < 1)
		return 0;
	log_set_level(LOG_ERROR - 1);
	if (!memory && !(memory = calloc(1, MEM_BYTES)))
		return 0;
	w.m = memory;
	gmem_wrap(&w.mem, memory, MEM_BYTES);
	memset(memory, 0, RING + VQ_TABLE_GPA);
	w.kvm.routing_max = 16;
	w.kvm.routing = calloc(1, sizeof(*w.kvm.routing) + 64 * sizeof(w.kvm.routing->entries[0]));
	w.kvm.next_gsi = 24;
	if (!w.kvm.routing)
		abort();
	w.b = disk_new(&host, data[0] & 1);
	w.bus.slot[1] = w.b->dev.fn;
	if (data[0] & 2)
		w.b->d.v.offered |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	decode_on(&w);
	driver_start(&w, ~0ull);
	data++;
	size--;
	for (int i = 0; i < OPS_MAX && size >= sizeof(struct op); i++) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		run(&w, &op);
		data += sizeof(op);
		size -= sizeof(op);
	}
	reset(&w);
	w.b->dev.ops->free(&w.b->dev);
	free(w.kvm.routing);
	return 0;
}
