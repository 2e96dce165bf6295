/* SPDX-License-Identifier: Apache-2.0 */
/* See pcidev.h. */
#include "vswitch/pcidev.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define CLASS_NETWORK 0x02

/* Network devices that the sentence about an absent one names, at most. */
#define NAMED_MAX 6

int pcidev_addr(const char *text, char out[PCIDEV_ADDR_LEN], struct err *e)
{
	unsigned domain = 0, bus, slot, fn;
	const char *rest = text;
	int n = 0;

	/* sscanf takes signs and blanks: only what an address is made of gets there. */
	if (strspn(text, "0123456789abcdefABCDEF:.") == strlen(text)) {
		if (strlen(text) == PCIDEV_ADDR_LEN - 1 && text[4] == ':') {
			sscanf(text, "%4x", &domain);
			rest = text + 5;
		}
		if (strlen(rest) == 7 && sscanf(rest, "%2x:%2x.%1x%n", &bus, &slot, &fn, &n) == 3 &&
			n == 7 && slot < 32 && fn < 8) {
			snprintf(out, PCIDEV_ADDR_LEN, "%04x:%02x:%02x.%x", domain, bus, slot, fn);
			return 0;
		}
	}
	err_request(e, -EINVAL,
		"\"%.64s\" is no PCI address: it looks like 0000:03:00.0 (domain, bus, device, "
		"function, in hexadecimal; lspci -D lists them)",
		text);
	return err_field(e, "pci");
}

static void dev_path(char out[PATH_MAX], const char *sysfs, const char *addr, const char *what)
{
	snprintf(out, PATH_MAX, "%s/bus/pci/devices/%s%s%s", sysfs, addr, *what ? "/" : "", what);
}

/* Where a link leads, its last part only; "" if there is none. */
static void link_name(const char *path, char *out, size_t room)
{
	char to[PATH_MAX];
	ssize_t n = readlink(path, to, sizeof(to) - 1);
	const char *slash;

	*out = '\0';
	if (n <= 0)
		return;
	to[n] = '\0';
	slash = strrchr(to, '/');
	snprintf(out, room, "%s", slash ? slash + 1 : to);
}

static void driver_of(const char *sysfs, const char *addr, char out[64])
{
	char path[PATH_MAX];

	dev_path(path, sysfs, addr, "driver");
	link_name(path, out, 64);
}

static unsigned class_of(const char *sysfs, const char *addr)
{
	char path[PATH_MAX], *text = NULL;
	unsigned class = 0;

	dev_path(path, sysfs, addr, "class");
	if (fd_read_file(path, 64, &text, NULL, NULL) == 0)
		class = (unsigned)strtoul(text, NULL, 16);
	free(text);
	return class;
}

/* The first entry of a folder whose name begins so. */
static bool first_entry(const char *path, const char *begins, char *out, size_t room)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	bool found = false;

	while (dir && !found && (de = readdir(dir))) {
		found = de->d_name[0] != '.' && strncmp(de->d_name, begins, strlen(begins)) == 0;
		if (found)
			snprintf(out, room, "%s", de->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* " (interface eth0)", or "": what the kernel calls it. A virtio device's is one folder deeper. */
static void interface_of(const char *sysfs, const char *addr, char *out, size_t room)
{
	char path[PATH_MAX], deeper[64], virtio[300], name[256];

	*out = '\0';
	dev_path(path, sysfs, addr, "");
	if (first_entry(path, "virtio", deeper, sizeof(deeper)))
		snprintf(virtio, sizeof(virtio), "%s/net", deeper);
	else
		snprintf(virtio, sizeof(virtio), "net");
	dev_path(path, sysfs, addr, virtio);
	if (first_entry(path, "", name, sizeof(name)))
		snprintf(out, room, " (interface %s)", name);
}

/* Network devices that are there, with drivers and interfaces, as a list for people. */
static void devices_text(const char *sysfs, char *out, size_t room)
{
	char path[PATH_MAX], driver[64], ifname[300];
	struct dirent **list = NULL;
	size_t at = 0;
	int n, named = 0;

	snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs);
	n = scandir(path, &list, NULL, alphasort);
	*out = '\0';
	for (int i = 0; i < n; i++) {
		const char *addr = list[i]->d_name;

		if (addr[0] != '.' && class_of(sysfs, addr) >> 16 == CLASS_NETWORK &&
			named++ < NAMED_MAX && at < room) {
			driver_of(sysfs, addr, driver);
			interface_of(sysfs, addr, ifname, sizeof(ifname));
			at += (size_t)snprintf(out + at, room - at, "%s%s, %s%s%s", at ? "; " : "",
				addr, *driver ? "driver " : "no driver", driver, ifname);
		}
		free(list[i]);
	}
	free(list);
	if (named > NAMED_MAX && at < room)
		snprintf(out + at, room - at, "; and %d more", named - NAMED_MAX);
}

static int absent(const char *sysfs, const char *addr, struct err *e)
{
	char list[768];

	devices_text(sysfs, list, sizeof(list));
	err_request(e, -ENODEV, "there is no PCI device %s. %s%s", addr,
		*list ? "Network devices here: " : "This host has no PCI network device", list);
	return err_field(e, "pci");
}

/* Drivers that hand a device to a program, and those that share it with the kernel. */
static bool driver_lets_us(const char *driver)
{
	static const char *const good[] = { "vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core",
		"mlx5_core" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strcmp(driver, good[i]) == 0)
			return true;
	return false;
}

static int kernel_has_it(const char *sysfs, const char *addr, const char *driver, struct err *e)
{
	char ifname[300];

	interface_of(sysfs, addr, ifname, sizeof(ifname));
	if (*driver)
		err_host(e, -EBUSY,
			"PCI device %s is bound to the kernel driver %s%s. Hand it over with: "
			"modprobe vfio-pci && dpdk-devbind.py -b vfio-pci %s%s",
			addr, driver, ifname, addr,
			*ifname ? ". The interface then leaves the kernel, with its addresses and "
				  "routes"
				: "");
	else
		err_host(e, -EBUSY,
			"PCI device %s has no driver. Hand it over with: modprobe vfio-pci && "
			"dpdk-devbind.py -b vfio-pci %s",
			addr, addr);
	return err_field(e, "pci");
}

/* VFIO without IOMMU, which somebody turned on knowing what it means. */
static bool noiommu_is_on(const char *sysfs)
{
	char path[PATH_MAX], *text = NULL;
	bool on;

	snprintf(path, sizeof(path), "%s/module/vfio/parameters/enable_unsafe_noiommu_mode", sysfs);
	on = fd_read_file(path, 16, &text, NULL, NULL) == 0 && text[0] == 'Y';
	free(text);
	return on;
}

/* The IOMMU hands over whole groups: another device of it in the kernel's hands is in the way.
 * Bridges are not; they have no driver that moves data. */
static int group_check(const char *sysfs, const char *addr, struct err *e)
{
	char path[PATH_MAX], driver[64], ifname[300];
	struct dirent *de;
	DIR *dir;
	int ret = 0;

	dev_path(path, sysfs, addr, "iommu_group/devices");
	dir = opendir(path);
	if (!dir) {
		if (noiommu_is_on(sysfs))
			return 0;
		err_host(e, -ENOTSUP,
			"PCI device %s is behind no IOMMU, and vfio-pci wants one: turn it on in "
			"the firmware and for the kernel (intel_iommu=on or amd_iommu=on)",
			addr);
		return err_field(e, "pci");
	}
	while (ret == 0 && (de = readdir(dir))) {
		if (de->d_name[0] == '.' || strcmp(de->d_name, addr) == 0)
			continue;
		driver_of(sysfs, de->d_name, driver);
		if (!*driver || driver_lets_us(driver) || strcmp(driver, "pcieport") == 0 ||
			strcmp(driver, "pci-stub") == 0)
			continue;
		interface_of(sysfs, de->d_name, ifname, sizeof(ifname));
		err_host(e, -EBUSY,
			"PCI device %s shares its IOMMU group with %s, which is bound to the "
			"kernel driver %s%s: both are handed over or none. dpdk-devbind.py -b "
			"vfio-pci %s",
			addr, de->d_name, driver, ifname, de->d_name);
		ret = err_field(e, "pci");
	}
	closedir(dir);
	return ret;
}

int pcidev_check(const char *sysfs, const char *addr, struct err *e)
{
	char path[PATH_MAX], driver[64];
	unsigned class;

	dev_path(path, sysfs, addr, "");
	if (access(path, F_OK))
		return absent(sysfs, addr, e);
	class = class_of(sysfs, addr);
	if (class >> 16 != CLASS_NETWORK) {
		err_request(e, -EINVAL, "PCI device %s is no network device (its class is 0x%06x)",
			addr, class);
		return err_field(e, "pci");
	}
	driver_of(sysfs, addr, driver);
	if (!driver_lets_us(driver))
		return kernel_has_it(sysfs, addr, driver, e);
	return strcmp(driver, "vfio-pci") ? 0 : group_check(sysfs, addr, e);
}

bool pcidev_is_vf(const char *sysfs, const char *addr)
{
	char path[PATH_MAX];

	dev_path(path, sysfs, addr, "physfn");
	return access(path, F_OK) == 0;
}
