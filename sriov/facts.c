/* SPDX-License-Identifier: Apache-2.0 */
/* What sysfs and /proc say of one function, of a PF, of the host. What can't be read is "not
 * known", never an error: an interface may go away in the middle. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sriov/own.h"

#define DEVICE "bus/pci/devices/%s"

/* The interface; of several (ports of one function) the first by name. */
void facts_net(const struct sriov_world *w, struct sriov_function *fn)
{
	DIR *d = sysfs_dir(w->sys, DEVICE "/net", fn->addr);
	const char *name;
	long long n;

	fn->net[0] = '\0';
	fn->ifindex = 0;
	while (d && (name = sysfs_next(d)))
		if (strlen(name) < SRIOV_NET_LEN && (!fn->net[0] || strcmp(name, fn->net) < 0))
			snprintf(fn->net, sizeof(fn->net), "%s", name);
	if (d)
		closedir(d);
	if (fn->net[0] && !sysfs_number(w->sys, &n, DEVICE "/net/%s/ifindex", fn->addr, fn->net))
		fn->ifindex = (int)n;
}

void facts_function(const struct sriov_world *w, const char *addr, struct sriov_function *fn)
{
	char group[16];
	long long n;

	if (addr != fn->addr)
		snprintf(fn->addr, sizeof(fn->addr), "%s", addr);
	facts_net(w, fn);
	fn->numa_node = sysfs_number(w->sys, &n, DEVICE "/numa_node", addr) ? -1 : (int)n;
	fn->vendor = sysfs_number(w->sys, &n, DEVICE "/vendor", addr) ? 0 : (unsigned)n;
	fn->device = sysfs_number(w->sys, &n, DEVICE "/device", addr) ? 0 : (unsigned)n;
	fn->group = sysfs_link(w->sys, group, sizeof(group), DEVICE "/iommu_group", addr)
		? -1
		: atoi(group);
}

void facts_driver(const struct sriov_world *w, const char *addr, char *driver, char *override)
{
	char text[PFS_DRIVER_LEN];

	sysfs_link(w->sys, driver, PFS_DRIVER_LEN, DEVICE "/driver", addr);
	if (!override)
		return;
	sysfs_read(w->sys, text, sizeof(text), DEVICE "/driver_override", addr);
	snprintf(override, PFS_DRIVER_LEN, "%s", strcmp(text, "(null)") ? text : "");
}

/* ---- ACS: whether the port above keeps functions apart ---- */

static uint32_t le32_at(const uint8_t *b, size_t at)
{
	return (uint32_t)b[at] | (uint32_t)b[at + 1] << 8 | (uint32_t)b[at + 2] << 16 |
		(uint32_t)b[at + 3] << 24;
}

/* The control word of the ACS capability; -1: none. Only root sees beyond the first 64 bytes. */
static int acs_of(const uint8_t *config, size_t len)
{
	size_t at = PCI_CFG_SPACE_SIZE;

	/* A list in bytes that a device gave: bounded by what fits. */
	for (int i = 0; i < 96 && at >= PCI_CFG_SPACE_SIZE && at + 8 <= len; i++) {
		uint32_t head = le32_at(config, at);

		if (PCI_EXT_CAP_ID(head) == PCI_EXT_CAP_ID_ACS)
			return (int)(le32_at(config, at + PCI_ACS_CAP) >> 16);
		at = PCI_EXT_CAP_NEXT(head);
	}
	return -1;
}

static int facts_acs(const struct sriov_world *w, const char *addr)
{
	char to[512], parent[PFS_ADDR_LEN] = "", path[SRIOV_PATH_MAX];
	uint8_t config[4096];
	char *slash;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), DEVICE, addr);
	n = readlinkat(w->sys, path, to, sizeof(to) - 1);
	to[n > 0 ? n : 0] = '\0';
	slash = strrchr(to, '/');
	if (slash) {
		*slash = '\0';
		slash = strrchr(to, '/');
	}
	/* A function on the root bus has no port above: its own word counts. */
	if (!slash || pfs_addr(slash + 1, parent))
		snprintf(parent, sizeof(parent), "%s", addr);
	snprintf(path, sizeof(path), DEVICE "/config", parent);
	fd = openat(w->sys, path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, config, sizeof(config)) : -1;
	if (fd >= 0)
		close(fd);
	return n > 0 ? acs_of(config, (size_t)n) : -1;
}

/* ---- who uses a PF's interface ---- */

static bool use_route4(const struct sriov_world *w, const char *net, char *out, size_t size)
{
	int fd = openat(w->proc, "net/route", O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[256], name[32];
	unsigned to, gateway, flags, metric, mask;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %x %x %x %*d %*d %u %x", name, &to, &gateway, &flags,
			    &metric, &mask) != 6 ||
			strcmp(name, net))
			continue;
		found = true;
		if (to)
			snprintf(out, size, "a route (%u.%u.%u.%u/%d)", to & 255, to >> 8 & 255,
				to >> 16 & 255, to >> 24, __builtin_popcount(mask));
		else
			snprintf(out, size, "the default route");
	}
	if (f)
		fclose(f);
	return found;
}

/* Link-local and multicast routes are there as soon as an interface is up: no use. */
static bool use_route6(const struct sriov_world *w, const char *net, char *out, size_t size)
{
	int fd = openat(w->proc, "net/ipv6_route", O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[256], name[32], to[40];
	unsigned prefix, flags;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%32s %x %*s %*x %*s %*x %*x %*x %x %31s", to, &prefix, &flags,
			    name) != 4 ||
			strcmp(name, net) || !strncmp(to, "fe8", 3) || !strncmp(to, "ff", 2) ||
			flags & 0x80000000u /* RTF_LOCAL */)
			continue;
		found = true;
		snprintf(out, size, "an IPv6 route (%.4s:%.4s:.../%u)", to, to + 4, prefix);
	}
	if (f)
		fclose(f);
	return found;
}

static void facts_uses(const struct sriov_world *w, struct sriov_pf *pf)
{
	const char *net = pf->fn.net, *name;
	char master[SRIOV_NET_LEN];
	DIR *d;

	pf->uses[0] = '\0';
	if (!net[0])
		return;
	if (!sysfs_link(w->sys, master, sizeof(master), "class/net/%s/master", net)) {
		snprintf(pf->uses, sizeof(pf->uses), "%s %s",
			sysfs_exists(w->sys, "class/net/%s/bridge", master) ? "bridge"
									    : "interface",
			master);
		return;
	}
	d = sysfs_dir(w->sys, "class/net/%s", net);
	while (d && !pf->uses[0] && (name = sysfs_next(d)))
		if (!strncmp(name, "upper_", 6))
			snprintf(pf->uses, sizeof(pf->uses), "interface %s on top of it", name + 6);
	if (d)
		closedir(d);
	if (!pf->uses[0] && !use_route4(w, net, pf->uses, sizeof(pf->uses)))
		use_route6(w, net, pf->uses, sizeof(pf->uses));
}

/* ---- a PF, a host ---- */

static void facts_link(const struct sriov_world *w, struct sriov_pf *pf)
{
	const char *net = pf->fn.net;
	char id[64];
	long long n;

	pf->speed_mbps = -1;
	pf->carrier = false;
	pf->switchdev = false;
	if (!net[0])
		return;
	if (!sysfs_number(w->sys, &n, "class/net/%s/mtu", net)) {
		pf->attrs.mtu = (uint32_t)n;
		pf->attrs.has |= BIT(PF_MTU);
	}
	if (!sysfs_number(w->sys, &n, "class/net/%s/flags", net)) {
		pf->attrs.up = n & IFF_UP;
		pf->attrs.has |= BIT(PF_UP);
	}
	/* Both can't be read while the interface is down. */
	pf->carrier = !sysfs_number(w->sys, &n, "class/net/%s/carrier", net) && n == 1;
	if (!sysfs_number(w->sys, &n, "class/net/%s/speed", net) && n > 0)
		pf->speed_mbps = (int)n;
	pf->switchdev =
		!sysfs_read(w->sys, id, sizeof(id), "class/net/%s/phys_switch_id", net) && id[0];
}

void facts_pf(const struct sriov_world *w, struct sriov_pf *pf)
{
	const char *addr = pf->fn.addr;
	long long n;

	facts_function(w, addr, &pf->fn);
	pf->attrs.has = BIT(PF_DRIVER);
	facts_driver(w, addr, pf->attrs.driver, pf->attrs.override);
	pf->total_vfs = sysfs_number(w->sys, &n, DEVICE "/sriov_totalvfs", addr) ? 0 : (uint32_t)n;
	if (!sysfs_number(w->sys, &n, DEVICE "/sriov_numvfs", addr)) {
		pf->attrs.num_vfs = (uint32_t)n;
		pf->attrs.has |= BIT(PF_NUM_VFS);
	}
	if (!sysfs_number(w->sys, &n, DEVICE "/sriov_drivers_autoprobe", addr)) {
		pf->attrs.autoprobe = n != 0;
		pf->attrs.has |= BIT(PF_AUTOPROBE);
	}
	facts_link(w, pf);
	pf->acs = facts_acs(w, addr);
	facts_uses(w, pf);
}

int facts_host(const struct sriov_world *w, struct sriov_host *host, struct err *e)
{
	DIR *d = sysfs_dir(w->sys, "kernel/iommu_groups");
	const char *name;
	int r = 0;

	host->iommu = d && sysfs_next(d);
	if (d)
		closedir(d);
	d = sysfs_dir(w->sys, "bus/pci/drivers");
	while (d && !r && (name = sysfs_next(d))) {
		char(*one)[PFS_DRIVER_LEN];

		if (strlen(name) >= PFS_DRIVER_LEN)
			continue;
		one = sriov_grow(&host->drivers, &host->n_drivers, sizeof(*one));
		if (one)
			snprintf(*one, sizeof(*one), "%s", name);
		else
			r = sriov_nomem(e);
	}
	if (d)
		closedir(d);
	return r;
}
