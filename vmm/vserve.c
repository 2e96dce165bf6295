/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that serve queues: see vserve.h. */
#include "vmm/vserve.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/thread.h"

int vserve_init(struct vserve *s, struct vdev *d, unsigned n, struct err *e)
{
	pthread_condattr_t attr;

	*s = (struct vserve){ .d = d, .n = n };
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned i = 0; i < VSERVE_QUEUES_MAX; i++)
		s->q[i] = (struct vserve_queue){ .s = s, .index = i, .wake_fd = -1 };
	for (unsigned i = 0; i < n; i++) {
		s->q[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->q[i].wake_fd < 0)
			return err_set(e, -errno, "%s: eventfd: %s", d->name, err_str(errno));
	}
	return 0;
}

int vserve_start(struct vserve *s, const char *name, void *(*fn)(void *), struct err *e)
{
	for (unsigned i = 0; i < s->n; i++) {
		char text[16];
		int err;

		snprintf(text, sizeof(text), "%s%u", name, i);
		err = thread_start(&s->q[i].thread, text, -1, fn, &s->q[i], e);
		if (err)
			return err;
		s->q[i].has_thread = true;
	}
	return 0;
}

static void wake_all(struct vserve *s)
{
	for (unsigned i = 0; i < s->n; i++)
		fd_event_signal(s->q[i].wake_fd);
}

static struct timespec deadline_in(clockid_t clock, int timeout_ms)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_sec += timeout_ms / 1000;
	ts.tv_nsec += timeout_ms % 1000 * (long)NS_PER_MS;
	if (ts.tv_nsec >= (long)NS_PER_S) {
		ts.tv_sec++;
		ts.tv_nsec -= (long)NS_PER_S;
	}
	return ts;
}

bool vserve_stop(struct vserve *s, int timeout_ms)
{
	struct timespec ts = deadline_in(CLOCK_REALTIME, timeout_ms);
	bool all = true;

	pthread_mutex_lock(s->d->lock);
	s->quit = s->hurry = true;
	s->epoch++;
	pthread_mutex_unlock(s->d->lock);
	wake_all(s);
	for (unsigned i = 0; i < s->n; i++) {
		if (!s->q[i].has_thread)
			continue;
		if (pthread_timedjoin_np(s->q[i].thread, NULL, &ts))
			all = false;
		else
			s->q[i].has_thread = false;
	}
	return all;
}

void vserve_fini(struct vserve *s)
{
	for (unsigned i = 0; i < s->n; i++)
		fd_close(&s->q[i].wake_fd);
	if (s->n)
		pthread_cond_destroy(&s->changed);
}

void vserve_started(struct vserve *s)
{
	wake_all(s);
}

bool vserve_device_reset(struct vserve *s)
{
	s->epoch++;
	if (!s->n_active)
		return true;
	wake_all(s);
	return false;
}

/* With the lock held, which it gives up meanwhile. */
static void wait_idle(struct vserve *s, int timeout_ms)
{
	struct timespec ts = deadline_in(CLOCK_MONOTONIC, timeout_ms);

	wake_all(s);
	while (s->n_active && pthread_cond_timedwait(&s->changed, s->d->lock, &ts) == 0)
		;
}

void vserve_machine_reset(struct vserve *s, int timeout_ms)
{
	pthread_mutex_lock(s->d->lock);
	s->epoch++;
	s->d->v.resetting = true; /* who lets go does not begin anew */
	if (s->n_active)
		wait_idle(s, timeout_ms / 2);
	if (s->n_active) {
		s->hurry = true;
		wait_idle(s, timeout_ms / 2);
		s->hurry = false;
	}
	if (s->n_active)
		log_warn("%s: the host still works at requests from before the reset; the device "
			 "comes back when it is done with them",
			s->d->name);
	virtio_pci_machine_reset(&s->d->v);
	pthread_mutex_unlock(s->d->lock);
}

/* With the lock held: the ring is with its driver again. */
static void let_go(struct vserve_queue *q)
{
	struct vserve *s = q->s;

	q->active = false;
	if (--s->n_active == 0)
		virtio_pci_reset_done(&s->d->v);
	pthread_cond_broadcast(&s->changed);
}

static enum vserve_turn look(struct vserve_queue *q, bool busy)
{
	struct vserve *s = q->s;
	struct virtio_pci *v = &s->d->v;
	struct err e;

	if (q->active && q->epoch == s->epoch)
		return VSERVE_RUN;
	if (q->active && busy)
		return s->hurry ? VSERVE_ABORT : VSERVE_DRAIN;
	if (q->active)
		let_go(q);
	if (s->quit)
		return VSERVE_QUIT;
	if (!virtio_pci_is_started(v) || !v->queue[q->index].enabled ||
		(v->status & VIRTIO_S_NEEDS_RESET))
		return VSERVE_IDLE;
	if (vring_dev_init(&q->ring, s->d->mem, &v->queue[q->index], v->acked, &e)) {
		virtio_pci_needs_reset(v, "queue %u: %s", q->index, e.text);
		return VSERVE_IDLE;
	}
	q->active = true;
	q->epoch = s->epoch;
	s->n_active++;
	return VSERVE_START;
}

enum vserve_turn vserve_look(struct vserve_queue *q, bool busy)
{
	enum vserve_turn turn;

	fd_event_take(q->wake_fd);
	pthread_mutex_lock(q->s->d->lock);
	turn = look(q, busy);
	pthread_mutex_unlock(q->s->d->lock);
	return turn;
}

void vserve_broken(struct vserve_queue *q, const struct err *why)
{
	struct vserve *s = q->s;

	pthread_mutex_lock(s->d->lock);
	if (q->active && q->epoch == s->epoch)
		virtio_pci_needs_reset(&s->d->v, "queue %u: %s", q->index, why->text);
	pthread_mutex_unlock(s->d->lock);
}
