/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers are deleted lazily: loop_del marks them and the step's end frees them, so that an epoll
 * event already fetched for a handler that another callback deleted is never delivered.
 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum handler_kind { HANDLER_FD, HANDLER_TIMER, HANDLER_SIGNAL };

struct loop_handler {
	enum handler_kind kind;
	int fd;
	bool dead;
	loop_fn fn;
	void *arg;
	struct loop_handler *next;
};

struct loop {
	int epfd;
	int stop_fd; /* any thread: w (loop_stop), owner: r */
	bool stopped;
	bool stepping;
	struct loop_handler *handlers;
};

struct loop *loop_new(struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, -ENOMEM, "event loop: out of memory");
		return NULL;
	}
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	if (l->epfd < 0 || l->stop_fd < 0 ||
		epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->stop_fd, &ev) < 0) {
		err_set(e, -errno, "event loop: %s", err_str(errno));
		loop_free(l);
		return NULL;
	}
	return l;
}

static void handler_free(struct loop_handler *h)
{
	if (h->kind != HANDLER_FD)
		fd_close(&h->fd);
	free(h);
}

static void loop_sweep(struct loop *l, bool all)
{
	for (struct loop_handler **p = &l->handlers; *p;) {
		struct loop_handler *h = *p;

		if (!all && !h->dead) {
			p = &h->next;
			continue;
		}
		*p = h->next;
		handler_free(h);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	loop_sweep(l, true);
	fd_close(&l->stop_fd);
	fd_close(&l->epfd);
	free(l);
}

/* Takes fd where kind is not HANDLER_FD, on failure too. */
static struct loop_handler *handler_add(
	struct loop *l, enum handler_kind kind, int fd, uint32_t events, loop_fn fn, void *arg)
{
	struct loop_handler *h = calloc(1, sizeof(*h));
	struct epoll_event ev = { .events = events, .data.ptr = h };

	if (!h || fd < 0)
		goto fail;
	*h = (struct loop_handler){ .kind = kind, .fd = fd, .fn = fn, .arg = arg };
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		goto fail;
	h->next = l->handlers;
	l->handlers = h;
	return h;
fail:
	free(h);
	if (kind != HANDLER_FD)
		fd_close(&fd);
	return NULL;
}

struct loop_handler *loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fn fn, void *arg)
{
	return handler_add(l, HANDLER_FD, fd, events, fn, arg);
}

int loop_mod_fd(struct loop *l, struct loop_handler *h, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = h };

	return epoll_ctl(l->epfd, EPOLL_CTL_MOD, h->fd, &ev) < 0 ? -errno : 0;
}

int loop_set_timer(struct loop_handler *h, uint64_t delay_ns, uint64_t period_ns)
{
	/* A zero delay would disarm the timer. */
	if (delay_ns == 0)
		delay_ns = 1;
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(delay_ns / NS_PER_S),
			.tv_nsec = (long)(delay_ns % NS_PER_S) },
		.it_interval = { .tv_sec = (time_t)(period_ns / NS_PER_S),
			.tv_nsec = (long)(period_ns % NS_PER_S) },
	};

	return timerfd_settime(h->fd, 0, &its, NULL) < 0 ? -errno : 0;
}

struct loop_handler *loop_add_timer(
	struct loop *l, uint64_t delay_ns, uint64_t period_ns, loop_fn fn, void *arg)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct loop_handler *h = handler_add(l, HANDLER_TIMER, fd, EPOLLIN, fn, arg);

	if (h)
		loop_set_timer(h, delay_ns, period_ns);
	return h;
}

struct loop_handler *loop_add_signal(struct loop *l, int signo, loop_fn fn, void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return handler_add(l, HANDLER_SIGNAL, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		EPOLLIN, fn, arg);
}

void loop_del(struct loop *l, struct loop_handler *h)
{
	if (!h || h->dead)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, h->fd, NULL);
	h->dead = true;
	if (!l->stepping)
		loop_sweep(l, false);
}

static void handler_call(struct loop_handler *h, uint32_t events)
{
	struct signalfd_siginfo si;

	switch (h->kind) {
	case HANDLER_FD:
		h->fn(h->arg, events);
		break;
	case HANDLER_TIMER: {
		uint64_t n = fd_event_take(h->fd);

		if (n)
			h->fn(h->arg, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
		break;
	}
	case HANDLER_SIGNAL:
		if (read(h->fd, &si, sizeof(si)) == sizeof(si))
			h->fn(h->arg, si.ssi_signo);
		break;
	}
}

int loop_step(struct loop *l, int timeout_ms)
{
	struct epoll_event ev[32];
	int called = 0;

	int n = epoll_wait(l->epfd, ev, 32, timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->stepping = true;
	for (int i = 0; i < n; i++) {
		struct loop_handler *h = ev[i].data.ptr;

		if (!h) {
			fd_event_take(l->stop_fd);
			l->stopped = true;
		} else if (!h->dead) {
			handler_call(h, ev[i].events);
			called++;
		}
	}
	l->stepping = false;
	loop_sweep(l, false);
	return called;
}

int loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped) {
		int n = loop_step(l, -1);

		if (n < 0)
			return n;
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	fd_event_signal(l->stop_fd);
}
