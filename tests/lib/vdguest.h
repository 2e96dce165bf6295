/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's driver of one of the VMM's virtio devices, without KVM: the device's registers are
 * written as a vCPU would, the queues are in guest memory that a back end maps, interrupts are read
 * from the eventfds. For test programs; anything unexpected ends the program with a sentence.
 */
#ifndef LANYARD_TESTS_VDGUEST_H
#define LANYARD_TESTS_VDGUEST_H

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tests/lib/vq_driver.h"
#include "vmm/device.h"
#include "vmm/vdev.h"

#define VDG_MEMORY   (64ull << 20)
#define VDG_RINGS    (4ull << 20) /* where queue 0 lies */
#define VDG_DATA     (48ull << 20)
#define VDG_QUEUES   4
#define VDG_SIZE     128
#define VDG_PATIENCE (60 * NS_PER_S) /* for anything that the back end must do */

struct vdguest {
	struct kvm kvm;
	struct gmem mem;
	pthread_mutex_t lock;
	struct vdev_host host;
	struct device *dev;
	struct vdev *d;
	unsigned n;
	struct vq_driver q[VDG_QUEUES];
};

static inline void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static inline void vdg_init(struct vdguest *g)
{
	struct err e = { 0 };
	char why[256];

	memset(g, 0, sizeof(*g));
	g->kvm.vm_fd = -1;
	pthread_mutex_init(&g->lock, NULL);
	if (gmem_new(&g->mem, VDG_MEMORY, false, why, &e))
		die("%s", e.text);
	g->host = (struct vdev_host){ .kvm = &g->kvm, .mem = &g->mem, .lock = &g->lock };
}

/* The device was made; it gets its threads and its first back end, if there is one. */
static inline void vdg_start(struct vdguest *g, struct device *dev, struct vdev *d)
{
	struct err e = { 0 };

	g->dev = dev;
	g->d = d;
	if (dev->ops->start(dev, &e))
		die("%s", e.text);
	dev->ops->wait_first(dev, 50);
}

static inline uint64_t vdg_read(struct vdguest *g, unsigned off, unsigned len)
{
	struct pci_function *fn = g->dev->fn;
	uint64_t x;

	pthread_mutex_lock(&g->lock);
	x = fn->ops->bar_read(fn->arg, VIRTIO_BAR, off, len);
	pthread_mutex_unlock(&g->lock);
	return x;
}

static inline void vdg_write(struct vdguest *g, unsigned off, uint64_t x, unsigned len)
{
	struct pci_function *fn = g->dev->fn;

	pthread_mutex_lock(&g->lock);
	fn->ops->bar_write(fn->arg, VIRTIO_BAR, off, x, len);
	pthread_mutex_unlock(&g->lock);
}

static inline uint64_t vdg_offered(struct vdguest *g)
{
	uint64_t lo, hi;

	vdg_write(g, 0, 0, 4);
	lo = vdg_read(g, 4, 4);
	vdg_write(g, 0, 1, 4);
	hi = vdg_read(g, 4, 4);
	return lo | hi << 32;
}

/* Device reset, and up to DRIVER_OK with n queues and these of the features offered. Returns what
 * was agreed on. */
static inline uint64_t vdg_driver(struct vdguest *g, unsigned n, uint64_t want)
{
	uint64_t features, begin = clock_now_ns();

	vdg_write(g, 20, 0, 1);
	while (vdg_read(g, 20, 1)) /* the back end lets go of the rings */
		if (clock_now_ns() - begin > VDG_PATIENCE)
			die("the device's reset does not end");
	vdg_write(g, 20, 3, 1);
	features = vdg_offered(g) & want;
	vdg_write(g, 8, 0, 4);
	vdg_write(g, 12, (uint32_t)features, 4);
	vdg_write(g, 8, 1, 4);
	vdg_write(g, 12, features >> 32, 4);
	vdg_write(g, 20, 11, 1);
	if (!(vdg_read(g, 20, 1) & VIRTIO_S_FEATURES_OK))
		die("features 0x%llx are refused", (unsigned long long)features);
	g->n = n;
	for (unsigned i = 0; i < n; i++) {
		uint64_t gpa = VDG_RINGS + i * (uint64_t)VQ_BYTES;

		vq_driver_init(&g->q[i], g->mem.map, gpa, VDG_SIZE, false,
			features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
		vdg_write(g, 22, i, 2);
		vdg_write(g, 24, VDG_SIZE, 2);
		vdg_write(g, 32, gpa, 8);
		vdg_write(g, 40, gpa + VQ_RING_GPA, 8);
		vdg_write(g, 48, gpa + 2 * VQ_RING_GPA, 8);
		vdg_write(g, 28, 1, 2);
	}
	vdg_write(g, 20, 15, 1);
	if (vdg_read(g, 20, 1) != 15)
		die("status is 0x%x after DRIVER_OK", (unsigned)vdg_read(g, 20, 1));
	return features;
}

static inline void vdg_kick(struct vdguest *g, unsigned queue)
{
	if (vq_wants_kick(&g->q[queue]))
		fd_event_signal(g->d->kick_fd[queue]);
}

/* Sleeps until some queue has an interrupt. */
static inline void vdg_wait(struct vdguest *g)
{
	struct pollfd p[VDG_QUEUES];

	for (unsigned i = 0; i < g->n; i++) {
		if (vq_interrupts(&g->q[i], true, 0))
			return;
		p[i] = (struct pollfd){ .fd = g->d->irq[i].fd, .events = POLLIN };
	}
	if (poll(p, g->n, (int)(VDG_PATIENCE / NS_PER_MS)) == 0)
		die("no interrupt within %d s", (int)(VDG_PATIENCE / NS_PER_S));
	for (unsigned i = 0; i < g->n; i++)
		if (p[i].revents)
			fd_event_take(p[i].fd);
}

static inline void vdg_fini(struct vdguest *g)
{
	g->dev->ops->free(g->dev);
	gmem_free(&g->mem);
	pthread_mutex_destroy(&g->lock);
}

#endif
