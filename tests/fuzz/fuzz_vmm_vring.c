/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the driver's memory, rings included, changed between calls: the device's side of a
 * ring gives chains whose every part lies in memory, a bounded number of them, or says that the
 * ring is broken, and then gives no more.
 *
 * Input: 0 size; 1 features: packed, event index, indirect, a size that is no power of two (of a
 * packed one); 2 how chains are given back; 3 to 5 where the ring's parts are; 8 on: memory. The
 * last bytes are what the driver writes between calls: where (2), what (2).
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/vring.h"

#define MEM    (64u << 10)
#define ROUNDS 64
#define PARTS  40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *memory;
static struct gmem mem;

static void chain_check(
	const struct vring_dev *r, const struct vring_chain *c, const struct iovec *iov)
{
	uint64_t len[2] = { 0, 0 };

	if (c->n_read + c->n_write > PARTS || !c->n_desc || r->n_out > r->size)
		abort();
	for (unsigned i = 0; i < c->n_read + c->n_write; i++) {
		uint8_t *at = iov[i].iov_base;

		if (!iov[i].iov_len || at < memory || at >= memory + MEM ||
			iov[i].iov_len > (size_t)(memory + MEM - at))
			abort();
		len[i >= c->n_read] += iov[i].iov_len;
	}
	if (len[0] != c->read_len || len[1] != c->write_len)
		abort();
}

/* Takes what is there; false: the ring is broken. */
static bool take(struct vring_dev *r, struct vring_chain *out, unsigned *n_out)
{
	struct iovec iov[PARTS];
	struct vring_chain c;
	struct err e = { 0 };

	for (unsigned i = 0; i <= r->size; i++) {
		int got = vring_pop(r, &c, iov, PARTS, &e);

		if (got < 0) {
			if (!e.text[0] || vring_pop(r, &c, iov, PARTS, &e) >= 0 || vring_arm(r))
				abort();
			return false;
		}
		if (!got)
			return true;
		if (*n_out >= r->size)
			abort();
		chain_check(r, &c, iov);
		out[(*n_out)++] = c;
	}
	abort(); /* more chains than the ring has descriptors, without one given back */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vring_chain out[VIRTIO_QUEUE_SIZE_MAX];
	struct virtio_queue q = { .enabled = true };
	const uint8_t *change, *end = data + size;
	unsigned n_out = 0;
	struct vring_dev r;
	uint64_t acked;
	struct err e;

	if (size < 16)
		return 0;
	if (!memory && !(memory = malloc(MEM)))
		return 0;
	gmem_wrap(&mem, memory, MEM);
	memset(memory, 0, MEM);
	memcpy(memory, data + 8, size - 8 < MEM ? size - 8 : MEM);
	acked = (data[1] & 1 ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0) |
		(data[1] & 2 ? VIRTIO_BIT(VIRTIO_F_EVENT_IDX) : 0) |
		(data[1] & 4 ? VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) : 0);
	q.size = (uint16_t)((data[1] & 9) == 9 ? data[0] % 100 + 1 : 1u << data[0] % 9);
	q.desc = 16 * data[3];
	q.driver = 4 * data[4];
	q.device = 4 * data[5];
	if (vring_dev_init(&r, &mem, &q, acked, &e))
		abort();
	change = end - (size - 8 < 256 ? (size - 8) & ~3u : 256);
	for (unsigned round = 0; round < ROUNDS; round++) {
		if (!take(&r, out, &n_out))
			break;
		for (unsigned k = data[2] & 7; k && n_out; k--) {
			unsigned i = (round * 7u + data[2]) % n_out;

			vring_push(&r, &out[i], data[2] & 0x80 ? out[i].write_len : 0);
			out[i] = out[--n_out];
		}
		vring_wants_interrupt(&r);
		if (data[2] & 0x40)
			vring_disarm(&r);
		vring_arm(&r);
		for (unsigned i = 0; i < 4 && change + 4 <= end; i++, change += 4) {
			uint16_t where = (uint16_t)(change[0] | change[1] << 8);

			memcpy(memory + where % (MEM - 1), change + 2, 2);
		}
	}
	return 0;
}
