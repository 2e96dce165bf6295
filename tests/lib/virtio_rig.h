/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device that serves itself, without a machine around it: guest memory is the test's, the
 * registers are written as a vCPU would (under the device lock, through the BAR), interrupts are
 * waited for at the device's eventfds. For cmocka tests.
 */
#ifndef LANYARD_TESTS_VIRTIO_RIG_H
#define LANYARD_TESTS_VIRTIO_RIG_H

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tests/lib/vq_driver.h"
#include "vmm/device.h"
#include "vmm/vdev.h"

#define RIG_BAR     0x4000100000ull
#define RIG_MEM     (64u << 20)
#define RIG_RINGS   0x100000u /* queue i's ring: VQ_BYTES each from here on */
#define RIG_QUEUES  8
#define RIG_WAIT_MS 60000 /* nothing takes so long, however busy the host */

struct virtio_rig {
	struct kvm kvm;
	struct gmem mem;
	pthread_mutex_t lock;
	struct vdev_host host;
	struct pci_bus bus;
	uint8_t *m;
	struct vdev *d;
	struct vq_driver q[RIG_QUEUES];
};

static inline void rig_init(struct virtio_rig *r)
{
	*r = (struct virtio_rig){ .kvm = { .dev_fd = -1, .vm_fd = -1 } };
	log_set_level(LOG_ERROR);
	pthread_mutex_init(&r->lock, NULL);
	r->m = calloc(1, RIG_MEM);
	gmem_wrap(&r->mem, r->m, RIG_MEM);
	r->host = (struct vdev_host){ .kvm = &r->kvm, .mem = &r->mem, .lock = &r->lock };
}

static inline void rig_fini(struct virtio_rig *r)
{
	free(r->m);
	pthread_mutex_destroy(&r->lock);
}

static inline void rig_plug(struct virtio_rig *r, struct vdev *d)
{
	r->d = d;
	r->bus.slot[1] = &d->v.fn;
	pthread_mutex_lock(&r->lock);
	pci_config_write(&d->v.fn, 4, 6, 2);
	pthread_mutex_unlock(&r->lock);
}

static inline void rig_write(struct virtio_rig *r, uint32_t off, uint64_t v, unsigned len)
{
	pthread_mutex_lock(&r->lock);
	pci_mmio_write(&r->bus, RIG_BAR + off, v, len);
	pthread_mutex_unlock(&r->lock);
}

static inline uint64_t rig_read(struct virtio_rig *r, uint32_t off, unsigned len)
{
	uint64_t v = 0;

	pthread_mutex_lock(&r->lock);
	pci_mmio_read(&r->bus, RIG_BAR + off, &v, len);
	pthread_mutex_unlock(&r->lock);
	return v;
}

static inline uint8_t rig_status(struct virtio_rig *r)
{
	return (uint8_t)rig_read(r, 20, 1);
}

/* As a driver does: writes 0 and waits until it reads 0. False: it never did. */
static inline bool rig_reset(struct virtio_rig *r)
{
	uint64_t until = clock_now_ns() + RIG_WAIT_MS * NS_PER_MS;

	rig_write(r, 20, 0, 1);
	while (rig_status(r))
		if (clock_now_ns() > until)
			return false;
	return true;
}

/* Up to DRIVER_OK, with n queues of that size. False: the features were refused. PACKED need not be
 * offered. */
static inline bool rig_start(struct virtio_rig *r, unsigned n, uint16_t size, uint64_t features)
{
	rig_write(r, 20, 1, 1);
	rig_write(r, 20, 3, 1);
	pthread_mutex_lock(&r->lock);
	r->d->v.offered |= features & VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	pthread_mutex_unlock(&r->lock);
	for (uint32_t half = 0; half < 2; half++) {
		rig_write(r, 8, half, 4);
		rig_write(r, 12, (uint32_t)(features >> 32 * half), 4);
	}
	rig_write(r, 20, 11, 1);
	if (rig_status(r) != 11)
		return false;
	for (unsigned i = 0; i < n; i++) {
		uint64_t ring = RIG_RINGS + (uint64_t)i * VQ_BYTES;

		vq_driver_init(&r->q[i], r->m, ring, size,
			features & VIRTIO_BIT(VIRTIO_F_RING_PACKED),
			features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
		rig_write(r, 22, i, 2);
		rig_write(r, 24, size, 2);
		for (uint32_t part = 0; part < 3; part++) {
			rig_write(r, 32 + 8 * part, ring + part * VQ_RING_GPA, 4);
			rig_write(r, 36 + 8 * part, 0, 4);
		}
		rig_write(r, 28, 1, 2);
	}
	rig_write(r, 20, 15, 1);
	return rig_status(r) == 15;
}

/* Tells the device of what was added to queue i, if it wants to know. */
static inline void rig_kick(struct virtio_rig *r, unsigned i)
{
	if (vq_wants_kick(&r->q[i]))
		fd_event_signal(r->d->kick_fd[i]);
}

/* Sleeps until a queue of the first n has something used. False: nothing came. */
static inline bool rig_wait(struct virtio_rig *r, unsigned n)
{
	struct pollfd p[RIG_QUEUES];

	for (unsigned i = 0; i < n; i++) {
		if (vq_interrupts(&r->q[i], true, 0))
			return true;
		p[i] = (struct pollfd){ .fd = r->d->irq[i].fd, .events = POLLIN };
	}
	if (poll(p, n, RIG_WAIT_MS) < 1)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (p[i].revents)
			fd_event_take(p[i].fd);
	return true;
}

#endif
