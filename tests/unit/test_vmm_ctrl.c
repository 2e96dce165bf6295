/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue of virtio-net: commands in a ring that the guest writes, split and packed. No
 * KVM behind it. */
#include <poll.h>
#include <pthread.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/nic.h"

#define MEM_BYTES (4u << 20)
#define DESC      0x100000
#define AVAIL     0x104000
#define USED      0x108000
#define BUF       0x10c000
#define CTRL      4 /* two pairs, then it */
#define SIZE      8
#define PACKED    VIRTIO_BIT(VIRTIO_F_RING_PACKED)

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next; /* packed: id, flags */
};

struct rig {
	struct kvm kvm;
	struct gmem mem;
	pthread_mutex_t lock;
	struct nic *n;
	uint8_t *m;
	struct desc *d;
	uint16_t *avail, *used;
	uint16_t at; /* packed: the next entry */
	bool wrap;
};

static void start(struct rig *r, uint64_t acked)
{
	r->n->dev.ops->reset(&r->n->dev, 100);
	memset(r->m + DESC, 0, BUF - DESC);
	r->at = 0;
	r->wrap = true;
	r->n->d.v.acked = VIRTIO_BIT(32) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | acked;
	r->n->d.v.status = 15;
	for (int i = 0; i <= CTRL; i++)
		r->n->d.v.queue[i] = (struct virtio_queue){ .size = SIZE,
			.vector = VIRTIO_NO_VECTOR,
			.enabled = true,
			.packed = acked & PACKED,
			.desc = DESC,
			.driver = AVAIL,
			.device = USED };
}

#define all (NIC_FEATURES_OURS | NIC_FEATURES_GUEST_OFFLOADS)

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct nic_setup s = { .socket = "/tmp/none", .mac = { { 2, 0, 0, 0, 0, 1 } }, .pairs = 2 };
	struct vdev_host host = { .kvm = &r->kvm, .mem = &r->mem, .lock = &r->lock };
	struct err e = { 0 };

	log_set_level(LOG_ERROR);
	r->kvm.vm_fd = -1;
	pthread_mutex_init(&r->lock, NULL);
	r->m = calloc(1, MEM_BYTES);
	gmem_wrap(&r->mem, r->m, MEM_BYTES);
	assert_int_equal(nic_new(0, &s, 0x4000000000, &host, &r->n, &e), 0);
	r->d = (void *)(r->m + DESC);
	r->avail = (void *)(r->m + AVAIL);
	r->used = (void *)(r->m + USED);
	start(r, all);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	r->n->dev.ops->free(&r->n->dev);
	free(r->m);
	free(r);
	return 0;
}

static void publish(struct rig *r, uint16_t head)
{
	r->avail[2 + r->avail[1] % SIZE] = head;
	r->avail[1]++;
}

/* A part of a chain in the packed ring. */
static void packed_add(struct rig *r, uint64_t addr, uint32_t len, uint16_t flags)
{
	flags |= r->wrap ? 1 << 7 : 1 << 15;
	r->d[r->at] = (struct desc){ addr, len, 5, flags };
	if (++r->at == SIZE) {
		r->at = 0;
		r->wrap = !r->wrap;
	}
}

/* Header, data, answer: three descriptors, as Linux does it. Returns the answer. */
static uint8_t command(struct rig *r, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	bool packed = r->n->d.v.queue[CTRL].packed;
	uint16_t first = r->at, seen = r->used[1];

	r->m[BUF] = class;
	r->m[BUF + 1] = cmd;
	memcpy(r->m + BUF + 2, data, len);
	r->m[BUF + 4095] = 0xee;
	if (packed) {
		packed_add(r, BUF, 2, 1);
		packed_add(r, BUF + 2, len, 1);
		packed_add(r, BUF + 4095, 1, 2);
	} else {
		r->d[0] = (struct desc){ BUF, 2, 1, 1 };
		r->d[1] = (struct desc){ BUF + 2, len, 1, 2 };
		r->d[2] = (struct desc){ BUF + 4095, 1, 2, 0 };
		publish(r, 0);
	}
	nic_ctrl_serve(r->n);
	assert_int_equal(r->n->d.v.status & VIRTIO_S_NEEDS_RESET, 0);
	if (packed) { /* used, by its id, one byte written */
		assert_true(!(r->d[first].next & 1 << 7) == !(r->d[first].next & 1 << 15));
		assert_int_equal(r->d[first].flags, 5);
		assert_int_equal(r->d[first].len, 1);
	} else {
		assert_int_equal((uint16_t)(r->used[1] - seen), 1);
	}
	return r->m[BUF + 4095];
}

static uint8_t pairs(struct rig *r, uint16_t n)
{
	return command(r, 4, 0, &n, 2);
}

/* All commands there are, good and bad ones. */
static const struct {
	uint8_t class, cmd;
	unsigned feature; /* without it, it is refused */
	uint8_t data[32];
	uint32_t len;
	uint8_t answer;
} commands[] = {
	{ 0, 0, VIRTIO_NET_F_CTRL_RX, { 1 }, 1, 0 },
	{ 0, 1, VIRTIO_NET_F_CTRL_RX, { 0 }, 1, 0 },
	{ 0, 1, VIRTIO_NET_F_CTRL_RX, { 2 }, 1, 1 },
	{ 0, 1, VIRTIO_NET_F_CTRL_RX, { 1 }, 2, 1 },
	{ 0, 1, VIRTIO_NET_F_CTRL_RX, { 1 }, 0, 1 },
	{ 0, 2, VIRTIO_NET_F_CTRL_RX_EXTRA, { 1 }, 1, 0 },
	{ 0, 5, VIRTIO_NET_F_CTRL_RX_EXTRA, { 1 }, 1, 0 },
	{ 0, 6, VIRTIO_NET_F_CTRL_RX_EXTRA, { 1 }, 1, 1 },
	{ 1, 0, VIRTIO_NET_F_CTRL_RX, { 0 }, 8, 0 },
	{ 1, 0, VIRTIO_NET_F_CTRL_RX, { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 2 }, 25, 1 }, /* counts lie */
	{ 1, 0, VIRTIO_NET_F_CTRL_RX, { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 1 }, 20, 0 },
	{ 1, 0, VIRTIO_NET_F_CTRL_RX, { 0xff, 0xff, 0xff, 0xff }, 20, 1 },
	{ 1, 0, VIRTIO_NET_F_CTRL_RX, { 0 }, 3, 1 },
	{ 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, { 2, 1, 2, 3, 4, 5 }, 6, 0 },
	{ 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, { 3, 1, 2, 3, 4, 5 }, 6, 1 }, /* multicast */
	{ 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, { 0 }, 6, 1 },
	{ 1, 1, VIRTIO_NET_F_CTRL_MAC_ADDR, { 2, 1, 2, 3, 4, 5 }, 5, 1 },
	{ 1, 2, VIRTIO_NET_F_CTRL_MAC_ADDR, { 0 }, 6, 1 },
	{ 2, 0, VIRTIO_NET_F_CTRL_VLAN, { 10, 0 }, 2, 0 },
	{ 2, 1, VIRTIO_NET_F_CTRL_VLAN, { 0xff, 0xf }, 2, 0 },
	{ 2, 0, VIRTIO_NET_F_CTRL_VLAN, { 0, 0x10 }, 2, 1 },
	{ 2, 2, VIRTIO_NET_F_CTRL_VLAN, { 10, 0 }, 2, 1 },
	{ 3, 0, VIRTIO_NET_F_GUEST_ANNOUNCE, { 0 }, 0, 0 },
	{ 3, 1, VIRTIO_NET_F_GUEST_ANNOUNCE, { 0 }, 0, 1 },
	{ 4, 0, VIRTIO_NET_F_MQ, { 2, 0 }, 2, 0 },
	{ 4, 0, VIRTIO_NET_F_MQ, { 3, 0 }, 2, 1 },
	{ 4, 0, VIRTIO_NET_F_MQ, { 0, 0 }, 2, 1 },
	{ 4, 0, VIRTIO_NET_F_MQ, { 2, 1 }, 2, 1 },
	{ 4, 1, VIRTIO_NET_F_MQ, { 2, 0 }, 2, 1 }, /* RSS */
	{ 5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, { 0x82, 0 }, 8, 0 },
	{ 5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, { 0, 8 }, 8, 1 }, /* HOST_TSO4 is none */
	{ 5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, { 0, 0, 0, 0, 0, 0, 0, 1 }, 8, 1 },
	{ 5, 0, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, { 0 }, 4, 1 },
	{ 6, 0, VIRTIO_NET_F_CTRL_VQ, { 0 }, 1, 1 },
	{ 255, 255, VIRTIO_NET_F_CTRL_VQ, { 0 }, 32, 1 },
};

static void run_table(struct rig *r, uint64_t layout)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		uint64_t bit = VIRTIO_BIT(commands[i].feature);

		start(r, all | layout);
		assert_int_equal(command(r, commands[i].class, commands[i].cmd, commands[i].data,
					 commands[i].len),
			commands[i].answer);
		if (commands[i].answer) { /* a refused one changes nothing */
			assert_int_equal(r->n->pairs_wanted, 1);
			assert_int_equal(r->n->offloads_off, 0);
			assert_memory_equal(r->n->config, r->n->setup.mac.b, 6);
		}
		if (bit == VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ))
			continue;
		start(r, (all | layout) & ~bit);
		if (bit == VIRTIO_BIT(VIRTIO_NET_F_MQ))
			continue; /* the queue is another one then */
		assert_int_equal(command(r, commands[i].class, commands[i].cmd, commands[i].data,
					 commands[i].len),
			1);
	}
}

static void test_table(void **state)
{
	run_table(*state, 0);
}

static void test_table_packed(void **state)
{
	run_table(*state, PACKED);
}

static void test_pairs(void **state)
{
	struct rig *r = *state;
	struct pollfd p = { .fd = r->n->d.irq[CTRL].fd, .events = POLLIN };

	for (int packed = 0; packed < 2; packed++) {
		start(r, all | (packed ? PACKED : 0));
		fd_event_take(p.fd);
		assert_int_equal(nic_ctrl_index(r->n), CTRL);
		assert_int_equal(pairs(r, 2), 0);
		assert_int_equal(r->n->pairs_wanted, 2);
		assert_int_equal(poll(&p, 1, 0), 1); /* the driver is told */
		r->n->d.v.queue[3].enabled = false;
		assert_int_equal(pairs(r, 2), 1);
		for (int i = 0; i < 20; i++) /* around the ring */
			assert_int_equal(pairs(r, 1), 0);
		assert_int_equal(r->n->pairs_wanted, 1);
	}
}

/* What the driver set is gone at its reset. */
static void test_reset_forgets(void **state)
{
	static const uint8_t mac[6] = { 2, 9, 9, 9, 9, 9 };
	struct rig *r = *state;
	uint64_t none = 0;

	assert_int_equal(command(r, 1, 1, mac, 6), 0);
	assert_memory_equal(r->n->config, mac, 6);
	assert_int_equal(command(r, 5, 0, &none, 8), 0);
	assert_int_equal(r->n->offloads_off, NIC_FEATURES_GUEST_OFFLOADS);
	assert_int_equal(pairs(r, 2), 0);
	r->n->config[6] = VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE;
	start(r, all);
	assert_memory_equal(r->n->config, r->n->setup.mac.b, 6);
	assert_int_equal(r->n->config[6], VIRTIO_NET_S_LINK_UP);
	assert_int_equal(r->n->offloads_off, 0);
	assert_int_equal(r->n->pairs_wanted, 1);
	assert_int_equal(pairs(r, 2), 0); /* the ring begins anew */
}

static void test_announced(void **state)
{
	struct rig *r = *state;

	r->n->config[6] = VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE;
	assert_int_equal(command(r, 3, 0, "", 0), 0);
	assert_int_equal(r->n->config[6], VIRTIO_NET_S_LINK_UP);
}

/* A guest whose link comes back announces itself, if it agreed to; one that starts need not. */
static void test_announces(void **state)
{
	static const struct {
		uint64_t acked;
		uint8_t device_status, says;
	} cases[] = {
		{ all, 15, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE },
		{ all & ~VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE), 15, VIRTIO_NET_S_LINK_UP },
		{ all, 11, VIRTIO_NET_S_LINK_UP },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(r, cases[i].acked);
		r->n->d.v.acked = cases[i].acked;
		r->n->d.v.status = cases[i].device_status;
		r->n->link.ops->set_up(r->n, true);
		assert_int_equal(r->n->config[6], cases[i].says);
		r->n->link.ops->set_up(r->n, false);
		assert_int_equal(r->n->config[6], 0);
	}
}

static void test_indirect(void **state)
{
	struct rig *r = *state;
	struct desc *t = (void *)(r->m + BUF + 0x100);

	r->m[BUF] = 4;
	r->m[BUF + 1] = 0;
	r->m[BUF + 2] = 2;
	t[0] = (struct desc){ BUF, 1, 1, 1 }; /* in pieces */
	t[1] = (struct desc){ BUF + 1, 2, 1, 2 };
	t[2] = (struct desc){ BUF + 3, 1, 1, 3 };
	t[3] = (struct desc){ BUF + 4, 1, 2, 0 };
	r->d[5] = (struct desc){ BUF + 0x100, 64, 4, 0 };
	publish(r, 5);
	nic_ctrl_serve(r->n);
	assert_int_equal(r->n->pairs_wanted, 2);
	assert_int_equal(r->used[2], 5);
}

static void broken(struct rig *r, uint16_t head)
{
	publish(r, head);
	nic_ctrl_serve(r->n);
	assert_true(r->n->d.v.status & VIRTIO_S_NEEDS_RESET);
	assert_non_null(strstr(r->n->d.v.reason, "control queue"));
	assert_int_equal(r->n->pairs_wanted, 1);
	assert_int_equal(r->used[1], 0);
	/* it stays quiet until it is reset */
	nic_ctrl_serve(r->n);
	start(r, all);
}

static void test_malformed(void **state)
{
	struct rig *r = *state;

	broken(r, SIZE); /* no such descriptor */
	r->d[0] = (struct desc){ BUF, 2, 1, 0 };
	broken(r, 0); /* a loop */
	r->d[0] = (struct desc){ MEM_BYTES - 1, 2, 1, 1 };
	broken(r, 0); /* outside memory */
	r->d[0] = (struct desc){ BUF, 4, 0, 0 };
	broken(r, 0); /* nowhere to answer */
	r->d[0] = (struct desc){ BUF, 0, 2, 0 };
	broken(r, 0);
	r->avail[1] = 20; /* a jump */
	broken(r, 0);
	start(r, all | PACKED);
	packed_add(r, BUF, 4, 0); /* nowhere to answer */
	nic_ctrl_serve(r->n);
	assert_true(r->n->d.v.status & VIRTIO_S_NEEDS_RESET);
}

static void test_not_negotiated(void **state)
{
	struct rig *r = *state;

	start(r, all & ~VIRTIO_BIT(VIRTIO_NET_F_MQ));
	assert_int_equal(nic_ctrl_index(r->n), 2);
	start(r, all & ~VIRTIO_BIT(VIRTIO_NET_F_MQ) & ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ));
	assert_int_equal(nic_ctrl_index(r->n), -1);
	r->d[0] = (struct desc){ BUF, 4, 0, 0 };
	publish(r, 0);
	nic_ctrl_serve(r->n);
	assert_int_equal(r->used[1], 0);
	assert_int_equal(r->n->d.v.status, 15);
}

/* What is offered: a table of back ends. */
#define BASE                                                   \
	(VIRTIO_BIT(32) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | \
		VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX))
#define EVERYTHING (BASE | PACKED | VIRTIO_BIT(VIRTIO_F_IN_ORDER) | 0x3fffu)
#define TSO        0x3b80u /* all of TSO and ECN, both ways */

static void test_offers(void **state)
{
	static const struct {
		struct nic_offer o;
		uint64_t has, has_not;
	} cases[] = {
		/* a back end never seen: what all have */
		{ { .pairs = 1, .packed = true, .offloads = true }, BASE, PACKED | TSO | 1 },
		{ { .pairs = 2 }, VIRTIO_BIT(VIRTIO_NET_F_MQ), 0 },
		/* one that has everything */
		{ { .seen = true,
			  .backend = EVERYTHING,
			  .backend_pairs = 8,
			  .pairs = 4,
			  .packed = true,
			  .offloads = true,
			  .mtu = true },
			(EVERYTHING | NIC_FEATURES_OURS) & ~0x4450ull, 0x4450 }, /* UFO, GSO: not */
		{ { .seen = true, .backend = EVERYTHING, .backend_pairs = 2, .pairs = 4 },
			VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ),
			VIRTIO_BIT(VIRTIO_NET_F_MQ) | PACKED | TSO |
				VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
				VIRTIO_BIT(VIRTIO_NET_F_MTU) },
		/* one that has nothing */
		{ { .seen = true,
			  .backend = VIRTIO_BIT(32),
			  .backend_pairs = 1,
			  .pairs = 1,
			  .packed = true,
			  .offloads = true },
			VIRTIO_BIT(32), (BASE & ~VIRTIO_BIT(32)) | PACKED | TSO | 3 },
		/* odd ones: big frames without checksums, ECN without big frames */
		{ { .seen = true,
			  .backend = EVERYTHING & ~3ull,
			  .backend_pairs = 1,
			  .pairs = 1,
			  .offloads = true },
			BASE, TSO | VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) },
		{ { .seen = true,
			  .backend = EVERYTHING & ~0x1980ull,
			  .backend_pairs = 1,
			  .pairs = 1,
			  .offloads = true },
			3, TSO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t f = nic_features_offer(&cases[i].o);

		assert_int_equal(cases[i].has & ~f, 0);
		assert_int_equal(cases[i].has_not & f, 0);
		assert_true(nic_features_fit(f));
	}
	assert_false(nic_features_fit(VIRTIO_BIT(VIRTIO_NET_F_MQ)));
	assert_false(nic_features_fit(VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4)));
	assert_true(nic_features_fit(BASE));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_table),
		T(test_table_packed),
		T(test_pairs),
		T(test_reset_forgets),
		T(test_announced),
		T(test_announces),
		T(test_indirect),
		T(test_malformed),
		T(test_not_negotiated),
		cmocka_unit_test(test_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
