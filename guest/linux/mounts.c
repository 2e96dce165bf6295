/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "guest/linux/say.h"
#include "guest/linux/tree_copy.h"

#define ROOT_TAG  "lanyard-root"
#define NEW_ROOT  "/newroot"
#define LOWER     "/lower"
#define OVER      "/over"
#define FILES     "/files" /* image/image.c: files for a guest whose root is the host's */
#define DISK_MS   10000    /* for a disk to appear: its driver may still be at it */
#define TABLE_MAX (1u << 20)
#define MOUNTS    256

static const struct kernel_mount {
	const char *type, *at, *options;
	unsigned long flags;
} kernel_mounts[] = {
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID },
	{ "devpts", "/dev/pts", "ptmxmode=0666,gid=5,mode=0620", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
};

/* What goes along to a new root, with what is mounted below it. */
static const char *const kept[] = { "/proc", "/sys", "/dev", "/run", "/tmp" };

static const struct {
	const char *at, *target;
} dev_links[] = {
	{ "/dev/fd", "/proc/self/fd" },
	{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" },
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* A folder and those above it. */
static int make_folders(const char *path)
{
	char at[1024];

	if (snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
		return -ENAMETOOLONG;
	for (char *p = at + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(at, 0755);
		*p = '/';
	}
	return mkdir(at, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

void mounts_kernel(json_t *problems)
{
	for (size_t i = 0; i < N(kernel_mounts); i++) {
		const struct kernel_mount *m = &kernel_mounts[i];

		make_folders(m->at);
		/* The kernel may have mounted /dev itself. */
		if (mount(m->type, m->at, m->type, m->flags, m->options) < 0 && errno != EBUSY)
			say_problem(problems, "mount %s: %s", m->at, err_str(errno));
	}
	for (size_t i = 0; i < N(dev_links); i++)
		if (symlink(dev_links[i].target, dev_links[i].at) < 0 && errno != EEXIST)
			say_problem(problems, "%s: %s", dev_links[i].at, err_str(errno));
}

/* A tmpfs over LOWER, as NEW_ROOT: it can be written to, and what is below it does not change. */
static int mount_overlay(struct err *e)
{
	make_folders(OVER);
	if (mount("tmpfs", OVER, "tmpfs", 0, "mode=0755") < 0 || make_folders(OVER "/up") ||
		make_folders(OVER "/work"))
		return err_set(e, -errno, "root: tmpfs: %s", err_str(errno));
	make_folders(NEW_ROOT);
	if (mount("overlay", NEW_ROOT, "overlay", 0,
		    "lowerdir=" LOWER ",upperdir=" OVER "/up,workdir=" OVER "/work") < 0)
		return err_set(e, -errno, "root: overlay on %s: %s", LOWER, err_str(errno));
	return 0;
}

static int mount_host(struct err *e)
{
	make_folders(LOWER);
	if (mount(ROOT_TAG, LOWER, "virtiofs", MS_RDONLY, NULL) < 0)
		return err_set(e, -errno,
			"root: the host's file system (virtiofs, tag " ROOT_TAG "): %s%s",
			err_str(errno), errno == EINVAL ? ": the VM has no such share" : "");
	return mount_overlay(e);
}

/* Whether what is mounted at path looks like a system's root. */
static bool looks_like_root(const char *path)
{
	static const char *const signs[] = { "usr", "sbin", "bin", "etc" };
	char at[256];

	for (size_t i = 0; i < N(signs); i++) {
		snprintf(at, sizeof(at), "%s/%s", path, signs[i]);
		if (access(at, F_OK) == 0)
			return true;
	}
	return false;
}

/* File systems that a system's root is likely to have; as_is: mounts one that was not unmounted,
 * from a disk that can't be written to. */
static const struct {
	const char *type, *as_is;
} disk_types[] = {
	{ "ext4", "noload" },
	{ "xfs", "norecovery" },
	{ "btrfs", "rescue=nologreplay" },
};

static int mount_device(const char *device, const char *at, bool readonly)
{
	unsigned long flags = readonly ? MS_RDONLY : 0;
	int rc = -EINVAL;

	for (size_t i = 0; i < N(disk_types); i++) {
		const char *type = disk_types[i].type;

		if (mount(device, at, type, flags, NULL) == 0)
			return 0;
		if (readonly && errno == EROFS &&
			mount(device, at, type, flags, disk_types[i].as_is) == 0)
			return 0;
		/* EINVAL: another file system; ENODEV: this kernel has no such one. */
		if (errno != EINVAL && errno != ENODEV)
			rc = -errno;
	}
	return rc;
}

static int disk_first(const struct dirent *d)
{
	return d->d_name[0] == 'v' && d->d_name[1] == 'd';
}

/* Mounts the first disk or partition that has a system's root on it. */
static int try_disks(const char *at, bool readonly, char device[64])
{
	struct dirent **names = NULL;
	int n = scandir("/sys/class/block", &names, disk_first, alphasort);
	int rc = -ENXIO; /* no disk at all */

	for (int i = 0; i < n; i++) {
		if (rc) {
			snprintf(device, 64, "/dev/%.50s", names[i]->d_name);
			rc = mount_device(device, at, readonly);
			if (!rc && !looks_like_root(at)) {
				umount2(at, MNT_DETACH);
				rc = -ENOENT;
			}
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

static int mount_disk(const json_t *config, struct err *e)
{
	const json_t *disk = json_object_get(config, "disk");
	const char *given = json_string_value(json_object_get(disk, "device"));
	bool readonly = json_is_true(json_object_get(disk, "readonly"));
	uint64_t deadline = clock_now_ns() + DISK_MS * NS_PER_MS;
	char device[64] = "/dev/vda";
	int rc;

	for (;;) {
		const char *at = readonly ? LOWER : NEW_ROOT;

		make_folders(at);
		if (given) {
			snprintf(device, sizeof(device), "%s", given);
			rc = access(device, F_OK) ? -ENXIO : mount_device(device, at, readonly);
		} else {
			rc = try_disks(at, readonly, device);
		}
		if (!readonly && (rc == -EROFS || rc == -EACCES)) {
			readonly = true; /* the disk itself is */
			continue;
		}
		if (rc != -ENXIO || clock_now_ns() > deadline)
			break;
		clock_sleep_ns(5 * NS_PER_MS);
	}
	if (rc == -ENXIO)
		return err_set(e, rc, "root: no disk %s appeared within %d s",
			given ? given : "(/dev/vd*)", DISK_MS / 1000);
	if (rc == -ENOENT)
		return err_set(e, rc, "root: no disk or partition has a root file system on it");
	if (rc)
		return err_set(e, rc, "root: %s can't be mounted: %s: expected ext4, xfs or btrfs",
			device, err_str(rc));
	say("root is %s", device);
	return readonly ? mount_overlay(e) : 0;
}

static int switch_root(struct err *e)
{
	for (size_t i = 0; i < N(kept); i++) {
		char at[256];

		snprintf(at, sizeof(at), NEW_ROOT "%s", kept[i]);
		mkdir(at, 0755);
		if (mount(kept[i], at, NULL, MS_MOVE, NULL) < 0)
			return err_set(e, -errno, "root: %s has no place in it: %s", kept[i],
				err_str(errno));
	}
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		return err_set(e, -errno, "root: %s", err_str(errno));
	return 0;
}

/* The kernel's modules where modprobe looks for them; from: a folder of the new root's. */
static void bind_modules(const json_t *config, json_t *problems)
{
	const char *from = json_string_value(json_object_get(config, "modules"));
	struct utsname u;
	char at[256];

	uname(&u);
	snprintf(at, sizeof(at), "/lib/modules/%s", u.release);
	if (!from || !strcmp(from, at) || access(from, F_OK))
		return;
	make_folders("/usr/lib/modules");
	if (make_folders(at) || mount(from, at, NULL, MS_BIND, NULL) < 0)
		say_problem(problems, "%s at %s: %s", from, at, err_str(errno));
}

int mounts_root(const json_t *config, json_t *problems, struct err *e)
{
	const char *root = json_string_value(json_object_get(config, "root"));
	int files = -1, rc;

	if (!root || !strcmp(root, "none"))
		return 0;
	if (!strcmp(root, "host"))
		rc = mount_host(e);
	else if (!strcmp(root, "disk"))
		rc = mount_disk(config, e);
	else
		return err_request(e, -EINVAL,
			"root: \"%.100s\": expected \"none\", \"host\" or \"disk\"", root);
	if (rc)
		return rc;
	files = open(FILES, O_PATH | O_DIRECTORY | O_CLOEXEC);
	rc = switch_root(e);
	if (!rc && files >= 0)
		tree_copy(files, problems);
	if (!rc && !strcmp(root, "host"))
		bind_modules(config, problems);
	fd_close(&files);
	return rc;
}

void mounts_shares(const json_t *config, json_t *problems)
{
	const json_t *share;
	size_t i;

	json_array_foreach (json_object_get(config, "shares"), i, share) {
		const char *tag = json_string_value(json_object_get(share, "tag"));
		const char *given = json_string_value(json_object_get(share, "at"));
		bool readonly = json_is_true(json_object_get(share, "readonly"));
		char at[256];

		snprintf(at, sizeof(at), given ? "%s" : "/mnt/%s", given ? given : tag ? tag : "");
		int rc = make_folders(at);
		if (!rc &&
			mount(tag ? tag : "", at, "virtiofs", readonly ? MS_RDONLY : 0, NULL) < 0)
			rc = -errno;
		if (rc)
			say_problem(
				problems, "share %s at %s: %s", tag ? tag : "?", at, err_str(rc));
	}
}

void mounts_end(void)
{
	char *table, *save, *line, *points[MOUNTS];
	size_t n = 0;

	sync();
	if (fd_read_file("/proc/self/mounts", TABLE_MAX, &table, NULL, NULL))
		return;
	for (line = strtok_r(table, "\n", &save); line && n < MOUNTS;
		line = strtok_r(NULL, "\n", &save)) {
		char *at = strchr(line, ' ');
		char *end = at ? strchr(at + 1, ' ') : NULL;

		if (!end)
			continue;
		*end = '\0';
		points[n++] = at + 1;
	}
	/* Newest first. What is still in use is made read-only, which writes all of it. */
	while (n--)
		if (umount2(points[n], 0) < 0)
			mount(NULL, points[n], NULL, MS_REMOUNT | MS_RDONLY, NULL);
	free(table);
	sync();
}
