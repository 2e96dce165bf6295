/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-fs over vhost-user: see vufs.h. */
#include "vmm/vufs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vhost-user/proto.h"

#define FEATURES                                                               \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | \
		VIRTIO_BIT(VIRTIO_F_EVENT_IDX))

static uint64_t vufs_features(void *arg)
{
	const struct vufs *s = arg;

	return s->link.backend_seen ? FEATURES & s->link.backend_features : FEATURES;
}

static void vufs_started(void *arg)
{
	vhost_link_started(&((struct vufs *)arg)->link);
}

static bool vufs_device_reset(void *arg)
{
	return vhost_link_device_reset(&((struct vufs *)arg)->link);
}

static const struct vdev_ops vufs_vdev_ops = {
	.features = vufs_features,
	.started = vufs_started,
	.reset = vufs_device_reset,
};

static int vufs_connected(void *arg, struct vu_frontend *f, struct err *e)
{
	const struct vufs *s = arg;
	int err = vu_expect_kind(f, VU_KIND_FS, e);

	if (!err && vu_queue_num(f) < s->setup->queues + 1)
		return err_set(e, -EOPNOTSUPP,
			"the back end at %s has %u queues, %u requests' and the urgent one are "
			"asked for: virtiofsd has one for requests (queues=1)",
			s->setup->socket, vu_queue_num(f), s->setup->queues);
	return err;
}

static unsigned vufs_rings(void *arg, uint64_t acked)
{
	return ((const struct vufs *)arg)->setup->queues + 1;
}

/* virtiofsd completes in order (it has no thread pool unless told to). */
static int vufs_resume(
	void *arg, const struct virtio_queue *q, unsigned i, uint32_t *base, struct err *e)
{
	const struct vufs *s = arg;
	const uint16_t *used =
		gmem_at(s->d.mem, (gpa_t){ q->device }, virtio_device_bytes(q->size));

	*base = __atomic_load_n(&used[1], __ATOMIC_ACQUIRE);
	return 0;
}

static void vufs_set_up(void *arg, bool up)
{
	struct vufs *s = arg;

	if (s->up == up)
		return;
	s->up = up;
	if (s->link.quiet)
		return;
	if (!up)
		log_info("%s: requests for \"%s\" wait for the back end", s->d.name, s->setup->tag);
	else if (s->link.resumed && s->link.reconnects)
		log_warn("%s: a new back end serves \"%s\": the guest must mount it anew",
			s->d.name, s->setup->tag);
	else
		log_info("%s: \"%s\" is there", s->d.name, s->setup->tag);
}

#define PROTOCOL (1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK)

static const struct vhost_link_ops vufs_link_ops = {
	.feature_name = vu_fs_feature_name,
	.rings = vufs_rings,
	.resume = vufs_resume,
	.set_up = vufs_set_up,
};

static int vufs_start(struct device *dev, struct err *e)
{
	return vhost_link_start(&device_of(dev, struct vufs)->link, e);
}

static void vufs_wait_first(struct device *dev, int timeout_ms)
{
	struct vufs *s = device_of(dev, struct vufs);

	if (!vhost_link_wait_connected(&s->link, VUFS_WAIT_MS))
		log_warn("%s: no back end at %s after %d s: the guest starts, and waits for "
			 "\"%s\" if it mounts it",
			s->d.name, s->setup->socket, VUFS_WAIT_MS / 1000, s->setup->tag);
}

static void vufs_reset(struct device *dev, int timeout_ms)
{
	vhost_link_machine_reset(&device_of(dev, struct vufs)->link, timeout_ms);
}

static void vufs_free(struct device *dev)
{
	struct vufs *s = device_of(dev, struct vufs);

	vhost_link_fini(&s->link);
	vdev_fini(&s->d);
	free(s);
}

static json_t *vufs_info(struct device *dev)
{
	struct vufs *s = device_of(dev, struct vufs);
	json_t *o = json_object();

	pthread_mutex_lock(s->d.lock);
	json_object_set_new(o, "tag", json_string(s->setup->tag));
	json_object_set_new(o, "queues", json_integer(s->setup->queues));
	vhost_link_info(&s->link, o);
	pthread_mutex_unlock(s->d.lock);
	return o;
}

static const struct device_ops vufs_device_ops = {
	.list = "fs",
	.start = vufs_start,
	.wait_first = vufs_wait_first,
	.reset = vufs_reset,
	.info = vufs_info,
	.free = vufs_free,
};

int vufs_new(unsigned index, const struct fs_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct vufs **out, struct err *e)
{
	struct vufs *s = calloc(1, sizeof(*s));
	struct virtio_pci_setup vs = { .device_type = 26,
		.class_code = 0x018000,
		.n_queues = (uint16_t)(setup->queues + 1),
		.bar_addr = bar,
		.config_len = VUFS_CONFIG_BYTES };
	int err;

	*out = s;
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->dev = (struct device){ .ops = &vufs_device_ops, .fn = &s->d.v.fn };
	s->setup = setup;
	memcpy(s->config, setup->tag, strnlen(setup->tag, FS_TAG_MAX));
	pci_put32(s->config + FS_TAG_MAX, setup->queues);
	vs.config = s->config;
	err = vdev_init(&s->d, "fs", index, &vs, host, &vufs_vdev_ops, s, e);
	if (err)
		return err;
	vhost_user_init(&s->back, setup->socket, PROTOCOL, vufs_connected, s);
	return vhost_link_init(&s->link, &s->d, &s->back.back, &vufs_link_ops, s, e);
}
