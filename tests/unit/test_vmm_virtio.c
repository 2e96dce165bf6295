/* SPDX-License-Identifier: Apache-2.0 */
/* Modern virtio over PCI: the common configuration as a state machine, capabilities, the
 * windows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "vmm/virtio_pci.h"

#define MEM_BYTES (4u << 20)
#define BAR       0x4000100000ull

struct rig {
	struct virtio_pci v;
	struct gmem mem;
	uint8_t config[12];
	unsigned started, resets, notified, interrupts, moved;
	unsigned last_queue;
	int vector_of[4];
	bool slow_reset, refuse;
};

static uint64_t rig_features(void *arg)
{
	return VIRTIO_BIT(32) | VIRTIO_BIT(15) | VIRTIO_BIT(5) | VIRTIO_BIT(34);
}
static bool rig_features_ok(void *arg, uint64_t acked)
{
	return !((struct rig *)arg)->refuse;
}
static void rig_started(void *arg)
{
	((struct rig *)arg)->started++;
}
static bool rig_reset(void *arg)
{
	struct rig *r = arg;

	r->resets++;
	return !r->slow_reset;
}
static void rig_notify(void *arg, unsigned queue)
{
	struct rig *r = arg;

	r->notified++;
	r->last_queue = queue;
}
static void rig_vector(void *arg, int queue, uint16_t vector)
{
	((struct rig *)arg)->vector_of[queue + 1] = vector;
}
static void rig_msix(void *arg, unsigned vector)
{
}
static bool rig_pending(void *arg, unsigned vector)
{
	return false;
}
static void rig_moved(void *arg)
{
	((struct rig *)arg)->moved++;
}
static void rig_interrupt(void *arg)
{
	((struct rig *)arg)->interrupts++;
}

static const struct virtio_pci_ops ops = { .features = rig_features,
	.features_ok = rig_features_ok,
	.started = rig_started,
	.reset = rig_reset,
	.notify = rig_notify,
	.vector_set = rig_vector,
	.msix_changed = rig_msix,
	.msix_pending = rig_pending,
	.mapping_changed = rig_moved,
	.config_interrupt = rig_interrupt };

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct virtio_pci_setup s = { .name = "nic 0",
		.device_type = 1,
		.class_code = 0x020000,
		.n_queues = 3,
		.bar_addr = BAR,
		.config = r->config,
		.config_len = 12 };

	log_set_level(LOG_ERROR);
	gmem_wrap(&r->mem, calloc(1, MEM_BYTES), MEM_BYTES);
	memcpy(r->config, "\x02\0\0\0\0\x01\x01\0\x01\0\xdc\x05", 12);
	virtio_pci_init(&r->v, &s, &r->mem, &ops, r);
	pci_config_write(&r->v.fn, 4, 6, 2);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	free(r->mem.map);
	free(r);
	return 0;
}

static uint64_t get(struct rig *r, uint64_t off, unsigned len)
{
	return r->v.fn.ops->bar_read(&r->v, 0, off, len);
}

static void put(struct rig *r, uint64_t off, uint64_t v, unsigned len)
{
	r->v.fn.ops->bar_write(&r->v, 0, off, v, len);
}

static void negotiate(struct rig *r, uint64_t acked)
{
	put(r, 20, 0, 1);
	put(r, 20, 1, 1);
	put(r, 20, 3, 1);
	put(r, 8, 0, 4);
	put(r, 12, (uint32_t)acked, 4);
	put(r, 8, 1, 4);
	put(r, 12, acked >> 32, 4);
	put(r, 20, 11, 1);
}

static void queue_set(struct rig *r, unsigned i, unsigned size, uint64_t at)
{
	put(r, 22, i, 2);
	put(r, 24, size, 2);
	put(r, 26, i + 1, 2);
	put(r, 32, (uint32_t)at, 4);
	put(r, 36, at >> 32, 4);
	put(r, 40, (uint32_t)at + 0x4000, 4);
	put(r, 44, at >> 32, 4);
	put(r, 48, (uint32_t)at + 0x8000, 4);
	put(r, 52, at >> 32, 4);
	put(r, 28, 1, 2);
}

static void test_capabilities(void **state)
{
	struct rig *r = *state;
	unsigned at = pci_config_read(&r->v.fn, 0x34, 1), seen = 0, n = 0;

	for (; at && n < 20; n++, at = pci_config_read(&r->v.fn, at + 1, 1)) {
		if (pci_config_read(&r->v.fn, at, 1) != 9)
			continue;
		unsigned type = pci_config_read(&r->v.fn, at + 3, 1);

		seen |= 1u << type;
		assert_true(pci_config_read(&r->v.fn, at + 8, 4) +
				pci_config_read(&r->v.fn, at + 12, 4) <=
			VIRTIO_BAR_SIZE);
		if (type == 2)
			assert_int_equal(pci_config_read(&r->v.fn, at + 16, 4), 4);
	}
	assert_int_equal(n, 6);
	assert_int_equal(seen, 0x3e);
}

static void test_happy_start(void **state)
{
	struct rig *r = *state;

	put(r, 0, 0, 4);
	assert_int_equal(get(r, 4, 4), 0x8020);
	put(r, 0, 1, 4);
	assert_int_equal(get(r, 4, 4), 5);
	put(r, 0, 2, 4);
	assert_int_equal(get(r, 4, 4), 0);
	assert_int_equal(get(r, 18, 2), 3);
	negotiate(r, VIRTIO_BIT(32) | VIRTIO_BIT(15));
	assert_int_equal(get(r, 20, 1), 11);
	put(r, 22, 0, 2);
	assert_int_equal(get(r, 24, 2), VIRTIO_QUEUE_SIZE);
	queue_set(r, 0, 256, 0x100000);
	queue_set(r, 1, 128, 0x120000);
	assert_int_equal(get(r, 28, 2), 1);
	assert_int_equal(get(r, 30, 2), 1);
	assert_int_equal(get(r, 26, 2), 2);
	assert_int_equal(r->vector_of[2], 2);
	put(r, 16, 3, 2);
	assert_int_equal(r->vector_of[0], 3);
	put(r, 20, 15, 1);
	assert_int_equal(get(r, 20, 1), 15);
	assert_int_equal(r->started, 1);
	assert_true(virtio_pci_is_started(&r->v));
	assert_int_equal(r->v.queue[0].desc, 0x100000);
	assert_int_equal(r->v.queue[0].device, 0x108000);
	/* what is enabled no longer changes */
	put(r, 24, 64, 2);
	put(r, 32, 0, 4);
	assert_int_equal(get(r, 24, 2), 128);
	assert_int_equal(get(r, 32, 4), 0x120000);
	/* features neither */
	put(r, 12, 0, 4);
	assert_int_equal(r->v.acked, VIRTIO_BIT(32) | VIRTIO_BIT(15));
}

static void test_features_refused(void **state)
{
	struct rig *r = *state;

	negotiate(r, VIRTIO_BIT(15)); /* no VERSION_1 */
	assert_int_equal(get(r, 20, 1), 3);
	negotiate(r, VIRTIO_BIT(32) | VIRTIO_BIT(33)); /* not offered */
	assert_int_equal(get(r, 20, 1), 3);
	r->refuse = true;
	negotiate(r, VIRTIO_BIT(32));
	assert_int_equal(get(r, 20, 1), 3);
	r->refuse = false;
	put(r, 20, 15, 1); /* DRIVER_OK along with FEATURES_OK */
	assert_int_equal(r->started, 1);
}

static void test_driver_ok_too_early(void **state)
{
	struct rig *r = *state;

	put(r, 20, 7, 1);
	assert_int_equal(get(r, 20, 1), 3 | VIRTIO_S_NEEDS_RESET);
	assert_int_equal(r->started, 0);
	negotiate(r, VIRTIO_BIT(32)); /* a reset mends it */
	assert_int_equal(get(r, 20, 1), 11);
}

/* Queue addresses and sizes that make no sense: the device needs a reset, and says why. */
static void test_bad_queues(void **state)
{
	static const struct {
		unsigned size;
		uint64_t at;
		const char *says;
	} bad[] = {
		{ 0, 0x100000, "size 0" },
		{ 3, 0x100000, "size 3" },
		{ 2048, 0x100000, "size 2048" },
		{ 256, 0x100008, "not aligned" },
		{ 256, MEM_BYTES - 0x1000 + 0x10, "outside memory" },
		{ 256, 1ull << 40, "outside memory" },
		{ 1024, 0xfffffffffffff000ull, "outside memory" },
		{ 256, MEM_BYTES - 0x8000, "used ring" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		negotiate(r, VIRTIO_BIT(32));
		assert_int_equal(r->v.reason[0], 0);
		queue_set(r, 0, bad[i].size, bad[i].at);
		assert_int_equal(get(r, 28, 2), 0);
		assert_true(get(r, 20, 1) & VIRTIO_S_NEEDS_RESET);
		assert_non_null(strstr(r->v.reason, bad[i].says));
		put(r, 20, 15, 1); /* a broken device does not start */
		assert_false(virtio_pci_is_started(&r->v));
	}
	assert_int_equal(r->started, 0);
}

/* A packed ring: any size, two event areas of 4 bytes. */
static void test_packed_queues(void **state)
{
	static const struct {
		unsigned size;
		uint64_t at;
		const char *says; /* NULL: it is enabled */
	} cases[] = {
		{ 3, 0x100000, NULL },
		{ 1000, 0x100000, NULL },
		{ 1, 0x100000, NULL },
		{ 1024, MEM_BYTES - 0x8004, "outside memory or not aligned" },
		/* the used ring of a split one would not fit here */
		{ 1024, MEM_BYTES - 0x8010, NULL },
		{ 0, 0x100000, "size 0" },
		{ 1025, 0x100000, "size 1025, expected a number up to 1024" },
		{ 256, 0x100002, "descriptors" },
		{ 256, MEM_BYTES - 0x4000, "driver's event area" },
		{ 256, MEM_BYTES - 0x8000, "device's event area" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		negotiate(r, VIRTIO_BIT(32) | VIRTIO_BIT(34));
		queue_set(r, 0, cases[i].size, cases[i].at);
		assert_int_equal(get(r, 28, 2), !cases[i].says);
		assert_int_equal(r->v.queue[0].packed, !cases[i].says);
		if (cases[i].says)
			assert_non_null(strstr(r->v.reason, cases[i].says));
	}
	negotiate(r, VIRTIO_BIT(32)); /* the next driver is an old one */
	queue_set(r, 0, 256, 0x100000);
	assert_false(r->v.queue[0].packed);
}

/* Its layout is not known yet. */
static void test_queue_before_features(void **state)
{
	struct rig *r = *state;

	put(r, 20, 3, 1);
	queue_set(r, 0, 256, 0x100000);
	assert_int_equal(get(r, 28, 2), 0);
	assert_non_null(strstr(r->v.reason, "before the features"));
}

static void test_no_such_queue(void **state)
{
	struct rig *r = *state;

	put(r, 22, 3, 2);
	assert_int_equal(get(r, 24, 2), 0);
	put(r, 22, 0xffff, 2);
	assert_int_equal(get(r, 24, 2), 0);
	for (unsigned off = 24; off < 56; off += 4)
		put(r, off, ~0ull, 4);
	put(r, 28, 1, 2);
	assert_int_equal(get(r, 20, 1), 0);
}

static void test_vectors(void **state)
{
	struct rig *r = *state;

	put(r, 16, 4, 2); /* 4 vectors: 0..3 */
	assert_int_equal(get(r, 16, 2), 0xffff);
	put(r, 16, 3, 2);
	assert_int_equal(get(r, 16, 2), 3);
	put(r, 22, 0, 2);
	put(r, 26, 0x1234, 2);
	assert_int_equal(get(r, 26, 2), 0xffff);
}

static void test_slow_reset(void **state)
{
	struct rig *r = *state;

	negotiate(r, VIRTIO_BIT(32));
	queue_set(r, 0, 256, 0x100000);
	put(r, 20, 15, 1);
	r->slow_reset = true;
	put(r, 20, 0, 1);
	assert_int_equal(get(r, 20, 1), 15); /* not done */
	assert_false(virtio_pci_is_started(&r->v));
	put(r, 20, 1, 1); /* the driver should have waited */
	put(r, 22, 1, 2);
	assert_int_equal(get(r, 20, 1), 15);
	virtio_pci_reset_done(&r->v);
	assert_int_equal(get(r, 20, 1), 0);
	assert_int_equal(r->v.queue[0].enabled, 0);
	assert_int_equal(r->vector_of[1], 0xffff);
	virtio_pci_reset_done(&r->v); /* none was asked for */
}

static void test_config_change(void **state)
{
	struct rig *r = *state;
	unsigned generation = (unsigned)get(r, 21, 1);

	virtio_pci_config_changed(&r->v);
	assert_int_equal(r->interrupts, 0); /* no driver */
	negotiate(r, VIRTIO_BIT(32));
	put(r, 20, 15, 1);
	virtio_pci_config_changed(&r->v);
	assert_int_equal(r->interrupts, 1);
	assert_int_equal(get(r, 21, 1), (generation + 2) & 0xff);
	assert_int_equal(get(r, 0x1000, 1), 2);
	assert_int_equal(get(r, 0x1000, 1), 0);
	virtio_pci_needs_reset(&r->v, "test");
	assert_int_equal(r->interrupts, 2);
}

static void test_device_config(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, 0x2000, 4), 2);
	assert_int_equal(get(r, 0x2006, 2), 1);
	assert_int_equal(get(r, 0x200a, 2), 1500);
	assert_int_equal(get(r, 0x200a, 8), 1500); /* beyond its end: 0 */
	assert_int_equal(get(r, 0x2ff8, 8), 0);
	put(r, 0x2000, 0xff, 1);
	assert_int_equal(r->config[0], 2);
}

static void test_notify(void **state)
{
	struct rig *r = *state;

	put(r, 0x3004, 1, 2);
	assert_int_equal(r->notified, 1);
	assert_int_equal(r->last_queue, 1);
	put(r, 0x3002, 1, 2);
	put(r, 0x300c, 1, 2);
	put(r, 0x3ffc, 1, 4);
	assert_int_equal(r->notified, 1);
}

/* Widths other than the field's own: no field. 64 bits are two halves. */
static void test_widths(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, 18, 1), 0);
	assert_int_equal(get(r, 19, 4), 0);
	assert_int_equal(get(r, 18, 4), 0);
	put(r, 20, 1, 2);
	assert_int_equal(get(r, 20, 1), 0);
	put(r, 22, 1, 2);
	put(r, 32, 0x123456789000ull, 8);
	assert_int_equal(get(r, 32, 8), 0x123456789000ull);
	assert_int_equal(get(r, 36, 4), 0x1234);
	assert_int_equal(get(r, 0x7ff8, 8), 0);
	assert_int_equal(get(r, 0x6000, 4), 0);
}

/* 4.1.4.9: the BAR through configuration space. */
static void test_window(void **state)
{
	struct rig *r = *state;
	unsigned cap = r->v.pci_cfg_cap;

	pci_config_write(&r->v.fn, cap + 8, 18, 4);
	pci_config_write(&r->v.fn, cap + 12, 2, 4);
	assert_int_equal(pci_config_read(&r->v.fn, cap + 16, 4), 3);
	pci_config_write(&r->v.fn, cap + 8, 20, 4);
	pci_config_write(&r->v.fn, cap + 12, 1, 4);
	pci_config_write(&r->v.fn, cap + 16, 0xffffff01, 4);
	assert_int_equal(get(r, 20, 1), 1);
	assert_int_equal(pci_config_read(&r->v.fn, cap + 16, 1), 1);
	/* nonsense is not followed */
	pci_config_write(&r->v.fn, cap + 8, 0x8000, 4);
	pci_config_read(&r->v.fn, cap + 16, 4);
	pci_config_write(&r->v.fn, cap + 8, 0xffffffff, 4);
	pci_config_write(&r->v.fn, cap + 16, 0, 4);
	pci_config_write(&r->v.fn, cap + 12, 8, 4);
	pci_config_write(&r->v.fn, cap + 4, 5, 1);
	pci_config_write(&r->v.fn, cap + 16, 0, 4);
	assert_int_equal(get(r, 20, 1), 1);
}

static void test_machine_reset(void **state)
{
	struct rig *r = *state;
	uint64_t addr;

	negotiate(r, VIRTIO_BIT(32));
	put(r, 20, 15, 1);
	pci_config_write(&r->v.fn, r->v.msix.cap + 2, 0x8000, 2);
	virtio_pci_machine_reset(&r->v);
	assert_int_equal(get(r, 20, 1), 0);
	assert_false(r->v.msix.enabled);
	assert_false(pci_bar_address(&r->v.fn, 0, &addr));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_capabilities),
		T(test_happy_start),
		T(test_features_refused),
		T(test_driver_ok_too_early),
		T(test_bad_queues),
		T(test_packed_queues),
		T(test_queue_before_features),
		T(test_no_such_queue),
		T(test_vectors),
		T(test_slow_reset),
		T(test_config_change),
		T(test_device_config),
		T(test_notify),
		T(test_widths),
		T(test_window),
		T(test_machine_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
