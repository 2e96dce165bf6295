/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts of a passed-through device: see vfio_irq.h. Source: linux/vfio.h. */
#include "vmm/vfio_irq.h"

#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/log.h"

#define WARNINGS_MAX 16

/* A guest that has them fail for ever must not fill the disk. */
static void irqs_warn(struct vfio_irqs *q, const char *what, int err)
{
	if (q->warnings++ < WARNINGS_MAX)
		log_warn("%s: %s: %s", q->name, what, err_str(err));
}

unsigned vfio_irqs_count(int device_fd, uint32_t index, uint32_t *flags)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(device_fd, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0)
		return 0;
	if (flags)
		*flags = info.flags;
	return info.count;
}

static int irqs_ioctl(
	int device_fd, uint32_t index, uint32_t action, unsigned start, unsigned n, const int *fds)
{
	union {
		struct vfio_irq_set set;
		uint8_t room[sizeof(struct vfio_irq_set) + VFIO_VECTORS_MAX * sizeof(int)];
	} u = { .set = { .argsz = (uint32_t)(sizeof(u.set) + n * sizeof(int)),
			.flags = action | (n ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
			.index = index,
			.start = start,
			.count = n } };

	if (n)
		memcpy(u.set.data, fds, n * sizeof(int));
	return ioctl(device_fd, VFIO_DEVICE_SET_IRQS, &u) < 0 ? -errno : 0;
}

int vfio_irqs_set(int device_fd, uint32_t index, unsigned start, unsigned n, const int *fds)
{
	return irqs_ioctl(device_fd, index, VFIO_IRQ_SET_ACTION_TRIGGER, start, n, fds);
}

int vfio_irqs_init(struct vfio_irqs *q, const char *name, struct kvm *kvm, int device_fd,
	unsigned n, uint32_t pin_gsi, struct err *e)
{
	uint32_t flags = VFIO_IRQ_INFO_NORESIZE;

	*q = (struct vfio_irqs){ .name = name,
		.kvm = kvm,
		.device_fd = device_fd,
		.n = n,
		.pin_fd = -1,
		.eoi_fd = -1,
		.pin_gsi = pin_gsi };
	for (unsigned i = 0; i < VFIO_VECTORS_MAX; i++)
		q->v[i].fd = -1;
	vfio_irqs_count(device_fd, VFIO_PCI_MSIX_IRQ_INDEX, &flags);
	q->grows = !(flags & VFIO_IRQ_INFO_NORESIZE);
	for (unsigned i = 0; i < n; i++)
		if ((q->v[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
			return err_set(e, -errno, "eventfd: %s", err_str(errno));
	if (!pin_gsi)
		return 0;
	q->pin_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->eoi_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->pin_fd < 0 || q->eoi_fd < 0)
		return err_set(e, -errno, "eventfd: %s", err_str(errno));
	return 0;
}

void vfio_irqs_fini(struct vfio_irqs *q)
{
	for (unsigned i = 0; i < q->n; i++)
		fd_close(&q->v[i].fd);
	fd_close(&q->pin_fd);
	fd_close(&q->eoi_fd);
}

static uint32_t irqs_index(enum vfio_irq_mode mode)
{
	return mode == VFIO_IRQ_INTX   ? VFIO_PCI_INTX_IRQ_INDEX
		: mode == VFIO_IRQ_MSI ? VFIO_PCI_MSI_IRQ_INDEX
				       : VFIO_PCI_MSIX_IRQ_INDEX;
}

static void irqs_attach(struct vfio_irqs *q, unsigned vector, bool attach)
{
	struct vfio_vector *v = &q->v[vector];
	int err;

	if (v->attached == attach)
		return;
	err = kvm_irqfd(q->kvm, v->fd, v->msi.gsi, attach);
	if (err)
		irqs_warn(q, "irqfd", err);
	else
		v->attached = attach;
}

/* Has VFIO hold the first n messages; those that the guest never unmasked lead nowhere. */
static int irqs_take(struct vfio_irqs *q, unsigned n)
{
	int fds[VFIO_VECTORS_MAX], err;

	for (unsigned i = 0; i < n; i++)
		fds[i] = q->v[i].used ? q->v[i].fd : -1;
	err = vfio_irqs_set(q->device_fd, irqs_index(q->mode), 0, n, fds);
	q->host_vectors = err ? 0 : n;
	return err;
}

static void irqs_pin(struct vfio_irqs *q, bool on)
{
	int err = 0;

	if (!on) {
		/* KVM lowers the level with it. */
		kvm_irqfd_level(q->kvm, q->pin_fd, q->eoi_fd, q->pin_gsi, false);
		vfio_irqs_set(q->device_fd, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL);
		fd_event_take(q->pin_fd);
		fd_event_take(q->eoi_fd);
		return;
	}
	if ((err = kvm_irqfd_level(q->kvm, q->pin_fd, q->eoi_fd, q->pin_gsi, true)) ||
		(err = vfio_irqs_set(q->device_fd, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &q->pin_fd)) ||
		(err = irqs_ioctl(q->device_fd, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK,
			 0, 1, &q->eoi_fd)))
		irqs_warn(q, "its interrupt pin", err);
	q->host_vectors = !err;
}

static void irqs_end(struct vfio_irqs *q)
{
	if (q->mode == VFIO_IRQ_INTX)
		irqs_pin(q, false);
	for (unsigned i = 0; i < q->n; i++)
		irqs_attach(q, i, false);
	if (q->mode == VFIO_IRQ_MSI || q->mode == VFIO_IRQ_MSIX)
		vfio_irqs_set(q->device_fd, irqs_index(q->mode), 0, 0, NULL);
	for (unsigned i = 0; i < q->n; i++) {
		q->v[i].used = false;
		fd_event_take(q->v[i].fd); /* what came before is nobody's */
	}
	q->host_vectors = 0;
	q->mode = VFIO_IRQ_NONE;
}

void vfio_irqs_mode(struct vfio_irqs *q, enum vfio_irq_mode mode, unsigned n)
{
	int err = 0;

	irqs_end(q);
	q->mode = mode;
	if (mode == VFIO_IRQ_INTX)
		irqs_pin(q, true);
	/* MSI's messages can't be taken one by one. */
	for (unsigned i = 0; mode == VFIO_IRQ_MSI && i < n && i < q->n; i++)
		q->v[i].used = true;
	/* Some devices look whether MSI-X is on: the first vector turns it on. */
	if (mode == VFIO_IRQ_MSI || mode == VFIO_IRQ_MSIX)
		err = irqs_take(q, mode == VFIO_IRQ_MSIX ? 1 : n < q->n ? n : q->n);
	if (err)
		irqs_warn(q, "interrupts of the host's", err);
}

/* The host's vector for a message that the guest unmasked for the first time. */
static int irqs_use(struct vfio_irqs *q, unsigned vector)
{
	struct vfio_vector *v = &q->v[vector];
	unsigned had = q->host_vectors;
	int err;

	if (v->used)
		return 0;
	v->used = true;
	if (vector < had || q->grows) {
		err = vfio_irqs_set(q->device_fd, irqs_index(q->mode), vector, 1, &v->fd);
		if (!err && vector >= had)
			q->host_vectors = vector + 1;
	} else {
		vfio_irqs_set(q->device_fd, irqs_index(q->mode), 0, 0, NULL);
		err = irqs_take(q, vector + 1);
		for (unsigned i = 0; i < had; i++)
			if (q->v[i].attached)
				fd_event_signal(q->v[i].fd);
	}
	if (err)
		v->used = false;
	return err;
}

void vfio_irqs_vector(struct vfio_irqs *q, unsigned vector, bool live, uint64_t addr, uint32_t data)
{
	int err;

	if (vector >= q->n)
		return;
	if (live && kvm_msi_route(q->kvm, &q->v[vector].msi, addr, data, q->name, vector))
		live = false;
	irqs_attach(q, vector, live);
	if (live && (err = irqs_use(q, vector)))
		irqs_warn(q, "an interrupt of the host's", err);
}

bool vfio_irqs_pending(const struct vfio_irqs *q, unsigned vector)
{
	struct pollfd p = { .events = POLLIN };

	if (vector >= q->n || q->v[vector].attached)
		return false;
	p.fd = q->v[vector].fd;
	return poll(&p, 1, 0) == 1;
}

unsigned vfio_irqs_live(const struct vfio_irqs *q)
{
	unsigned live = 0;

	for (unsigned i = 0; i < q->n; i++)
		live += q->v[i].attached;
	return live;
}
