/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-net device whose queues are served by a vhost-user back end.
 *
 * nic.c      the device as the guest sees it: features, configuration, interrupts (irqfds), kicks
 *            (ioeventfds). Called under the device lock by vCPU threads and the link thread.
 * nic_link.c one thread a NIC that owns the connection to the back end: connects (for ever),
 *            hands rings over and takes them back, and serves the control queue. It never holds the
 *            lock while it waits, so a back end that does not answer stalls no vCPU.
 * nic_ctrl.c the control queue's commands: pure.
 *
 * Nothing of it is on the data path: kicks and calls go between the guest and the back end through
 * the kernel.
 */
#ifndef LANYARD_VMM_NIC_H
#define LANYARD_VMM_NIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/err.h"
#include "base/ether.h"
#include "vmm/gmem.h"
#include "vmm/kvm.h"
#include "vmm/virtio_pci.h"

#define NIC_QUEUES_MAX 16 /* pairs */

#define VIRTIO_NET_F_MTU       3
#define VIRTIO_NET_F_MAC       5
#define VIRTIO_NET_F_MRG_RXBUF 15
#define VIRTIO_NET_F_STATUS    16
#define VIRTIO_NET_F_CTRL_VQ   17
#define VIRTIO_NET_F_MQ        22
#define VIRTIO_NET_S_LINK_UP   1

struct nic_setup {
	char *socket; /* the back end's */
	struct ether_mac mac;
	unsigned pairs; /* at most NIC_QUEUES_MAX */
	unsigned mtu;   /* 0: not told to the guest */
};

/* An eventfd that interrupts the guest through an MSI-X vector. */
struct nic_irq {
	int fd;
	uint16_t vector; /* or VIRTIO_NO_VECTOR */
	bool attached;   /* an irqfd: the vector is live */
};

/* What an MSI-X vector's GSI was last routed to. */
struct nic_route {
	uint32_t gsi; /* 0: none yet */
	uint64_t addr;
	uint32_t data;
};

struct nic {
	unsigned index;
	char name[16]; /* "nic 0": for the log */
	struct nic_setup setup;
	struct kvm *kvm;
	const struct gmem *mem;
	pthread_mutex_t *lock; /* the device lock: over all that is not said to be otherwise */

	struct virtio_pci v;
	uint8_t config[12];                        /* mac, status, pairs, mtu (5.1.4) */
	int kick_fd[VIRTIO_QUEUES_MAX];            /* constant */
	struct nic_irq irq[VIRTIO_QUEUES_MAX + 1]; /* the last of n_queues + 1: configuration */
	struct nic_route route[VIRTIO_QUEUES_MAX + 1];
	uint64_t mapped; /* where the ioeventfds are, or 0 */

	/* Between the device and the link thread. */
	uint64_t backend_features; /* of the last back end seen; link: w */
	bool backend_mq;           /* link: w */
	bool backend_seen;         /* link: w */
	bool connected;            /* link: w; to a back end that has what the guest needs */
	bool link_up;              /* link: w */
	bool quiet;                /* link: w; its ups and downs are no longer logged */
	bool rings_out;            /* link: w; the back end may touch the rings */
	bool resumed;              /* link: w; they were handed over before since the last reset */
	uint16_t pairs_wanted;     /* pairs in use, 1 unless the driver said more */
	uint16_t ctrl_next;        /* next available entry of the control queue */
	uint64_t reconnects;       /* link: w */
	bool quit;                 /* main: w */
	pthread_cond_t changed;    /* first attempt over, reset done */
	bool tried;                /* link: w; the first attempt is over */

	/* The link thread's own. */
	pthread_t thread;
	bool has_thread;
	int wake_fd;   /* any: w, link: r: look at the fields above */
	int cancel_fd; /* main: w: ends every wait for the back end */
};

/* setup's socket is borrowed for the NIC's life. */
int nic_new(unsigned index, const struct nic_setup *setup, uint64_t bar, struct kvm *k,
	const struct gmem *mem, pthread_mutex_t *lock, struct nic **out, struct err *e);
void nic_free(struct nic *n); /* ends the thread; NULL is nothing */

int nic_start(struct nic *n, struct err *e); /* the link thread */
/* Waits until the first attempt to connect succeeded or failed, at most timeout_ms. */
void nic_wait_first(struct nic *n, int timeout_ms);
/* Machine reset, no vCPU running: returns when the back end has let go of the rings (or was cut off
 * because it did not within timeout_ms). */
void nic_reset(struct nic *n, int timeout_ms);

/* The entry of `info`. */
json_t *nic_info(struct nic *n);

/* nic_link.c */
void *nic_link_main(void *arg);
/* nic.c, for the link thread, under the lock */
void nic_set_link(struct nic *n, bool up);
/* Index of the control queue, or -1 if the driver did not take it. */
int nic_ctrl_index(const struct nic *n);

/* nic_ctrl.c: what the driver put into the control queue, under the lock. */
void nic_ctrl_serve(struct nic *n);

#endif
