/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk as its driver sees it: see blk.h. Section numbers are those of virtio 1.2. */
#include "vmm/blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define END_MS 5000 /* for requests under way when the machine ends */

/* 5.2.4, struct virtio_blk_config. */
enum {
	CONFIG_CAPACITY = 0,
	CONFIG_SEG_MAX = 12,
	CONFIG_BLK_SIZE = 20,
	CONFIG_PHYSICAL_EXP = 24,
	CONFIG_MIN_IO = 26,
	CONFIG_QUEUES = 34,
	CONFIG_DISCARD_SECTORS = 36,
	CONFIG_DISCARD_SEGS = 40,
	CONFIG_DISCARD_ALIGN = 44,
	CONFIG_ZEROES_SECTORS = 48,
	CONFIG_ZEROES_SEGS = 52,
	CONFIG_ZEROES_UNMAP = 56,
};

static uint64_t blk_features(void *arg)
{
	const struct blk *b = arg;
	uint64_t f = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) |
		VIRTIO_BIT(VIRTIO_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
		VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) |
		VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);

	if (b->setup->queues > 1)
		f |= VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	if (b->file.readonly)
		return f | VIRTIO_BIT(VIRTIO_BLK_F_RO);
	if (b->file.discards)
		f |= VIRTIO_BIT(VIRTIO_BLK_F_DISCARD);
	return f | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

static void blk_started(void *arg)
{
	struct blk *b = arg;

	vserve_started(&b->serve);
}

static bool blk_device_reset(void *arg)
{
	struct blk *b = arg;

	return vserve_device_reset(&b->serve);
}

static const struct vdev_ops blk_vdev_ops = {
	.features = blk_features,
	.started = blk_started,
	.reset = blk_device_reset,
};

static uint8_t log2_of(uint32_t x)
{
	return (uint8_t)(31 - __builtin_clz(x));
}

static void blk_fill_config(struct blk *b)
{
	const struct blk_file *f = &b->file;
	uint32_t ratio = f->physical > f->block_size ? f->physical / f->block_size : 1;
	uint64_t sectors = f->size / BLK_SECTOR;

	pci_put32(b->config + CONFIG_CAPACITY, (uint32_t)sectors);
	pci_put32(b->config + CONFIG_CAPACITY + 4, (uint32_t)(sectors >> 32));
	pci_put32(b->config + CONFIG_SEG_MAX, BLK_SEG_MAX);
	pci_put32(b->config + CONFIG_BLK_SIZE, f->block_size);
	b->config[CONFIG_PHYSICAL_EXP] = log2_of(ratio);
	pci_put16(b->config + CONFIG_MIN_IO, (uint16_t)ratio);
	pci_put16(b->config + CONFIG_QUEUES, (uint16_t)b->setup->queues);
	/* One range a request: each is one call of the host's. */
	pci_put32(b->config + CONFIG_DISCARD_SECTORS, BLK_RANGE_MAX);
	pci_put32(b->config + CONFIG_DISCARD_SEGS, 1);
	pci_put32(b->config + CONFIG_DISCARD_ALIGN, f->physical / BLK_SECTOR);
	pci_put32(b->config + CONFIG_ZEROES_SECTORS, BLK_RANGE_MAX);
	pci_put32(b->config + CONFIG_ZEROES_SEGS, 1);
	b->config[CONFIG_ZEROES_UNMAP] = 1;
}

static int blk_start(struct device *dev, struct err *e)
{
	struct blk *b = device_of(dev, struct blk);
	char name[16];

	snprintf(name, sizeof(name), "disk%sq", b->d.name + sizeof("disk"));
	return vserve_start(&b->serve, name, blk_queue_run, e);
}

static void blk_reset(struct device *dev, int timeout_ms)
{
	vserve_machine_reset(&device_of(dev, struct blk)->serve, timeout_ms);
}

static void blk_free(struct device *dev)
{
	struct blk *b = device_of(dev, struct blk);

	if (!vserve_stop(&b->serve, END_MS)) {
		/* Its thread still uses all of this; the process ends anyway. */
		log_error("%s: the host still works at requests for %s", b->d.name, b->setup->file);
		return;
	}
	for (unsigned i = 0; i < DISK_QUEUES_MAX; i++)
		blk_queue_free(b->queue[i]);
	vserve_fini(&b->serve);
	if (b->d.ops) /* it got as far as that */
		vdev_fini(&b->d);
	blk_file_close(&b->file);
	free(b);
}

static json_t *blk_counts(const struct blk *b)
{
	static const char *const names[BLK_COUNTS] = {
		[BLK_READS] = "reads",
		[BLK_WRITES] = "writes",
		[BLK_FLUSHES] = "flushes",
		[BLK_DISCARDS] = "discards",
		[BLK_ZEROES] = "zeroes",
		[BLK_READ_BYTES] = "read_bytes",
		[BLK_WRITTEN_BYTES] = "written_bytes",
		[BLK_FAILED] = "failed",
		[BLK_REFUSED] = "refused",
	};
	json_t *o = json_object();

	for (int i = 0; i < BLK_COUNTS; i++)
		json_object_set_new(o, names[i],
			json_integer((json_int_t)atomic_load_explicit(
				&b->counts[i], memory_order_relaxed)));
	return o;
}

static json_t *blk_info(struct device *dev)
{
	struct blk *b = device_of(dev, struct blk);
	json_t *o = json_object();

	pthread_mutex_lock(b->d.lock);
	json_object_set_new(o, "kind", json_string("file"));
	json_object_set_new(o, "file", json_string(b->setup->file));
	json_object_set_new(
		o, "serial", b->setup->serial ? json_string(b->setup->serial) : json_null());
	json_object_set_new(o, "readonly", json_boolean(b->file.readonly));
	json_object_set_new(o, "size_bytes", json_integer((json_int_t)b->file.size));
	json_object_set_new(o, "queues", json_integer(b->setup->queues));
	json_object_set_new(o, "running", json_boolean(b->serve.n_active));
	json_object_set_new(o, "needs_reset", json_boolean(b->d.v.status & VIRTIO_S_NEEDS_RESET));
	if (b->d.v.reason[0])
		json_object_set_new(o, "reason", json_string(b->d.v.reason));
	pthread_mutex_unlock(b->d.lock);
	json_object_set_new(o, "requests", blk_counts(b));
	return o;
}

static const struct device_ops blk_device_ops = {
	.list = "disks",
	.start = blk_start,
	.reset = blk_reset,
	.info = blk_info,
	.free = blk_free,
};

int blk_new(unsigned index, const struct disk_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct blk **out, struct err *e)
{
	struct blk *b = calloc(1, sizeof(*b));
	struct virtio_pci_setup vs = { .device_type = 2,
		.class_code = 0x010000,
		.n_queues = (uint16_t)setup->queues,
		.bar_addr = bar,
		.config_len = BLK_CONFIG_LEN };
	int err;

	*out = b;
	if (!b)
		return err_set(e, -ENOMEM, "out of memory");
	b->dev = (struct device){ .ops = &blk_device_ops, .fn = &b->d.v.fn };
	b->setup = setup;
	vs.config = b->config;
	b->d.lock = host->lock; /* blk_free relies on it */
	b->serve.d = &b->d;
	err = blk_file_open(&b->file, setup->file, setup->readonly, e);
	if (err)
		return err;
	blk_fill_config(b);
	if ((err = vdev_init(&b->d, "disk", index, &vs, host, &blk_vdev_ops, b, e)) ||
		(err = vserve_init(&b->serve, &b->d, setup->queues, e)))
		return err;
	for (unsigned i = 0; i < setup->queues && !err; i++)
		err = blk_queue_new(b, &b->serve.q[i], &b->queue[i], e);
	return err;
}
