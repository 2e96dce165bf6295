/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link of a virtio device to the back end that serves its queues (vhost_back.h: a process, or
 * the kernel): one thread, which owns the connection.
 *
 *	away -> connected -> rings handed over -> away -> ...
 *
 * Away: link down; one quick attempt, then one every 100 ms, for ever. Connected: negotiated, and
 * the back end has what the driver agreed on (else: a sentence, hang up, stay away). Once the
 * driver is up, the rings are handed over: from 0 after a device reset, else from where ops->resume
 * says that the last back end left off, with a kick and a call each so that neither side waits for
 * the other. A device reset takes the rings back (GET_VRING_BASE) before the driver sees it done.
 *
 * The thread takes the device lock to look and to tell, never while it waits for the back end, so
 * one that does not answer stalls no vCPU. What is a NIC's, a disk's or a folder's own is behind
 * ops.
 */
#ifndef LANYARD_VMM_VHOST_LINK_H
#define LANYARD_VMM_VHOST_LINK_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/relay.h"
#include "vmm/vdev.h"
#include "vmm/vhost_back.h"

#define VHOST_LINK_REPLY_MS 5000 /* librte_vhost may take 1 s to notice a new client */

struct vhost_link_ops {
	uint64_t own; /* features that concern driver and device, not the back end */
	const char *(*feature_name)(unsigned bit); /* NULL if it has none */

	/* Under the device lock: */
	/* Whether a back end has, besides features, what the driver was promised. May be NULL. */
	bool (*suits)(void *arg, const struct vhost_back *b, struct err *e);
	/* Queues 0 to n - 1 are the back end's, now that these features are agreed on. */
	unsigned (*rings)(void *arg, uint64_t acked);
	/* What of the features agreed on the back end is told. When it changes, the rings are taken
	 * back and handed over again where they stand. May be NULL: all. */
	uint64_t (*features)(void *arg, uint64_t acked);
	/* How many of them the driver uses: the others are disabled. May be NULL: all. */
	unsigned (*rings_on)(void *arg);
	/* The back end is there (or the guest's rings are with it), or is not. May be NULL. */
	void (*set_up)(void *arg, bool up);
	/* The queue that the device serves itself, or -1, and its serving. May both be NULL. */
	int (*own_queue)(void *arg);
	void (*serve)(void *arg);

	/* Without the lock: */
	/* Where a new back end begins in a ring that an earlier one left without a word
	 * (vu_ring.base). A failure hangs up: it is tried again later. Not asked of rings
	 * that are passed on (relay.h). */
	int (*resume)(
		void *arg, const struct virtio_queue *q, unsigned i, uint32_t *base, struct err *e);
};

struct vhost_link {
	struct vdev *d;
	uint64_t made_ns;
	const struct vhost_link_ops *ops;
	void *arg;
	struct vhost_back *back; /* the owner's */
	struct relay *relay; /* the owner's: passes the rings on (relay.h), of a process only; or
			      * NULL */

	/* Under the device lock. */
	uint64_t backend_features; /* of the last back end seen; link: w */
	uint32_t backend_queues;   /* link: w */
	bool backend_seen;         /* link: w */
	bool connected;            /* link: w; to a back end that has what the guest needs */
	bool quiet;                /* link: w; its ups and downs are no longer logged */
	bool rings_out;            /* link: w; the back end may touch the rings */
	bool resumed;              /* they were handed over before since the last reset */
	uint64_t reconnects;       /* link: w */
	char waiting[512];         /* link: w; why there is no back end, or "" */
	bool quit;                 /* main: w */
	pthread_cond_t changed;    /* first attempt over, reset done */
	bool tried;                /* link: w; the first attempt is over */

	pthread_t thread;
	bool has_thread;
	int wake_fd;   /* any: w, link: r: look at the fields above */
	int cancel_fd; /* main: w: ends every wait for the back end */
};

/* back: its fini is the link's from here on. vhost_link_fini also after a failure; it ends the
 * thread. */
int vhost_link_init(struct vhost_link *l, struct vdev *d, struct vhost_back *back,
	const struct vhost_link_ops *ops, void *arg, struct err *e);
void vhost_link_fini(struct vhost_link *l);
int vhost_link_start(struct vhost_link *l, struct err *e);

/* For vdev_ops: the driver wrote DRIVER_OK. */
void vhost_link_started(struct vhost_link *l);
/* For vdev_ops: the driver wrote 0. False: virtio_pci_reset_done follows, when the back end has let
 * go. */
bool vhost_link_device_reset(struct vhost_link *l);

/* Waits until the first attempt to connect succeeded or failed, at most timeout_ms. */
void vhost_link_wait_first(struct vhost_link *l, int timeout_ms);
/* As above, until one is connected that has what is needed; timeout_ms from vhost_link_init on, so
 * that many devices don't wait one after the other. False: there is none. */
bool vhost_link_wait_connected(struct vhost_link *l, int timeout_ms);
/* Adds socket or tap, connected, reconnects, features, needs_reset and, if they are so, waiting and
 * reason to a device's info. With the device lock held. */
void vhost_link_info(const struct vhost_link *l, json_t *o);
/* Machine reset, no vCPU running: vdev_ops' reset, and returns when the back end has let go of the
 * rings (or was cut off because it did not within timeout_ms). The registers too. */
void vhost_link_machine_reset(struct vhost_link *l, int timeout_ms);

#endif
