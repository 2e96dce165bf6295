/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common configuration of a virtio device on PCI (virtio 1.2, 4.1.4.3): features, status,
 * queues and vectors, as the state machine that virtio_pci.h describes. Called through the BAR by
 * virtio_pci.c, with the device lock held. Section numbers are those of virtio 1.2.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "vmm/virtio_common.h"

enum {
	ISR_CONFIG = 2,
	COMPLAINTS_MAX = 16, /* that reach the log, for a device's life */
};

/* 4.1.4.3, struct virtio_pci_common_cfg. */
enum common_field {
	DEVICE_FEATURE_SELECT,
	DEVICE_FEATURE,
	DRIVER_FEATURE_SELECT,
	DRIVER_FEATURE,
	CONFIG_VECTOR,
	NUM_QUEUES,
	DEVICE_STATUS,
	CONFIG_GENERATION,
	QUEUE_SELECT,
	QUEUE_SIZE,
	QUEUE_VECTOR,
	QUEUE_ENABLE,
	QUEUE_NOTIFY_OFF,
	QUEUE_DESC_LO,
	QUEUE_DESC_HI,
	QUEUE_DRIVER_LO,
	QUEUE_DRIVER_HI,
	QUEUE_DEVICE_LO,
	QUEUE_DEVICE_HI,
	COMMON_FIELDS,
};

static const struct {
	uint8_t off, len;
} common_layout[COMMON_FIELDS] = {
	[DEVICE_FEATURE_SELECT] = { 0, 4 },
	[DEVICE_FEATURE] = { 4, 4 },
	[DRIVER_FEATURE_SELECT] = { 8, 4 },
	[DRIVER_FEATURE] = { 12, 4 },
	[CONFIG_VECTOR] = { 16, 2 },
	[NUM_QUEUES] = { 18, 2 },
	[DEVICE_STATUS] = { 20, 1 },
	[CONFIG_GENERATION] = { 21, 1 },
	[QUEUE_SELECT] = { 22, 2 },
	[QUEUE_SIZE] = { 24, 2 },
	[QUEUE_VECTOR] = { 26, 2 },
	[QUEUE_ENABLE] = { 28, 2 },
	[QUEUE_NOTIFY_OFF] = { 30, 2 },
	[QUEUE_DESC_LO] = { 32, 4 },
	[QUEUE_DESC_HI] = { 36, 4 },
	[QUEUE_DRIVER_LO] = { 40, 4 },
	[QUEUE_DRIVER_HI] = { 44, 4 },
	[QUEUE_DEVICE_LO] = { 48, 4 },
	[QUEUE_DEVICE_HI] = { 52, 4 },
};

void virtio_pci_needs_reset(struct virtio_pci *v, const char *fmt, ...)
{
	va_list ap;

	if (v->status & VIRTIO_S_NEEDS_RESET)
		return;
	va_start(ap, fmt);
	vsnprintf(v->reason, sizeof(v->reason), fmt, ap);
	va_end(ap);
	v->status |= VIRTIO_S_NEEDS_RESET;
	if (v->n_complaints++ < COMPLAINTS_MAX)
		log_warn("%s: the guest's driver did wrong, the device needs a reset: %s", v->name,
			v->reason);
	if (v->status & VIRTIO_S_DRIVER_OK)
		v->ops->config_interrupt(v->arg);
}

void virtio_pci_config_changed(struct virtio_pci *v)
{
	v->generation++;
	if (!virtio_pci_is_started(v))
		return;
	v->isr |= ISR_CONFIG;
	v->ops->config_interrupt(v->arg);
}

/* Registers back to their values at reset (2.1.2, 4.1.4.3.1). */
void virtio_common_reset(struct virtio_pci *v)
{
	v->device_feature_select = v->driver_feature_select = 0;
	v->acked = 0;
	v->offered = v->ops->features(v->arg);
	v->status = 0;
	v->isr = 0;
	v->resetting = false;
	v->queue_select = 0;
	v->reason[0] = '\0';
	v->config_vector = VIRTIO_NO_VECTOR;
	v->ops->vector_set(v->arg, -1, VIRTIO_NO_VECTOR);
	for (unsigned i = 0; i < v->n_queues; i++) {
		v->queue[i] =
			(struct virtio_queue){ .size = v->queue_size, .vector = VIRTIO_NO_VECTOR };
		v->ops->vector_set(v->arg, (int)i, VIRTIO_NO_VECTOR);
	}
}

void virtio_pci_reset_done(struct virtio_pci *v)
{
	if (v->resetting)
		virtio_common_reset(v);
}

/* Sizes (2.7, 2.8.10.1: only a split ring's is a power of two), alignment and place of the parts
 * are checked once, when the driver enables the queue; features are agreed on by then (3.1.1), so
 * its layout is known. */
static bool queue_size_fits(struct virtio_pci *v, unsigned i, bool packed)
{
	uint16_t size = v->queue[i].size;

	if (size && size <= v->queue_size && (packed || !(size & (size - 1))))
		return true;
	virtio_pci_needs_reset(v, "queue %u has size %u, expected %s up to %d", i, size,
		packed ? "a number" : "a power of two", v->queue_size);
	return false;
}

static void queue_enable(struct virtio_pci *v, unsigned i)
{
	struct virtio_queue q = v->queue[i];

	if (q.enabled)
		return;
	if (!(v->status & VIRTIO_S_FEATURES_OK)) {
		virtio_pci_needs_reset(
			v, "queue %u was enabled before the features were agreed on", i);
		return;
	}
	q.packed = v->acked & VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	if (!queue_size_fits(v, i, q.packed))
		return;
	const struct {
		const char *name;
		uint64_t addr, bytes, align;
	} parts[] = { { "descriptors", q.desc, virtio_desc_bytes(q.size), 16 },
		{ q.packed ? "driver's event area" : "available ring", q.driver,
			virtio_queue_driver_bytes(&q), q.packed ? 4 : 2 },
		{ q.packed ? "device's event area" : "used ring", q.device,
			virtio_queue_device_bytes(&q), 4 } };

	for (unsigned p = 0; p < 3; p++) {
		if (parts[p].addr % parts[p].align == 0 &&
			gmem_at(v->mem, (gpa_t){ parts[p].addr }, parts[p].bytes))
			continue;
		virtio_pci_needs_reset(v,
			"queue %u has its %s at 0x%llx (%llu bytes): outside memory or not aligned "
			"to %llu",
			i, parts[p].name, (unsigned long long)parts[p].addr,
			(unsigned long long)parts[p].bytes, (unsigned long long)parts[p].align);
		return;
	}
	q.enabled = true;
	v->queue[i] = q;
}

static void status_write(struct virtio_pci *v, uint8_t to)
{
	uint8_t added;

	if (v->resetting)
		return;
	if (to == 0) {
		v->resetting = true;
		if (v->ops->reset(v->arg))
			virtio_common_reset(v);
		return;
	}
	added = to & (uint8_t)~v->status & (uint8_t)~VIRTIO_S_NEEDS_RESET;
	if (added & VIRTIO_S_FEATURES_OK) {
		/* 2.2.2, 3.1.1: refused by leaving the bit off. */
		bool ok = !(v->acked & ~v->offered) &&
			(v->acked & VIRTIO_BIT(VIRTIO_F_VERSION_1)) &&
			v->ops->features_ok(v->arg, v->acked);

		if (!ok)
			added &= (uint8_t)~VIRTIO_S_FEATURES_OK;
	}
	if ((added & VIRTIO_S_DRIVER_OK) && !((v->status | added) & VIRTIO_S_FEATURES_OK)) {
		virtio_pci_needs_reset(v, "DRIVER_OK before the features were agreed on");
		added &= (uint8_t)~VIRTIO_S_DRIVER_OK;
	}
	if (v->status & VIRTIO_S_NEEDS_RESET)
		added &= (uint8_t)~VIRTIO_S_DRIVER_OK;
	v->status |= added;
	if (added & VIRTIO_S_DRIVER_OK)
		v->ops->started(v->arg);
}

static uint16_t vector_checked(const struct virtio_pci *v, uint32_t vector)
{
	return vector < v->msix.n ? (uint16_t)vector : VIRTIO_NO_VECTOR;
}

static uint64_t with_lo(uint64_t old, uint32_t lo)
{
	return (old & ~0xffffffffull) | lo;
}

static uint64_t with_hi(uint64_t old, uint32_t hi)
{
	return (old & 0xffffffffull) | (uint64_t)hi << 32;
}

static void queue_field_write(struct virtio_pci *v, enum common_field f, uint32_t x)
{
	unsigned i = v->queue_select;
	struct virtio_queue *q;

	if (i >= v->n_queues)
		return;
	q = &v->queue[i];
	if (f == QUEUE_VECTOR) {
		q->vector = vector_checked(v, x);
		v->ops->vector_set(v->arg, (int)i, q->vector);
		return;
	}
	if (f == QUEUE_ENABLE && x == 1)
		queue_enable(v, i);
	if (q->enabled) /* 4.1.4.3.2: the driver does not change what is enabled */
		return;
	switch (f) {
	case QUEUE_SIZE:
		q->size = (uint16_t)x;
		break;
	case QUEUE_DESC_LO:
		q->desc = with_lo(q->desc, x);
		break;
	case QUEUE_DESC_HI:
		q->desc = with_hi(q->desc, x);
		break;
	case QUEUE_DRIVER_LO:
		q->driver = with_lo(q->driver, x);
		break;
	case QUEUE_DRIVER_HI:
		q->driver = with_hi(q->driver, x);
		break;
	case QUEUE_DEVICE_LO:
		q->device = with_lo(q->device, x);
		break;
	case QUEUE_DEVICE_HI:
		q->device = with_hi(q->device, x);
		break;
	default:
		break;
	}
}

static void common_field_write(struct virtio_pci *v, enum common_field f, uint32_t x)
{
	if (v->resetting && f != DEVICE_STATUS)
		return;
	switch (f) {
	case DEVICE_FEATURE_SELECT:
		v->device_feature_select = x;
		break;
	case DRIVER_FEATURE_SELECT:
		v->driver_feature_select = x;
		break;
	case DRIVER_FEATURE:
		if (v->status & VIRTIO_S_FEATURES_OK)
			break;
		if (v->driver_feature_select == 0)
			v->acked = with_lo(v->acked, x);
		else if (v->driver_feature_select == 1)
			v->acked = with_hi(v->acked, x);
		break;
	case CONFIG_VECTOR:
		v->config_vector = vector_checked(v, x);
		v->ops->vector_set(v->arg, -1, v->config_vector);
		break;
	case DEVICE_STATUS:
		status_write(v, (uint8_t)x);
		break;
	case QUEUE_SELECT:
		v->queue_select = (uint16_t)x;
		break;
	default:
		queue_field_write(v, f, x);
	}
}

static uint32_t queue_field_read(const struct virtio_pci *v, enum common_field f)
{
	const struct virtio_queue *q;

	if (v->queue_select >= v->n_queues)
		return 0; /* 4.1.4.3.1: size 0 says that the queue is not there */
	q = &v->queue[v->queue_select];
	switch (f) {
	case QUEUE_SIZE:
		return q->size;
	case QUEUE_VECTOR:
		return q->vector;
	case QUEUE_ENABLE:
		return q->enabled;
	case QUEUE_NOTIFY_OFF:
		return v->queue_select;
	case QUEUE_DESC_LO:
		return (uint32_t)q->desc;
	case QUEUE_DESC_HI:
		return (uint32_t)(q->desc >> 32);
	case QUEUE_DRIVER_LO:
		return (uint32_t)q->driver;
	case QUEUE_DRIVER_HI:
		return (uint32_t)(q->driver >> 32);
	case QUEUE_DEVICE_LO:
		return (uint32_t)q->device;
	case QUEUE_DEVICE_HI:
		return (uint32_t)(q->device >> 32);
	default:
		return 0;
	}
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static uint32_t common_field_read(const struct virtio_pci *v, enum common_field f)
{
	switch (f) {
	case DEVICE_FEATURE_SELECT:
		return v->device_feature_select;
	case DEVICE_FEATURE:
		return feature_word(v->offered, v->device_feature_select);
	case DRIVER_FEATURE_SELECT:
		return v->driver_feature_select;
	case DRIVER_FEATURE:
		return feature_word(v->acked, v->driver_feature_select);
	case CONFIG_VECTOR:
		return v->config_vector;
	case NUM_QUEUES:
		return v->n_queues;
	case DEVICE_STATUS:
		return v->status;
	case CONFIG_GENERATION:
		return v->generation;
	case QUEUE_SELECT:
		return v->queue_select;
	default:
		return queue_field_read(v, f);
	}
}

/* The field at off that is exactly len bytes, or COMMON_FIELDS. 4.1.3.1: the driver uses a field's
 * own width; anything else is not ours to guess at. */
static enum common_field common_find(uint64_t off, unsigned len)
{
	for (int f = 0; f < COMMON_FIELDS; f++)
		if (common_layout[f].off == off && common_layout[f].len == len)
			return (enum common_field)f;
	return COMMON_FIELDS;
}

uint64_t virtio_common_read(const struct virtio_pci *v, uint64_t off, unsigned len)
{
	enum common_field f;

	if (len == 8) /* two 32-bit halves */
		return virtio_common_read(v, off, 4) | virtio_common_read(v, off + 4, 4) << 32;
	f = common_find(off, len);
	return f == COMMON_FIELDS ? 0 : common_field_read(v, f);
}

void virtio_common_write(struct virtio_pci *v, uint64_t off, uint64_t x, unsigned len)
{
	enum common_field f;

	if (len == 8) {
		virtio_common_write(v, off, (uint32_t)x, 4);
		virtio_common_write(v, off + 4, x >> 32, 4);
		return;
	}
	f = common_find(off, len);
	if (f != COMMON_FIELDS)
		common_field_write(v, f, (uint32_t)x);
}
