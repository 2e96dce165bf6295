/* SPDX-License-Identifier: Apache-2.0 */
/* What is in an image: see image.h, and docs/linux-guests.md for the guest's side. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "image/cpio.h"
#include "image/files.h"
#include "image/modules.h"
#include "image/tree.h"

/* In the archive; guest/linux/ reads them. */
#define AT_INIT    "/init"
#define AT_CONFIG  "/lanyard.json"
#define AT_MODULES "/lanyard.modules" /* paths of modules, a line each, in load order */
#define AT_FILES   "/files"           /* of a guest whose root is the host's: put there at start */

enum want {
	ALWAYS = 1 << 0,
	DISKS = 1 << 1,
	SHARES = 1 << 2,
	ROOT_HOST = 1 << 3,
	ROOT_DISK = 1 << 4,
};

/* Modules of an image, in load order. Those that are not needed are taken where the kernel has
 * them. */
static const struct wanted {
	const char *name;
	unsigned when; /* any of these */
	bool needed;
} wanted[] = {
	{ "virtio_pci", ALWAYS, true },
	{ "virtio_net", ALWAYS, true },
	{ "virtio_rng", ALWAYS, false },
	{ "pvpanic_pci", ALWAYS, false },
	{ "pvpanic", ALWAYS, false },
	{ "af_packet", ALWAYS, false },
	{ "8021q", ALWAYS, false },
	{ "button", ALWAYS, false },
	{ "evdev", ALWAYS, false },
	{ "virtio_blk", DISKS | ROOT_DISK, true },
	{ "virtiofs", SHARES | ROOT_HOST, true },
	{ "overlay", ROOT_HOST, true },
	{ "overlay", ROOT_DISK, false }, /* over one that is read-only */
	{ "ext4", DISKS | ROOT_DISK, false },
	{ "xfs", ROOT_DISK, false },
	{ "btrfs", ROOT_DISK, false },
};

static const char *const folders[] = { "/dev", "/proc", "/sys", "/run", "/etc", "/root", "/mnt",
	"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64" };

/* Folders of /usr that are at the root as well, as links; not by tree_add_link, which would put
 * them below /usr. */
static const char *const merged[] = { "bin", "lib", "lib64", "sbin" };

static const struct text {
	const char *path, *text;
} texts[] = {
	{ "/etc/passwd",
		"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n" },
	{ "/etc/group", "root:x:0:\nnogroup:x:65534:\n" },
	{ "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n" },
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

static unsigned wants_of(const struct image_spec *s)
{
	return ALWAYS | (s->disks ? DISKS : 0) | (s->shares ? SHARES : 0) |
		(s->root == IMAGE_ROOT_HOST                  ? ROOT_HOST
				: s->root == IMAGE_ROOT_DISK ? ROOT_DISK
							     : 0);
}

/* The last part of the folder's path: the kernel's version. */
static void version_of(const char *folder, char out[IMAGE_VERSION_MAX])
{
	char path[IMAGE_PATH_MAX];
	size_t n;

	snprintf(path, sizeof(path), "%s", folder);
	for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	const char *slash = strrchr(path, '/');
	snprintf(out, IMAGE_VERSION_MAX, "%s", slash ? slash + 1 : path);
}

/* A module's file to the tree (unpacked), and its path in the guest to the list. */
static int put_module(struct tree *t, const char *folder, const char *version, const char *path,
	FILE *list, struct err *e)
{
	char from[2 * IMAGE_PATH_MAX], to[IMAGE_PATH_MAX];
	size_t len = strlen(path);

	for (const char *suffix = strrchr(path, '.'); suffix && strcmp(suffix, ".ko");
		suffix = NULL)
		len = (size_t)(suffix - path);
	snprintf(from, sizeof(from), "%s/%s", folder, path);
	if (snprintf(to, sizeof(to), "/lib/modules/%s/%.*s", version, (int)len, path) >=
		(int)sizeof(to))
		return err_host(e, -ENAMETOOLONG, "%s: the path is too long", from);
	if (access(from, R_OK) < 0)
		return err_host(e, -errno,
			"%s, which modules.dep there names, cannot be read: %s: install the package "
			"linux-image-%s again, or run depmod",
			from, err_str(errno), version);
	int rc = tree_add_file(t, to, from, 0644, true, e);
	if (rc >= 0 && fprintf(list, "%s\n", to) < 0)
		rc = err_set(e, -ENOMEM, "out of memory");
	return rc < 0 ? rc : 0;
}

static int order_modules(
	const struct image_spec *s, struct modules *m, struct modules_order *o, struct err *e)
{
	unsigned wants = wants_of(s);
	int rc = 0;

	for (size_t i = 0; !rc && i < N(wanted); i++) {
		if (!(wanted[i].when & wants))
			continue;
		rc = modules_add(m, wanted[i].name, o, e);
		if (rc == -ENOENT && !wanted[i].needed)
			rc = 0;
	}
	for (size_t i = 0; !rc && i < s->n_extra_modules; i++)
		rc = modules_add(m, s->extra_modules[i], o, e);
	for (size_t i = 0; !rc && i < s->n_devices; i++)
		rc = modules_add_device(m, s->devices[i], o, e);
	return rc;
}

static int put_modules(const struct image_spec *s, struct tree *t, struct err *e)
{
	struct modules_order order = { 0 };
	char version[IMAGE_VERSION_MAX], *list = NULL;
	size_t list_len = 0;

	if (!s->modules)
		return s->n_extra_modules
			? err_request(e, -EINVAL,
				  "module \"%s\" is asked for, but no folder of modules",
				  s->extra_modules[0])
			: 0;
	version_of(s->modules, version);
	struct modules *m = modules_load(s->modules, e);
	FILE *f = open_memstream(&list, &list_len);
	int rc = !m ? e ? e->code : -ENOENT : f ? 0 : err_set(e, -ENOMEM, "out of memory");
	if (!rc)
		rc = order_modules(s, m, &order, e);
	for (size_t i = 0; !rc && i < order.n; i++)
		rc = put_module(t, s->modules, version, order.paths[i], f, e);
	if (f && fclose(f) && !rc)
		rc = err_set(e, -ENOMEM, "out of memory");
	if (!rc)
		rc = tree_add_bytes(t, AT_MODULES, list, list_len, 0644, e);
	free(list);
	modules_order_free(&order);
	modules_free(m);
	return rc;
}

static int put_files(const struct image_spec *s, struct tree *t, struct err *e)
{
	bool host = s->root == IMAGE_ROOT_HOST;
	struct files f;
	int rc = 0;

	if (s->root == IMAGE_ROOT_DISK && s->n_files)
		return err_request_at(e, -EINVAL, "files",
			"files are put into an initramfs, and this guest's root is a disk: put %s on "
			"the disk, or use a share",
			s->files[0].from);
	files_init(&f, t, host ? AT_FILES : "", host, LIBS_CACHE);
	for (size_t i = 0; !rc && i < s->n_files; i++) {
		const char *to = s->files[i].to;

		/* A guest that has the host's root has this file already. */
		if (host && (!to || !strcmp(to, s->files[i].from)) &&
			access(s->files[i].from, R_OK) == 0)
			continue;
		rc = files_add(&f, s->files[i].from, to, e);
	}
	if (!rc)
		rc = files_finish(&f, e);
	if (!rc && f.want_cache)
		rc = files_add(&f, LIBS_CACHE, NULL, e);
	if (rc && e && !e->field[0] && e->class == ERR_REQUEST)
		err_field(e, "files");
	files_free(&f);
	return rc;
}

static int put_base(const struct image_spec *s, struct tree *t, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < N(folders); i++)
		rc = tree_add_folder(t, folders[i], strcmp(folders[i], "/root") ? 0755 : 0700, e);
	if (!rc)
		rc = tree_add_folder(t, "/tmp", 01777, e);
	/* The kernel opens it for init. */
	if (!rc)
		rc = tree_add_device(t, "/dev/console", S_IFCHR | 0600, makedev(5, 1), e);
	for (size_t i = 0; !rc && i < N(merged); i++)
		rc = tree_add_merged(t, merged[i], e);
	if (!rc && access(s->init, R_OK) < 0)
		rc = err_host(e, -errno, "the guest's init %s cannot be read: %s", s->init,
			err_str(errno));
	if (!rc)
		rc = tree_add_file(t, AT_INIT, s->init, 0755, false, e);
	if (!rc && s->config)
		rc = tree_add_bytes(t, AT_CONFIG, s->config, strlen(s->config), 0644, e);
	return rc < 0 ? rc : 0;
}

static int put_texts(struct tree *t, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < N(texts); i++)
		if (!tree_has(t, texts[i].path))
			rc = tree_add_bytes(
				t, texts[i].path, texts[i].text, strlen(texts[i].text), 0644, e);
	return rc;
}

/* Beside path, then renamed: a reader sees the old archive or the new one. */
static int write_tree(const struct tree *t, const char *path, uint64_t max_bytes, struct err *e)
{
	char temporary[IMAGE_PATH_MAX + 16];
	struct cpio c;
	int rc;

	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "cannot make %s: %s", temporary, err_str(errno));
	FILE *f = fdopen(fd, "w");
	if (!f) {
		close(fd);
		unlink(temporary);
		return err_set(e, -ENOMEM, "out of memory");
	}
	cpio_init(&c, f, path, max_bytes ? max_bytes : IMAGE_BYTES_MAX);
	rc = tree_write(t, &c, e);
	if (!rc)
		rc = cpio_finish(&c, e);
	if (fclose(f) && !rc)
		rc = err_set(e, -errno, "cannot write %s: %s", path, err_str(errno));
	if (!rc && rename(temporary, path) < 0)
		rc = err_set(e, -errno, "cannot make %s: %s", path, err_str(errno));
	if (rc)
		unlink(temporary);
	return rc;
}

int image_check_driver(const char *modules, const char *modalias, struct err *e)
{
	struct modules_order order = { 0 };
	struct modules *m = modules_load(modules, e);
	int rc = m ? modules_add_device(m, modalias, &order, e) : e ? e->code : -ENOENT;

	modules_order_free(&order);
	modules_free(m);
	return rc;
}

int image_write(const struct image_spec *spec, const char *path, struct err *e)
{
	struct tree t = { 0 };
	int rc = put_base(spec, &t, e);

	if (!rc)
		rc = put_modules(spec, &t, e);
	if (!rc)
		rc = put_files(spec, &t, e);
	if (!rc)
		rc = put_texts(&t, e);
	if (!rc)
		rc = write_tree(&t, path, spec->max_bytes, e);
	tree_free(&t);
	return rc;
}
