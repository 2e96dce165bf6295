/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind a disk: see blk_file.h. */
#include "vmm/blk_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode)     ? "a folder"
		: S_ISCHR(mode)  ? "a character device"
		: S_ISFIFO(mode) ? "a pipe"
		: S_ISSOCK(mode) ? "a socket (a back end's is named by socket=)"
				 : "neither";
}

/* Looked at before it is opened, since to open a pipe may wait for ever. */
static int check_kind(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
			return 0;
		return err_request(e, -EINVAL, "disk %s is %s: expected a file or a block device",
			path, kind_of(st.st_mode));
	}
	if (errno == ENOENT)
		return err_request(e, -ENOENT,
			"disk %s is not there; `truncate -s 10G %s` makes an empty one", path,
			path);
	return err_host(e, -errno, "disk %s: %s", path, err_str(errno));
}

static int open_it(struct blk_file *f, const char *path, struct err *e)
{
	f->fd = open(path, (f->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (f->fd >= 0)
		return 0;
	if (!f->readonly && (errno == EACCES || errno == EROFS || errno == EPERM))
		return err_host(e, -errno,
			"disk %s cannot be written to: %s; let user %u write to it, or say "
			"readonly=on",
			path, err_str(errno), (unsigned)geteuid());
	return err_host(e, -errno, "disk %s cannot be opened: %s", path, err_str(errno));
}

/* --- the lock -------------------------------------------------------------------------------- */

/* Whether fd N of process PID is this file and holds a lock. */
static bool holds_lock(const char *pid, const char *fd, const struct stat *st)
{
	char path[600], *text = NULL;
	struct stat other;
	bool holds;

	snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, fd);
	if (stat(path, &other) || other.st_dev != st->st_dev || other.st_ino != st->st_ino)
		return false;
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	holds = fd_read_file(path, 64 << 10, &text, NULL, NULL) == 0 && strstr(text, "lock:");
	free(text);
	return holds;
}

static bool process_holds_lock(const char *pid, const struct stat *st)
{
	char path[300];
	bool holds = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	for (struct dirent *f; d && !holds && (f = readdir(d));)
		holds = isdigit((unsigned char)f->d_name[0]) && holds_lock(pid, f->d_name, st);
	if (d)
		closedir(d);
	return holds;
}

/* "lanyard-vmm, pid 1234", or "another program" where /proc does not tell us. */
static void lock_owner(int fd, char *text, size_t len)
{
	char path[300], *name = NULL;
	bool found = false;
	struct stat st;
	DIR *d = opendir("/proc");

	snprintf(text, len, "another program");
	for (struct dirent *p; d && !found && fstat(fd, &st) == 0 && (p = readdir(d));) {
		if (!isdigit((unsigned char)p->d_name[0]) || atoi(p->d_name) == getpid() ||
			!process_holds_lock(p->d_name, &st))
			continue;
		found = true;
		snprintf(path, sizeof(path), "/proc/%s/comm", p->d_name);
		if (fd_read_file(path, 64, &name, NULL, NULL) == 0)
			name[strcspn(name, "\n")] = '\0';
		snprintf(text, len, "%s, pid %s", name ? name : "a program", p->d_name);
		free(name);
	}
	if (d)
		closedir(d);
}

static int lock_it(const struct blk_file *f, const char *path, struct err *e)
{
	struct flock lock = { .l_type = f->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	char owner[300];

	if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		log_warn("disk %s cannot be locked (%s): take care that no other VM writes to it",
			path, err_str(errno));
		return 0;
	}
	lock_owner(f->fd, owner, sizeof(owner));
	return err_host(e, -EBUSY, "disk %s is in use by %s: %s; end it, or give each its own copy",
		path, owner,
		f->readonly ? "it writes to it"
			    : "a disk has one writer, or readers only (readonly=on)");
}

/* --- what it is ------------------------------------------------------------------------------ */

static int measure_device(struct blk_file *f, const char *path, struct err *e)
{
	unsigned physical = BLK_SECTOR;
	int logical = BLK_SECTOR, ro = 0;

	if (ioctl(f->fd, BLKGETSIZE64, &f->size) < 0)
		return err_host(e, -errno, "disk %s: its size: %s", path, err_str(errno));
	if (ioctl(f->fd, BLKROGET, &ro) == 0 && ro && !f->readonly)
		return err_host(e, -EROFS,
			"disk %s is a read-only device: say readonly=on, or `blockdev --setrw %s`",
			path, path);
	if (ioctl(f->fd, BLKSSZGET, &logical) < 0)
		logical = BLK_SECTOR;
	if (ioctl(f->fd, BLKPBSZGET, &physical) < 0)
		physical = BLK_SECTOR;
	f->block_size = (uint32_t)logical;
	f->physical = physical;
	f->discards = !f->readonly;
	return 0;
}

static int measure_file(struct blk_file *f, const char *path, const struct stat *st, struct err *e)
{
	f->size = (uint64_t)st->st_size;
	f->block_size = BLK_SECTOR;
	f->physical = (uint32_t)st->st_blksize;
	if (f->physical < 4096 || f->physical > 65536 || (f->physical & (f->physical - 1)))
		f->physical = 4096;
	if (f->size == 0 || f->size % BLK_SECTOR)
		return err_request(e, -EINVAL,
			"disk %s has %llu bytes: expected a multiple of 512, at least that; "
			"`truncate -s %llu %s` makes it so",
			path, (unsigned long long)f->size,
			(unsigned long long)(f->size - f->size % BLK_SECTOR + BLK_SECTOR), path);
	/* Behind its end there is nothing to lose. */
	f->discards = !f->readonly &&
		fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, st->st_size,
			BLK_SECTOR) == 0;
	return 0;
}

/* An image in a format of its own is shown to the guest byte by byte, which few people want. */
static void warn_of_format(const struct blk_file *f, const char *path)
{
	static const struct {
		const char *magic, *name;
		bool at_end;
	} formats[] = { { "QFI\xfb", "qcow2", false }, { "KDMV", "VMDK", false },
		{ "conectix", "VHD", true } };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t n = strlen(formats[i].magic);
		uint64_t at = formats[i].at_end ? f->size - BLK_SECTOR : 0;
		char buf[8];

		if (pread(f->fd, buf, n, (off_t)at) == (ssize_t)n &&
			!memcmp(buf, formats[i].magic, n))
			log_warn("disk %s looks like %s, and is shown to the guest as the raw "
				 "bytes that it has; qemu-storage-daemon serves such images "
				 "(--disk socket=PATH)",
				path, formats[i].name);
	}
}

int blk_file_open(struct blk_file *f, const char *path, bool readonly, struct err *e)
{
	struct stat st;
	int err;

	*f = (struct blk_file){ .fd = -1, .readonly = readonly };
	err = check_kind(path, e);
	if (!err)
		err = open_it(f, path, e);
	if (!err)
		err = lock_it(f, path, e);
	if (err)
		return err;
	if (fstat(f->fd, &st) < 0)
		return err_host(e, -errno, "disk %s: %s", path, err_str(errno));
	err = S_ISBLK(st.st_mode) ? measure_device(f, path, e) : measure_file(f, path, &st, e);
	if (!err)
		warn_of_format(f, path);
	return err;
}

void blk_file_close(struct blk_file *f)
{
	fd_close(&f->fd);
}
