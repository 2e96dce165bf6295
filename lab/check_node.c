/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the host has what nodes that run Linux or an image of the user's ask for: kernels with
 * their modules, files, disks of the format that is said, folders; and the programs that serve
 * them. Before anything is made; a node that runs already is not looked at.
 */
#include "lab/check_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/pfs.h"
#include "image/image.h"
#include "lab/sysroot.h"

#define SECTOR 512

static int wrong(const struct topology *t, struct topo_place at, const struct err *why,
	const struct topo_node *n, struct err *e)
{
	return topology_error(
		t, at, why->class, why->code, e, "node \"%s\": %s", n->name, why->text);
}

/* ---- kernels and files of Linux guests ---- */

/* The VF's driver must be among the kernel's modules. */
static int check_drivers(
	const struct topology *t, const struct topo_node *n, const char *modules, struct err *e)
{
	for (size_t j = 0; j < n->n_nics; j++) {
		const struct topo_vf *vf = &n->nics[j].vf;
		const struct pf_want *pf = vf->want ? &t->pfs->v[vf->pf] : NULL;
		struct err why = { 0 };
		char alias[128];

		/* A PF that isn't there is said by whoever looks at PFs. */
		if (pf && !sysroot_vf_modalias(pf->pci, pf->interface, alias, sizeof alias) &&
			image_check_driver(modules, alias, &why))
			return wrong(t, vf->place, &why, n, e);
	}
	return 0;
}

static int check_kernel(const struct topology *t, const struct plan *p, const struct host *h,
	const struct topo_node *n, struct err *e)
{
	const struct step *vm = plan_find(p, STEP_VM, n->name);
	const struct step *image = plan_find(p, STEP_IMAGE, n->name);
	const char *modules =
		json_string_value(json_object_get(image ? image->policy : NULL, "modules"));
	bool none = image && json_is_true(json_object_get(image->policy, "no_modules"));
	struct topo_place at = n->kernel ? n->kernel_place : n->guest_place;
	struct err why = { 0 };
	struct image_kernel k;

	if (!n->kernel && !h->kernel[0])
		return wrong(t, at, &h->kernel_why, n, e);
	if (!none && image_kernel_open(step_option(vm, "--kernel"), modules, &k, &why))
		return wrong(t, n->modules ? n->modules_place : at, &why, n, e);
	return none ? 0 : check_drivers(t, n, k.modules, e);
}

static int check_files(
	const struct topology *t, const struct plan *p, const struct topo_node *n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n->n_files && !r; i++) {
		char *path = plan_path(p, n->files[i].from);

		if (access(path, R_OK) < 0)
			r = topology_error(t, n->files[i].place, ERR_REQUEST, -errno, e,
				"node \"%s\": the file %s for the guest can't be read: %s", n->name,
				path, err_str(errno));
		free(path);
	}
	return r;
}

/* ---- disks ---- */

static const char *const formats[] = {
	[TOPO_RAW] = "raw",
	[TOPO_QCOW2] = "qcow2",
	[TOPO_VMDK] = "vmdk",
	[TOPO_VHD] = "vhd",
};

/* What the file's first bytes, and a VHD's last, say that it is. */
static enum topo_format format_of(int fd, off_t size)
{
	char head[32] = "", tail[SECTOR] = "";

	if (pread(fd, head, sizeof head - 1, 0) < 4)
		return TOPO_RAW;
	if (memcmp(head, "QFI\xfb", 4) == 0)
		return TOPO_QCOW2;
	if (memcmp(head, "KDMV", 4) == 0 || memcmp(head, "COWD", 4) == 0 ||
		memcmp(head, "# Disk Descriptor", 17) == 0)
		return TOPO_VMDK;
	if (memcmp(head, "conectix", 8) == 0)
		return TOPO_VHD;
	if (size >= SECTOR && pread(fd, tail, SECTOR, size - SECTOR) == SECTOR &&
		memcmp(tail, "conectix", 8) == 0)
		return TOPO_VHD;
	return TOPO_RAW;
}

static int check_disk(const struct topo_disk *disk, const char *path, struct err *e)
{
	int fd = open(path, (disk->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK), r = 0;
	enum topo_format is;
	struct stat st;

	if (fd < 0)
		return err_request(e, -errno, "disk %s can't be opened%s: %s", path,
			disk->readonly ? "" : " for writing", err_str(errno));
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		r = err_request(e, -EINVAL, "disk %s is neither a file nor a block device", path);
		goto out;
	}
	is = S_ISREG(st.st_mode) ? format_of(fd, st.st_size) : disk->format;
	if (is != disk->format && is != TOPO_RAW)
		r = err_request(e, -EINVAL, "disk %s is a %s image, not %s: say \"format\": \"%s\"",
			path, formats[is], formats[disk->format], formats[is]);
	else if (is != disk->format)
		r = err_request(e, -EINVAL, "disk %s is no %s image: is it \"raw\"?", path,
			formats[disk->format]);
out:
	close(fd);
	return r;
}

static int check_disks(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct topo_node *n, struct err *e)
{
	struct err why = { 0 };
	int r = 0;

	for (size_t k = 0; k < n->n_disks && !r; k++) {
		char *path = plan_path(p, n->disks[k].file);

		r = check_disk(&n->disks[k], path, &why);
		if (!r && n->disks[k].format != TOPO_RAW)
			r = paths_check_storage(paths, &why);
		if (r)
			wrong(t, n->disks[k].place, &why, n, e);
		free(path);
	}
	return r;
}

/* ---- shares ---- */

static int check_share(
	const char *path, const struct paths *paths, const struct host *h, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_request(
			e, -errno, "the shared folder %s can't be used: %s", path, err_str(errno));
	if (!S_ISDIR(st.st_mode))
		return err_request(e, -ENOTDIR, "%s is to be shared, but is no folder", path);
	if (paths_check_virtiofsd(paths, e))
		return e->code;
	if (!h->root)
		return err_host(e, -EPERM,
			"folders of the host's can be shown to guests by root only: use sudo");
	return 0;
}

static int check_shares(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct host *h, const struct topo_node *n, struct err *e)
{
	struct err why = { 0 };
	int r = 0;

	if (n->root == TOPO_ROOT_HOST && check_share("/", paths, h, &why))
		return wrong(t, n->root_place, &why, n, e);
	for (size_t k = 0; k < n->n_shares && !r; k++) {
		char *path = plan_path(p, n->shares[k].path);

		r = check_share(path, paths, h, &why);
		if (r)
			wrong(t, n->shares[k].place, &why, n, e);
		free(path);
	}
	return r;
}

/* ---- all ---- */

static int check_initramfs(
	const struct topology *t, const struct plan *p, const struct topo_node *n, struct err *e)
{
	char *path = n->initramfs ? plan_path(p, n->initramfs) : NULL;
	int r = 0;

	if (path && access(path, R_OK) < 0)
		r = topology_error(t, n->initramfs_place, ERR_REQUEST, -errno, e,
			"node \"%s\": the initramfs %s can't be read: %s", n->name, path,
			err_str(errno));
	free(path);
	return r;
}

int check_node(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct host *h, const struct topo_node *n, struct err *e)
{
	int r = 0;

	if (n->guest_kind == TOPO_GUEST_LINUX) {
		r = check_kernel(t, p, h, n, e);
		if (!r)
			r = check_files(t, p, n, e);
	}
	if (!r)
		r = check_initramfs(t, p, n, e);
	if (!r)
		r = check_disks(t, p, paths, n, e);
	if (!r)
		r = check_shares(t, p, paths, h, n, e);
	return r;
}

int check_pages_1g(const struct topology *t, const struct host *h, uint64_t wanted,
	const struct topo_node *last, struct err *e)
{
	if (wanted <= h->huge_1g_free)
		return 0;
	return topology_error(t, last->huge_place, ERR_HOST, -ENOMEM, e,
		"node \"%s\": the guests' memory takes %llu hugepages of 1G, and %llu are free here: "
		"reserve them at boot (kernel parameters hugepagesz=1G hugepages=%llu), or by echo "
		"%llu > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages soon after it",
		last->name, (unsigned long long)wanted, (unsigned long long)h->huge_1g_free,
		(unsigned long long)wanted, (unsigned long long)wanted);
}
