/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's binary statistics (api.rst, 4.133): a header, descriptors with names, values; and a
 * thread's stat and schedstat (proc(5)). */
#include "vmm/vcpu_stats.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define NAME_MAX_BYTES 64

/* Calls fn for each descriptor with its name, until it returns false. */
static void stat_walk(int fd,
	bool (*fn)(void *arg, const char *name, const struct kvm_stats_desc *d, int64_t at),
	void *arg)
{
	struct kvm_stats_header h;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.name_size > NAME_MAX_BYTES)
		return;
	for (uint32_t i = 0; i < h.num_desc; i++) {
		char raw[sizeof(struct kvm_stats_desc) + NAME_MAX_BYTES + 1] = "";
		size_t len = sizeof(struct kvm_stats_desc) + h.name_size;
		struct kvm_stats_desc d;

		if (pread(fd, raw, len, h.desc_offset + (off_t)(i * len)) != (ssize_t)len)
			return;
		memcpy(&d, raw, sizeof(d));
		if (!fn(arg, raw + sizeof(d), &d, (int64_t)h.data_offset + d.offset))
			return;
	}
}

struct find {
	const char *name;
	int64_t at;
};

static bool stat_is(void *arg, const char *name, const struct kvm_stats_desc *d, int64_t at)
{
	struct find *f = arg;

	if (strcmp(name, f->name) != 0)
		return true;
	f->at = at;
	return false;
}

/* Where the counter's value is in the stats' file, or -1. */
static int64_t stat_find(int fd, const char *name)
{
	struct find f = { name, -1 };

	stat_walk(fd, stat_is, &f);
	return f.at;
}

struct each {
	int fd;
	void (*fn)(void *arg, const char *name, uint64_t value);
	void *arg;
};

static bool stat_tell(void *arg, const char *name, const struct kvm_stats_desc *d, int64_t at)
{
	struct each *e = arg;
	uint64_t value;

	if (d->size == 1 && pread(e->fd, &value, sizeof(value), at) == sizeof(value))
		e->fn(e->arg, name, value);
	return true;
}

void vcpu_stat_each(const struct vcpu_stat *s,
	void (*fn)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct each e = { s->fd, fn, arg };

	if (s->fd >= 0)
		stat_walk(s->fd, stat_tell, &e);
}

struct vcpu_time_files vcpu_times_open(int task_fd)
{
	int tid = (int)syscall(SYS_gettid);
	char path[32];
	struct vcpu_time_files f;

	snprintf(path, sizeof(path), "%d/stat", tid);
	f.stat = openat(task_fd, path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%d/schedstat", tid);
	f.sched = openat(task_fd, path, O_RDONLY | O_CLOEXEC);
	return f;
}

void vcpu_times_close(struct vcpu_time_files *f)
{
	fd_close(&f->stat);
	fd_close(&f->sched);
}

/* A file of numbers at its beginning; the text behind the last `after` of it, or "". */
static const char *numbers(int fd, char *buf, size_t size, char after)
{
	ssize_t n = fd < 0 ? -1 : pread(fd, buf, size - 1, 0);
	char *p;

	if (n <= 0)
		return "";
	buf[n] = '\0';
	p = after ? strrchr(buf, after) : buf;
	return p ? p + !!after : "";
}

struct vcpu_times vcpu_times_get(const struct vcpu_time_files *f)
{
	uint64_t tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	unsigned long long utime = 0, stime = 0, guest = 0, run = 0, wait = 0;
	char buf[1024];

	/* Behind the name in brackets: fields 3, 4, ...; 14 and 15 are utime and stime, 43
	 * guest_time, which utime holds as well. */
	sscanf(numbers(f->stat, buf, sizeof(buf), ')'),
		" %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s %*s "
		"%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		"%*s %llu",
		&utime, &stime, &guest);
	sscanf(numbers(f->sched, buf, sizeof(buf), 0), "%llu %llu", &run, &wait);
	return (struct vcpu_times){ .user_ns = (utime > guest ? utime - guest : 0) * tick_ns,
		.system_ns = stime * tick_ns,
		.guest_ns = guest * tick_ns,
		.run_ns = run,
		.wait_ns = wait };
}

void vcpu_stat_open(struct vcpu_stat *s, int vcpu_fd, const char *name)
{
	s->fd = ioctl(vcpu_fd, KVM_GET_STATS_FD, NULL);
	s->offset = s->fd < 0 ? -1 : stat_find(s->fd, name);
	if (s->offset < 0)
		fd_close(&s->fd);
}

void vcpu_stat_close(struct vcpu_stat *s)
{
	fd_close(&s->fd);
}

uint64_t vcpu_stat_get(const struct vcpu_stat *s)
{
	uint64_t value;

	if (s->fd < 0 || pread(s->fd, &value, sizeof(value), s->offset) != sizeof(value))
		return 0;
	return value;
}
