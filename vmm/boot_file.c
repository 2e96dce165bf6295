/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are loaded into a guest: see boot_file.h. */
#include "vmm/boot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int boot_file_open(struct boot_file *f, const char *path, const char *what, const char *expected,
	const char *field, struct err *e)
{
	struct stat st;

	/* Not blocking: a FIFO without a writer is refused below, not waited for. */
	*f = (struct boot_file){ .name = path,
		.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
	if (f->fd < 0)
		return err_request_at(e, -errno, field, "%s %s: %s; expected %s", what, path,
			err_str(errno), expected);
	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		boot_file_close(f);
		return err_request_at(e, -EINVAL, field, "%s %s is not a regular file; expected %s",
			what, path, expected);
	}
	f->size = (uint64_t)st.st_size;
	return 0;
}

void boot_file_close(struct boot_file *f)
{
	fd_close(&f->fd);
}

bool boot_file_read(const struct boot_file *f, uint64_t off, void *buf, uint64_t len)
{
	uint8_t *p = buf;

	if (off > f->size || len > f->size - off)
		return false;
	if (f->fd < 0) {
		if (len)
			memcpy(buf, f->bytes + off, len);
		return true;
	}
	while (len) {
		ssize_t n = pread(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false; /* it shrank */
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return true;
}
