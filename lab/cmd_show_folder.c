/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show-folder: not for people. `up` starts a virtiofsd through it whose guest must not write: in a
 * mount namespace of its own the folder, with all that is mounted below it, is shown once more at
 * DIR, read-only, and the program is executed there. So it is the kernel that refuses, whatever
 * the guest and virtiofsd do. Of the host's root, what is no file system of files is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lab/cmd.h"
#include "lab/lab.h"

/* Below the root: what is other processes', and a guest has of its own. */
static const char *const hidden[] = { "proc", "sys", "dev", "run", "tmp" };

static int fail(const char *what, const char *path)
{
	struct err e = { 0 };

	err_set(&e, -errno, "%s %s: %s", what, path, err_str(errno));
	return lab_fail(&e);
}

static void hide(const char *dir)
{
	for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
		char path[LAB_PATH_MAX + 16];

		snprintf(path, sizeof path, "%s/%s", dir, hidden[i]);
		umount2(path, MNT_DETACH);
	}
}

int cmd_show_folder(int argc, char **argv)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV };
	const char *path = argc > 1 ? argv[1] : "", *dir = argc > 2 ? argv[2] : "";
	int fd;

	if (argc < 4) {
		fputs("lanyard: show-folder takes PATH DIR PROGRAM ARGUMENTS\n", stderr);
		return 2;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail("a mount namespace for", path);
	fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0)
		return fail("the shared folder", path);
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
		return fail("a read-only twin of", path);
	if (move_mount(fd, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("showing the folder at", dir);
	close(fd);
	if (strcmp(path, "/") == 0)
		hide(dir);
	execv(argv[3], argv + 3);
	return fail("starting", argv[3]);
}
