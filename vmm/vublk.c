/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk over vhost-user: see vublk.h. Section numbers are those of virtio 1.2. */
#include "vmm/vublk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "vhost-user/proto.h"

enum {
	CONFIG_CAPACITY = 0,    /* 512-byte sectors, 64 bits */
	CONFIG_NUM_QUEUES = 34, /* 16 bits */
	CONFIG_LEGACY_BYTES = 36,
};

/* The back end carries them out; each is offered if it has it. Not EVENT_IDX: see relay_ring.h. */
#define FEATURES_BACKEND                                                               \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) |         \
		VIRTIO_BIT(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | \
		VIRTIO_BIT(VIRTIO_BLK_F_GEOMETRY) | VIRTIO_BIT(VIRTIO_BLK_F_RO) |      \
		VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |   \
		VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | \
		VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES))

/* Of a back end never seen: what any disk has. */
#define FEATURES_UNSEEN                                                        \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | \
		VIRTIO_BIT(VIRTIO_BLK_F_FLUSH))

/* A later back end may lack these: RO is checked in its own way, MQ is ours. */
#define FEATURES_OURS (VIRTIO_BIT(VIRTIO_BLK_F_RO) | VIRTIO_BIT(VIRTIO_BLK_F_MQ))

static uint64_t config_capacity(const uint8_t *config)
{
	return pci_get32(config + CONFIG_CAPACITY) |
		(uint64_t)pci_get32(config + CONFIG_CAPACITY + 4) << 32;
}

static unsigned config_queues(const uint8_t *config)
{
	return config[CONFIG_NUM_QUEUES] | (unsigned)config[CONFIG_NUM_QUEUES + 1] << 8;
}

static uint64_t vublk_features(void *arg)
{
	const struct vublk *b = arg;
	uint64_t f;

	if (!b->link.backend_seen)
		return FEATURES_UNSEEN;
	f = FEATURES_BACKEND & b->link.backend_features;
	if (config_queues(b->config) > 1)
		f |= VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	return f;
}

static void vublk_started(void *arg)
{
	vhost_link_started(&((struct vublk *)arg)->link);
}

static bool vublk_device_reset(void *arg)
{
	return vhost_link_device_reset(&((struct vublk *)arg)->link);
}

static const struct vdev_ops vublk_vdev_ops = {
	.features = vublk_features,
	.started = vublk_started,
	.reset = vublk_device_reset,
};

/* Takes what the back end says it is. With the lock held. */
static void vublk_take_config(struct vublk *b, uint8_t *config, unsigned queues)
{
	bool promised = b->d.v.status & VIRTIO_S_FEATURES_OK;
	uint64_t before = config_capacity(b->config), after = config_capacity(config);

	/* The driver has set up as many queues as it was told of. */
	if (promised)
		queues = config_queues(b->config);
	else if (queues > b->setup->queues)
		queues = b->setup->queues;
	else if (queues < b->setup->queues)
		log_warn("%s: the back end at %s has %u queues, %u are asked for: the guest gets "
			 "%u (qemu-storage-daemon: num-queues)",
			b->d.name, b->setup->socket, queues, b->setup->queues, queues);
	pci_put16(config + CONFIG_NUM_QUEUES, (uint16_t)queues);
	if (!memcmp(b->config, config, VUBLK_CONFIG_BYTES))
		return;
	if (promised && after < before)
		log_warn("%s: the disk at %s shrank from %llu to %llu sectors under the guest",
			b->d.name, b->setup->socket, (unsigned long long)before,
			(unsigned long long)after);
	memcpy(b->config, config, VUBLK_CONFIG_BYTES);
	virtio_pci_config_changed(&b->d.v);
}

static int vublk_connected(void *arg, struct vu_frontend *f, struct err *e)
{
	struct vublk *b = arg;
	uint8_t config[VUBLK_CONFIG_BYTES] = { 0 };
	int err = vu_expect_kind(f, VU_KIND_BLK, e);

	if (err)
		return err;
	err = vu_get_config(f, 0, config, sizeof(config), e);
	if (err == -EREMOTEIO) /* one that knows nothing of DISCARD and WRITE_ZEROES */
		err = vu_get_config(f, 0, config, CONFIG_LEGACY_BYTES, e);
	if (err)
		return err;
	pthread_mutex_lock(b->d.lock);
	vublk_take_config(b, config, vu_queue_num(f));
	pthread_mutex_unlock(b->d.lock);
	return 0;
}

static bool vublk_suits(void *arg, const struct vhost_back *back, struct err *e)
{
	const struct vublk *b = arg;
	const struct virtio_pci *v = &b->d.v;
	unsigned queues = config_queues(b->config);

	if (!(v->status & VIRTIO_S_FEATURES_OK))
		return true;
	if ((v->acked & VIRTIO_BIT(VIRTIO_BLK_F_MQ)) && back->ops->queues(back) < queues) {
		err_set(e, -EOPNOTSUPP,
			"the back end at %s has %u queues, the guest was promised %u: its requests "
			"wait for one that has them",
			b->setup->socket, back->ops->queues(back), queues);
		return false;
	}
	if ((back->ops->features(back) & VIRTIO_BIT(VIRTIO_BLK_F_RO)) &&
		!(v->acked & VIRTIO_BIT(VIRTIO_BLK_F_RO)) && b->link.resumed) {
		err_set(e, -EOPNOTSUPP,
			"the back end at %s is read-only, the guest was promised a disk to write "
			"to: its requests wait for one",
			b->setup->socket);
		return false;
	}
	return true;
}

static unsigned vublk_rings(void *arg, uint64_t acked)
{
	const struct vublk *b = arg;

	return acked & VIRTIO_BIT(VIRTIO_BLK_F_MQ) ? config_queues(b->config) : 1;
}

static void vublk_set_up(void *arg, bool up)
{
	struct vublk *b = arg;
	char size[16];

	if (b->up == up)
		return;
	b->up = up;
	if (b->link.quiet)
		return;
	if (up)
		log_info("%s: %s, %u queues%s", b->d.name,
			units_format_size(config_capacity(b->config) * 512, size),
			config_queues(b->config),
			b->link.backend_features & VIRTIO_BIT(VIRTIO_BLK_F_RO) ? ", read-only"
									       : "");
	else
		log_info("%s: requests wait for the back end", b->d.name);
}

#define PROTOCOL (1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG)

static const struct vhost_link_ops vublk_link_ops = {
	.own = FEATURES_OURS,
	.feature_name = vu_blk_feature_name,
	.suits = vublk_suits,
	.rings = vublk_rings,
	.set_up = vublk_set_up,
};

static int vublk_start(struct device *dev, struct err *e)
{
	struct vublk *b = device_of(dev, struct vublk);
	int err = relay_start(b->relay, e);

	return err ? err : vhost_link_start(&b->link, e);
}

static void vublk_wait_first(struct device *dev, int timeout_ms)
{
	struct vublk *b = device_of(dev, struct vublk);

	if (!vhost_link_wait_connected(&b->link, VUBLK_WAIT_MS))
		log_warn("%s: no back end at %s after %d s: the guest starts with an empty disk, "
			 "which fills when there is one",
			b->d.name, b->setup->socket, VUBLK_WAIT_MS / 1000);
}

static void vublk_reset(struct device *dev, int timeout_ms)
{
	vhost_link_machine_reset(&device_of(dev, struct vublk)->link, timeout_ms);
}

static void vublk_free(struct device *dev)
{
	struct vublk *b = device_of(dev, struct vublk);

	vhost_link_fini(&b->link);
	relay_free(b->relay);
	vdev_fini(&b->d);
	free(b);
}

static json_t *vublk_info(struct device *dev)
{
	struct vublk *b = device_of(dev, struct vublk);
	json_t *o = json_object();

	pthread_mutex_lock(b->d.lock);
	json_object_set_new(o, "kind", json_string("vhost-user"));
	json_object_set_new(
		o, "size_bytes", json_integer((json_int_t)(config_capacity(b->config) * 512)));
	json_object_set_new(o, "readonly",
		json_boolean(b->link.backend_features & VIRTIO_BIT(VIRTIO_BLK_F_RO)));
	json_object_set_new(o, "queues", json_integer(config_queues(b->config)));
	json_object_set_new(o, "in_flight", json_integer(relay_in_flight(b->relay)));
	vhost_link_info(&b->link, o);
	pthread_mutex_unlock(b->d.lock);
	return o;
}

static const struct device_ops vublk_device_ops = {
	.list = "disks",
	.start = vublk_start,
	.wait_first = vublk_wait_first,
	.reset = vublk_reset,
	.info = vublk_info,
	.free = vublk_free,
};

int vublk_new(unsigned index, const struct disk_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct vublk **out, struct err *e)
{
	struct vublk *b = calloc(1, sizeof(*b));
	struct virtio_pci_setup vs = { .device_type = 2,
		.class_code = 0x018000,
		.n_queues = (uint16_t)setup->queues,
		.queue_size = VUBLK_QUEUE_SIZE,
		.bar_addr = bar,
		.config_len = VUBLK_CONFIG_BYTES };
	int err;

	*out = b;
	if (!b)
		return err_set(e, -ENOMEM, "out of memory");
	b->dev = (struct device){ .ops = &vublk_device_ops, .fn = &b->d.v.fn };
	b->setup = setup;
	pci_put16(b->config + CONFIG_NUM_QUEUES, 1);
	vs.config = b->config;
	err = vdev_init(&b->d, "disk", index, &vs, host, &vublk_vdev_ops, b, e);
	if (err)
		return err;
	vhost_user_init(&b->back, setup->socket, PROTOCOL, vublk_connected, b);
	err = vhost_link_init(&b->link, &b->d, &b->back.back, &vublk_link_ops, b, e);
	if (!err)
		err = relay_new(&b->d, b->link.wake_fd, &b->relay, e);
	b->link.relay = b->relay;
	return err;
}
