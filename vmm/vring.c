/* SPDX-License-Identifier: Apache-2.0 */
/* The device's side of a virtqueue: see vring.h. Section numbers are those of virtio 1.2. */
#include "vmm/vring.h"

#include <errno.h>
#include <string.h>

enum {
	/* Flags of a descriptor (2.7.5, 2.8.1). */
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,
	DESC_AVAIL = 1 << 7, /* packed */
	DESC_USED = 1 << 15,

	AVAIL_NO_INTERRUPT = 1, /* 2.7.6 */
	USED_NO_NOTIFY = 1,     /* 2.7.8 */

	EVENT_ENABLE = 0, /* 2.8.10 */
	EVENT_DISABLE = 1,
	EVENT_DESC = 2,

	DESC_BYTES = 16,
	/* Split rings: flags and index, then entries. */
	AVAIL_FLAGS = 0,
	AVAIL_IDX = 2,
	AVAIL_RING = 4,
	USED_FLAGS = 0,
	USED_IDX = 2,
	USED_RING = 4,
	/* Packed: an event suppression structure (2.8.10). */
	EVENT_OFF_WRAP = 0,
	EVENT_FLAGS = 2,
};

/* A descriptor, read once: split or packed, id_next is the one's buffer id and the other's next. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, id_next;
};

/* Indirect tables may lie anywhere. */
struct unaligned64 {
	uint64_t v;
} __attribute__((packed));

static uint64_t read64(const uint8_t *p)
{
	return ((const volatile struct unaligned64 *)(const void *)p)->v;
}

static uint16_t read16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED);
}

static uint16_t read16_acquire(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void write16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELAXED);
}

static void write64(uint8_t *p, uint64_t v, int order)
{
	__atomic_store_n((uint64_t *)(void *)p, v, order);
}

/* The second half of a descriptor: split has flags before next, packed the id before the flags. */
static struct desc desc_of(uint64_t addr, uint64_t rest, bool packed)
{
	uint16_t lo = (uint16_t)(rest >> 32), hi = (uint16_t)(rest >> 48);

	return (struct desc){ .addr = addr,
		.len = (uint32_t)rest,
		.flags = packed ? hi : lo,
		.id_next = packed ? lo : hi };
}

static struct desc desc_read(const uint8_t *table, uint32_t at, bool packed)
{
	const uint8_t *p = table + (size_t)at * DESC_BYTES;

	return desc_of(read64(p), read64(p + 8), packed);
}

int vring_dev_init(struct vring_dev *r, const struct gmem *mem, const struct virtio_queue *q,
	uint64_t acked, struct err *e)
{
	bool packed = acked & VIRTIO_BIT(VIRTIO_F_RING_PACKED);

	*r = (struct vring_dev){ .mem = mem,
		.size = q->size,
		.packed = packed,
		.event_idx = acked & VIRTIO_BIT(VIRTIO_F_EVENT_IDX),
		.indirect = acked & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC),
		.next_wrap = true, /* 2.8.1: both begin at 1 */
		.used_wrap = true };
	r->desc = gmem_at(mem, (gpa_t){ q->desc }, virtio_desc_bytes(q->size));
	r->driver = gmem_at(mem, (gpa_t){ q->driver }, packed ? 4 : virtio_driver_bytes(q->size));
	r->device = gmem_at(mem, (gpa_t){ q->device }, packed ? 4 : virtio_device_bytes(q->size));
	if (q->size && r->desc && r->driver && r->device)
		return 0;
	r->broken = true;
	return err_set(e, -EFAULT, "the ring is not in the guest's memory");
}

/* --- reading a chain ------------------------------------------------------------------------- */

/* A chain that is being read. */
struct reader {
	struct vring_dev *r;
	struct vring_chain *c;
	struct iovec *iov;
	unsigned max;
	struct err *e;
};

static int reader_add(const struct reader *x, const struct desc *d)
{
	struct vring_chain *c = x->c;
	bool write = d->flags & DESC_WRITE;
	uint32_t *total = write ? &c->write_len : &c->read_len;
	void *at;

	if (!d->len)
		return 0;
	if (!write && c->n_write)
		return err_set(x->e, -EBADMSG, "a readable part comes after a writable one");
	at = gmem_at(x->r->mem, (gpa_t){ d->addr }, d->len);
	if (!at)
		return err_set(x->e, -EBADMSG, "%u bytes at 0x%llx are not in memory", d->len,
			(unsigned long long)d->addr);
	if (c->n_read + c->n_write == x->max)
		return err_set(x->e, -EBADMSG, "it has more than %u parts", x->max);
	if (d->len > VRING_BYTES_MAX - *total)
		return err_set(x->e, -EBADMSG, "its parts are 2 GiB or more");
	*total += d->len;
	x->iov[c->n_read + c->n_write] = (struct iovec){ .iov_base = at, .iov_len = d->len };
	*(write ? &c->n_write : &c->n_read) += 1;
	return 0;
}

/* 2.7.5.3, 2.8.7. Split tables are linked by `next`, packed ones are read from first to last. */
static int reader_indirect(const struct reader *x, const struct desc *table)
{
	uint32_t n = table->len / DESC_BYTES, at = 0;
	const uint8_t *p = gmem_at(x->r->mem, (gpa_t){ table->addr }, table->len);
	bool packed = x->r->packed;

	if (!x->r->indirect)
		return err_set(x->e, -EBADMSG, "it is indirect, which was not agreed on");
	if (table->flags & DESC_NEXT)
		return err_set(x->e, -EBADMSG, "it goes on after an indirect table");
	if (!p || !n || table->len % DESC_BYTES || n > VRING_CHAIN_MAX)
		return err_set(x->e, -EBADMSG,
			"its indirect table of %u bytes at 0x%llx is none: expected 1 to %d times "
			"%d bytes in memory",
			table->len, (unsigned long long)table->addr, VRING_CHAIN_MAX, DESC_BYTES);
	for (uint32_t i = 0; i < n; i++) {
		struct desc d = desc_read(p, at, packed);
		int err;

		if (d.flags & DESC_INDIRECT)
			return err_set(x->e, -EBADMSG, "an indirect table names another");
		err = reader_add(x, &d);
		if (err)
			return err;
		if (packed) {
			at++;
			continue;
		}
		if (!(d.flags & DESC_NEXT))
			return 0;
		at = d.id_next;
		if (at >= n)
			return err_set(
				x->e, -EBADMSG, "its indirect table of %u goes on at %u", n, at);
	}
	return packed ? 0 : err_set(x->e, -EBADMSG, "its indirect table is a loop");
}

static int split_read(const struct reader *x)
{
	struct vring_dev *r = x->r;
	uint32_t at = x->c->id;

	x->c->n_desc = 1; /* what n_out counts: the driver's own entries are its business */
	for (uint32_t i = 0; i < r->size; i++) {
		struct desc d;
		int err;

		if (at >= r->size)
			return err_set(x->e, -EBADMSG, "it names descriptor %u of %u", at, r->size);
		d = desc_read(r->desc, at, false);
		if (d.flags & DESC_INDIRECT)
			return reader_indirect(x, &d);
		err = reader_add(x, &d);
		if (err || !(d.flags & DESC_NEXT))
			return err;
		at = d.id_next;
	}
	return err_set(x->e, -EBADMSG, "it is a loop");
}

static int split_pop(const struct reader *x)
{
	struct vring_dev *r = x->r;
	uint16_t avail = read16_acquire(r->driver + AVAIL_IDX), n = (uint16_t)(avail - r->next);
	int err;

	if (!n)
		return 0;
	if (n > r->size - r->n_out)
		return err_set(x->e, -EBADMSG,
			"the available index went from %u to %u, with %u chains under way in a "
			"ring of %u",
			r->next, avail, r->n_out, r->size);
	x->c->id = read16(r->driver + AVAIL_RING + 2 * (r->next % r->size));
	err = split_read(x);
	if (err)
		return err;
	r->next++;
	return 1;
}

static bool packed_is_avail(uint16_t flags, bool wrap)
{
	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static uint64_t packed_load(const struct vring_dev *r, uint16_t at)
{
	return __atomic_load_n(
		(const uint64_t *)(const void *)(r->desc + at * DESC_BYTES + 8), __ATOMIC_ACQUIRE);
}

static void packed_move(const struct vring_dev *r, uint16_t *at, bool *wrap, uint16_t n)
{
	uint32_t to = (uint32_t)*at + n;

	if (to >= r->size) {
		to -= r->size;
		*wrap = !*wrap;
	}
	*at = (uint16_t)to;
}

static int packed_pop(const struct reader *x)
{
	struct vring_dev *r = x->r;
	uint64_t rest = packed_load(r, r->next);
	uint16_t at = r->next;
	bool wrap = r->next_wrap;

	if (r->n_out == r->size || !packed_is_avail((uint16_t)(rest >> 48), wrap))
		return 0;
	for (;;) {
		struct desc d = desc_of(read64(r->desc + at * DESC_BYTES), rest, true);
		int err;

		packed_move(r, &at, &wrap, 1);
		x->c->n_desc++;
		x->c->id = d.id_next; /* 2.8.6: that of the last one counts */
		err = d.flags & DESC_INDIRECT ? reader_indirect(x, &d) : reader_add(x, &d);
		if (err)
			return err;
		if (!(d.flags & DESC_NEXT))
			break;
		if (r->n_out + x->c->n_desc == r->size)
			return err_set(x->e, -EBADMSG,
				"it does not end in a ring of %u, with %u descriptors under way",
				r->size, r->n_out);
		rest = packed_load(r, at);
	}
	r->next = at;
	r->next_wrap = wrap;
	return 1;
}

int vring_pop(
	struct vring_dev *r, struct vring_chain *c, struct iovec *iov, unsigned max, struct err *e)
{
	struct reader x = { .r = r, .c = c, .iov = iov, .max = max, .e = e };
	uint16_t at = r->next;
	int got;

	if (r->broken)
		return err_set(e, -EBADMSG, "the ring is broken");
	*c = (struct vring_chain){ 0 };
	got = r->packed ? packed_pop(&x) : split_pop(&x);
	if (got > 0)
		r->n_out = (uint16_t)(r->n_out + c->n_desc);
	if (got < 0) {
		r->broken = true;
		err_prefix(e, "the chain at %u is malformed", r->packed ? at : at % r->size);
	}
	return got;
}

/* --- giving back, and who wakes whom --------------------------------------------------------- */

static void split_push(struct vring_dev *r, const struct vring_chain *c, uint32_t written)
{
	uint8_t *entry = r->device + USED_RING + 8 * (size_t)(r->used % r->size);
	const uint32_t elem[2] = { c->id, written };

	memcpy(entry, elem, sizeof(elem));
	r->used++;
	__atomic_store_n((uint16_t *)(void *)(r->device + USED_IDX), r->used, __ATOMIC_RELEASE);
}

static void packed_push(struct vring_dev *r, const struct vring_chain *c, uint32_t written)
{
	uint16_t flags = r->used_wrap ? DESC_AVAIL | DESC_USED : 0;

	if (written)
		flags |= DESC_WRITE; /* 2.8.5: only then the length counts */
	write64(r->desc + r->used * DESC_BYTES + 8,
		written | (uint64_t)c->id << 32 | (uint64_t)flags << 48, __ATOMIC_RELEASE);
	packed_move(r, &r->used, &r->used_wrap, c->n_desc);
	r->since += c->n_desc;
}

void vring_push(struct vring_dev *r, const struct vring_chain *c, uint32_t written)
{
	r->n_out = (uint16_t)(r->n_out - c->n_desc);
	if (r->packed)
		packed_push(r, c, written);
	else
		split_push(r, c, written);
}

/* 2.7.10: whether the index went past `event` on its way from `from` to `to`. */
static bool passed(uint16_t event, uint16_t to, uint16_t from)
{
	return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

static bool split_wants(struct vring_dev *r)
{
	uint16_t from = r->told;

	if (from == r->used)
		return false;
	r->told = r->used;
	if (!r->event_idx)
		return !(read16(r->driver + AVAIL_FLAGS) & AVAIL_NO_INTERRUPT);
	/* used_event (2.7.7) is behind the available ring. */
	return passed(read16(r->driver + AVAIL_RING + 2 * r->size), r->used, from);
}

static bool packed_wants(struct vring_dev *r)
{
	uint32_t since = r->since;
	uint16_t flags, off_wrap;
	int event;

	if (!since)
		return false;
	r->since = 0;
	flags = read16_acquire(r->driver + EVENT_FLAGS);
	if (!r->event_idx || flags != EVENT_DESC)
		return flags != EVENT_DISABLE;
	off_wrap = read16(r->driver + EVENT_OFF_WRAP);
	event = off_wrap & 0x7fff;
	if ((off_wrap >> 15) != r->used_wrap)
		event -= r->size;
	return event < r->used && (int64_t)event >= (int64_t)r->used - since;
}

bool vring_wants_interrupt(struct vring_dev *r)
{
	/* What was pushed is seen before the driver's wish is looked at. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return r->packed ? packed_wants(r) : split_wants(r);
}

static void packed_set_event(struct vring_dev *r, uint16_t off_wrap, uint16_t flags)
{
	write16(r->device + EVENT_OFF_WRAP, off_wrap);
	__atomic_store_n((uint16_t *)(void *)(r->device + EVENT_FLAGS), flags, __ATOMIC_RELEASE);
}

void vring_disarm(struct vring_dev *r)
{
	if (r->packed)
		packed_set_event(r, 0, EVENT_DISABLE);
	else if (!r->event_idx) /* with it, an event index that lies behind is enough */
		write16(r->device + USED_FLAGS, USED_NO_NOTIFY);
}

bool vring_arm(struct vring_dev *r)
{
	if (r->packed && r->event_idx)
		packed_set_event(r, (uint16_t)(r->next | r->next_wrap << 15), EVENT_DESC);
	else if (r->packed)
		packed_set_event(r, 0, EVENT_ENABLE);
	else if (r->event_idx) /* avail_event (2.7.10) is behind the used ring */
		write16(r->device + USED_RING + 8 * (size_t)r->size, r->next);
	else
		write16(r->device + USED_FLAGS, 0);
	/* The driver sees the wish before we look for what it added without seeing it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->broken)
		return false;
	if (r->packed)
		return r->n_out < r->size &&
			packed_is_avail((uint16_t)(packed_load(r, r->next) >> 48), r->next_wrap);
	return read16_acquire(r->driver + AVAIL_IDX) != r->next;
}
