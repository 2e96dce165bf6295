/* SPDX-License-Identifier: Apache-2.0 */
/* The thread between a disk's queues and its back end: see relay.h. */
#include "vmm/relay.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "vmm/relay_ring.h"
#include "vmm/thread.h"

/* Where the back end has our rings, as a guest's address and as one of ours: no guest has memory
 * there, and no process. The same for each hand-over, wherever they are mapped: libvhost-user looks
 * for the rings that it had when it gets a new memory table, and hangs up if they are gone. */
#define RELAY_GPA  (1ull << 46)
#define RELAY_USER (1ull << 50)

struct relay {
	struct vdev *d;
	int link_wake_fd;
	unsigned n_queues;                                    /* constant */
	int kick[VIRTIO_QUEUES_MAX], call[VIRTIO_QUEUES_MAX]; /* the back end's */
	int wake_fd; /* any: w, relay: r: look at the fields below */
	int idle_fd; /* relay: w, link: r: nothing is under way */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock; /* over all that follows */
	struct relay_ring *ring;
	uint8_t *map; /* the back end's rings; NULL: it has none */
	size_t map_bytes;
	int mem_fd;
	bool running;   /* the thread serves the rings */
	bool recalling; /* it passes on nothing more */
	bool quit;
	struct err wrong; /* what the back end did, or code 0 */
};

static unsigned sum_in_flight(const struct relay *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_queues; i++)
		n += r->ring[i].n_in_flight;
	return n;
}

/* With the lock held. guest: what its driver did wrong, or code 0. */
static void relay_serve(struct relay *r, unsigned i, struct err *guest)
{
	struct relay_ring *ring = &r->ring[i];
	struct err e = { 0 };
	bool interrupt, kick;

	if (!ring->size || !ring->b)
		return;
	if (relay_ring_complete(ring, &interrupt, &e) < 0 && !r->wrong.code) {
		err_set(&r->wrong, e.code, "queue %u: %s", i, e.text);
		fd_event_signal(r->link_wake_fd);
	}
	if (interrupt)
		vdev_interrupt(r->d, i);
	if (r->recalling)
		return;
	if (relay_ring_forward(ring, &kick, &e) < 0)
		err_set(guest, e.code, "queue %u: %s", i, e.text);
	if (kick)
		fd_event_signal(r->kick[i]);
}

/* Sleeps until there is something to do. Returns with the lock held; false: to end. */
static bool relay_wait(struct relay *r)
{
	struct pollfd p[1 + 2 * VIRTIO_QUEUES_MAX];
	bool running, recalling;
	unsigned n = 1;

	pthread_mutex_lock(&r->lock);
	running = r->running && !r->wrong.code;
	recalling = r->recalling;
	pthread_mutex_unlock(&r->lock);
	p[0] = (struct pollfd){ .fd = r->wake_fd, .events = POLLIN };
	for (unsigned i = 0; running && i < r->n_queues; i++) {
		p[n++] = (struct pollfd){ .fd = r->call[i], .events = POLLIN };
		if (!recalling)
			p[n++] = (struct pollfd){ .fd = r->d->kick_fd[i], .events = POLLIN };
	}
	if (poll(p, n, -1) > 0)
		for (unsigned i = 0; i < n; i++)
			if (p[i].revents)
				fd_event_take(p[i].fd);
	pthread_mutex_lock(&r->lock);
	return !r->quit;
}

static void *relay_main(void *arg)
{
	struct relay *r = arg;

	while (relay_wait(r)) {
		struct err guest = { 0 };

		for (unsigned i = 0; r->running && i < r->n_queues; i++)
			relay_serve(r, i, &guest);
		if (r->recalling && !sum_in_flight(r))
			fd_event_signal(r->idle_fd);
		pthread_mutex_unlock(&r->lock);
		if (guest.code) {
			pthread_mutex_lock(r->d->lock);
			virtio_pci_needs_reset(&r->d->v, "%s", guest.text);
			pthread_mutex_unlock(r->d->lock);
		}
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int relay_new(struct vdev *d, int link_wake_fd, struct relay **out, struct err *e)
{
	struct relay *r = calloc(1, sizeof(*r));
	int *fds[2 + 2 * VIRTIO_QUEUES_MAX];
	unsigned n = 0;

	*out = r;
	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->d = d;
	r->link_wake_fd = link_wake_fd;
	r->n_queues = d->v.n_queues;
	r->mem_fd = -1;
	pthread_mutex_init(&r->lock, NULL);
	fds[n++] = &r->wake_fd;
	fds[n++] = &r->idle_fd;
	for (unsigned i = 0; i < r->n_queues; i++) {
		fds[n++] = &r->kick[i];
		fds[n++] = &r->call[i];
	}
	for (unsigned i = 0; i < n; i++)
		*fds[i] = -1;
	r->ring = calloc(r->n_queues, sizeof(*r->ring));
	if (!r->ring)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < n; i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return err_set(e, -errno, "%s: eventfd: %s", d->name, err_str(errno));
	}
	return 0;
}

int relay_start(struct relay *r, struct err *e)
{
	char name[sizeof(r->d->name) + 1], *to = name;
	int err;

	for (const char *p = r->d->name; *p; p++) /* "disk0r" */
		if (*p != ' ')
			*to++ = *p;
	*to++ = 'r';
	*to = '\0';
	err = thread_start(&r->thread, name, -1, relay_main, r, e);
	r->has_thread = !err;
	return err;
}

static void relay_unmap(struct relay *r)
{
	for (unsigned i = 0; i < r->n_queues; i++)
		r->ring[i].b = NULL;
	if (r->map)
		munmap(r->map, r->map_bytes);
	r->map = NULL;
	fd_close(&r->mem_fd);
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	if (r->has_thread) {
		pthread_mutex_lock(&r->lock);
		r->quit = true;
		pthread_mutex_unlock(&r->lock);
		fd_event_signal(r->wake_fd);
		pthread_join(r->thread, NULL);
	}
	if (r->ring)
		relay_unmap(r);
	fd_close(&r->wake_fd);
	fd_close(&r->idle_fd);
	for (unsigned i = 0; i < r->n_queues; i++) {
		fd_close(&r->kick[i]);
		fd_close(&r->call[i]);
	}
	pthread_mutex_destroy(&r->lock);
	free(r->ring);
	free(r);
}

/* A memfd for all rings. */
static int relay_map(struct relay *r, struct err *e)
{
	void *map;

	r->map_bytes = (size_t)r->n_queues * RELAY_RING_BYTES;
	r->mem_fd = memfd_create("lanyard-relay", MFD_CLOEXEC);
	if (r->mem_fd < 0 || ftruncate(r->mem_fd, (off_t)r->map_bytes))
		return err_set(e, -errno, "%s: memory for rings: %s", r->d->name, err_str(errno));
	map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->mem_fd, 0);
	if (map == MAP_FAILED)
		return err_set(e, -errno, "%s: memory for rings: %s", r->d->name, err_str(errno));
	r->map = map;
	return 0;
}

void relay_forget(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < r->n_queues; i++)
		relay_ring_init(&r->ring[i], 0, NULL, NULL);
	pthread_mutex_unlock(&r->lock);
}

/* With the lock held. */
static int lend_queue(struct relay *r, const struct virtio_queue *q, unsigned i, struct err *e)
{
	const struct gmem *mem = r->d->mem;
	struct relay_ring *ring = &r->ring[i];

	if (q->size > RELAY_SIZE_MAX)
		return err_set(e, -EINVAL, "%s: queue %u has %u descriptors, at most %d go",
			r->d->name, i, q->size, RELAY_SIZE_MAX);
	if (!ring->size)
		relay_ring_init(ring, q->size,
			gmem_at(mem, (gpa_t){ q->driver }, virtio_driver_bytes(q->size)),
			gmem_at(mem, (gpa_t){ q->device }, virtio_device_bytes(q->size)));
	relay_ring_restart(ring, r->map + (size_t)i * RELAY_RING_BYTES);
	fd_event_take(r->call[i]);
	return 0;
}

int relay_lend(struct relay *r, const struct virtio_queue *q, unsigned n, struct vu_region *region,
	struct err *e)
{
	int err;

	pthread_mutex_lock(&r->lock);
	r->running = r->recalling = false;
	relay_unmap(r);
	err = relay_map(r, e);
	for (unsigned i = 0; i < n && !err; i++)
		if (q[i].enabled)
			err = lend_queue(r, &q[i], i, e);
	*region = (struct vu_region){
		.gpa = RELAY_GPA, .size = r->map_bytes, .user_addr = RELAY_USER, .fd = r->mem_fd
	};
	pthread_mutex_unlock(&r->lock);
	return err;
}

void relay_lend_ring(const struct relay *r, unsigned i, struct vu_ring *ring)
{
	ring->avail = RELAY_USER + (uint64_t)i * RELAY_RING_BYTES;
	ring->used = ring->avail + RELAY_AVAIL_BYTES;
	ring->base = 0;
	ring->kick_fd = r->kick[i];
	ring->call_fd = r->call[i];
}

void relay_run(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	r->running = true;
	pthread_mutex_unlock(&r->lock);
	fd_event_signal(r->wake_fd);
}

int relay_recall(struct relay *r, int backend_fd, int cancel_fd, int timeout_ms, struct err *e)
{
	struct pollfd p[3] = { { .fd = r->idle_fd, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
		{ .fd = backend_fd, .events = POLLIN | POLLRDHUP } };
	uint64_t now, deadline = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

	fd_event_take(r->idle_fd);
	pthread_mutex_lock(&r->lock);
	r->recalling = true;
	pthread_mutex_unlock(&r->lock);
	fd_event_signal(r->wake_fd);
	while ((now = clock_now_ns()) < deadline) {
		if (poll(p, 3, (int)((deadline - now) / NS_PER_MS) + 1) <= 0)
			continue;
		if (p[0].revents)
			return 0;
		if (p[1].revents)
			return err_set(e, -ECANCELED, "%s: given up, we are ending", r->d->name);
		return err_set(e, -EPIPE, "the back end went away with %u requests under way",
			relay_in_flight(r));
	}
	return err_set(e, -ETIMEDOUT, "the back end did not complete %u requests within %d ms",
		relay_in_flight(r), timeout_ms);
}

void relay_end(struct relay *r)
{
	struct err e = { 0 };
	bool interrupt;

	pthread_mutex_lock(&r->lock);
	r->running = r->recalling = false;
	for (unsigned i = 0; i < r->n_queues; i++) {
		if (!r->ring[i].b)
			continue;
		relay_ring_complete(&r->ring[i], &interrupt, &e);
		if (interrupt)
			vdev_interrupt(r->d, i);
	}
	relay_unmap(r);
	r->wrong = (struct err){ 0 };
	pthread_mutex_unlock(&r->lock);
}

int relay_check(struct relay *r, struct err *e)
{
	pthread_mutex_lock(&r->lock);
	*e = r->wrong;
	pthread_mutex_unlock(&r->lock);
	return e->code;
}

unsigned relay_in_flight(struct relay *r)
{
	unsigned n;

	pthread_mutex_lock(&r->lock);
	n = sum_in_flight(r);
	pthread_mutex_unlock(&r->lock);
	return n;
}
