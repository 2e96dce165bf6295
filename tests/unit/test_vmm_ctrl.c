/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue of virtio-net: commands in a ring that the guest writes. No KVM behind it. */
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

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct rig {
	struct kvm kvm;
	struct gmem mem;
	pthread_mutex_t lock;
	struct nic *n;
	uint8_t *m;
	struct desc *d;
	uint16_t *avail, *used;
};

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
	r->n->d.v.acked = VIRTIO_BIT(32) | VIRTIO_BIT(VIRTIO_NET_F_MQ) |
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
	r->n->d.v.status = 15;
	for (int i = 0; i <= CTRL; i++)
		r->n->d.v.queue[i] = (struct virtio_queue){ .size = 8,
			.vector = VIRTIO_NO_VECTOR,
			.enabled = true,
			.desc = DESC,
			.driver = AVAIL,
			.device = USED };
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
	r->avail[2 + r->avail[1] % 8] = head;
	r->avail[1]++;
}

/* header, data, answer: three descriptors, as Linux does it */
static void command(struct rig *r, uint8_t class, uint8_t cmd, uint16_t arg)
{
	r->m[BUF] = class;
	r->m[BUF + 1] = cmd;
	memcpy(r->m + BUF + 2, &arg, 2);
	r->m[BUF + 4] = 0xee;
	r->d[0] = (struct desc){ BUF, 2, 1, 1 };
	r->d[1] = (struct desc){ BUF + 2, 2, 1, 2 };
	r->d[2] = (struct desc){ BUF + 4, 1, 2, 0 };
	publish(r, 0);
	nic_ctrl_serve(r->n);
}

static void test_pairs(void **state)
{
	struct rig *r = *state;
	struct pollfd p = { .fd = r->n->d.irq[CTRL].fd, .events = POLLIN };

	assert_int_equal(nic_ctrl_index(r->n), CTRL);
	command(r, 4, 0, 2);
	assert_int_equal(r->m[BUF + 4], 0);
	assert_int_equal(r->n->pairs_wanted, 2);
	assert_int_equal(r->used[1], 1);
	assert_int_equal(poll(&p, 1, 0), 1); /* the driver is told */
	command(r, 4, 0, 3);
	assert_int_equal(r->m[BUF + 4], 1);
	command(r, 4, 0, 0);
	assert_int_equal(r->m[BUF + 4], 1);
	command(r, 0, 0, 1); /* promiscuous mode: not ours */
	assert_int_equal(r->m[BUF + 4], 1);
	assert_int_equal(r->n->pairs_wanted, 2);
	r->n->d.v.queue[3].enabled = false;
	command(r, 4, 0, 2);
	assert_int_equal(r->m[BUF + 4], 1);
	assert_int_equal(r->used[1], 5);
	for (int i = 0; i < 20; i++) /* around the ring */
		command(r, 4, 0, 1);
	assert_int_equal(r->used[1], 25);
	assert_int_equal(r->n->pairs_wanted, 1);
}

static void test_indirect(void **state)
{
	struct rig *r = *state;
	struct desc *t = (void *)(r->m + BUF + 0x100);

	r->m[BUF] = 4;
	r->m[BUF + 1] = 0;
	r->m[BUF + 2] = 2;
	t[0] = (struct desc){ BUF, 4, 1, 1 };
	t[1] = (struct desc){ BUF + 4, 1, 2, 0 };
	r->d[5] = (struct desc){ BUF + 0x100, 32, 4, 0 };
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
	assert_int_equal(r->n->pairs_wanted, 1);
	assert_int_equal(r->used[1], 0);
	/* it stays quiet until it is reset */
	nic_ctrl_serve(r->n);
	r->n->d.v.status = 15;
	r->n->d.v.reason[0] = 0;
	r->n->ctrl_next = r->avail[1] = 0;
}

static void test_malformed(void **state)
{
	struct rig *r = *state;

	broken(r, 8); /* no such descriptor */
	r->d[0] = (struct desc){ BUF, 2, 1, 0 };
	broken(r, 0); /* a loop */
	r->d[0] = (struct desc){ MEM_BYTES - 1, 2, 1, 1 };
	broken(r, 0); /* outside memory */
	r->d[0] = (struct desc){ ~0ull, 2, 0, 0 };
	broken(r, 0);
	r->d[0] = (struct desc){ BUF, 4, 0, 0 };
	broken(r, 0); /* nowhere to answer */
	r->d[0] = (struct desc){ BUF, 0, 2, 0 };
	broken(r, 0);
	r->d[0] = (struct desc){ BUF + 0x100, 33, 4, 0 };
	broken(r, 0); /* an indirect table of no whole number */
	r->d[0] = (struct desc){ DESC, 32, 4, 0 };
	broken(r, 0); /* an indirect table that is its own entry */
	r->d[0] = (struct desc){ BUF + 0x100, 0, 4, 0 };
	broken(r, 0);
	r->avail[1] = 20; /* a jump */
	broken(r, 0);
}

static void test_not_negotiated(void **state)
{
	struct rig *r = *state;

	r->n->d.v.acked &= ~VIRTIO_BIT(VIRTIO_NET_F_MQ);
	assert_int_equal(nic_ctrl_index(r->n), 2);
	r->n->d.v.acked &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
	assert_int_equal(nic_ctrl_index(r->n), -1);
	command(r, 4, 0, 2);
	assert_int_equal(r->used[1], 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_pairs),
		T(test_indirect),
		T(test_malformed),
		T(test_not_negotiated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
