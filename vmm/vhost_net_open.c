/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting a tap and vhost-net, and what to do where they are not to be had: see vhost_net.h. Main
 * thread, while it is the only one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "vmm/nic_features.h"
#include "vmm/vhost_net_own.h"

#define TUN_PATH   "/dev/net/tun"
#define VHOST_PATH "/dev/vhost-net"

static int host_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int host_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

const struct vhost_net_host vhost_net_host = { host_open, host_ioctl };

/* As the kernel's dev_valid_name has it; names with a % are patterns to it. */
int vhost_net_name_check(const char *tap, struct err *e)
{
	bool bad = !*tap || !strcmp(tap, ".") || !strcmp(tap, "..");

	for (const char *c = tap; *c; c++)
		bad |= *c <= ' ' || *c > '~' || strchr("/:%", *c);
	if (bad)
		return err_request(e, -EINVAL,
			"\"%s\" is no interface's name: it has letters, digits and . _ -", tap);
	if (strlen(tap) >= IFNAMSIZ)
		return err_request(e, -EINVAL,
			"the tap's name \"%s\" has %zu characters: an interface's has %d at most",
			tap, strlen(tap), IFNAMSIZ - 1);
	return 0;
}

static bool is_missing(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -ENXIO;
}

/* /dev/NAME of a module's; `group`: who may open it on Debian. */
static int open_device(
	struct vhost_net *n, const char *path, const char *module, const char *group, struct err *e)
{
	int fd = n->host->open(path, O_RDWR | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (is_missing(fd))
		return err_host(e, fd, "there is no %s, which a tap NIC needs (%s): modprobe %s",
			path, err_str(fd), module);
	if (fd == -EACCES || fd == -EPERM)
		return err_host(e, fd, "no permission for %s: be root (sudo)%s%s", path,
			group ? ", or join the group " : "", group ? group : "");
	return err_host(e, fd, "%s can't be opened: %s", path, err_str(fd));
}

/* It must be there, and be a tap: to attach to a name that is free would make one, which leads
 * nowhere. */
static int look_for_tap(struct vhost_net *n, struct err *e)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/tun_flags", n->tap);
	fd = n->host->open(path, O_RDONLY);
	if (fd >= 0) {
		fd_close(&fd);
		return 0;
	}
	snprintf(path, sizeof(path), "/sys/class/net/%s", n->tap);
	fd = n->host->open(path, O_RDONLY);
	if (fd >= 0) {
		fd_close(&fd);
		return err_request(e, -EINVAL,
			"%s is an interface of the host's, but no tap: name another", n->tap);
	}
	return err_host(e, -ENODEV,
		"there is no tap %s: make it (ip tuntap add %s mode tap vnet_hdr%s), and put it "
		"where frames are to go (ip link set %s master BRIDGE up)",
		n->tap, n->tap, n->pairs > 1 ? " multi_queue" : "", n->tap);
}

static int attach_failed(const struct vhost_net *n, int err, struct err *e)
{
	switch (err) {
	case -EBUSY:
		return err_host(e, err,
			"tap %s is in use: another program, a VM as a rule, is attached to it",
			n->tap);
	case -EPERM:
	case -EACCES:
		return err_host(e, err,
			"tap %s is not ours: be root (sudo), or make it for this user (ip tuntap "
			"add %s mode tap user NAME)",
			n->tap, n->tap);
	case -E2BIG:
	case -EINVAL:
		return err_host(e, err,
			"tap %s does not take %u queue pair%s: it was made %s, or is a tun (ip "
			"tuntap del %s mode tap, then add it anew%s)",
			n->tap, n->pairs, n->pairs > 1 ? "s" : "",
			n->pairs > 1 ? "without multi_queue" : "with multi_queue", n->tap,
			n->pairs > 1 ? " with multi_queue" : "");
	default:
		return err_host(e, err, "tap %s can't be attached to: %s", n->tap, err_str(err));
	}
}

/* One more file of the tap's. */
static int attach(struct vhost_net *n, unsigned pair, struct err *e)
{
	struct ifreq r = { 0 };
	int fd = open_device(n, TUN_PATH, "tun", NULL, e), err;
	unsigned can = 0;

	if (fd < 0)
		return fd;
	n->tap_fd[pair] = fd;
	err = n->host->ioctl(fd, TUNGETFEATURES, &can);
	if (err || !(can & IFF_VNET_HDR))
		return err_host(e, err ? err : -EOPNOTSUPP,
			TUN_PATH ": this kernel's taps have no virtio headers");
	strcpy(r.ifr_name, n->tap);
	r.ifr_flags =
		(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (n->pairs > 1 ? IFF_MULTI_QUEUE : 0));
	err = n->host->ioctl(fd, TUNSETIFF, &r);
	return err ? attach_failed(n, err, e) : 0;
}

/* What is the same for all of the tap's files. */
static int set_up_tap(struct vhost_net *n, struct err *e)
{
	int header = VHOST_NET_HEADER, little = 1, err;

	err = n->host->ioctl(n->tap_fd[0], TUNSETVNETHDRSZ, &header);
	if (!err)
		err = n->host->ioctl(n->tap_fd[0], TUNSETVNETLE, &little);
	if (err)
		return err_host(e, err, "tap %s: its virtio headers can't be set up: %s", n->tap,
			err_str(err));
	/* Queues that the driver does not use yet get no frames. */
	for (unsigned pair = 1; pair < n->pairs; pair++)
		if ((err = vhost_net_attach_queue(n, pair, false, e)))
			return err;
	return 0;
}

static int open_vhost(struct vhost_net *n, unsigned pair, struct err *e)
{
	int fd = open_device(n, VHOST_PATH, "vhost_net", "kvm", e), err;
	uint64_t has = 0;

	if (fd < 0)
		return fd;
	n->vhost_fd[pair] = fd;
	err = n->host->ioctl(fd, VHOST_SET_OWNER, NULL);
	if (!err)
		err = n->host->ioctl(fd, VHOST_GET_FEATURES, &has);
	if (err)
		return err_host(e, err, VHOST_PATH " does not take us on: %s", err_str(err));
	n->kernel = has & VHOST_NET_KERNEL;
	if (!(has & VIRTIO_BIT(VIRTIO_F_VERSION_1)))
		return err_host(
			e, -EOPNOTSUPP, VHOST_PATH ": this kernel's has no VERSION_1: too old");
	return 0;
}

int vhost_net_init(struct vhost_net *n, const char *tap, unsigned pairs,
	const struct vhost_net_host *host, struct err *e)
{
	int err;

	*n = (struct vhost_net){ .host = host, .pairs = pairs };
	for (unsigned i = 0; i < VHOST_NET_PAIRS_MAX; i++)
		n->tap_fd[i] = n->vhost_fd[i] = -1;
	n->back = (struct vhost_back){ .ops = &vhost_net_ops, .name = n->tap };
	err = vhost_net_name_check(tap, e);
	if (err)
		return err;
	snprintf(n->tap, sizeof(n->tap), "%s", tap);
	snprintf(n->back.what, sizeof(n->back.what), "tap %s", tap);
	/* vhost-net first: nothing of the tap is touched where it is not there. */
	for (unsigned i = 0; i < pairs && !err; i++)
		err = open_vhost(n, i, e);
	if (!err)
		err = look_for_tap(n, e);
	for (unsigned i = 0; i < pairs && !err; i++)
		err = attach(n, i, e);
	if (!err)
		err = set_up_tap(n, e);
	if (err)
		return err;
	n->offered = n->kernel;
	if (vhost_net_set_offloads(n, 0) == 0)
		n->offered |= VHOST_NET_TAP;
	return 0;
}

void vhost_net_fini(struct vhost_net *n)
{
	for (unsigned i = 0; i < VHOST_NET_PAIRS_MAX; i++) {
		fd_close(&n->vhost_fd[i]);
		fd_close(&n->tap_fd[i]);
	}
}
