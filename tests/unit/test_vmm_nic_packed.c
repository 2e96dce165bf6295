/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a new back end begins in a packed ring: vmm/nic_ring_packed.c. A model of a driver and of
 * back ends of several styles live random histories; a back end dies at any point, also between the
 * stores of a batch, and another one goes on from where it is told. No frame is sent twice, no
 * buffer is lost, and both sides agree on where they stand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/nic_ring.h"

#define MAX       64
#define HISTORIES 4000
#define STEPS     120

enum { NEXT = 1, AVAIL = 1 << 7, USED = 1 << 15 };

struct desc {
	uint64_t addr; /* here: which frame it is */
	uint32_t len;
	uint16_t id, flags;
};

struct model {
	struct desc d[MAX];
	uint16_t size, batch_max;
	bool transmit, lifo; /* ids used last are used next, as Linux does */
	bool marks_all;      /* the back end marks all entries of a chain, as ours does */
	bool in_order;       /* of a batch, only the last one's id is written, as DPDK may */
	uint16_t chain_max;

	/* The driver. */
	uint16_t add_at, see_at, n_free;
	bool add_wrap, see_wrap;
	uint16_t free_id[MAX], n_ids, len_of[MAX];
	uint64_t frame_of[MAX], next_frame;
	uint16_t out[MAX], n_out; /* ids in the order in which they were made available */

	/* The back end. */
	uint16_t dev_at;
	bool dev_wrap;
	uint64_t expect; /* the next frame that it may take */
};

static uint16_t lap(bool wrap, bool used)
{
	return (uint16_t)((wrap ? AVAIL : 0) | (wrap == used ? USED : 0));
}

static void move(const struct model *m, uint16_t *at, bool *wrap, uint16_t n)
{
	*at = (uint16_t)(*at + n);
	if (*at >= m->size) {
		*at = (uint16_t)(*at - m->size);
		*wrap = !*wrap;
	}
}

static void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->size = (uint16_t)(1 + rand() % (MAX - 1));
	m->chain_max = rand() % 2 ? 1 : (uint16_t)(1 + rand() % 4);
	m->batch_max = (uint16_t)(1 + rand() % 8);
	m->transmit = rand() % 2;
	if (!m->transmit && m->size < 2 * m->chain_max) /* all of it must not be one buffer */
		m->chain_max = 1;
	m->lifo = rand() % 2;
	m->add_wrap = m->see_wrap = m->dev_wrap = true;
	m->n_free = m->n_ids = m->size;
	for (uint16_t i = 0; i < m->size; i++)
		m->free_id[i] = i;
}

/* Another kind of back end, of those whose rings can be told. */
static void model_style(struct model *m)
{
	m->marks_all = rand() % 2;
	m->in_order = m->transmit && m->chain_max == 1 && rand() % 2;
	/* In a receive ring of chains that was empty, ids used again look like the rest of one. */
	if (!m->transmit && m->chain_max > 1)
		m->marks_all = true;
}

static void driver_add(struct model *m)
{
	/* Receive buffers are all of one shape. */
	uint16_t n = m->transmit ? (uint16_t)(1 + rand() % m->chain_max) : m->chain_max;
	uint16_t id, at = m->add_at, at_flags = 0;
	bool wrap = m->add_wrap;

	if (n > m->n_free)
		return;
	if (m->lifo) {
		id = m->free_id[--m->n_ids];
	} else {
		id = m->free_id[0];
		memmove(m->free_id, m->free_id + 1, --m->n_ids * sizeof(m->free_id[0]));
	}
	for (uint16_t i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)(lap(wrap, false) | (i + 1 < n ? NEXT : 0));

		m->d[at].addr = m->next_frame;
		m->d[at].len = 2048;
		m->d[at].id = id;
		if (i)
			m->d[at].flags = flags;
		else
			at_flags = flags;
		move(m, &at, &wrap, 1);
	}
	m->d[m->add_at].flags = at_flags;
	m->frame_of[id] = m->next_frame++;
	m->len_of[id] = n;
	m->out[m->n_out++] = id;
	m->n_free = (uint16_t)(m->n_free - n);
	m->add_at = at;
	m->add_wrap = wrap;
}

static void driver_take_oldest(struct model *m)
{
	uint16_t id = m->out[0];

	memmove(m->out, m->out + 1, --m->n_out * sizeof(m->out[0]));
	move(m, &m->see_at, &m->see_wrap, m->len_of[id]);
	m->n_free = (uint16_t)(m->n_free + m->len_of[id]);
	m->free_id[m->n_ids++] = id;
}

/* Takes one used entry; false if there is none. */
static bool driver_see(struct model *m)
{
	const struct desc *d = &m->d[m->see_at];
	uint16_t id = d->id;

	if ((d->flags & (AVAIL | USED)) != lap(m->see_wrap, true))
		return false;
	assert_true(m->n_out > 0);
	if (m->in_order) /* it stands for all before it */
		while (m->out[0] != id) {
			assert_true(m->n_out > 1);
			driver_take_oldest(m);
		}
	assert_int_equal(m->out[0], id);
	driver_take_oldest(m);
	return true;
}

/* The chain at the back end's place: its length, 0 if there is none. */
static uint16_t chain_at(const struct model *m, uint16_t at, bool wrap)
{
	uint16_t n = 1;

	if ((m->d[at].flags & (AVAIL | USED)) != lap(wrap, false))
		return 0;
	while (m->d[at].flags & NEXT) {
		move(m, &at, &wrap, 1);
		n++;
	}
	return n;
}

/* Uses up to `want` chains as one batch: the first entry is marked last, or never: it died. */
static void device_use(struct model *m, uint16_t want, bool dies)
{
	uint16_t first = m->dev_at, first_id = 0, n, last_id = 0;
	bool first_wrap = m->dev_wrap;
	uint16_t done = 0, stop = dies ? (uint16_t)(1 + rand() % want) : want;

	while (done < stop && (n = chain_at(m, m->dev_at, m->dev_wrap))) {
		uint16_t at = m->dev_at, id = m->d[at].id;
		bool wrap = m->dev_wrap;

		/* Transmitted frames come in order and once; some may be lost on the way. */
		if (m->transmit) {
			assert_true(m->d[at].addr >= m->expect);
			m->expect = m->d[at].addr + 1;
		}
		last_id = id;
		if (!done)
			first_id = id;
		for (uint16_t i = 0; i < n; i++) {
			if ((i == 0 ? done > 0 && !m->in_order : m->marks_all)) {
				m->d[at].id = id;
				m->d[at].len = i ? 0 : 100;
				m->d[at].flags = lap(wrap, true);
			}
			move(m, &at, &wrap, 1);
		}
		m->dev_at = at;
		m->dev_wrap = wrap;
		done++;
	}
	if (!done || dies)
		return;
	m->d[first].id = m->in_order ? last_id : first_id;
	m->d[first].len = 100;
	m->d[first].flags = lap(first_wrap, true);
}

static void step(struct model *m)
{
	switch (rand() % 3) {
	case 0:
		for (int n = rand() % 12; n >= 0; n--)
			driver_add(m);
		break;
	case 1:
		device_use(m, (uint16_t)(1 + rand() % m->batch_max), false);
		break;
	default:
		for (int n = rand() % 12; n >= 0 && driver_see(m); n--)
			;
	}
}

static void resume(struct model *m)
{
	uint32_t base, want;
	uint64_t oldest;

	assert_true(nic_ring_resume_packed(m->d, m->size, m->transmit, &base));
	assert_int_equal(base >> 16, base & 0xffff);
	m->dev_at = base & 0x7fff;
	m->dev_wrap = base >> 15 & 1;
	if (rand() % 2) /* the driver may be slow to see what was returned */
		return;
	while (driver_see(m))
		;
	if (m->transmit)
		assert_int_equal(m->n_out, 0); /* all came back */
	oldest = m->n_out ? m->frame_of[m->out[0]] : m->next_frame;
	want = m->see_at | (uint32_t)m->see_wrap << 15;
	assert_int_equal(base & 0xffff, want);
	if (m->n_out)
		assert_int_equal(m->d[m->dev_at].addr, oldest);
}

static void test_histories(void **state)
{
	for (unsigned h = 0; h < HISTORIES; h++) {
		struct model m;

		srand(h);
		model_init(&m);
		for (unsigned deaths = 0; deaths < 6; deaths++) {
			bool in_order = m.in_order;

			model_style(&m);
			if (deaths) /* a feature of the driver's, for its life */
				m.in_order = in_order;
			for (unsigned i = rand() % STEPS; i > 0; i--)
				step(&m);
			if (rand() % 2)
				device_use(&m, m.batch_max, true);
			resume(&m);
		}
		/* Everything that is out comes back. */
		for (unsigned i = 0; i < 2u * MAX && m.n_out; i++) {
			device_use(&m, 4, false);
			while (driver_see(&m))
				;
		}
		assert_int_equal(m.n_out, 0);
		assert_int_equal(m.n_free, m.size);
	}
}

static struct desc entry(uint16_t id, uint16_t flags)
{
	return (struct desc){ .addr = id, .len = 2048, .id = id, .flags = flags };
}

/* A used ring's start and a full one's. */
static void test_edges(void **state)
{
	struct desc d[4] = { 0 };
	uint32_t base;

	assert_true(nic_ring_resume_packed(d, 4, false, &base));
	assert_int_equal(base, 0x80008000);
	for (uint16_t i = 0; i < 4; i++)
		d[i] = entry(i, AVAIL);
	assert_true(nic_ring_resume_packed(d, 4, false, &base));
	assert_int_equal(base, 0x80008000);
	assert_true(nic_ring_resume_packed(d, 4, true, &base));
	assert_int_equal(base, 0); /* all were returned: place 0 of the second lap */
	for (uint16_t i = 0; i < 4; i++)
		assert_true(d[i].flags == (AVAIL | USED) && d[i].len == 0 && d[i].id == i);
}

/* Chains in a receive ring, of which only the first entry was marked. */
static void test_rest_of_chain(void **state)
{
	struct desc d[8] = {
		entry(0, AVAIL | USED), /* an older frame's, of two entries */
		entry(0, AVAIL),
		entry(1, AVAIL | USED), /* returned last, of three */
		entry(1, AVAIL | NEXT),
		entry(1, AVAIL),
		entry(2, AVAIL | NEXT), /* not used: here it goes on */
		entry(2, AVAIL | NEXT),
		entry(2, AVAIL),
	};
	uint32_t base;

	assert_true(nic_ring_resume_packed(d, 8, false, &base));
	assert_int_equal(base & 0xffff, 0x8005);
	assert_int_equal(d[5].flags, AVAIL | NEXT);
}

static void test_contradiction(void **state)
{
	struct desc d[8] = { 0 };
	struct desc before[8];
	uint32_t base = 5;

	d[1].flags = d[4].flags = AVAIL; /* the first ones of two chains are not there yet */
	memcpy(before, d, sizeof(d));
	assert_false(nic_ring_resume_packed(d, 8, true, &base));
	assert_memory_equal(d, before, sizeof(d));
	assert_int_equal(base, 5);
}

/* Whatever is in the ring: it ends, and writes nowhere else. */
static void test_noise(void **state)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint16_t n = (uint16_t)(1 + rand() % 32);
		struct desc *d = malloc(n * sizeof(*d));
		uint32_t base = 0;

		for (size_t k = 0; k < n * sizeof(*d); k++)
			((uint8_t *)d)[k] = (uint8_t)rand();
		for (uint16_t k = 0; k < n && rand() % 8; k++) /* often enough in one lap */
			d[k].flags |= AVAIL;
		if (nic_ring_resume_packed(d, n, i % 2, &base))
			assert_true((base & 0x7fff) < n);
		free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histories),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_rest_of_chain),
		cmocka_unit_test(test_contradiction),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
