/* SPDX-License-Identifier: Apache-2.0 */
#include "image/cpio.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/units.h"

#define HEADER_BYTES 110
#define BLOCK        512
#define ENTRY_MAX    0xffffffffu

void cpio_init(struct cpio *c, FILE *f, const char *name, uint64_t max_bytes)
{
	*c = (struct cpio){ .f = f, .name = name, .max_bytes = max_bytes };
}

static int put(struct cpio *c, const void *buf, size_t len, struct err *e)
{
	if (len && fwrite(buf, 1, len, c->f) != len)
		return err_set(e, -errno, "cannot write %s: %s", c->name, err_str(errno));
	c->bytes += len;
	return 0;
}

static int put_zeros(struct cpio *c, size_t len, struct err *e)
{
	static const char zeros[BLOCK];

	return put(c, zeros, len, e);
}

static uint32_t padding(uint64_t len)
{
	return (uint32_t)(-len & 3);
}

int cpio_entry(
	struct cpio *c, const char *path, mode_t mode, uint64_t size, dev_t dev, struct err *e)
{
	size_t name_len = strlen(path) + 1;
	char header[HEADER_BYTES + 1], limit[16];
	uint64_t all =
		HEADER_BYTES + name_len + padding(HEADER_BYTES + name_len) + size + padding(size);

	if (size > ENTRY_MAX)
		return err_request(e, -EFBIG,
			"/%s has %" PRIu64
			" bytes: a file of an initramfs has less than 4 GiB; put "
			"it on a disk or a share",
			path, size);
	if (all > c->max_bytes || c->bytes > c->max_bytes - all)
		return err_request(e, -EFBIG,
			"the initramfs %s would be larger than %s at /%s: name fewer files, or use a "
			"share, a disk or the host's root",
			c->name, units_format_size(c->max_bytes, limit), path);
	c->inode++;
	snprintf(header, sizeof(header),
		"070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c->inode,
		(unsigned)mode, 0, 0, S_ISDIR(mode) ? 2 : 1, 0, (unsigned)size, 0, 0, major(dev),
		minor(dev), (unsigned)name_len, 0);
	c->left = size;
	c->pad = padding(size);
	int rc = put(c, header, HEADER_BYTES, e);
	if (!rc)
		rc = put(c, path, name_len, e);
	return rc ? rc : put_zeros(c, padding(HEADER_BYTES + name_len), e);
}

int cpio_data(struct cpio *c, const void *buf, size_t len, struct err *e)
{
	if (len > c->left)
		return err_set(e, -EINVAL, "%s: more data than the entry's size", c->name);
	c->left -= len;
	int rc = put(c, buf, len, e);
	if (rc || c->left)
		return rc;
	uint32_t pad = c->pad;
	c->pad = 0;
	return put_zeros(c, pad, e);
}

int cpio_finish(struct cpio *c, struct err *e)
{
	int rc;

	c->max_bytes = UINT64_MAX;
	rc = cpio_entry(c, "TRAILER!!!", 0, 0, 0, e);
	if (!rc)
		rc = put_zeros(c, (size_t)(-c->bytes & (BLOCK - 1)), e);
	if (!rc && fflush(c->f))
		rc = err_set(e, -errno, "cannot write %s: %s", c->name, err_str(errno));
	return rc;
}
