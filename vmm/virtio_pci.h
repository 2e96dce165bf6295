/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device on PCI, modern only (virtio 1.2, 4.1): capabilities, the common configuration's
 * state machine, ISR, notifications that did not go through an ioeventfd, MSI-X. Pure: what moves
 * data, raises interrupts or talks to a back end is behind ops. All functions are called with the
 * device lock held, by vCPU threads (register accesses) or by the device's own thread.
 *
 *	reset -> ACKNOWLEDGE, DRIVER -> features -> FEATURES_OK -> queues enabled -> DRIVER_OK
 *	any -> 0 written: resetting until the back end has let go, then reset
 *	any -> nonsense from the guest: NEEDS_RESET, with a reason; nobody else is hurt
 *
 * The BAR (32 KiB):  0x0000 common, 0x1000 ISR, 0x2000 device configuration, 0x3000 notify (4
 * bytes a queue), 0x4000 MSI-X table, 0x5000 MSI-X pending bits.
 */
#ifndef LANYARD_VMM_VIRTIO_PCI_H
#define LANYARD_VMM_VIRTIO_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/gmem.h"
#include "vmm/msix.h"
#include "vmm/pci.h"

#define VIRTIO_QUEUES_MAX     33 /* 16 pairs and a control queue */
#define VIRTIO_QUEUE_SIZE_MAX 4096
#define VIRTIO_QUEUE_SIZE     1024 /* offered where the device's setup says no other */
#define VIRTIO_NO_VECTOR      0xffff

#define VIRTIO_BAR         0
#define VIRTIO_BAR_SIZE    0x8000
#define VIRTIO_BAR_COMMON  0x0000
#define VIRTIO_BAR_ISR     0x1000
#define VIRTIO_BAR_DEVICE  0x2000
#define VIRTIO_BAR_NOTIFY  0x3000
#define VIRTIO_BAR_MSIX    0x4000
#define VIRTIO_BAR_PBA     0x5000
#define VIRTIO_NOTIFY_STEP 4

/* Device status (virtio 1.2, 2.1). */
#define VIRTIO_S_ACKNOWLEDGE 1
#define VIRTIO_S_DRIVER      2
#define VIRTIO_S_DRIVER_OK   4
#define VIRTIO_S_FEATURES_OK 8
#define VIRTIO_S_NEEDS_RESET 64
#define VIRTIO_S_FAILED      128

#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32
#define VIRTIO_F_RING_PACKED   34
#define VIRTIO_F_IN_ORDER      35
#define VIRTIO_BIT(n)          (1ull << (n))

struct virtio_queue {
	uint16_t size;                 /* descriptors; chosen by the driver */
	uint16_t vector;               /* of MSI-X, or VIRTIO_NO_VECTOR */
	bool enabled;                  /* its addresses were checked */
	bool packed;                   /* its layout, since it was enabled */
	uint64_t desc, driver, device; /* guest-physical: descriptors; available and used ring, or
					* the driver's and the device's event area */
};

struct virtio_pci_ops {
	/* The driver may negotiate these; asked for at reset. */
	uint64_t (*features)(void *arg);
	/* Whether this set (a subset of those offered) holds together. */
	bool (*features_ok)(void *arg, uint64_t acked);
	/* DRIVER_OK was written. */
	void (*started)(void *arg);
	/* 0 was written. True: reset is complete; false: virtio_pci_reset_done will be called. */
	bool (*reset)(void *arg);
	void (*notify)(void *arg, unsigned queue);
	/* A queue's vector, or that of configuration changes (queue < 0), is another one now. */
	void (*vector_set)(void *arg, int queue, uint16_t vector);
	void (*msix_changed)(void *arg, unsigned vector);
	bool (*msix_pending)(void *arg, unsigned vector);
	void (*mapping_changed)(void *arg);
	/* A configuration change is to be signalled, through the configuration vector. */
	void (*config_interrupt)(void *arg);
};

struct virtio_pci {
	struct pci_function fn;
	struct msix msix;
	const struct virtio_pci_ops *ops;
	void *arg;
	const struct gmem *mem;
	const char *name; /* for the log */

	uint64_t offered, acked;
	uint32_t device_feature_select, driver_feature_select;
	uint8_t status, generation, isr;
	bool resetting;
	uint16_t config_vector, queue_select, n_queues;
	struct virtio_queue queue[VIRTIO_QUEUES_MAX];
	uint16_t queue_size; /* that queues have at reset, and at most */
	unsigned pci_cfg_cap;

	const uint8_t
		*config; /* device configuration space; changed by virtio_pci_config_changed */
	unsigned config_len;
	unsigned n_complaints;
	char reason[160]; /* why it needs a reset, or "" */
};

/* bar_addr: where the BAR is at reset. n_queues <= VIRTIO_QUEUES_MAX. All else is constant for the
 * device's life. */
struct virtio_pci_setup {
	const char *name;
	uint16_t device_type; /* 1: network */
	uint32_t class_code;
	uint16_t n_queues;
	uint16_t queue_size; /* 0: VIRTIO_QUEUE_SIZE; a power of two up to VIRTIO_QUEUE_SIZE_MAX */
	uint64_t bar_addr;
	const uint8_t *config;
	unsigned config_len;
};
void virtio_pci_init(struct virtio_pci *v, const struct virtio_pci_setup *s, const struct gmem *mem,
	const struct virtio_pci_ops *ops, void *arg);

/* The machine's reset button: registers of the function too. The back end must be stopped. */
void virtio_pci_machine_reset(struct virtio_pci *v);

/* ops->reset returned false; now the back end has let go of the rings. */
void virtio_pci_reset_done(struct virtio_pci *v);

/* The caller changed the configuration space: new generation, interrupt if the driver is up. */
void virtio_pci_config_changed(struct virtio_pci *v);

/* The guest did what it must not. */
void virtio_pci_needs_reset(struct virtio_pci *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static inline bool virtio_pci_is_started(const struct virtio_pci *v)
{
	return (v->status & VIRTIO_S_DRIVER_OK) && !v->resetting;
}

/* Bytes of a split ring's parts (virtio 1.2, 2.7), the event fields included. */
static inline uint64_t virtio_desc_bytes(uint16_t size)
{
	return 16ull * size;
}
static inline uint64_t virtio_driver_bytes(uint16_t size)
{
	return 6 + 2ull * size;
}
static inline uint64_t virtio_device_bytes(uint16_t size)
{
	return 6 + 8ull * size;
}

/* The same of a queue in its layout: a packed ring has an event area of each side instead
 * (2.8.14). */
#define VIRTIO_EVENT_AREA_BYTES 4
static inline uint64_t virtio_queue_driver_bytes(const struct virtio_queue *q)
{
	return q->packed ? VIRTIO_EVENT_AREA_BYTES : virtio_driver_bytes(q->size);
}
static inline uint64_t virtio_queue_device_bytes(const struct virtio_queue *q)
{
	return q->packed ? VIRTIO_EVENT_AREA_BYTES : virtio_device_bytes(q->size);
}

#endif
