/* SPDX-License-Identifier: Apache-2.0 */
/* The life with vhost-net: see vhost_net.h. The link's thread, but for fini. */
#include "vmm/vhost_net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vhost_net_own.h"

static struct vhost_net *net_of(struct vhost_back *b)
{
	return (struct vhost_net *)b; /* its first member */
}

static int call(struct vhost_net *n, unsigned pair, unsigned long request, void *arg,
	const char *what, struct err *e)
{
	int err = n->host->ioctl(n->vhost_fd[pair], request, arg);

	return err ? err_set(e, err, "vhost-net of tap %s: %s: %s", n->tap, what, err_str(err)) : 0;
}

int vhost_net_set_offloads(struct vhost_net *n, uint64_t features)
{
	static const struct {
		unsigned feature, flag;
	} map[] = { { VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 }, { VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN } };
	unsigned long flags = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (features & VIRTIO_BIT(map[i].feature))
			flags |= map[i].flag;
	/* This one takes its argument by value. */
	return n->host->ioctl(n->tap_fd[0], TUNSETOFFLOAD, (void *)flags);
}

int vhost_net_attach_queue(struct vhost_net *n, unsigned pair, bool on, struct err *e)
{
	struct ifreq r = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };
	int err = n->host->ioctl(n->tap_fd[pair], TUNSETQUEUE, &r);

	return err ? err_set(e, err, "tap %s: queue %u can't be %s: %s", n->tap, pair,
			     on ? "attached" : "detached", err_str(err))
		   : 0;
}

static void net_fini(struct vhost_back *b)
{
	vhost_net_fini(net_of(b));
}

/* All is open since the start: what may have happened is that somebody deleted the tap. */
static int net_open(struct vhost_back *b, int cancel_fd, struct err *e)
{
	struct vhost_net *n = net_of(b);
	struct pollfd p = { .fd = n->tap_fd[0] };

	if (poll(&p, 1, 0) == 1)
		return err_host(e, -ENODEV,
			"tap %s was deleted: the link stays down until the VM starts anew, with a "
			"tap",
			n->tap);
	n->open = true;
	return 0;
}

/* No events: an error, which is what a deleted tap's file has, comes unasked. */
static struct pollfd net_watch(const struct vhost_back *b)
{
	const struct vhost_net *n = (const struct vhost_net *)b;

	return (struct pollfd){ .fd = n->open ? n->tap_fd[0] : -1 };
}

static uint64_t net_features(const struct vhost_back *b)
{
	return ((const struct vhost_net *)b)->offered;
}

static unsigned net_queues(const struct vhost_back *b)
{
	return ((const struct vhost_net *)b)->pairs;
}

static int net_set_features(struct vhost_back *b, uint64_t features, struct err *e)
{
	struct vhost_net *n = net_of(b);
	uint64_t told = features & n->kernel;
	int err = 0;

	for (unsigned i = 0; i < n->pairs && !err; i++)
		err = call(n, i, VHOST_SET_FEATURES, &told, "features", e);
	if (err || !(n->offered & VHOST_NET_TAP))
		return err;
	err = vhost_net_set_offloads(n, features);
	return err ? err_set(e, err, "tap %s: offloads can't be set: %s", n->tap, err_str(err)) : 0;
}

/* The kernel reaches it through our own mappings. */
static int net_set_memory(struct vhost_back *b, const struct vu_region *r, size_t n, struct err *e)
{
	struct vhost_net *net = net_of(b);
	struct vhost_memory *m = calloc(1, sizeof(*m) + n * sizeof(m->regions[0]));
	int err = 0;

	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	m->nregions = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		m->regions[i] = (struct vhost_memory_region){ .guest_phys_addr = r[i].gpa,
			.memory_size = r[i].size,
			.userspace_addr = r[i].user_addr };
	for (unsigned i = 0; i < net->pairs && !err; i++)
		err = call(net, i, VHOST_SET_MEM_TABLE, m, "memory", e);
	free(m);
	return err;
}

static int set_fd(struct vhost_net *n, unsigned i, unsigned long request, int fd, const char *what,
	struct err *e)
{
	struct vhost_vring_file f = { .index = i % 2, .fd = fd };

	return call(n, i / 2, request, &f, what, e);
}

static int net_start_ring(struct vhost_back *b, const struct vu_ring *r, struct err *e)
{
	struct vhost_net *n = net_of(b);
	unsigned pair = r->index / 2;
	struct vhost_vring_state size = { .index = r->index % 2, .num = r->size };
	struct vhost_vring_state base = { .index = r->index % 2, .num = r->base };
	struct vhost_vring_addr addr = { .index = r->index % 2,
		.desc_user_addr = r->desc,
		.avail_user_addr = r->avail,
		.used_user_addr = r->used };
	int err;

	if (pair >= n->pairs)
		return err_set(e, -EINVAL, "tap %s has no ring %u", n->tap, r->index);
	if ((err = call(n, pair, VHOST_SET_VRING_NUM, &size, "a ring's size", e)) ||
		(err = call(n, pair, VHOST_SET_VRING_BASE, &base, "a ring's place", e)) ||
		(err = call(n, pair, VHOST_SET_VRING_ADDR, &addr, "a ring's address", e)) ||
		(err = set_fd(n, r->index, VHOST_SET_VRING_CALL, r->call_fd, "a call", e)))
		return err;
	return set_fd(n, r->index, VHOST_SET_VRING_KICK, r->kick_fd, "a kick", e);
}

/* The first pair is always attached: a tap without a queue has no carrier. */
static int net_enable_ring(struct vhost_back *b, unsigned i, bool on, struct err *e)
{
	struct vhost_net *n = net_of(b);
	bool steers = i % 2 == 0 && i >= 2;
	int err = 0;

	if (n->ring_on[i] == on)
		return 0;
	if (steers && on)
		err = vhost_net_attach_queue(n, i / 2, true, e);
	if (!err)
		err = set_fd(n, i, VHOST_NET_SET_BACKEND, on ? n->tap_fd[i / 2] : -1, "the tap", e);
	if (!err && steers && !on)
		err = vhost_net_attach_queue(n, i / 2, false, e);
	if (!err)
		n->ring_on[i] = on;
	return err;
}

/* The kick is the guest's: vhost must not take it while it does not serve the ring. */
static int net_stop_ring(struct vhost_back *b, unsigned i, uint32_t *base, struct err *e)
{
	struct vhost_net *n = net_of(b);
	struct vhost_vring_state s = { .index = i % 2 };
	int err = net_enable_ring(b, i, false, e);

	if (!err)
		err = set_fd(n, i, VHOST_SET_VRING_KICK, VHOST_FILE_UNBIND, "no kick", e);
	if (!err)
		err = call(n, i / 2, VHOST_GET_VRING_BASE, &s, "a ring's place", e);
	*base = s.num;
	return err;
}

/* Whatever fails: the rings are not to be touched any more. */
static void net_close(struct vhost_back *b)
{
	struct vhost_net *n = net_of(b);
	uint32_t unused;

	for (unsigned i = 0; i < 2 * n->pairs; i++)
		if (n->ring_on[i] && net_stop_ring(b, i, &unused, NULL))
			n->ring_on[i] = false;
	n->open = false;
}

const struct vhost_back_ops vhost_net_ops = {
	.key = "tap",
	.thread = SANDBOX_TAP,
	.look_ms = VHOST_NET_LOOK_MS,
	.fini = net_fini,
	.open = net_open,
	.close = net_close,
	.watch = net_watch,
	.features = net_features,
	.queues = net_queues,
	.set_features = net_set_features,
	.set_memory = net_set_memory,
	.start_ring = net_start_ring,
	.enable_ring = net_enable_ring,
	.stop_ring = net_stop_ring,
};
