/* SPDX-License-Identifier: Apache-2.0 */
/* AML: see aml.h. Sections are those of the ACPI specification 6.4. */
#include "vmm/aml.h"

#include <string.h>

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	OP_IF = 0xa0,
	OP_ELSE = 0xa1,
	METHOD_SERIALIZED = 0x08,
};

void aml_init(struct aml *a, void *buf, size_t cap)
{
	*a = (struct aml){ .buf = buf, .cap = cap };
}

static void put(struct aml *a, const void *bytes, size_t len)
{
	if (a->overflow || len > a->cap - a->len) {
		a->overflow = true;
		return;
	}
	memcpy(a->buf + a->len, bytes, len);
	a->len += len;
}

static void put_le(struct aml *a, uint64_t v, unsigned bytes)
{
	uint8_t b[8];

	for (unsigned i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	put(a, b, bytes);
}

void aml_op(struct aml *a, uint8_t op)
{
	put(a, &op, 1);
}

static void begin(struct aml *a)
{
	if (a->depth == AML_DEPTH_MAX)
		a->overflow = true;
	else
		a->open[a->depth++] = a->len;
}

/* 20.2.4: the length counts itself, in one byte of 6 bits, or in 4 bits and up to three bytes. */
void aml_end(struct aml *a)
{
	size_t at, len;
	unsigned n = 1;
	uint8_t head[4];

	if (a->overflow || !a->depth)
		return;
	at = a->open[--a->depth];
	len = a->len - at;
	while (len + n >= (n == 1 ? 1u << 6 : 1u << (4 + 8 * (n - 1))))
		n++;
	if (n > a->cap - a->len) {
		a->overflow = true;
		return;
	}
	memmove(a->buf + at + n, a->buf + at, len);
	a->len += n;
	len += n;
	head[0] = (uint8_t)(n == 1 ? len : ((n - 1) << 6 | (len & 0xf)));
	for (unsigned i = 1; i < n; i++)
		head[i] = (uint8_t)(len >> (4 + 8 * (i - 1)));
	memcpy(a->buf + at, head, n);
}

void aml_ref(struct aml *a, const char *name)
{
	char seg[4] = { '_', '_', '_', '_' };
	size_t len;

	if (*name == '\\')
		aml_op(a, (uint8_t)*name++);
	len = strlen(name);
	memcpy(seg, name, len < 4 ? len : 4);
	put(a, seg, 4);
}

void aml_scope(struct aml *a, const char *name)
{
	aml_op(a, OP_SCOPE);
	begin(a);
	aml_ref(a, name);
}

void aml_device(struct aml *a, const char *name)
{
	aml_op(a, OP_EXT);
	aml_op(a, OP_EXT_DEVICE);
	begin(a);
	aml_ref(a, name);
}

void aml_method(struct aml *a, const char *name, unsigned n_args)
{
	aml_op(a, OP_METHOD);
	begin(a);
	aml_ref(a, name);
	aml_op(a, (uint8_t)(n_args | METHOD_SERIALIZED));
}

void aml_if(struct aml *a)
{
	aml_op(a, OP_IF);
	begin(a);
}

void aml_else(struct aml *a)
{
	aml_op(a, OP_ELSE);
	begin(a);
}

void aml_package(struct aml *a, unsigned n)
{
	aml_op(a, OP_PACKAGE);
	begin(a);
	aml_op(a, (uint8_t)n);
}

void aml_name(struct aml *a, const char *name)
{
	aml_op(a, OP_NAME);
	aml_ref(a, name);
}

void aml_int(struct aml *a, uint64_t v)
{
	if (v <= 1) {
		aml_op(a, v ? OP_ONE : OP_ZERO);
	} else if (v <= 0xff) {
		aml_op(a, OP_BYTE);
		put_le(a, v, 1);
	} else if (v <= 0xffff) {
		aml_op(a, OP_WORD);
		put_le(a, v, 2);
	} else if (v <= 0xffffffff) {
		aml_op(a, OP_DWORD);
		put_le(a, v, 4);
	} else {
		aml_op(a, OP_QWORD);
		put_le(a, v, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	aml_op(a, OP_STRING);
	put(a, s, strlen(s) + 1);
}

static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* 19.3.4: three letters of 5 bits and four digits, big-endian. */
void aml_eisa_id(struct aml *a, const char *id)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)id[i] - 0x40);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_int(a, __builtin_bswap32(v));
}

void aml_buffer(struct aml *a, const void *bytes, size_t len)
{
	aml_op(a, OP_BUFFER);
	begin(a);
	aml_int(a, len);
	put(a, bytes, len);
	aml_end(a);
}

/* 19.6.142: the first three groups are little-endian. */
void aml_uuid(struct aml *a, const uint8_t u[16])
{
	static const uint8_t from[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	uint8_t b[16];

	for (unsigned i = 0; i < 16; i++)
		b[i] = u[from[i]];
	aml_buffer(a, b, sizeof(b));
}

void aml_res_io(struct aml *r, uint16_t port, uint8_t len)
{
	put_le(r, 0x47, 1);
	put_le(r, 1, 1); /* all 16 bits are decoded */
	put_le(r, port, 2);
	put_le(r, port, 2);
	put_le(r, 1, 1);
	put_le(r, len, 1);
}

void aml_res_irq(struct aml *r, uint32_t gsi)
{
	put_le(r, 0x89, 1);
	put_le(r, 6, 2);
	put_le(r, 0x3, 1); /* consumer, edge; active high and exclusive are 0 */
	put_le(r, 1, 1);
	put_le(r, gsi, 4);
}

void aml_res_memory_fixed(struct aml *r, uint32_t addr, uint32_t len)
{
	put_le(r, 0x86, 1);
	put_le(r, 9, 2);
	put_le(r, 1, 1); /* it can be written */
	put_le(r, addr, 4);
	put_le(r, len, 4);
}

enum { WINDOW_MEMORY = 0, WINDOW_IO = 1, WINDOW_BUS = 2 };

/* 6.4.3.5: one format in three widths (tag 0x88, 0x87, 0x8a). */
static void window(struct aml *r, uint8_t tag, unsigned bytes, uint8_t type, uint8_t flags,
	uint64_t first, uint64_t last)
{
	put_le(r, tag, 1);
	put_le(r, 3 + 5 * bytes, 2);
	put_le(r, type, 1);
	put_le(r, 0x0c, 1); /* producer; minimum and maximum are fixed */
	put_le(r, flags, 1);
	put_le(r, 0, bytes); /* granularity */
	put_le(r, first, bytes);
	put_le(r, last, bytes);
	put_le(r, 0, bytes); /* translation */
	put_le(r, last - first + 1, bytes);
}

void aml_res_bus(struct aml *r, uint16_t first, uint16_t last)
{
	window(r, 0x88, 2, WINDOW_BUS, 0, first, last);
}

void aml_res_io_window(struct aml *r, uint16_t first, uint16_t last)
{
	window(r, 0x88, 2, WINDOW_IO, 3, first, last); /* ISA and other addresses alike */
}

void aml_res_memory32(struct aml *r, uint32_t first, uint32_t last)
{
	window(r, 0x87, 4, WINDOW_MEMORY, 1, first, last); /* it can be written */
}

void aml_res_memory64(struct aml *r, uint64_t first, uint64_t last)
{
	window(r, 0x8a, 8, WINDOW_MEMORY, 7, first, last); /* and is prefetchable */
}

void aml_resources(struct aml *a, struct aml *r)
{
	put_le(r, 0x79, 2); /* the end; a checksum of 0 is none */
	a->overflow |= r->overflow;
	aml_buffer(a, r->buf, r->overflow ? 0 : r->len);
}
