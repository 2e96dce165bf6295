/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's back end against a host that is a script: what is opened, what it is told and in
 * which order, and the sentence for each thing that the host may lack.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/nic_features.h"
#include "vmm/vhost_net.h"

#define FDS 64

/* The host: what there is, what fails, and what was said. One test at a time. */
static struct {
	const char *missing;  /* path that can't be opened, */
	int why;              /* with this */
	unsigned long refuse; /* request that fails, */
	int refuse_why;       /* with this */
	int deleted;          /* tap files are readable pipes' ends whose other end is gone */
	uint64_t features;
	char kind[FDS]; /* of each descriptor: 't' tun, 'v' vhost, 0 other */
	unsigned n_tun, n_vhost;
	char said[4096];
	unsigned long offloads;
	uint64_t told;
	struct vhost_vring_addr addr[2];
	uint64_t regions, first_gpa, first_user;
	int other[FDS]; /* a pipe's other end */
} host;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	size_t at = strlen(host.said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(host.said + at, sizeof(host.said) - at, fmt, ap);
	va_end(ap);
}

static int fake_open(const char *path, int flags)
{
	int p[2];

	if (host.missing && strstr(path, host.missing))
		return host.why;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_true(p[1] < FDS);
	/* The end to write to: it reports an error when the other one is closed. */
	host.other[p[1]] = p[0];
	host.kind[p[1]] = strcmp(path, "/dev/net/tun") == 0 ? 't'
		: strcmp(path, "/dev/vhost-net") == 0       ? 'v'
							    : 'f';
	if (host.kind[p[1]] == 'f')
		close(p[0]);
	host.n_tun += host.kind[p[1]] == 't';
	host.n_vhost += host.kind[p[1]] == 'v';
	return p[1];
}

static int tun_call(unsigned long request, void *arg)
{
	const struct ifreq *r = arg;

	switch (request) {
	case TUNGETFEATURES:
		*(unsigned *)arg = IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE;
		return 0;
	case TUNSETIFF:
		say("attach %s%s%s;", r->ifr_name, r->ifr_flags & IFF_MULTI_QUEUE ? " multi" : "",
			r->ifr_flags & IFF_VNET_HDR ? "" : " bare");
		return 0;
	case TUNSETVNETHDRSZ:
		say("header %d;", *(int *)arg);
		return 0;
	case TUNSETVNETLE:
		return 0;
	case TUNSETQUEUE:
		say("%s;", r->ifr_flags & IFF_ATTACH_QUEUE ? "queue on" : "queue off");
		return 0;
	case TUNSETOFFLOAD:
		host.offloads = (unsigned long)arg;
		return 0;
	default:
		fail_msg("request %#lx to a tun", request);
		return -ENOTTY;
	}
}

static void take_memory(const struct vhost_memory *m)
{
	host.regions = m->nregions;
	host.first_gpa = m->regions[0].guest_phys_addr;
	host.first_user = m->regions[0].userspace_addr;
}

static int vhost_call(unsigned long request, void *arg)
{
	struct vhost_vring_state *s = arg;
	struct vhost_vring_file *f = arg;

	switch (request) {
	case VHOST_SET_OWNER:
		return 0;
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = host.features;
		return 0;
	case VHOST_SET_FEATURES:
		host.told = *(uint64_t *)arg;
		return 0;
	case VHOST_SET_MEM_TABLE:
		take_memory(arg);
		return 0;
	case VHOST_SET_VRING_NUM:
		say("num %u=%u;", s->index, s->num);
		return 0;
	case VHOST_SET_VRING_BASE:
		say("base %u=%u;", s->index, s->num);
		return 0;
	case VHOST_SET_VRING_ADDR:
		host.addr[((struct vhost_vring_addr *)arg)->index] =
			*(struct vhost_vring_addr *)arg;
		say("addr %u;", s->index);
		return 0;
	case VHOST_SET_VRING_CALL:
		say("call %u;", f->index);
		return 0;
	case VHOST_SET_VRING_KICK:
		say(f->fd < 0 ? "no kick %u;" : "kick %u;", f->index);
		return 0;
	case VHOST_GET_VRING_BASE:
		s->num = 77;
		return 0;
	case VHOST_NET_SET_BACKEND:
		if (f->fd >= 0)
			assert_int_equal(host.kind[f->fd], 't');
		say(f->fd < 0 ? "off %u;" : "on %u;", f->index);
		return 0;
	default:
		fail_msg("request %#lx to vhost-net", request);
		return -ENOTTY;
	}
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	if (host.refuse && request == host.refuse)
		return host.refuse_why;
	return host.kind[fd] == 't' ? tun_call(request, arg) : vhost_call(request, arg);
}

static const struct vhost_net_host fake = { fake_open, fake_ioctl };

static int setup(void **state)
{
	memset(&host, 0, sizeof(host));
	/* A 6.1 kernel's: with what we don't ask for as well (LOG_ALL, VIRTIO_NET_HDR, IOMMU). */
	host.features = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) |
		VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) |
		VIRTIO_BIT(26) | VIRTIO_BIT(27) | VIRTIO_BIT(33);
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < FDS; i++)
		if (host.other[i] && host.kind[i] != 'f' && i != host.deleted)
			close(host.other[i]);
	return 0;
}

static struct vhost_net open_one(unsigned pairs)
{
	struct vhost_net n;
	struct err e = { 0 };

	if (vhost_net_init(&n, "lab0", pairs, &fake, &e))
		fail_msg("%s", e.text);
	n.back.name = n.tap; /* it was moved */
	return n;
}

static void test_open(void **state)
{
	struct vhost_net n = open_one(1);

	assert_int_equal(host.n_tun, 1);
	assert_int_equal(host.n_vhost, 1);
	assert_string_equal(host.said, "attach lab0;header 12;");
	assert_string_equal(n.back.what, "tap lab0");
	vhost_net_fini(&n);

	host.said[0] = '\0';
	n = open_one(3);
	assert_int_equal(host.n_tun, 1 + 3);
	assert_int_equal(host.n_vhost, 1 + 3);
	/* Frames go to the first pair until the driver uses others. */
	assert_string_equal(host.said,
		"attach lab0 multi;attach lab0 multi;attach lab0 multi;header 12;queue off;queue "
		"off;");
	assert_int_equal(n.back.ops->queues(&n.back), 3);
	vhost_net_fini(&n);
}

static void test_features(void **state)
{
	struct vhost_net n = open_one(1);
	struct vhost_back *b = &n.back;
	uint64_t offered = b->ops->features(b);
	struct err e = { 0 };

	assert_true(offered & VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF));
	assert_true(offered & VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4));
	assert_true(offered & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM));
	/* What only the kernel and its user know of, and packed rings, are not passed on. */
	assert_false(offered &
		(VIRTIO_BIT(26) | VIRTIO_BIT(27) | VIRTIO_BIT(33) |
			VIRTIO_BIT(VIRTIO_F_RING_PACKED)));
	/* Each side is told its own: vhost-net of rings, the tap of what the guest takes. */
	assert_int_equal(
		b->ops->set_features(b,
			VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
				VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
				VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_MAC),
			&e),
		0);
	assert_int_equal(host.told, VIRTIO_BIT(VIRTIO_F_VERSION_1));
	assert_int_equal(host.offloads, TUN_F_CSUM | TUN_F_TSO4);
	/* The driver switches them off (CTRL_GUEST_OFFLOADS). */
	assert_int_equal(b->ops->set_features(b, VIRTIO_BIT(VIRTIO_F_VERSION_1), &e), 0);
	assert_int_equal(host.offloads, 0);
	vhost_net_fini(&n);

	/* A tap that takes none of it: the guest is offered none. */
	host.refuse = TUNSETOFFLOAD;
	host.refuse_why = -EINVAL;
	n = open_one(1);
	assert_false(n.back.ops->features(&n.back) & VIRTIO_BIT(VIRTIO_NET_F_CSUM));
	assert_int_equal(n.back.ops->set_features(&n.back, VIRTIO_BIT(VIRTIO_F_VERSION_1), &e), 0);
	vhost_net_fini(&n);
}

static void start_ring(struct vhost_back *b, unsigned i, uint32_t base)
{
	struct vu_ring r = { .index = i,
		.size = 256,
		.desc = 0x1000,
		.avail = 0x2000,
		.used = 0x3000,
		.base = base,
		.kick_fd = 1,
		.call_fd = 2,
		.err_fd = -1 };
	struct err e = { 0 };

	if (b->ops->start_ring(b, &r, &e))
		fail_msg("%s", e.text);
}

static void test_rings(void **state)
{
	struct vhost_net n = open_one(2);
	struct vhost_back *b = &n.back;
	struct vu_region r[2] = { { .gpa = 0, .size = 4096, .user_addr = 0x7000 },
		{ .gpa = 1ull << 32, .size = 4096, .user_addr = 0x9000 } };
	struct err e = { 0 };
	uint32_t base = 0;

	assert_int_equal(b->ops->set_memory(b, r, 2, &e), 0);
	assert_int_equal(host.regions, 2);
	assert_int_equal(host.first_gpa, 0);
	assert_int_equal(host.first_user, 0x7000);
	host.said[0] = '\0';
	start_ring(b, 0, 5);
	assert_string_equal(host.said, "num 0=256;base 0=5;addr 0;call 0;kick 0;");
	assert_int_equal(host.addr[0].desc_user_addr, 0x1000);
	assert_int_equal(host.addr[0].avail_user_addr, 0x2000);
	assert_int_equal(host.addr[0].used_user_addr, 0x3000);
	/* Served while enabled only; the second pair gets frames from then on. */
	host.said[0] = '\0';
	assert_int_equal(b->ops->enable_ring(b, 0, true, &e), 0);
	assert_string_equal(host.said, "on 0;");
	start_ring(b, 2, 0);
	start_ring(b, 3, 0);
	host.said[0] = '\0';
	assert_int_equal(b->ops->enable_ring(b, 2, true, &e), 0);
	assert_int_equal(b->ops->enable_ring(b, 3, true, &e), 0);
	assert_string_equal(host.said, "queue on;on 0;on 1;");
	host.said[0] = '\0';
	assert_int_equal(b->ops->enable_ring(b, 2, false, &e), 0);
	assert_string_equal(host.said, "off 0;queue off;");
	/* Taken back: the guest's kick is no longer vhost-net's to take. */
	host.said[0] = '\0';
	assert_int_equal(b->ops->stop_ring(b, 0, &base, &e), 0);
	assert_string_equal(host.said, "off 0;no kick 0;");
	assert_int_equal(base, 77);
	/* Ring 3 is still served: closing ends that. */
	host.said[0] = '\0';
	b->ops->close(b);
	assert_string_equal(host.said, "off 1;no kick 1;");
	host.said[0] = '\0';
	b->ops->close(b);
	assert_string_equal(host.said, "");
	struct vu_ring none = { .index = 4 };
	assert_int_equal(b->ops->start_ring(b, &none, &e), -EINVAL);
	vhost_net_fini(&n);
}

static void test_ring_refused(void **state)
{
	struct vhost_net n = open_one(1);
	struct vu_ring r = { .index = 1, .size = 256, .kick_fd = 1, .call_fd = 2 };
	struct err e = { 0 };

	host.refuse = VHOST_SET_VRING_ADDR;
	host.refuse_why = -EFAULT;
	assert_int_equal(n.back.ops->start_ring(&n.back, &r, &e), -EFAULT);
	assert_string_equal(e.text, "vhost-net of tap lab0: a ring's address: Bad address");
	vhost_net_fini(&n);
}

/* Somebody deletes the tap: seen at the next look, and said each time that it is tried. */
static void test_deleted(void **state)
{
	struct vhost_net n = open_one(1);
	struct vhost_back *b = &n.back;
	struct pollfd p;
	struct err e = { 0 };

	assert_int_equal(b->ops->watch(b).fd, -1); /* nothing is waited for: it can be opened */
	assert_int_equal(b->ops->open(b, -1, &e), 0);
	p = b->ops->watch(b);
	assert_int_equal(p.fd, n.tap_fd[0]);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_true(b->ops->look_ms > 0);
	host.deleted = n.tap_fd[0];
	close(host.other[n.tap_fd[0]]);
	assert_int_equal(poll(&p, 1, 0), 1);
	b->ops->close(b);
	assert_int_equal(b->ops->watch(b).fd, -1);
	assert_int_equal(b->ops->open(b, -1, &e), -ENODEV);
	assert_string_equal(e.text,
		"tap lab0 was deleted: the link stays down until the VM starts anew, with a tap");
	vhost_net_fini(&n);
}

static void test_lacks(void **state)
{
	static const struct {
		const char *missing;
		int why;
		unsigned long refuse;
		int refuse_why;
		unsigned pairs;
		const char *text;
		enum err_class class;
	} cases[] = {
		{ "vhost-net", -ENOENT, 0, 0, 1,
			"there is no /dev/vhost-net, which a tap NIC needs (No such file or "
			"directory): modprobe vhost_net",
			ERR_HOST },
		{ "vhost-net", -EACCES, 0, 0, 1,
			"no permission for /dev/vhost-net: be root (sudo), or join the group kvm",
			ERR_HOST },
		{ "net/tun", -ENODEV, 0, 0, 1, "modprobe tun", ERR_HOST },
		{ "net/tun", -EACCES, 0, 0, 1, "no permission for /dev/net/tun: be root (sudo)",
			ERR_HOST },
		{ "class/net/lab0", -ENOENT, 0, 0, 1,
			"there is no tap lab0: make it (ip tuntap add lab0 mode tap vnet_hdr), and "
			"put it where frames are to go (ip link set lab0 master BRIDGE up)",
			ERR_HOST },
		{ "tun_flags", -ENOENT, 0, 0, 1,
			"lab0 is an interface of the host's, but no tap: name another",
			ERR_REQUEST },
		{ NULL, 0, TUNSETIFF, -EBUSY, 1,
			"tap lab0 is in use: another program, a VM as a rule, is attached to it",
			ERR_HOST },
		{ NULL, 0, TUNSETIFF, -EPERM, 1, "tap lab0 is not ours: be root (sudo), or make",
			ERR_HOST },
		{ NULL, 0, TUNSETIFF, -EINVAL, 1,
			"tap lab0 does not take 1 queue pair: ", ERR_HOST },
		{ NULL, 0, TUNSETIFF, -EINVAL, 2,
			"tap lab0 does not take 2 queue pairs: it was made without multi_queue",
			ERR_HOST },
		{ NULL, 0, VHOST_SET_OWNER, -EBUSY, 1, "/dev/vhost-net does not take us on",
			ERR_HOST },
		{ NULL, 0, TUNSETVNETHDRSZ, -EINVAL, 1, "its virtio headers can't be set up",
			ERR_HOST },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vhost_net n;
		struct err e = { 0 };

		host.missing = cases[i].missing;
		host.why = cases[i].why;
		host.refuse = cases[i].refuse;
		host.refuse_why = cases[i].refuse_why;
		assert_true(vhost_net_init(&n, "lab0", cases[i].pairs, &fake, &e) < 0);
		if (!strstr(e.text, cases[i].text))
			fail_msg("case %zu: %s", i, e.text);
		assert_int_equal(e.class, cases[i].class);
		vhost_net_fini(&n);
		for (unsigned k = 0; k < VHOST_NET_PAIRS_MAX; k++)
			assert_int_equal(n.tap_fd[k] & n.vhost_fd[k], -1);
	}
	host.refuse = 0;
	host.missing = NULL;
	host.features = VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	struct vhost_net n;
	struct err e = { 0 };
	assert_int_equal(vhost_net_init(&n, "lab0", 1, &fake, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "VERSION_1: too old"));
	vhost_net_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lacks, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
