/* SPDX-License-Identifier: Apache-2.0 */
/* See pcapng.h. Sections named here are the draft's. */
#include "base/pcapng.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BYTE_ORDER_MAGIC  0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define BLOCK_MAX         (16u << 20) /* longer ones are nonsense (Wireshark's limit too) */

/* Options: section 3.5 and those of each block. */
enum {
	OPT_END = 0,
	OPT_SHB_USERAPPL = 4,
	OPT_IF_NAME = 2,
	OPT_IF_DESCRIPTION = 3,
	OPT_IF_TSRESOL = 9,
	OPT_EPB_FLAGS = 2,
	OPT_ISB_STARTTIME = 2,
	OPT_ISB_ENDTIME = 3,
	OPT_ISB_IFRECV = 4,
	OPT_ISB_IFDROP = 5,
};

/* Section 4.1, after the block's type and length. */
struct shb {
	uint32_t magic;
	uint16_t major, minor;
	int64_t section_len;
} __attribute__((packed));

/* Section 4.2. */
struct idb {
	uint16_t linktype, reserved;
	uint32_t snaplen;
};

/* Section 4.3. */
struct epb {
	uint32_t interface, time_high, time_low, cap_len, len;
};

/* Section 4.6. */
struct isb {
	uint32_t interface, time_high, time_low;
};

static_assert(sizeof(struct shb) == 16 && sizeof(struct idb) == 8 && sizeof(struct epb) == 20 &&
		sizeof(struct isb) == 12,
	"pcapng blocks");

struct put {
	uint8_t *out;
	size_t n;
};

static void put_bytes(struct put *p, const void *data, size_t len)
{
	if (len)
		memcpy(p->out + p->n, data, len);
	p->n += len;
	while (p->n % 4)
		p->out[p->n++] = 0;
}

static struct put begin(uint8_t *out, uint32_t type)
{
	struct put p = { .out = out };

	put_bytes(&p, &type, 4);
	put_bytes(&p, &type, 4); /* the length: by end() */
	return p;
}

static size_t end(struct put *p)
{
	uint32_t len = (uint32_t)p->n + 4;

	memcpy(p->out + 4, &len, 4);
	put_bytes(p, &len, 4);
	return p->n;
}

static void option(struct put *p, uint16_t code, const void *data, size_t len)
{
	uint16_t head[] = { code, (uint16_t)len };

	put_bytes(p, head, 4);
	put_bytes(p, data, len);
}

static void option_text(struct put *p, uint16_t code, const char *text)
{
	option(p, code, text, strnlen(text, PCAPNG_TEXT_MAX));
}

static void option_u64(struct put *p, uint16_t code, uint64_t v)
{
	option(p, code, &v, 8);
}

/* Times are two halves, the high one first, whatever the byte order. */
static void option_time(struct put *p, uint16_t code, uint64_t ns)
{
	uint32_t halves[] = { (uint32_t)(ns >> 32), (uint32_t)ns };

	option(p, code, halves, 8);
}

size_t pcapng_put_shb(uint8_t *out, const char *application)
{
	struct shb h = { .magic = BYTE_ORDER_MAGIC, .major = 1, .section_len = -1 };
	struct put p = begin(out, PCAPNG_SHB);

	put_bytes(&p, &h, sizeof(h));
	option_text(&p, OPT_SHB_USERAPPL, application);
	option(&p, OPT_END, NULL, 0);
	return end(&p);
}

size_t pcapng_put_idb(uint8_t *out, const char *name, const char *description, uint32_t snaplen)
{
	struct idb h = { .linktype = LINKTYPE_ETHERNET, .snaplen = snaplen };
	struct put p = begin(out, PCAPNG_IDB);

	put_bytes(&p, &h, sizeof(h));
	option_text(&p, OPT_IF_NAME, name);
	option_text(&p, OPT_IF_DESCRIPTION, description);
	option(&p, OPT_IF_TSRESOL, (const uint8_t[]){ 9 }, 1); /* 10^-9 s */
	option(&p, OPT_END, NULL, 0);
	return end(&p);
}

size_t pcapng_put_epb(uint8_t *out, const struct pcapng_packet *k)
{
	struct epb h = { .time_high = (uint32_t)(k->time_ns >> 32),
		.time_low = (uint32_t)k->time_ns,
		.cap_len = k->cap_len,
		.len = k->len };
	struct put p = begin(out, PCAPNG_EPB);
	uint32_t flags = k->dir;

	put_bytes(&p, &h, sizeof(h));
	put_bytes(&p, k->data, k->cap_len);
	option(&p, OPT_EPB_FLAGS, &flags, 4);
	option(&p, OPT_END, NULL, 0);
	return end(&p);
}

size_t pcapng_put_isb(uint8_t *out, const struct pcapng_stats *s)
{
	struct isb h = { .time_high = (uint32_t)(s->time_ns >> 32),
		.time_low = (uint32_t)s->time_ns };
	struct put p = begin(out, PCAPNG_ISB);

	put_bytes(&p, &h, sizeof(h));
	option_time(&p, OPT_ISB_STARTTIME, s->start_ns);
	if (s->end_ns)
		option_time(&p, OPT_ISB_ENDTIME, s->end_ns);
	option_u64(&p, OPT_ISB_IFRECV, s->received);
	option_u64(&p, OPT_ISB_IFDROP, s->dropped);
	option(&p, OPT_END, NULL, 0);
	return end(&p);
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint64_t get_time(const uint8_t *p)
{
	return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

long pcapng_block(const uint8_t *buf, size_t len, struct pcapng_block *b)
{
	uint32_t total;

	if (len < 8)
		return 0;
	b->type = get_u32(buf);
	total = get_u32(buf + 4);
	if (total < 12 || total % 4 || total > BLOCK_MAX)
		return -EINVAL;
	if (len < total)
		return 0;
	if (get_u32(buf + total - 4) != total)
		return -EINVAL;
	b->body = buf + 8;
	b->body_len = total - 12;
	return (long)total;
}

/* The option at *at, which is moved on; NULL: that was the last, or the rest is none. */
static const uint8_t *option_next(
	const struct pcapng_block *b, size_t *at, uint16_t *code, uint16_t *len)
{
	const uint8_t *p = b->body + *at;

	if (b->body_len - *at < 4)
		return NULL;
	memcpy(code, p, 2);
	memcpy(len, p + 2, 2);
	if (*code == OPT_END || *len > b->body_len - *at - 4)
		return NULL;
	*at += 4 + ((*len + 3u) & ~3u);
	if (*at > b->body_len)
		*at = b->body_len;
	return p + 4;
}

int pcapng_get_epb(const struct pcapng_block *b, struct pcapng_packet *k)
{
	const uint8_t *v;
	uint16_t code, len;
	struct epb h;
	size_t at;

	if (b->body_len < sizeof(h))
		return -EINVAL;
	memcpy(&h, b->body, sizeof(h));
	if (h.cap_len > b->body_len - sizeof(h))
		return -EINVAL;
	*k = (struct pcapng_packet){ .time_ns = (uint64_t)h.time_high << 32 | h.time_low,
		.cap_len = h.cap_len,
		.len = h.len,
		.data = b->body + sizeof(h) };
	at = sizeof(h) + (((size_t)h.cap_len + 3) & ~(size_t)3);
	if (at > b->body_len)
		return -EINVAL;
	while ((v = option_next(b, &at, &code, &len)))
		if (code == OPT_EPB_FLAGS && len == 4)
			k->dir = (enum pcapng_dir)(get_u32(v) & 3);
	return 0;
}

int pcapng_get_isb(const struct pcapng_block *b, struct pcapng_stats *s)
{
	const uint8_t *v;
	uint16_t code, len;
	size_t at = sizeof(struct isb);

	*s = (struct pcapng_stats){ 0 };
	if (b->body_len < at)
		return -EINVAL;
	s->time_ns = get_time(b->body + 4);
	while ((v = option_next(b, &at, &code, &len))) {
		if (len != 8)
			continue;
		if (code == OPT_ISB_STARTTIME)
			s->start_ns = get_time(v);
		else if (code == OPT_ISB_ENDTIME)
			s->end_ns = get_time(v);
		else if (code == OPT_ISB_IFRECV)
			memcpy(&s->received, v, 8);
		else if (code == OPT_ISB_IFDROP)
			memcpy(&s->dropped, v, 8);
	}
	return 0;
}
