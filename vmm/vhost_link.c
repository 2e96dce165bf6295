/* SPDX-License-Identifier: Apache-2.0 */
/* The life with a back end: see vhost_link.h. */
#include "vmm/vhost_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/thread.h"
#include "vmm/vhost_link_rings.h"

#define RETRY_QUICK_MS   5
#define RETRY_MS         100
#define RETRY_REFUSED_MS 1000 /* one that lacks something, or is gone, is so in 0.1 s too */
#define FLAP_NS          NS_PER_S
#define FLAPS_LOGGED     8

/* With the lock held. */
static void link_set_up(struct vhost_link *h, bool up)
{
	if (h->ops->set_up)
		h->ops->set_up(h->arg, up);
	if (h->d->changed)
		h->d->changed(h->d->changed_arg);
}

/* A back end that takes us on and hangs up again and again is tried less eagerly, and logged
 * less. */
static void link_count_flap(struct vhost_link_own *l)
{
	if (!l->was_connected)
		return;
	l->flaps = clock_now_ns() - l->since_ns < FLAP_NS ? l->flaps + 1 : 0;
	if (l->flaps == FLAPS_LOGGED)
		log_warn("%s: %s hangs up each time soon after it was connected; "
			 "trying on without a word",
			l->h->d->name, l->h->back->what);
}

static void link_lost(struct vhost_link_own *l, const struct err *e)
{
	struct vhost_link *h = l->h;
	uint64_t retry_ms;

	link_count_flap(l);
	if ((e->code != l->last_error || strcmp(h->waiting, e->text)) && e->code != -ECANCELED &&
		l->flaps < FLAPS_LOGGED) {
		log_warn("%s: %s", h->d->name, e->text);
		l->last_error = e->code;
	}
	if (e->code == -ECANCELED)
		fd_event_take(h->cancel_fd);
	h->back->ops->close(h->back);
	l->open = false;
	l->started = l->stopped = false;
	if (h->relay)
		relay_end(h->relay);
	memset(l->ring_given, 0, sizeof(l->ring_given));
	retry_ms = RETRY_MS;
	if (e->code == -EOPNOTSUPP || e->code == -ENODEV)
		retry_ms = RETRY_REFUSED_MS;
	else if (l->was_connected && l->flaps <= 1)
		retry_ms = RETRY_QUICK_MS;
	l->try_at_ns = clock_now_ns() + retry_ms * NS_PER_MS;
	l->was_connected = false;
	pthread_mutex_lock(h->d->lock);
	h->connected = false;
	h->rings_out = false;
	h->tried = true;
	snprintf(h->waiting, sizeof(h->waiting), "%s", e->text);
	h->quiet = l->flaps >= FLAPS_LOGGED;
	link_set_up(h, false);
	virtio_pci_reset_done(&h->d->v);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(h->d->lock);
}

/* Whether the back end has what the driver relies on. With the lock held. */
static bool link_suits(struct vhost_link_own *l, uint64_t features, struct err *e)
{
	struct vhost_link *h = l->h;
	bool agreed = h->d->v.status & VIRTIO_S_FEATURES_OK;
	uint64_t needed =
		(agreed ? h->d->v.acked & ~h->ops->own : 0) | VIRTIO_BIT(VIRTIO_F_VERSION_1);
	uint64_t missing = needed & ~features;

	for (unsigned i = 0; i < 64; i++) {
		if (!(missing & 1ull << i))
			continue;
		err_set(e, -EOPNOTSUPP,
			"%s lacks %s, which the guest relies on: the link stays down until it has "
			"it, or the guest's driver starts anew",
			h->back->what,
			h->ops->feature_name(i) ? h->ops->feature_name(i) : "a feature");
		return false;
	}
	return !h->ops->suits || h->ops->suits(h->arg, h->back, e);
}

static int link_open(struct vhost_link_own *l, struct err *e)
{
	struct vhost_link *h = l->h;
	uint64_t features;
	bool suits;
	int err = h->back->ops->open(h->back, h->cancel_fd, e);

	if (err)
		return err;
	l->open = true;
	features = h->back->ops->features(h->back);
	pthread_mutex_lock(h->d->lock);
	suits = link_suits(l, features, e);
	if (suits) {
		h->backend_features = features;
		h->backend_queues = h->back->ops->queues(h->back);
		h->backend_seen = true;
		h->connected = true;
		h->waiting[0] = '\0';
		h->reconnects += l->ever_connected;
		h->tried = true;
		if (!h->d->v.status) /* no driver has looked at them yet */
			h->d->v.offered = h->d->ops->features(h->d->arg);
		if (!virtio_pci_is_started(&h->d->v))
			link_set_up(h, true);
		pthread_cond_broadcast(&h->changed);
	}
	pthread_mutex_unlock(h->d->lock);
	if (!suits)
		return e->code;
	l->was_connected = l->ever_connected = true;
	l->since_ns = clock_now_ns();
	l->last_error = 0;
	if (l->flaps < FLAPS_LOGGED)
		log_info("%s: connected to %s", h->d->name, h->back->what);
	return 0;
}

static void link_connect(struct vhost_link_own *l)
{
	struct err e = { 0 };

	if (link_open(l, &e))
		link_lost(l, &e);
}

/* The driver asked for a reset: it sees it done when the back end has let go of the rings. */
static int link_apply_reset(struct vhost_link_own *l, struct err *e)
{
	struct vhost_link *h = l->h;
	bool resetting;
	int err;

	pthread_mutex_lock(h->d->lock);
	resetting = h->d->v.resetting;
	pthread_mutex_unlock(h->d->lock);
	if (!resetting)
		return 0;
	if (l->started && (err = vhost_link_rings_stop(l, e)))
		return err;
	pthread_mutex_lock(h->d->lock);
	h->rings_out = false;
	virtio_pci_reset_done(&h->d->v);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(h->d->lock);
	return 0;
}

/* Brings the back end, if there is one, to where the device is. */
static int link_apply(struct vhost_link_own *l, struct err *e)
{
	struct vhost_link *h = l->h;
	struct vhost_link_plan p;
	bool start;
	int err = link_apply_reset(l, e);

	if (err)
		return err;
	if (h->relay && relay_check(h->relay, e))
		return err_prefix(e, "%s did wrong", h->back->what);
	pthread_mutex_lock(h->d->lock);
	if (h->ops->serve)
		h->ops->serve(h->arg);
	start = l->open && virtio_pci_is_started(&h->d->v);
	if (start && !l->started && !link_suits(l, h->back->ops->features(h->back), e)) {
		pthread_mutex_unlock(h->d->lock);
		return e->code;
	}
	p = (struct vhost_link_plan){ .features = h->ops->features
			? h->ops->features(h->arg, h->d->v.acked)
			: h->d->v.acked,
		.n_rings = h->ops->rings(h->arg, h->d->v.acked),
		.resumed = h->resumed };
	p.n_on = h->ops->rings_on ? h->ops->rings_on(h->arg) : p.n_rings;
	memcpy(p.q, h->d->v.queue, sizeof(p.q));
	if (start) /* the rings may be written to from here on, even if the hand-over fails */
		h->rings_out = h->resumed = true;
	pthread_mutex_unlock(h->d->lock);
	if (!start)
		return 0;
	p.features &= h->back->ops->features(h->back) | ~h->ops->own;
	if (l->started && p.features != l->features) {
		if ((err = vhost_link_rings_stop(l, e)))
			return err;
		l->stopped = true;
	}
	err = l->started ? vhost_link_rings_set_on(l, &p, e) : vhost_link_rings_start(l, &p, e);
	if (err)
		return err;
	pthread_mutex_lock(h->d->lock);
	link_set_up(h, true);
	pthread_mutex_unlock(h->d->lock);
	return 0;
}

/* Sleeps until something is to be done. False: the back end hung up. */
static bool link_wait(struct vhost_link_own *l)
{
	struct vhost_link *h = l->h;
	int own;

	pthread_mutex_lock(h->d->lock);
	own = h->ops->own_queue ? h->ops->own_queue(h->arg) : -1;
	pthread_mutex_unlock(h->d->lock);
	uint64_t now = clock_now_ns();
	struct pollfd back = h->back->ops->watch(h->back);
	bool early = now < l->try_at_ns;
	int wait_ms = 0;

	if (!l->open && early) {
		back.fd = -1;
		wait_ms = (int)((l->try_at_ns - now) / NS_PER_MS) + 1;
	} else if (l->open || back.fd >= 0) {
		wait_ms = l->open && h->back->ops->look_ms ? h->back->ops->look_ms : -1;
	}
	struct pollfd p[3] = { { .fd = h->wake_fd, .events = POLLIN },
		{ .fd = own >= 0 ? h->d->kick_fd[own] : -1, .events = POLLIN }, back };

	if (poll(p, 3, wait_ms) < 0)
		return true;
	if (p[0].revents)
		fd_event_take(h->wake_fd);
	if (p[1].revents)
		fd_event_take(h->d->kick_fd[own]);
	return !l->open || !p[2].revents;
}

/* Whether an attempt to get a connection is due, and not in vain. */
static bool link_may_open(const struct vhost_link_own *l)
{
	struct pollfd p = l->h->back->ops->watch(l->h->back);

	return !l->open && clock_now_ns() >= l->try_at_ns && (p.fd < 0 || poll(&p, 1, 0) == 1);
}

static bool link_quits(struct vhost_link *h)
{
	pthread_mutex_lock(h->d->lock);
	bool quit = h->quit;

	pthread_mutex_unlock(h->d->lock);
	return quit;
}

static void *link_main(void *arg)
{
	struct vhost_link_own l = { .h = arg };
	struct err e = { 0 };

	while (!link_quits(l.h)) {
		if (link_may_open(&l))
			link_connect(&l);
		if (link_apply(&l, &e))
			link_lost(&l, &e);
		if (!link_wait(&l)) {
			err_set(&e, -EPIPE, "%s went away; trying again until it is back",
				l.h->back->what);
			link_lost(&l, &e);
		}
	}
	l.h->back->ops->close(l.h->back);
	return NULL;
}

int vhost_link_init(struct vhost_link *h, struct vdev *d, struct vhost_back *back,
	const struct vhost_link_ops *ops, void *arg, struct err *e)
{
	pthread_condattr_t attr;

	*h = (struct vhost_link){
		.d = d, .made_ns = clock_now_ns(), .ops = ops, .arg = arg, .back = back
	};
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &attr);
	pthread_condattr_destroy(&attr);
	h->cancel_fd = -1;
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->wake_fd >= 0)
		h->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->cancel_fd < 0)
		return err_set(e, -errno, "%s: eventfd: %s", d->name, err_str(errno));
	return 0;
}

void vhost_link_fini(struct vhost_link *h)
{
	if (!h->d) /* was never made */
		return;
	if (h->has_thread) {
		pthread_mutex_lock(h->d->lock);
		h->quit = true;
		pthread_mutex_unlock(h->d->lock);
		fd_event_signal(h->cancel_fd);
		fd_event_signal(h->wake_fd);
		pthread_join(h->thread, NULL);
	}
	fd_close(&h->wake_fd);
	fd_close(&h->cancel_fd);
	h->back->ops->fini(h->back);
	pthread_cond_destroy(&h->changed);
}

int vhost_link_start(struct vhost_link *h, struct err *e)
{
	char name[sizeof(h->d->name)], *to = name;
	int err;

	for (const char *p = h->d->name; *p; p++) /* "nic0" */
		if (*p != ' ')
			*to++ = *p;
	*to = '\0';
	if (h->back->ops->start && (err = h->back->ops->start(h->back, e)))
		return err_prefix(e, "%s", h->d->name);
	if (h->back->ops->watch(h->back).fd >= 0)
		snprintf(h->waiting, sizeof(h->waiting), "no back end has connected to %s",
			h->back->name);
	err = thread_start_as(h->back->ops->thread, &h->thread, name, -1, link_main, h, e);
	h->has_thread = !err;
	return err;
}

void vhost_link_started(struct vhost_link *h)
{
	if (h->relay)
		relay_forget(h->relay);
	h->resumed = false;
	fd_event_signal(h->wake_fd);
}

bool vhost_link_device_reset(struct vhost_link *h)
{
	h->resumed = false;
	if (!h->rings_out)
		return true;
	fd_event_signal(h->wake_fd);
	return false;
}

static void link_deadline(struct timespec *ts, uint64_t from_ns, int timeout_ms)
{
	uint64_t at = from_ns + (uint64_t)timeout_ms * NS_PER_MS;

	ts->tv_sec = (time_t)(at / NS_PER_S);
	ts->tv_nsec = (long)(at % NS_PER_S);
}

void vhost_link_wait_first(struct vhost_link *h, int timeout_ms)
{
	struct timespec ts;

	link_deadline(&ts, clock_now_ns(), timeout_ms);
	pthread_mutex_lock(h->d->lock);
	while (!h->tried && pthread_cond_timedwait(&h->changed, h->d->lock, &ts) == 0)
		;
	pthread_mutex_unlock(h->d->lock);
}

bool vhost_link_wait_connected(struct vhost_link *h, int timeout_ms)
{
	struct timespec ts;
	bool connected;

	link_deadline(&ts, h->made_ns, timeout_ms);
	pthread_mutex_lock(h->d->lock);
	while (!h->connected && pthread_cond_timedwait(&h->changed, h->d->lock, &ts) == 0)
		;
	connected = h->connected;
	pthread_mutex_unlock(h->d->lock);
	return connected;
}

void vhost_link_info(const struct vhost_link *h, json_t *o)
{
	const struct virtio_pci *v = &h->d->v;
	json_t *features = json_array();

	for (unsigned i = 0; i < 64; i++)
		if ((v->acked & 1ull << i) && h->ops->feature_name(i))
			json_array_append_new(features, json_string(h->ops->feature_name(i)));
	json_object_set_new(o, h->back->ops->key, json_string(h->back->name));
	json_object_set_new(o, "connected", json_boolean(h->connected));
	json_object_set_new(o, "reconnects", json_integer((json_int_t)h->reconnects));
	json_object_set_new(o, "features", features);
	json_object_set_new(o, "needs_reset", json_boolean(v->status & VIRTIO_S_NEEDS_RESET));
	if (h->waiting[0])
		json_object_set_new(o, "waiting", json_string(h->waiting));
	if (v->reason[0])
		json_object_set_new(o, "reason", json_string(v->reason));
}

void vhost_link_machine_reset(struct vhost_link *h, int timeout_ms)
{
	struct timespec ts;

	pthread_mutex_lock(h->d->lock);
	h->d->v.resetting = true;
	if (!h->d->ops->reset(h->d->arg)) {
		link_deadline(&ts, clock_now_ns(), timeout_ms);
		while (h->rings_out && pthread_cond_timedwait(&h->changed, h->d->lock, &ts) == 0)
			;
		if (h->rings_out) { /* every wait of the link thread ends, and it hangs up */
			fd_event_signal(h->cancel_fd);
			while (h->rings_out)
				pthread_cond_wait(&h->changed, h->d->lock);
		}
	}
	virtio_pci_machine_reset(&h->d->v);
	pthread_mutex_unlock(h->d->lock);
}
