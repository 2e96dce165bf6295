/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that serve the queues of a virtio device of our own (a disk, the random number
 * device), one a queue: when each begins with its ring and when it must have let go of it.
 *
 *	idle -> (DRIVER_OK, the queue is enabled) -> running -> (reset) -> draining -> idle
 *
 * A thread calls vserve_look whenever wake_fd is readable, and does what it says. The driver sees
 * its reset done when no thread is running or draining any more. A machine reset waits the same
 * way, but not for ever: a queue that is not drained by then never touches a ring again, and begins
 * anew when it is drained.
 *
 * vserve_look, vserve_broken: the queue's thread. Others: as vdev_ops' and device_ops'.
 */
#ifndef LANYARD_VMM_VSERVE_H
#define LANYARD_VMM_VSERVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/vdev.h"
#include "vmm/vring.h"

#define VSERVE_QUEUES_MAX 16

struct vserve;

struct vserve_queue {
	struct vserve *s;
	unsigned index;
	int wake_fd; /* any: w, its thread: r: look */
	pthread_t thread;
	bool has_thread;
	void *own; /* what the device has of this queue; the device's */

	/* Its thread's. */
	struct vring_dev ring; /* valid while running */

	/* Under the device lock; its thread: w. */
	bool active;    /* running or draining */
	uint64_t epoch; /* in which it began */
};

struct vserve {
	struct vdev *d;
	unsigned n;
	struct vserve_queue q[VSERVE_QUEUES_MAX];

	/* Under the device lock. */
	uint64_t epoch;    /* resets so far */
	unsigned n_active; /* queues that are */
	bool hurry;        /* main: w; a machine reset or the end waits for requests under way */
	bool quit;         /* main: w */
	pthread_cond_t changed;
};

enum vserve_turn {
	VSERVE_IDLE,  /* nothing to serve: sleep on wake_fd */
	VSERVE_START, /* as run; the ring is new */
	VSERVE_RUN,   /* serve the ring; sleep on wake_fd as well as on the kick */
	VSERVE_DRAIN, /* the ring is not to be touched; let requests end, then look again */
	VSERVE_ABORT, /* drain, and cancel what is under way */
	VSERVE_QUIT,  /* the thread ends */
};

/* n <= VSERVE_QUEUES_MAX: queues 0 to n - 1 of d. vserve_fini also after a failure. */
int vserve_init(struct vserve *s, struct vdev *d, unsigned n, struct err *e);
/* fn(struct vserve_queue *): one thread for each queue, called "NAMEI". */
int vserve_start(struct vserve *s, const char *name, void *(*fn)(void *), struct err *e);
/* Ends the threads. False: one did not end within timeout_ms, and what it uses must stay. */
bool vserve_stop(struct vserve *s, int timeout_ms);
void vserve_fini(struct vserve *s);

/* vdev_ops: DRIVER_OK was written. */
void vserve_started(struct vserve *s);
/* vdev_ops: 0 was written. False: virtio_pci_reset_done follows. */
bool vserve_device_reset(struct vserve *s);
/* device_ops: no vCPU runs. The registers too. */
void vserve_machine_reset(struct vserve *s, int timeout_ms);

/* What the queue's thread is to do. busy: requests are under way. */
enum vserve_turn vserve_look(struct vserve_queue *q, bool busy);
/* The driver broke the ring: why is for the log. */
void vserve_broken(struct vserve_queue *q, const struct err *why);

#endif
