/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a link's thread knows and no one else: shared by vhost_link.c, which gets and loses its back
 * end, and vhost_link_rings.c, which hands rings over to it and takes them back.
 */
#ifndef LANYARD_VMM_VHOST_LINK_RINGS_H
#define LANYARD_VMM_VHOST_LINK_RINGS_H

#include "vmm/vhost_link.h"

struct vhost_link_own {
	struct vhost_link *h;
	bool open;                          /* the back end is */
	bool started;                       /* rings are handed over */
	unsigned n_rings;                   /* that are the back end's: queues 0 .. */
	bool ring_given[VIRTIO_QUEUES_MAX]; /* handed over */
	bool ring_on[VIRTIO_QUEUES_MAX];    /* and enabled */
	uint64_t features;                  /* that the back end was told */
	bool stopped; /* rings were taken back in the middle; they go on at: */
	uint32_t base[VIRTIO_QUEUES_MAX];
	uint64_t try_at_ns; /* when to connect next */
	int last_error;     /* logged once each time that it or its text changes */
	bool was_connected; /* since the last loss */
	bool ever_connected;
	uint64_t since_ns; /* when it was connected */
	unsigned flaps;    /* connections in a row that were lost soon */
};

/* A start, copied under the lock. */
struct vhost_link_plan {
	uint64_t features;      /* to be told */
	unsigned n_rings, n_on; /* queues 0 .. n_on - 1 are in use */
	bool resumed;
	struct virtio_queue q[VIRTIO_QUEUES_MAX];
};

/* All without the device lock; the back end is connected. After a failure the link is given up. */
/* Features, memory, and each ring from where it stands. */
int vhost_link_rings_start(
	struct vhost_link_own *l, const struct vhost_link_plan *p, struct err *e);
/* Takes every ring back; l->base says where they stand. */
int vhost_link_rings_stop(struct vhost_link_own *l, struct err *e);
/* Rings beyond those that the driver uses stay disabled. */
int vhost_link_rings_set_on(
	struct vhost_link_own *l, const struct vhost_link_plan *p, struct err *e);

#endif
