/* SPDX-License-Identifier: Apache-2.0 */
/* See tapif.h. */
#include "vswitch/tapif.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define TUN_DEV "/dev/net/tun"

int tapif_name_check(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len >= IFNAMSIZ)
		err_request(e, -EINVAL, "an interface's name has 1 to %d bytes, \"%.64s\" has %zu",
			IFNAMSIZ - 1, name, len);
	else if (strspn(name,
			 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789._-@") != len ||
		strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		err_request(e, -EINVAL,
			"\"%s\" can't be an interface's name: letters, digits and . _ - @ can",
			name);
	else
		return 0;
	err_field(e, "ifname");
	return -EINVAL;
}

static int name_taken(const char *name, struct err *e)
{
	err_request(e, -EEXIST,
		"there is an interface \"%s\" on this host already: choose another name, or "
		"remove it (ip link del %s)",
		name, name);
	return err_field(e, "ifname");
}

static int queue_open(const char *name, short flags, struct err *e)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
	int fd = open(TUN_DEV, O_RDWR | O_NONBLOCK | O_CLOEXEC), ret;

	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		return err_host(e, -errno,
			"there is no " TUN_DEV ": load its module (modprobe "
			"tun), or give it to this container");
	if (fd < 0)
		return err_host(e, -errno, "cannot open " TUN_DEV ": %s", err_str(errno));
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &ifr) == 0 &&
		ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) == 0)
		return fd;
	ret = -errno;
	close(fd);
	if (ret == -EPERM)
		return err_host(e, ret,
			"no permission to make the interface %s: the switch needs CAP_NET_ADMIN "
			"(run it as root)",
			name);
	if (ret == -EBUSY && flags & IFF_TUN_EXCL)
		return name_taken(name, e);
	return err_host(e, ret, "the kernel makes no tap interface %s: %s", name, err_str(ret));
}

int tapif_set_mtu(struct tapif *t, uint32_t mtu, struct err *e)
{
	struct ifreq ifr = { .ifr_mtu = (int)mtu };

	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	if (ioctl(t->ctl, SIOCSIFMTU, &ifr) == 0)
		return 0;
	return err_host(
		e, -errno, "interface %s takes no MTU of %u: %s", t->name, mtu, err_str(errno));
}

static int set_up(struct tapif *t, struct err *e)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	if (ioctl(t->ctl, SIOCGIFFLAGS, &ifr) == 0) {
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(t->ctl, SIOCSIFFLAGS, &ifr) == 0)
			return 0;
	}
	return err_host(e, -errno, "interface %s can't be set up: %s", t->name, err_str(errno));
}

/* A socket of the namespace that the interface is in now. Only this thread goes there and back. */
static void follow(struct tapif *t)
{
	int there = ioctl(t->fd[0], TUNGETDEVNETNS), here = -1, ctl = -1;
	struct stat st;

	if (there < 0)
		return;
	if (fstat(there, &st) || st.st_ino == t->netns)
		goto out;
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (here >= 0 && setns(there, CLONE_NEWNET) == 0) {
		ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setns(here, CLONE_NEWNET);
	}
	if (ctl >= 0) {
		fd_close(&t->ctl);
		t->ctl = ctl;
		t->netns = st.st_ino;
	}
out:
	fd_close(&here);
	fd_close(&there);
}

int tapif_open(struct tapif *t, const char *name, uint16_t n_queues, uint32_t mtu, struct err *e)
{
	short many = n_queues > 1 ? IFF_MULTI_QUEUE : 0;
	int ret = tapif_name_check(name, e);

	memset(t, 0, sizeof(*t));
	t->ctl = -1;
	if (ret)
		return ret;
	if (if_nametoindex(name))
		return name_taken(name, e);
	memcpy(t->name, name, strlen(name) + 1);
	t->ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t->ctl < 0)
		return err_host(e, -errno, "no socket: %s", err_str(errno));
	for (ret = 0; ret == 0 && t->n_queues < n_queues;) {
		/* EXCL: the interface is new, not somebody's to which we add a queue. */
		int fd = queue_open(name, (short)(many | (t->n_queues ? 0 : IFF_TUN_EXCL)), e);

		if (fd < 0)
			ret = fd;
		else
			t->fd[t->n_queues++] = fd;
	}
	if (ret == 0)
		ret = tapif_set_mtu(t, mtu, e);
	if (ret == 0)
		ret = set_up(t, e);
	if (ret == 0)
		follow(t); /* it is here: notes the number */
	else
		tapif_close(t);
	return ret;
}

void tapif_close(struct tapif *t)
{
	while (t->n_queues)
		fd_close(&t->fd[--t->n_queues]);
	fd_close(&t->ctl);
}

bool tapif_is_up(struct tapif *t)
{
	struct ifreq ifr = { 0 };

	/* The file knows the name and the namespace; the flags are the namespace's. */
	if (ioctl(t->fd[0], TUNGETIFF, &ifr))
		return false; /* the interface was removed under us */
	memcpy(t->name, ifr.ifr_name, sizeof(t->name));
	follow(t);
	memset(&ifr.ifr_ifru, 0, sizeof(ifr.ifr_ifru));
	return ioctl(t->ctl, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_UP;
}
