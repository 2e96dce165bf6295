/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A modern virtio device's PCI function: capabilities, the BAR's windows, and the window into the
 * BAR through configuration space. See virtio_pci.h; section numbers are those of virtio 1.2.
 */
#include <string.h>

#include "vmm/virtio_common.h"

enum {
	CAP_VENDOR = 0x09,
	CAP_COMMON = 1,
	CAP_NOTIFY = 2,
	CAP_ISR = 3,
	CAP_DEVICE = 4,
	CAP_PCI_CFG = 5,
};

static uint64_t isr_read(struct virtio_pci *v, uint64_t off)
{
	uint8_t isr = v->isr;

	if (off)
		return 0;
	v->isr = 0; /* 4.1.4.5: reading clears */
	return isr;
}

static uint64_t device_config_read(const struct virtio_pci *v, uint64_t off, unsigned len)
{
	uint64_t x = 0;

	for (unsigned i = 0; i < len; i++)
		if (off + i < v->config_len)
			x |= (uint64_t)v->config[off + i] << 8 * i;
	return x;
}

static uint64_t virtio_bar_read(void *arg, int bar, uint64_t off, unsigned len)
{
	struct virtio_pci *v = arg;
	uint64_t at = off & 0xfff;

	switch (off & ~0xfffull) {
	case VIRTIO_BAR_COMMON:
		return virtio_common_read(v, at, len);
	case VIRTIO_BAR_ISR:
		return isr_read(v, at);
	case VIRTIO_BAR_DEVICE:
		return device_config_read(v, at, len);
	case VIRTIO_BAR_MSIX:
		return msix_table_read(&v->msix, at, len);
	case VIRTIO_BAR_PBA:
		return msix_pba_read(&v->msix, at, len);
	default:
		return 0;
	}
}

static void virtio_bar_write(void *arg, int bar, uint64_t off, uint64_t x, unsigned len)
{
	struct virtio_pci *v = arg;
	uint64_t at = off & 0xfff;

	switch (off & ~0xfffull) {
	case VIRTIO_BAR_COMMON:
		virtio_common_write(v, at, x, len);
		break;
	case VIRTIO_BAR_NOTIFY: /* reached only where the ioeventfd did not match */
		if (at % VIRTIO_NOTIFY_STEP == 0 && at / VIRTIO_NOTIFY_STEP < v->n_queues)
			v->ops->notify(v->arg, (unsigned)(at / VIRTIO_NOTIFY_STEP));
		break;
	case VIRTIO_BAR_MSIX:
		msix_table_write(&v->msix, at, x, len);
		break;
	default: /* ISR and our device configuration are read-only */
		break;
	}
}

/* The window of 4.1.4.9: bar, offset and length in the capability, then the data. False where they
 * name nothing that may be accessed. */
static bool window_get(const struct virtio_pci *v, uint32_t *off, uint32_t *len)
{
	const uint8_t *cap = v->fn.config + v->pci_cfg_cap;

	*off = pci_get32(cap + 8);
	*len = pci_get32(cap + 12);
	return cap[4] == VIRTIO_BAR && (*len == 1 || *len == 2 || *len == 4) && *off % *len == 0 &&
		*off < VIRTIO_BAR_SIZE;
}

static bool touches(unsigned off, unsigned len, unsigned at, unsigned n)
{
	return off < at + n && at < off + len;
}

static void virtio_config_before_read(void *arg, unsigned off, unsigned len)
{
	struct virtio_pci *v = arg;
	uint32_t at, n;

	if (touches(off, len, v->pci_cfg_cap + 16, 4) && window_get(v, &at, &n))
		pci_put32(v->fn.config + v->pci_cfg_cap + 16,
			(uint32_t)virtio_bar_read(v, VIRTIO_BAR, at, n));
}

static void virtio_config_written(void *arg, unsigned off, unsigned len)
{
	struct virtio_pci *v = arg;
	uint32_t at, n, x;

	msix_config_written(&v->msix, &v->fn, off, len);
	if (touches(off, len, v->pci_cfg_cap + 16, 4) && window_get(v, &at, &n)) {
		x = pci_get32(v->fn.config + v->pci_cfg_cap + 16);
		virtio_bar_write(v, VIRTIO_BAR, at, n == 4 ? x : x & ((1u << 8 * n) - 1), n);
	}
}

static void virtio_mapping_changed(void *arg)
{
	struct virtio_pci *v = arg;

	v->ops->mapping_changed(v->arg);
}

static void virtio_msix_changed(void *arg, unsigned vector)
{
	struct virtio_pci *v = arg;

	v->ops->msix_changed(v->arg, vector);
}

static bool virtio_msix_pending(void *arg, unsigned vector)
{
	struct virtio_pci *v = arg;

	return v->ops->msix_pending(v->arg, vector);
}

static const struct pci_ops virtio_pci_function_ops = {
	.bar_read = virtio_bar_read,
	.bar_write = virtio_bar_write,
	.mapping_changed = virtio_mapping_changed,
	.config_before_read = virtio_config_before_read,
	.config_written = virtio_config_written,
};

static const struct msix_ops virtio_msix_ops = {
	.changed = virtio_msix_changed,
	.pending = virtio_msix_pending,
};

/* struct virtio_pci_cap (4.1.4). */
static unsigned add_virtio_cap(
	struct virtio_pci *v, uint8_t type, uint8_t len, uint32_t off, uint32_t size)
{
	unsigned at = pci_add_cap(&v->fn, CAP_VENDOR, len);
	uint8_t *c = v->fn.config + at;

	c[2] = len;
	c[3] = type;
	c[4] = VIRTIO_BAR;
	pci_put32(c + 8, off);
	pci_put32(c + 12, size);
	return at;
}

static void virtio_function_init(struct virtio_pci *v, const struct virtio_pci_setup *s)
{
	struct pci_id id = { .vendor = 0x1af4,
		.device = (uint16_t)(0x1040 + s->device_type),
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = s->class_code,
		.revision = 1 };
	unsigned at;

	pci_function_init(&v->fn, &id, &virtio_pci_function_ops, v);
	pci_add_bar64(&v->fn, VIRTIO_BAR, VIRTIO_BAR_SIZE, s->bar_addr);
	msix_init(&v->msix, &v->fn, s->n_queues + 1u, VIRTIO_BAR, VIRTIO_BAR_MSIX, VIRTIO_BAR_PBA,
		&virtio_msix_ops, v);
	add_virtio_cap(v, CAP_COMMON, 16, VIRTIO_BAR_COMMON, VIRTIO_COMMON_LEN);
	add_virtio_cap(v, CAP_ISR, 16, VIRTIO_BAR_ISR, 1);
	add_virtio_cap(v, CAP_DEVICE, 16, VIRTIO_BAR_DEVICE, s->config_len);
	at = add_virtio_cap(
		v, CAP_NOTIFY, 20, VIRTIO_BAR_NOTIFY, s->n_queues * (uint32_t)VIRTIO_NOTIFY_STEP);
	pci_put32(v->fn.config + at + 16, VIRTIO_NOTIFY_STEP);
	v->pci_cfg_cap = add_virtio_cap(v, CAP_PCI_CFG, 20, 0, 0);
	v->fn.writable[v->pci_cfg_cap + 4] = 0xff;
	memset(v->fn.writable + v->pci_cfg_cap + 8, 0xff, 12); /* offset, length, data */
}

void virtio_pci_init(struct virtio_pci *v, const struct virtio_pci_setup *s, const struct gmem *mem,
	const struct virtio_pci_ops *ops, void *arg)
{
	memset(v, 0, sizeof(*v));
	v->ops = ops;
	v->arg = arg;
	v->mem = mem;
	v->name = s->name;
	v->n_queues = s->n_queues;
	v->queue_size = s->queue_size ? s->queue_size : VIRTIO_QUEUE_SIZE;
	v->config = s->config;
	v->config_len = s->config_len;
	virtio_function_init(v, s);
	virtio_common_reset(v);
}

void virtio_pci_machine_reset(struct virtio_pci *v)
{
	virtio_common_reset(v);
	msix_reset(&v->msix, &v->fn);
	pci_config_write(&v->fn, 4, 0, 2); /* decoding off */
}
