/* SPDX-License-Identifier: Apache-2.0 */
/* The plumbing of a virtio device: see vdev.h. Section numbers are those of virtio 1.2. */
#include "vmm/vdev.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/log.h"

static uint64_t vdev_features(void *arg)
{
	struct vdev *d = arg;

	return d->ops->features(d->arg);
}

static bool vdev_features_ok(void *arg, uint64_t acked)
{
	struct vdev *d = arg;

	return !d->ops->features_ok || d->ops->features_ok(d->arg, acked);
}

static void vdev_started(void *arg)
{
	struct vdev *d = arg;

	if (d->ops->started)
		d->ops->started(d->arg);
}

static bool vdev_reset(void *arg)
{
	struct vdev *d = arg;

	return d->ops->reset(d->arg);
}

static void vdev_notify(void *arg, unsigned queue)
{
	struct vdev *d = arg;

	fd_event_signal(d->kick_fd[queue]);
}

static void vdev_irq_attach(struct vdev *d, struct vdev_irq *irq, bool attach)
{
	int err;

	if (irq->attached == attach)
		return;
	err = kvm_irqfd(d->kvm, irq->fd, d->route[irq->vector].gsi, attach);
	if (err)
		log_warn("%s: irqfd of vector %u: %s", d->name, irq->vector, err_str(err));
	else
		irq->attached = attach;
}

/* The vector's route and the irqfds of all that use it follow the MSI-X table. Dead vectors have no
 * irqfd: their eventfds keep what is pending, and KVM looks at it when they are attached again. */
static void vdev_msix_changed(void *arg, unsigned vector)
{
	struct vdev *d = arg;
	const struct msix_vector *m = &d->v.msix.v[vector];
	uint64_t addr = (uint64_t)m->addr_hi << 32 | m->addr_lo;
	bool live = msix_is_live(&d->v.msix, vector) &&
		!kvm_msi_route(d->kvm, &d->route[vector], addr, m->data, d->name, vector);

	for (unsigned i = 0; i <= d->v.n_queues; i++)
		if (d->irq[i].vector == vector)
			vdev_irq_attach(d, &d->irq[i], live);
}

static bool vdev_msix_pending(void *arg, unsigned vector)
{
	struct vdev *d = arg;

	for (unsigned i = 0; i <= d->v.n_queues; i++) {
		struct pollfd p = { .fd = d->irq[i].fd, .events = POLLIN };

		if (d->irq[i].vector == vector && !d->irq[i].attached && poll(&p, 1, 0) == 1)
			return true;
	}
	return false;
}

static void vdev_vector_set(void *arg, int queue, uint16_t vector)
{
	struct vdev *d = arg;
	struct vdev_irq *irq = &d->irq[queue < 0 ? d->v.n_queues : queue];

	if (irq->vector == vector)
		return;
	if (irq->vector != VIRTIO_NO_VECTOR)
		vdev_irq_attach(d, irq, false);
	irq->vector = vector;
	fd_event_take(irq->fd); /* what came before is nobody's */
	if (vector != VIRTIO_NO_VECTOR)
		vdev_msix_changed(d, vector);
}

static void vdev_config_interrupt(void *arg)
{
	struct vdev *d = arg;

	fd_event_signal(d->irq[d->v.n_queues].fd);
}

/* The ioeventfds lie where the BAR is decoded. One that cannot be had costs an exit a kick. */
static void vdev_mapping_changed(void *arg)
{
	struct vdev *d = arg;
	uint64_t bar, to;

	to = pci_bar_address(&d->v.fn, VIRTIO_BAR, &bar) ? bar + VIRTIO_BAR_NOTIFY : 0;
	if (to == d->mapped)
		return;
	for (unsigned i = 0; d->mapped && i < d->v.n_queues; i++)
		kvm_ioeventfd(d->kvm, d->kick_fd[i], d->mapped + i * VIRTIO_NOTIFY_STEP, false);
	d->mapped = to;
	for (unsigned i = 0; to && i < d->v.n_queues; i++) {
		int err = kvm_ioeventfd(d->kvm, d->kick_fd[i], to + i * VIRTIO_NOTIFY_STEP, true);

		if (err)
			log_debug("%s: ioeventfd of queue %u: %s", d->name, i, err_str(err));
	}
}

static const struct virtio_pci_ops vdev_pci_ops = {
	.features = vdev_features,
	.features_ok = vdev_features_ok,
	.started = vdev_started,
	.reset = vdev_reset,
	.notify = vdev_notify,
	.vector_set = vdev_vector_set,
	.msix_changed = vdev_msix_changed,
	.msix_pending = vdev_msix_pending,
	.mapping_changed = vdev_mapping_changed,
	.config_interrupt = vdev_config_interrupt,
};

static int vdev_open_fds(struct vdev *d, struct err *e)
{
	int *fds[2 * VIRTIO_QUEUES_MAX + 1];
	unsigned k = 0;

	for (unsigned i = 0; i < d->v.n_queues; i++)
		fds[k++] = &d->kick_fd[i];
	for (unsigned i = 0; i <= d->v.n_queues; i++)
		fds[k++] = &d->irq[i].fd;
	for (unsigned i = 0; i < k; i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return err_set(e, -errno, "%s: eventfd: %s", d->name, err_str(errno));
	}
	return 0;
}

int vdev_init(struct vdev *d, const char *kind, unsigned index, struct virtio_pci_setup *setup,
	const struct vdev_host *host, const struct vdev_ops *ops, void *arg, struct err *e)
{
	*d = (struct vdev){ .kvm = host->kvm,
		.mem = host->mem,
		.lock = host->lock,
		.ops = ops,
		.arg = arg,
		.changed = host->changed,
		.changed_arg = host->changed_arg };
	snprintf(d->name, sizeof(d->name), "%s %u", kind, index);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		d->kick_fd[i] = -1;
	for (unsigned i = 0; i <= VIRTIO_QUEUES_MAX; i++)
		d->irq[i] = (struct vdev_irq){ .fd = -1, .vector = VIRTIO_NO_VECTOR };
	d->v.n_queues = setup->n_queues;
	int err = vdev_open_fds(d, e);

	if (err)
		return err;
	setup->name = d->name;
	virtio_pci_init(&d->v, setup, host->mem, &vdev_pci_ops, d);
	return 0;
}

void vdev_fini(struct vdev *d)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		fd_close(&d->kick_fd[i]);
	for (unsigned i = 0; i <= VIRTIO_QUEUES_MAX; i++)
		fd_close(&d->irq[i].fd);
}

void vdev_interrupt(struct vdev *d, unsigned queue)
{
	fd_event_signal(d->irq[queue].fd);
}
