/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from one split ring to another and back: see relay_ring.h. */
#include "vmm/relay_ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/split_ring.h"

static_assert(RELAY_AVAIL_BYTES >= 6 + 2 * RELAY_SIZE_MAX, "the available ring has room");
static_assert(RELAY_USED_BYTES >= 6 + 8 * RELAY_SIZE_MAX, "the used ring has room");

enum { NOT_WANTED = 1 }; /* in flags: no kick, or no interrupt */

static struct split_avail *b_avail(const struct relay_ring *r)
{
	return (void *)r->b;
}

static struct split_used *b_used(const struct relay_ring *r)
{
	return (void *)(r->b + RELAY_AVAIL_BYTES);
}

void relay_ring_init(struct relay_ring *r, uint16_t size, void *avail, void *used)
{
	*r = (struct relay_ring){ .size = size, .avail = avail, .used = used };
}

static void b_push(struct relay_ring *r, uint16_t head)
{
	b_avail(r)->head[r->b_avail_idx++ % r->size] = head;
}

struct pending {
	uint64_t order;
	uint16_t head;
};

static int by_order(const void *a, const void *b)
{
	uint64_t x = ((const struct pending *)a)->order, y = ((const struct pending *)b)->order;

	return x < y ? -1 : x > y;
}

unsigned relay_ring_restart(struct relay_ring *r, uint8_t *to)
{
	struct pending p[RELAY_SIZE_MAX];
	unsigned n = 0;

	r->b = to;
	r->b_avail_idx = r->b_used_next = 0;
	memset(to, 0, RELAY_RING_BYTES);
	for (unsigned head = 0; head < r->size; head++)
		if (r->in_flight[head])
			p[n++] = (struct pending){ r->in_flight[head], (uint16_t)head };
	qsort(p, n, sizeof(p[0]), by_order);
	for (unsigned i = 0; i < n; i++)
		b_push(r, p[i].head);
	__atomic_store_n(&b_avail(r)->idx, r->b_avail_idx, __ATOMIC_RELEASE);
	return n;
}

/* The guest's next entry. */
static int forward_one(struct relay_ring *r, struct err *e)
{
	const struct split_avail *a = r->avail;
	uint16_t head = __atomic_load_n(&a->head[r->avail_next % r->size], __ATOMIC_RELAXED);

	if (head >= r->size)
		return err_set(
			e, -EINVAL, "request %u was made available, which is no descriptor", head);
	if (r->in_flight[head])
		return err_set(
			e, -EINVAL, "request %u was made available, which is under way", head);
	r->in_flight[head] = ++r->order;
	r->n_in_flight++;
	r->avail_next++;
	b_push(r, head);
	return 0;
}

int relay_ring_forward(struct relay_ring *r, bool *kick, struct err *e)
{
	const struct split_avail *a = r->avail;
	uint16_t end = __atomic_load_n(&a->idx, __ATOMIC_ACQUIRE);
	int n = 0, err = 0;

	*kick = false;
	if (r->stuck)
		return 0;
	if ((uint16_t)(end - r->avail_next) > r->size)
		err = err_set(
			e, -EINVAL, "the available index jumped from %u to %u", r->avail_next, end);
	for (; !err && r->avail_next != end; n += !err)
		err = forward_one(r, e);
	r->stuck = err;
	if (n) {
		__atomic_store_n(&b_avail(r)->idx, r->b_avail_idx, __ATOMIC_RELEASE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* 2.7.10.1: index before flags */
		*kick = !(__atomic_load_n(&b_used(r)->flags, __ATOMIC_RELAXED) & NOT_WANTED);
	}
	return err ? err : n;
}

int relay_ring_complete(struct relay_ring *r, bool *interrupt, struct err *e)
{
	const struct split_used *from = b_used(r);
	struct split_used *to = r->used;
	const struct split_avail *a = r->avail;
	uint16_t end = __atomic_load_n(&from->idx, __ATOMIC_ACQUIRE);
	int n = 0, err = 0;

	*interrupt = false;
	if ((uint16_t)(end - r->b_used_next) > r->n_in_flight)
		return err_set(e, -EPROTO, "%u requests are completed, %u are under way",
			(uint16_t)(end - r->b_used_next), r->n_in_flight);
	for (; r->b_used_next != end; r->b_used_next++, n++) {
		uint16_t slot = r->b_used_next % r->size;
		uint32_t head = __atomic_load_n(&from->e[slot].head, __ATOMIC_RELAXED);
		uint32_t len = __atomic_load_n(&from->e[slot].len, __ATOMIC_RELAXED);

		if (head >= r->size || !r->in_flight[head]) {
			err = err_set(e, -EPROTO, "request %u is completed, which is not under way",
				head);
			break;
		}
		r->in_flight[head] = 0;
		r->n_in_flight--;
		to->e[r->used_idx % r->size].head = head;
		to->e[r->used_idx % r->size].len = len;
		r->used_idx++;
	}
	if (n) {
		__atomic_store_n(&to->idx, r->used_idx, __ATOMIC_RELEASE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*interrupt = !(__atomic_load_n(&a->flags, __ATOMIC_RELAXED) & NOT_WANTED);
	}
	return err ? err : n;
}
