/* SPDX-License-Identifier: Apache-2.0 */
/* Container, groups, DMA: see vfio_host.h. Source: linux/vfio.h. */
#include "vmm/vfio_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/units.h"
#include "vmm/vfio_probe.h"

#define CONTAINER_PATH "/dev/vfio/vfio"

void vfio_host_init(struct vfio_host *h, struct kvm *kvm, const struct gmem *mem)
{
	*h = (struct vfio_host){ .kvm = kvm, .mem = mem, .container = -1 };
}

/* --- memory --- */

static bool may_lock_any(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	return syscall(SYS_capget, &head, d) == 0 && (d[0].effective & 1u << CAP_IPC_LOCK);
}

/* What the limit must be is what the guest has, and nothing is locked beside it. */
static int check_limit(const struct vfio_host *h, struct err *e)
{
	unsigned long long need = h->mem->size, has;
	struct rlimit r;

	if (may_lock_any() || getrlimit(RLIMIT_MEMLOCK, &r) || r.rlim_cur == RLIM_INFINITY ||
		r.rlim_cur >= need)
		return 0;
	has = r.rlim_cur;
	return err_host(e, -ENOMEM,
		"a device that is passed on needs all of the guest's memory locked, %llu bytes, and "
		"the limit of this process is %llu: raise it (ulimit -l %llu; LimitMEMLOCK=%llu in a "
		"systemd unit; memlock %llu in /etc/security/limits.conf), or run as root",
		need, has, need / 1024, need, need / 1024);
}

static void unmap_memory(struct vfio_host *h)
{
	for (; h->mapped; h->mapped--) {
		const struct gmem_region *r = &h->mem->r[h->mapped - 1];
		struct vfio_iommu_type1_dma_unmap u = {
			.argsz = sizeof(u), .iova = r->gpa, .size = r->size
		};

		ioctl(h->container, VFIO_IOMMU_UNMAP_DMA, &u);
	}
	h->mapped_bytes = 0;
}

static int map_memory(struct vfio_host *h, struct err *e)
{
	int err = check_limit(h, e);

	while (!err && h->mapped < h->mem->n) {
		const struct gmem_region *r = &h->mem->r[h->mapped];
		struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m),
			.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
			.vaddr = (uintptr_t)r->host,
			.iova = r->gpa,
			.size = r->size };

		if (ioctl(h->container, VFIO_IOMMU_MAP_DMA, &m) < 0) {
			err = err_host(e, -errno,
				"the IOMMU can't map the guest's memory at 0x%llx, %llu bytes: %s%s",
				(unsigned long long)r->gpa, (unsigned long long)r->size,
				err_str(errno),
				errno == EINVAL ? " (has it so many bits of address?)" : "");
			break;
		}
		h->mapped++;
		h->mapped_bytes += r->size;
	}
	if (err)
		unmap_memory(h);
	return err;
}

/* --- the container and its groups --- */

static int open_container(struct vfio_host *h, struct err *e)
{
	int version;

	if (h->container >= 0)
		return 0;
	h->container = open(CONTAINER_PATH, O_RDWR | O_CLOEXEC);
	if (h->container < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_host(e, -errno,
			CONTAINER_PATH ": %s; the kernel's VFIO is not loaded: modprobe vfio-pci",
			err_str(errno));
	if (h->container < 0)
		return err_host(e, -errno, CONTAINER_PATH ": %s", err_str(errno));
	version = ioctl(h->container, VFIO_GET_API_VERSION);
	if (version != VFIO_API_VERSION)
		return err_host(e, -ENOTSUP, CONTAINER_PATH " has API version %d: expected %d",
			version, VFIO_API_VERSION);
	if (ioctl(h->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
		return err_host(e, -ENOTSUP,
			CONTAINER_PATH " knows no type 1 IOMMU: modprobe vfio_iommu_type1");
	return 0;
}

static int open_group_file(const char *addr, unsigned number, struct err *e)
{
	char path[32], who[256];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%u", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == EBUSY) {
		vfio_probe_holder("/proc", path, who, sizeof(who));
		return err_host(e, -EBUSY,
			"PCI device %s is in use: %s has its IOMMU group (%s). End that first",
			addr, who[0] ? who : "a process that can't be seen from here", path);
	}
	if (errno == EACCES || errno == EPERM)
		return err_host(e, -errno,
			"PCI device %s: no permission to open %s; run as root, or chown %s", addr,
			path, path);
	return err_host(e, -errno, "PCI device %s: %s: %s", addr, path, err_str(errno));
}

static int join_container(struct vfio_host *h, int fd, unsigned number, struct err *e)
{
	struct vfio_group_status s = { .argsz = sizeof(s) };
	int err;

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &s) < 0)
		return err_host(e, -errno, "IOMMU group %u: %s", number, err_str(errno));
	if (!(s.flags & VFIO_GROUP_FLAGS_VIABLE))
		return err_host(e, -EBUSY,
			"IOMMU group %u can't be had: a device of it is bound to a driver of the "
			"kernel's; ls /sys/kernel/iommu_groups/%u/devices lists them",
			number, number);
	if (ioctl(fd, VFIO_GROUP_SET_CONTAINER, &h->container) < 0)
		return err_host(e, -errno, "IOMMU group %u can't join the others: %s", number,
			err_str(errno));
	if (!h->n_groups && ioctl(h->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
		/* Interrupts that any device may send to any CPU are the usual reason. */
		err = err_host(e, -errno, "the IOMMU can't be used: %s%s", err_str(errno),
			errno == EPERM ? "; it has no interrupt remapping (turn it on in the "
					 "firmware, or load vfio_iommu_type1 with "
					 "allow_unsafe_interrupts=1 if you trust the guest)"
				       : "");
		ioctl(fd, VFIO_GROUP_UNSET_CONTAINER);
		return err;
	}
	/* Tells KVM of DMA that goes past the CPU's caches, among others. */
	err = kvm_vfio_group(h->kvm, fd, true);
	return err ? err_host(e, err, "KVM can't take IOMMU group %u: %s", number, err_str(err))
		   : 0;
}

static struct vfio_group *find_group(struct vfio_host *h, unsigned number)
{
	for (unsigned i = 0; i < h->n_groups; i++)
		if (h->groups[i].number == number)
			return &h->groups[i];
	return NULL;
}

static void close_group(struct vfio_host *h, struct vfio_group *g)
{
	kvm_vfio_group(h->kvm, g->fd, false);
	ioctl(g->fd, VFIO_GROUP_UNSET_CONTAINER);
	fd_close(&g->fd);
	*g = h->groups[--h->n_groups];
}

static int open_group(struct vfio_host *h, const char *addr, unsigned number, struct err *e)
{
	int fd, err;

	if (find_group(h, number))
		return 0;
	if (h->n_groups == VFIO_GROUPS_MAX)
		return err_request(
			e, -E2BIG, "devices of more than %d IOMMU groups", VFIO_GROUPS_MAX);
	fd = open_group_file(addr, number, e);
	if (fd < 0)
		return fd;
	err = join_container(h, fd, number, e);
	h->groups[h->n_groups++] = (struct vfio_group){ .number = number, .fd = fd };
	if (err)
		close_group(h, &h->groups[h->n_groups - 1]);
	return err;
}

int vfio_host_open(
	struct vfio_host *h, const char *addr, unsigned group, const char *token, struct err *e)
{
	char name[128];
	struct vfio_group *g;
	int fd, err;

	if ((err = open_container(h, e)) || (err = open_group(h, addr, group, e)))
		return err;
	g = find_group(h, group);
	if (!h->users)
		err = map_memory(h, e);
	if (err)
		goto fail;
	snprintf(name, sizeof(name), "%s%s%s", addr, token ? " vf_token=" : "", token ? token : "");
	fd = ioctl(g->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (fd >= 0) {
		h->users++;
		g->users++;
		return fd;
	}
	if (errno == EACCES)
		err = err_host(e, -errno,
			"PCI device %s is a VF whose PF is bound to vfio-pci as well: give the token "
			"that the PF's user set, vf_token=UUID",
			addr);
	else
		err = err_host(
			e, -errno, "PCI device %s can't be opened: %s", addr, err_str(errno));
	if (!h->users)
		unmap_memory(h);
fail:
	if (!g->users)
		close_group(h, g);
	return err;
}

void vfio_host_close(struct vfio_host *h, int *fd, unsigned group)
{
	struct vfio_group *g = find_group(h, group);

	if (*fd < 0 || !g)
		return;
	fd_close(fd);
	if (!--h->users)
		unmap_memory(h);
	if (!--g->users)
		close_group(h, g);
}

void vfio_host_fini(struct vfio_host *h)
{
	while (h->n_groups)
		close_group(h, &h->groups[0]);
	fd_close(&h->container);
}
