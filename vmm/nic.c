/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net as the guest sees it: see nic.h. Section numbers are those of virtio 1.2. */
#include "vmm/nic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vhost-user/proto.h"
#include "vmm/nic_ring.h"

#define PROTOCOL \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG | 1ull << VU_PF_NET_MTU)
#define RESUME_TRIES 100 /* at a ring whose driver is in the middle of adding a chain */

static uint64_t nic_features(void *arg)
{
	const struct nic *n = arg;
	const struct nic_offer o = { .seen = n->link.backend_seen,
		.backend = n->link.backend_features,
		.backend_pairs = n->link.backend_queues,
		.pairs = n->setup.pairs,
		.mtu = n->setup.mtu,
		.packed = n->setup.packed,
		.offloads = n->setup.offloads };

	return nic_features_offer(&o);
}

static bool nic_features_ok(void *arg, uint64_t acked)
{
	return nic_features_fit(acked);
}

int nic_ctrl_index(const struct nic *n)
{
	if (!(n->d.v.acked & VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ)))
		return -1;
	return n->d.v.acked & VIRTIO_BIT(VIRTIO_NET_F_MQ) ? 2 * (int)n->setup.pairs : 2;
}

static void nic_started(void *arg)
{
	struct nic *n = arg;

	vhost_link_started(&n->link);
}

static bool nic_device_reset(void *arg)
{
	struct nic *n = arg;

	n->pairs_wanted = 1;
	n->offloads_off = 0;
	n->ctrl_ready = false;
	n->config[6] &= (uint8_t)~VIRTIO_NET_S_ANNOUNCE;
	memcpy(n->config, n->setup.mac.b, 6);
	return vhost_link_device_reset(&n->link);
}

static const struct vdev_ops nic_vdev_ops = {
	.features = nic_features,
	.features_ok = nic_features_ok,
	.started = nic_started,
	.reset = nic_device_reset,
};

static bool nic_suits(void *arg, const struct vhost_back *b, struct err *e)
{
	const struct nic *n = arg;
	const struct virtio_pci *v = &n->d.v;

	if (!(v->status & VIRTIO_S_FEATURES_OK) || !(v->acked & VIRTIO_BIT(VIRTIO_NET_F_MQ)) ||
		b->ops->queues(b) >= n->setup.pairs)
		return true;
	err_set(e, -EOPNOTSUPP,
		"%s has %u queue pairs, the guest was promised %u: the link stays down", b->what,
		b->ops->queues(b), n->setup.pairs);
	return false;
}

static unsigned nic_rings(void *arg, uint64_t acked)
{
	const struct nic *n = arg;

	return 2 * (acked & VIRTIO_BIT(VIRTIO_NET_F_MQ) ? n->setup.pairs : 1);
}

static unsigned nic_rings_on(void *arg)
{
	const struct nic *n = arg;

	return 2u * n->pairs_wanted;
}

/* Even queues receive (5.1.2). */
static int nic_resume(
	void *arg, const struct virtio_queue *q, unsigned i, uint32_t *base, struct err *e)
{
	const struct nic *n = arg;
	bool transmit = i % 2;

	if (q->packed) {
		void *desc = gmem_at(n->d.mem, (gpa_t){ q->desc }, virtio_desc_bytes(q->size));

		for (unsigned tries = 0; tries < RESUME_TRIES; tries++)
			if (nic_ring_resume_packed(desc, q->size, transmit, base))
				return 0;
		return err_set(e, -EAGAIN,
			"the entries of packed ring %u contradict each other: the link stays down "
			"until they don't, or the guest's driver starts anew",
			i);
	}
	void *avail = gmem_at(n->d.mem, (gpa_t){ q->driver }, virtio_queue_driver_bytes(q));
	void *used = gmem_at(n->d.mem, (gpa_t){ q->device }, virtio_queue_device_bytes(q));

	*base = transmit ? nic_ring_resume_transmit(avail, used, q->size)
			 : nic_ring_resume_receive(used);
	return 0;
}

static uint64_t nic_backend_features(void *arg, uint64_t acked)
{
	const struct nic *n = arg;

	return acked & ~n->offloads_off;
}

static int nic_ctrl_queue(void *arg)
{
	return nic_ctrl_index(arg);
}

static void nic_serve(void *arg)
{
	nic_ctrl_serve(arg);
}

static int nic_connected(void *arg, struct vu_frontend *f, struct err *e)
{
	struct nic *n = arg;
	int err = vu_expect_kind(f, VU_KIND_NET, e);

	if (!err && n->setup.mtu)
		err = vu_set_mtu(f, (uint16_t)n->setup.mtu, e);
	if (err != -EREMOTEIO)
		return err;
	log_warn("%s: %s", n->d.name, e->text);
	return 0;
}

/* A guest whose back end is a new one tells its neighbours where it is (5.1.5.1). */
static void nic_set_link(void *arg, bool up)
{
	struct nic *n = arg;
	uint16_t status = up ? VIRTIO_NET_S_LINK_UP : 0;

	if (n->link_up == up)
		return;
	n->link_up = up;
	if (up && virtio_pci_is_started(&n->d.v) &&
		(n->d.v.acked & VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE)))
		status |= VIRTIO_NET_S_ANNOUNCE;
	pci_put16(n->config + 6, status);
	virtio_pci_config_changed(&n->d.v);
	if (!n->link.quiet)
		log_info("%s: link %s", n->d.name, up ? "up" : "down");
}

static const struct vhost_link_ops nic_link_ops = {
	.own = NIC_FEATURES_OURS,
	.feature_name = vu_net_feature_name,
	.suits = nic_suits,
	.features = nic_backend_features,
	.rings = nic_rings,
	.rings_on = nic_rings_on,
	.resume = nic_resume,
	.set_up = nic_set_link,
	.own_queue = nic_ctrl_queue,
	.serve = nic_serve,
};

static int nic_start(struct device *dev, struct err *e)
{
	return vhost_link_start(&device_of(dev, struct nic)->link, e);
}

static void nic_wait_first(struct device *dev, int timeout_ms)
{
	vhost_link_wait_first(&device_of(dev, struct nic)->link, timeout_ms);
}

static void nic_reset(struct device *dev, int timeout_ms)
{
	vhost_link_machine_reset(&device_of(dev, struct nic)->link, timeout_ms);
}

static void nic_free(struct device *dev)
{
	struct nic *n = device_of(dev, struct nic);

	vhost_link_fini(&n->link);
	vdev_fini(&n->d);
	free(n);
}

static json_t *nic_info(struct device *dev)
{
	struct nic *n = device_of(dev, struct nic);
	char mac[ETHER_MAC_STR];
	json_t *o = json_object();

	pthread_mutex_lock(n->d.lock);
	json_object_set_new(o, "mac", json_string(ether_mac_str(n->setup.mac, mac)));
	json_object_set_new(o, "mtu", json_integer(n->setup.mtu ? n->setup.mtu : 1500));
	json_object_set_new(o, "link", json_string(n->link_up ? "up" : "down"));
	json_object_set_new(
		o, "queues", json_integer(virtio_pci_is_started(&n->d.v) ? n->pairs_wanted : 0));
	vhost_link_info(&n->link, o);
	pthread_mutex_unlock(n->d.lock);
	return o;
}

static const struct device_ops nic_device_ops = {
	.list = "nics",
	.start = nic_start,
	.wait_first = nic_wait_first,
	.reset = nic_reset,
	.info = nic_info,
	.free = nic_free,
};

/* The back end, and the link that has it. */
static int nic_back_init(struct nic *n, struct err *e)
{
	struct vhost_back *back = n->setup.tap ? &n->back.net.back : &n->back.user.back;
	struct err why = { 0 };
	int failed = 0, err;

	if (n->setup.tap) {
		failed = vhost_net_init(
			&n->back.net, n->setup.tap, n->setup.pairs, &vhost_net_host, &why);
	} else {
		vhost_user_init(&n->back.user, n->setup.socket, PROTOCOL, nic_connected, n);
		n->back.user.listen = n->setup.listen;
	}
	/* Also after a failure: the link frees the back end. */
	err = vhost_link_init(&n->link, &n->d, back, &nic_link_ops, n, e);
	if (failed && e)
		*e = why;
	return failed ? err_prefix(e, "%s", n->d.name) : err;
}

int nic_new(unsigned index, const struct nic_setup *setup, uint64_t bar,
	const struct vdev_host *host, struct nic **out, struct err *e)
{
	struct nic *n = calloc(1, sizeof(*n));
	struct virtio_pci_setup vs = { .device_type = 1,
		.class_code = 0x020000,
		.n_queues = (uint16_t)(2 * setup->pairs + 1),
		.queue_size = (uint16_t)setup->ring,
		.bar_addr = bar,
		.config_len = sizeof(n->config) };
	int err;

	*out = n;
	if (!n)
		return err_set(e, -ENOMEM, "out of memory");
	n->dev = (struct device){ .ops = &nic_device_ops, .fn = &n->d.v.fn };
	n->setup = *setup;
	n->pairs_wanted = 1;
	memcpy(n->config, setup->mac.b, 6);
	pci_put16(n->config + 8, (uint16_t)setup->pairs);
	pci_put16(n->config + 10, (uint16_t)setup->mtu);
	vs.config = n->config;
	err = vdev_init(&n->d, "nic", index, &vs, host, &nic_vdev_ops, n, e);
	if (err)
		return err;
	return nic_back_init(n, e);
}
