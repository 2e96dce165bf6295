/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's binary statistics (api.rst, 4.133): a header, descriptors with names, values. */
#include "vmm/vcpu_stats.h"

#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

#define NAME_MAX_BYTES 64

/* Where the counter's value is in the stats' file, or -1. */
static int64_t stat_find(int fd, const char *name)
{
	struct kvm_stats_header h;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || h.name_size > NAME_MAX_BYTES)
		return -1;
	for (uint32_t i = 0; i < h.num_desc; i++) {
		char raw[sizeof(struct kvm_stats_desc) + NAME_MAX_BYTES + 1] = "";
		size_t len = sizeof(struct kvm_stats_desc) + h.name_size;
		struct kvm_stats_desc d;

		if (pread(fd, raw, len, h.desc_offset + (off_t)(i * len)) != (ssize_t)len)
			return -1;
		memcpy(&d, raw, sizeof(d));
		if (strcmp(raw + sizeof(d), name) == 0)
			return (int64_t)h.data_offset + d.offset;
	}
	return -1;
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
