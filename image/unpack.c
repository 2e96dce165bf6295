/* SPDX-License-Identifier: Apache-2.0 */
#include "image/unpack.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fd.h"

#define DECODER_MEMORY_MAX (256u << 20)

/* What has come out so far. Grows by doubling, up to UNPACK_BYTES_MAX. */
struct out {
	uint8_t *bytes;
	size_t len, room;
};

/* Room for more, or -ENOMEM, -EFBIG. */
static int out_grow(struct out *o)
{
	if (o->len < o->room)
		return 0;
	if (o->room >= UNPACK_BYTES_MAX)
		return -EFBIG;
	size_t room = o->room ? o->room * 2 : 64 << 10;
	uint8_t *more = realloc(o->bytes, room);

	if (!more)
		return -ENOMEM;
	o->bytes = more;
	o->room = room;
	return 0;
}

/* Each: 0; -EBADMSG: no such format, or cut short; -ENOMEM; -EFBIG. */
static int unpack_xz(const uint8_t *in, size_t in_len, struct out *o)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret done = LZMA_OK;
	int rc = 0;

	if (lzma_stream_decoder(&s, DECODER_MEMORY_MAX, LZMA_CONCATENATED) != LZMA_OK)
		return -ENOMEM;
	s.next_in = in;
	s.avail_in = in_len;
	while (!rc && done == LZMA_OK) {
		rc = out_grow(o);
		if (rc)
			break;
		s.next_out = o->bytes + o->len;
		s.avail_out = o->room - o->len;
		done = lzma_code(&s, LZMA_FINISH);
		o->len = o->room - s.avail_out;
	}
	if (!rc && done != LZMA_STREAM_END)
		rc = done == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG;
	lzma_end(&s);
	return rc;
}

static int unpack_zstd(const uint8_t *in, size_t in_len, struct out *o)
{
	ZSTD_DStream *s = ZSTD_createDStream();
	ZSTD_inBuffer from = { in, in_len, 0 };
	size_t more = 1;
	int rc = s ? 0 : -ENOMEM;

	if (s)
		ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, 27);
	while (!rc && (from.pos < from.size || more)) {
		rc = out_grow(o);
		if (rc)
			break;
		ZSTD_outBuffer to = { o->bytes, o->room, o->len };
		more = ZSTD_decompressStream(s, &to, &from);
		if (ZSTD_isError(more))
			rc = -EBADMSG;
		else if (from.pos == from.size && to.pos < to.size && more)
			rc = -EBADMSG; /* it wants more input than there is */
		o->len = to.pos;
	}
	ZSTD_freeDStream(s);
	return rc;
}

static int unpack_gzip(const uint8_t *in, size_t in_len, struct out *o)
{
	z_stream s = { 0 };
	int done = Z_OK, rc = 0;

	if (in_len > UINT32_MAX)
		return -EFBIG;
	if (inflateInit2(&s, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	s.next_in = (Bytef *)in;
	s.avail_in = (uInt)in_len;
	while (!rc && done == Z_OK) {
		rc = out_grow(o);
		if (rc)
			break;
		s.next_out = o->bytes + o->len;
		s.avail_out = (uInt)(o->room - o->len);
		done = inflate(&s, Z_NO_FLUSH);
		o->len = o->room - s.avail_out;
	}
	if (!rc && done != Z_STREAM_END)
		rc = done == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
	inflateEnd(&s);
	return rc;
}

static const struct format {
	const char *suffix;
	int (*unpack)(const uint8_t *in, size_t in_len, struct out *o);
} formats[] = {
	{ ".xz", unpack_xz },
	{ ".zst", unpack_zstd },
	{ ".gz", unpack_gzip },
};

static const struct format *format_of(const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		size_t k = strlen(formats[i].suffix);

		if (n > k && !strcmp(path + n - k, formats[i].suffix))
			return &formats[i];
	}
	return NULL;
}

size_t unpack_suffix(const char *path)
{
	const struct format *f = format_of(path);

	return f ? strlen(f->suffix) : 0;
}

int unpack_bytes(const char *path, const uint8_t *in, size_t in_len, uint8_t **out, size_t *len,
	struct err *e)
{
	const struct format *f = format_of(path);
	struct out o = { 0 };
	int rc;

	*out = NULL;
	if (!f) {
		o.bytes = malloc(in_len + 1);
		if (o.bytes)
			memcpy(o.bytes, in, in_len);
		o.len = in_len;
		rc = o.bytes ? 0 : -ENOMEM;
	} else {
		rc = f->unpack(in, in_len, &o);
	}
	if (rc) {
		free(o.bytes);
		if (rc == -EFBIG)
			return err_request(e, rc, "%s has more than %u MiB when it is unpacked",
				path, UNPACK_BYTES_MAX >> 20);
		if (rc == -EBADMSG)
			return err_request(e, rc,
				"%s is no whole %s file: it cannot be unpacked; install the kernel's "
				"package again",
				path, f->suffix + 1);
		return err_set(e, rc, "%s: %s", path, err_str(rc));
	}
	*out = o.bytes;
	*len = o.len;
	return 0;
}

int unpack_file(const char *path, uint8_t **out, size_t *len, struct err *e)
{
	char *in;
	size_t in_len;
	int rc = fd_read_file(path, UNPACK_BYTES_MAX, &in, &in_len, e);

	if (rc)
		return rc;
	if (!format_of(path)) {
		*out = (uint8_t *)in;
		*len = in_len;
		return 0;
	}
	rc = unpack_bytes(path, (const uint8_t *)in, in_len, out, len, e);
	free(in);
	return rc;
}
