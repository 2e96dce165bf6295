/* SPDX-License-Identifier: Apache-2.0 */
/* By the kernel's old requests for bridges and its files: both have been the same for 15 years, and
 * need no library. */
#include "lab/netdev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define ALIAS    "lanyard "
#define TUN_PATH "/dev/net/tun"

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) */
static uint32_t hash(uint32_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h;
}

char *netdev_name(const char *lab, const char *tail, char *out)
{
	uint32_t h = hash(hash(hash(2166136261u, lab), "/"), tail);

	if (strlen(lab) + 1 + strlen(tail) <= TOPO_IFNAME_MAX)
		snprintf(out, NETDEV_NAME, "%s-%s", lab, tail);
	else
		snprintf(out, NETDEV_NAME, "%.6s-%08" PRIx32, lab, h);
	return out;
}

/* ---- the kernel's files ---- */

static int read_file(const char *dir, const char *name, const char *file, char *out, size_t size)
{
	char path[128], *text = NULL;
	int r;

	snprintf(path, sizeof path, "%s/%s/%s", dir, name, file);
	r = fd_read_file(path, 4096, &text, NULL, NULL);
	if (!r)
		snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return r;
}

static int write_file(const char *dir, const char *name, const char *file, const char *text)
{
	char path[128];
	int fd, r;

	snprintf(path, sizeof path, "%s/%s/%s", dir, name, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_write_full(fd, text, strlen(text));
	close(fd);
	return r;
}

#define SYS_NET   "/sys/class/net"
#define IPV6_CONF "/proc/sys/net/ipv6/conf"

enum netdev_is netdev_look(const char *name, const char *lab)
{
	char alias[256] = "", path[64];
	size_t n = strlen(ALIAS);

	snprintf(path, sizeof path, SYS_NET "/%s", name);
	if (access(path, F_OK))
		return NETDEV_ABSENT;
	read_file(SYS_NET, name, "ifalias", alias, sizeof alias);
	return strncmp(alias, ALIAS, n) == 0 && strcmp(alias + n, lab) == 0 ? NETDEV_OURS
									    : NETDEV_FOREIGN;
}

bool netdev_is_in(const char *name, const char *bridge)
{
	char path[96], to[256];
	const char *last;
	ssize_t n;

	snprintf(path, sizeof path, SYS_NET "/%s/master", name);
	n = readlink(path, to, sizeof to - 1);
	to[n > 0 ? n : 0] = '\0';
	last = strrchr(to, '/');
	return last && strcmp(last + 1, bridge) == 0;
}

/* ---- requests ---- */

static int request(unsigned long what, void *arg)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = ioctl(fd, what, arg) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static struct ifreq named(const char *name)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	return r;
}

static int set_up(const char *name, bool up)
{
	struct ifreq r = named(name);
	int rc = request(SIOCGIFFLAGS, &r);

	if (rc)
		return rc;
	r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	return request(SIOCSIFFLAGS, &r);
}

static int set_alias(const char *name, const char *lab)
{
	char alias[64];

	snprintf(alias, sizeof alias, ALIAS "%s", lab);
	return write_file(SYS_NET, name, "ifalias", alias);
}

/* What both have: whose it is, how long frames may be, and that the host itself is no station in
 * the network, whose frames (IPv6 finds its neighbours unasked) would be measured as well. */
static int set_common(const char *name, const char *lab, uint64_t mtu)
{
	struct ifreq r = named(name);
	int rc = set_alias(name, lab);

	if (rc)
		return rc;
	r.ifr_mtu = (int)mtu;
	rc = request(SIOCSIFMTU, &r);
	write_file(IPV6_CONF, name, "disable_ipv6", "1"); /* not there: a kernel without IPv6 */
	return rc;
}

static int failed(const char *what, const char *name, int r, struct err *e)
{
	if (r == -EPERM || r == -EACCES)
		return err_host(e, r,
			"%s %s can't be made: %s: only root may make interfaces, use sudo", what,
			name, err_str(r));
	return err_host(e, r, "%s %s can't be made: %s", what, name, err_str(r));
}

static int foreign(const char *name, struct err *e)
{
	return err_host(e, -EEXIST,
		"there is an interface %s already, which is not this lab's: delete it (ip link del "
		"%s), or name the lab, its network or node otherwise",
		name, name);
}

int netdev_bridge_make(const struct netdev_bridge *b, struct err *e)
{
	char name[NETDEV_NAME], ageing[32];
	int r = 0;

	switch (netdev_look(b->name, b->lab)) {
	case NETDEV_FOREIGN:
		return foreign(b->name, e);
	case NETDEV_ABSENT:
		snprintf(name, sizeof name, "%s", b->name);
		r = request(SIOCBRADDBR, name);
		if (r == -ENOPKG || r == -ENOSYS)
			return err_host(e, r,
				"this kernel has no bridges now, which networks of kind "
				"\"bridge\" need: modprobe bridge");
		break;
	case NETDEV_OURS:
		break;
	}
	if (!r)
		r = set_common(b->name, b->lab, b->mtu);
	snprintf(ageing, sizeof ageing, "%" PRIu64, b->ageing_s * 100); /* USER_HZ */
	if (!r)
		r = write_file(SYS_NET, b->name, "bridge/ageing_time", ageing);
	/* As on the switch: multicast goes to all, and nobody asks who listens. */
	write_file(SYS_NET, b->name, "bridge/multicast_snooping", "0");
	if (!r)
		r = set_up(b->name, true);
	return r ? failed("bridge", b->name, r, e) : 0;
}

/* The file of a tap; attached, so that settings of it can be made. flags: of IFF_ */
static int attach(const char *name, int flags, int *fd)
{
	struct ifreq r = named(name);

	*fd = open(TUN_PATH, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	r.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
	return ioctl(*fd, TUNSETIFF, &r) < 0 ? -errno : 0;
}

/* Marked before it outlives us: whatever is there at any time is known as the lab's. */
static int tap_add(const struct netdev_tap *t)
{
	int fd = -1, r = attach(t->name, t->queues > 1 ? IFF_MULTI_QUEUE : 0, &fd);

	if (!r)
		r = set_alias(t->name, t->lab);
	if (!r && ioctl(fd, TUNSETPERSIST, 1) < 0)
		r = -errno;
	fd_close(&fd);
	return r;
}

static int enslave(const struct netdev_tap *t)
{
	struct ifreq r = named(t->bridge), port = named(t->name);
	int rc = request(SIOCGIFINDEX, &port);

	if (rc)
		return rc;
	r.ifr_ifindex = port.ifr_ifindex;
	return request(SIOCBRADDIF, &r);
}

int netdev_tap_make(const struct netdev_tap *t, struct err *e)
{
	int r = 0;

	switch (netdev_look(t->name, t->lab)) {
	case NETDEV_FOREIGN:
		return foreign(t->name, e);
	case NETDEV_ABSENT:
		r = tap_add(t);
		if (r == -ENOENT || r == -ENODEV)
			return err_host(
				e, r, "there is no " TUN_PATH ", which taps need: modprobe tun");
		break;
	case NETDEV_OURS:
		break;
	}
	if (!r)
		r = set_common(t->name, t->lab, t->mtu);
	if (r)
		return failed("tap", t->name, r, e);
	if (netdev_look(t->bridge, t->lab) != NETDEV_OURS)
		return err_host(e, -ENODEV,
			"tap %s has no bridge to be put into: there is no %s of this lab's (deleted by "
			"hand? lanyard up again makes it anew)",
			t->name, t->bridge);
	if (!netdev_is_in(t->name, t->bridge))
		r = enslave(t);
	if (!r)
		r = set_up(t->name, true);
	return r ? failed("tap", t->name, r, e) : 0;
}

int netdev_bridge_delete(const char *name, const char *lab, struct err *e)
{
	char text[NETDEV_NAME];
	int r;

	if (netdev_look(name, lab) != NETDEV_OURS)
		return 0;
	snprintf(text, sizeof text, "%s", name);
	r = set_up(name, false);
	if (!r)
		r = request(SIOCBRDELBR, text);
	return r && r != -ENODEV ? err_set(e, r, "bridge %s can't be deleted: %s", name, err_str(r))
				 : 0;
}

int netdev_delete_all(const char *lab, struct err *e)
{
	DIR *dir = opendir(SYS_NET);
	char path[300];
	int r = 0;

	/* Taps first: who deletes their bridge would find them alone. */
	for (int bridges = 0; dir && bridges < 2 && !r; bridges++) {
		rewinddir(dir);
		for (struct dirent *d; !r && (d = readdir(dir));) {
			if (d->d_name[0] == '.' || netdev_look(d->d_name, lab) != NETDEV_OURS)
				continue;
			snprintf(path, sizeof path, SYS_NET "/%s/tun_flags", d->d_name);
			if (access(path, F_OK) == 0)
				r = netdev_tap_delete(d->d_name, lab, e);
			else if (bridges)
				r = netdev_bridge_delete(d->d_name, lab, e);
		}
	}
	if (dir)
		closedir(dir);
	return r;
}

int netdev_tap_delete(const char *name, const char *lab, struct err *e)
{
	char flags[32] = "";
	int fd = -1, r;

	if (netdev_look(name, lab) != NETDEV_OURS)
		return 0;
	read_file(SYS_NET, name, "tun_flags", flags, sizeof flags);
	r = attach(name, (int)strtol(flags, NULL, 16) & IFF_MULTI_QUEUE, &fd);
	if (!r && ioctl(fd, TUNSETPERSIST, 0) < 0)
		r = -errno;
	fd_close(&fd);
	if (r == -EBUSY)
		return err_set(e, r,
			"tap %s can't be deleted: a program that is not of this lab is attached to it",
			name);
	return r ? err_set(e, r, "tap %s can't be deleted: %s", name, err_str(r)) : 0;
}
