/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/sysroot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

const char *sysroot(void)
{
	const char *root = getenv("LANYARD_SRIOV_ROOT");

	return root && *root ? root : NULL;
}

char *sysroot_pci(const char *address, const char *file, char *out, size_t size)
{
	snprintf(out, size, "%s/sys/bus/pci/devices/%s/%s", sysroot() ? sysroot() : "", address,
		file);
	return out;
}

/* Where a link leads, its last part only; false: there is none. */
static bool link_name(const char *path, char *out, size_t size)
{
	char to[PATH_MAX];
	ssize_t n = readlink(path, to, sizeof to - 1);
	const char *slash;

	out[0] = '\0';
	if (n <= 0)
		return false;
	to[n] = '\0';
	slash = strrchr(to, '/');
	snprintf(out, size, "%s", slash ? slash + 1 : to);
	return true;
}

void sysroot_driver(const char *address, char *out, size_t size)
{
	char path[PATH_MAX];

	link_name(sysroot_pci(address, "driver", path, sizeof path), out, size);
}

int sysroot_function(const char *pf, int index, char out[PFS_ADDR_LEN])
{
	char path[PATH_MAX], link[32], name[64];

	if (!pf)
		return -ENODEV;
	if (index < 0) {
		snprintf(out, PFS_ADDR_LEN, "%s", pf);
		return access(sysroot_pci(pf, "", path, sizeof path), F_OK) ? -ENODEV : 0;
	}
	snprintf(link, sizeof link, "virtfn%d", index);
	if (!link_name(sysroot_pci(pf, link, path, sizeof path), name, sizeof name))
		return -ENODEV;
	return pfs_addr(name, out) ? -ENODEV : 0;
}

static int read_word(const char *path, char *out, size_t size)
{
	char *text = NULL;
	int r = fd_read_file(path, 4096, &text, NULL, NULL);

	if (r)
		return r;
	snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return 0;
}

int sysroot_modalias(const char *address, char *out, size_t size)
{
	char path[PATH_MAX];

	return read_word(sysroot_pci(address, "modalias", path, sizeof path), out, size);
}

/* A file of a device that is named by its address or its interface. */
static int read_of(
	const char *address, const char *interface, const char *file, char *out, size_t size)
{
	char path[PATH_MAX];

	if (address && *address)
		sysroot_pci(address, file, path, sizeof path);
	else
		snprintf(path, sizeof path, "%s/sys/class/net/%s/device/%s",
			sysroot() ? sysroot() : "", interface, file);
	return read_word(path, out, size);
}

int sysroot_vf_modalias(const char *address, const char *interface, char *out, size_t size)
{
	char vendor[16], device[16];
	int r = read_of(address, interface, "vendor", vendor, sizeof vendor);

	if (!r)
		r = read_of(address, interface, "sriov_vf_device", device, sizeof device);
	if (!r)
		snprintf(out, size, "pci:v%08lXd%08lXsv%08lXsd00000000bc02sc00i00",
			strtoul(vendor, NULL, 16), strtoul(device, NULL, 16),
			strtoul(vendor, NULL, 16));
	return r;
}

int sysroot_numa_node(const char *address, const char *interface)
{
	char word[16];

	return read_of(address, interface, "numa_node", word, sizeof word) ? -1 : atoi(word);
}
