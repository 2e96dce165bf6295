/* SPDX-License-Identifier: Apache-2.0 */
/* May this device be passed on? See vfio_probe.h. */
#include "vmm/vfio_probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

int vfio_addr_parse(const char *text, char out[VFIO_ADDR_LEN], struct err *e)
{
	unsigned domain = 0, bus, slot, fn;
	size_t len = strlen(text);
	int used = 0;
	bool ok;

	if (len == 12)
		ok = sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &fn, &used) == 4;
	else
		ok = len == 7 && sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &fn, &used) == 3;
	for (size_t i = 0; i < len && ok; i++)
		ok = isxdigit((unsigned char)text[i]) || strchr(":.", text[i]);
	if (!ok || (size_t)used != len || slot > 31 || fn > 7)
		return err_request(e, -EINVAL,
			"\"%s\" is no PCI address, expected one like 0000:01:10.0", text);
	snprintf(out, VFIO_ADDR_LEN, "%04x:%02x:%02x.%x", domain & 0xffff, bus & 0xff, slot & 0x1f,
		fn & 7);
	return 0;
}

static void dev_path(char path[PATH_MAX], const char *sysfs, const char *addr, const char *name)
{
	snprintf(path, PATH_MAX, "%s/bus/pci/devices/%s/%s", sysfs, addr, name);
}

/* The last part of where the link points to, "" if there is none. */
static void link_name(const char *sysfs, const char *addr, const char *name, char *out, size_t room)
{
	char path[PATH_MAX], to[PATH_MAX];
	ssize_t n;
	const char *slash;

	dev_path(path, sysfs, addr, name);
	n = readlink(path, to, sizeof(to) - 1);
	to[n > 0 ? n : 0] = '\0';
	slash = strrchr(to, '/');
	snprintf(out, room, "%.*s", (int)room - 1, slash ? slash + 1 : to);
}

/* "interface eth0", or "": what the kernel calls it. */
static void interface_of(const char *sysfs, const char *addr, char *out, size_t room)
{
	char path[PATH_MAX];
	struct dirent *de;
	DIR *dir;

	*out = '\0';
	dev_path(path, sysfs, addr, "net");
	dir = opendir(path);
	while (dir && !*out && (de = readdir(dir)))
		if (de->d_name[0] != '.')
			snprintf(out, room, " (interface %s)", de->d_name);
	if (dir)
		closedir(dir);
}

static bool has_intel_cpu(void)
{
	uint32_t max, b, c, d;

	__asm__ volatile("cpuid" : "=a"(max), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	return b == 0x756e6547; /* "Genu" */
}

static int no_iommu(const char *addr, struct err *e)
{
	bool intel = has_intel_cpu();

	return err_host(e, -ENOTSUP,
		"PCI device %s is behind no IOMMU, which keeps its DMA to the guest's memory: turn "
		"it on in the firmware (%s) and %s, then start the host anew",
		addr, intel ? "VT-d" : "AMD-Vi, \"IOMMU\"",
		intel ? "for the kernel (parameter intel_iommu=on)"
		      : "don't turn it off for the kernel (amd_iommu=off, iommu=off)");
}

/* vfio-pci, and the drivers of the same kind that are made for one device (mlx5_vfio_pci). */
static bool gives_away(const char *driver)
{
	return strstr(driver, "vfio") && strstr(driver, "pci");
}

static int kernel_has_it(const char *sysfs, const char *addr, const char *driver, struct err *e)
{
	char ifname[300], unbind[96] = "";

	interface_of(sysfs, addr, ifname, sizeof(ifname));
	if (*driver)
		snprintf(unbind, sizeof(unbind),
			" && echo %s >/sys/bus/pci/devices/%s/driver/unbind", addr, addr);
	return err_host(e, -EBUSY,
		"PCI device %s %s%s%s. Hand it over with: modprobe vfio-pci && echo vfio-pci "
		">/sys/bus/pci/devices/%s/driver_override%s && echo %s "
		">/sys/bus/pci/drivers_probe",
		addr, *driver ? "is bound to the kernel driver " : "has no driver", driver, ifname,
		addr, unbind, addr);
}

/* The IOMMU hands over whole groups: another device of it in the kernel's hands is in the way.
 * Bridges are not, nor what has no driver. */
static int group_check(const char *sysfs, const char *addr, struct err *e)
{
	char path[PATH_MAX], driver[64], ifname[300];
	struct dirent *de;
	DIR *dir;
	int err = 0;

	dev_path(path, sysfs, addr, "iommu_group/devices");
	dir = opendir(path);
	while (!err && dir && (de = readdir(dir))) {
		if (de->d_name[0] == '.' || strcmp(de->d_name, addr) == 0)
			continue;
		link_name(sysfs, de->d_name, "driver", driver, sizeof(driver));
		if (!*driver || gives_away(driver) || strcmp(driver, "pcieport") == 0 ||
			strcmp(driver, "pci-stub") == 0)
			continue;
		interface_of(sysfs, de->d_name, ifname, sizeof(ifname));
		err = err_host(e, -EBUSY,
			"PCI device %s shares its IOMMU group with %s, which is bound to the kernel "
			"driver %s%s: both are handed over or none; bind that one to vfio-pci, too, "
			"or use a slot with a group of its own",
			addr, de->d_name, driver, ifname);
	}
	if (dir)
		closedir(dir);
	return err;
}

/* VFIO without an IOMMU: a guest could write to any of the host's memory. */
static bool is_noiommu(const char *sysfs, const char *addr)
{
	char path[PATH_MAX], *text = NULL;
	bool is;

	dev_path(path, sysfs, addr, "iommu_group/name");
	is = fd_read_file(path, 64, &text, NULL, NULL) == 0 && strstr(text, "noiommu");
	free(text);
	return is;
}

int vfio_probe(const char *sysfs, const char *dev, const char *addr, struct vfio_found *found,
	struct err *e)
{
	char path[PATH_MAX], group[32];
	int err;

	*found = (struct vfio_found){ 0 };
	dev_path(path, sysfs, addr, "");
	if (access(path, F_OK))
		return err_request(e, -ENODEV,
			"there is no PCI device %s on this host (lspci -D lists those that are); a VF "
			"is there once its PF has made it",
			addr);
	link_name(sysfs, addr, "iommu_group", group, sizeof(group));
	if (!*group || is_noiommu(sysfs, addr))
		return no_iommu(addr, e);
	link_name(sysfs, addr, "driver", found->driver, sizeof(found->driver));
	if (!gives_away(found->driver))
		return kernel_has_it(sysfs, addr, found->driver, e);
	err = group_check(sysfs, addr, e);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/vfio/vfio", dev);
	if (access(path, F_OK))
		return err_host(e, -ENOENT,
			"there is no %s: the kernel's VFIO is not loaded: modprobe vfio-pci", path);
	found->group = (unsigned)strtoul(group, NULL, 10);
	link_name(sysfs, addr, "physfn", found->pf, sizeof(found->pf));
	found->vf = found->pf[0];
	return 0;
}

static bool has_open(const char *proc, const char *pid, const char *path)
{
	char folder[PATH_MAX], to[PATH_MAX];
	struct dirent *de;
	bool has = false;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/%s/fd", proc, pid);
	dir = opendir(folder);
	while (dir && !has && (de = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), de->d_name, to, sizeof(to) - 1);

		to[n > 0 ? n : 0] = '\0';
		has = strcmp(to, path) == 0;
	}
	if (dir)
		closedir(dir);
	return has;
}

void vfio_probe_holder(const char *proc, const char *path, char *out, size_t room)
{
	char comm[PATH_MAX], *name = NULL;
	struct dirent *de;
	DIR *dir = opendir(proc);

	*out = '\0';
	while (dir && !*out && (de = readdir(dir))) {
		if (!isdigit((unsigned char)de->d_name[0]) || !has_open(proc, de->d_name, path))
			continue;
		snprintf(comm, sizeof(comm), "%s/%s/comm", proc, de->d_name);
		if (fd_read_file(comm, 64, &name, NULL, NULL) == 0)
			name[strcspn(name, "\n")] = '\0';
		snprintf(out, room, "process %.16s (%.32s)", de->d_name, name ? name : "?");
		free(name);
	}
	if (dir)
		closedir(dir);
}
