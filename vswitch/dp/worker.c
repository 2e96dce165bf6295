/* SPDX-License-Identifier: Apache-2.0 */
/* See worker.h. */
#include "vswitch/dp/worker.h"

#include <errno.h>
#include <rte_rcu_qsbr.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <x86intrin.h>

#undef NS_PER_S /* DPDK has one of its own; ours is the same number */
#include "base/clock.h"
#include "base/fd.h"

/* An empty poll takes the index line that the guest is about to write; so each further empty
 * round waits longer, up to this many pauses (40 to 65 cycles each on Zen 3, 140 on Skylake). */
#define BACKOFF_PAUSES_MAX 16

/* Idle queues that can be looked at in the time of a pause. */
#define LOOKS_A_PAUSE 4

/* A front end that gave no kick fd can't wake us: look at its rings this often. */
#define SLEEP_NO_KICK_MS 1

int dp_shared_init(struct dp_shared *s, uint32_t n_workers, struct err *e)
{
	size_t size = rte_rcu_qsbr_get_memsize(n_workers);

	s->fault_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fault_fd < 0)
		return err_set(e, -errno, "no eventfd: %s", err_str(errno));
	size = (size + RTE_CACHE_LINE_SIZE - 1) & ~(size_t)(RTE_CACHE_LINE_SIZE - 1);
	s->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	if (!s->qsbr || rte_rcu_qsbr_init(s->qsbr, n_workers)) {
		dp_shared_fini(s);
		return err_set(e, -ENOMEM, "no memory for %u workers", n_workers);
	}
	return 0;
}

void dp_shared_fini(struct dp_shared *s)
{
	free(s->qsbr);
	s->qsbr = NULL;
	fd_close(&s->fault_fd);
}

static void count_burst(struct dp_worker_stats *st, uint32_t n)
{
	dp_count(&st->frames, n);
	dp_count(&st->bursts, 1);
	dp_count(&st->burst_histogram[31 - __builtin_clz(n)], 1);
}

/* The other side of a move may be waiting for our CPU: it gets it at once. */
static void queues_move(struct dp_poll *p)
{
	uint32_t leaving = p->n_leaving;

	dp_poll_move(p);
	if (p->n_coming || p->n_leaving < leaving)
		sched_yield();
}

/* One burst of every queue that is active, and (after a sleep) of those of `look` idle ones that
 * have news: others are looked at between rounds, so that frames don't wait for it. */
static uint32_t worker_round(struct dp_worker *w, const struct dp_view *v, uint32_t look)
{
	struct dp_poll *p = &w->poll;
	uint32_t now_s = __atomic_load_n(&w->shared->now_s, __ATOMIC_RELAXED);
	uint32_t got = 0, faults = 0, i = 0;
	uint64_t since = w->last;

	if (unlikely(p->generation != v->generation))
		dp_poll_adopt(p, v);
	if (unlikely(p->n_coming | p->n_leaving))
		queues_move(p);
	while (unlikely(w->n_woken))
		dp_poll_hint(p, w->woken[--w->n_woken]);
	dp_poll_look(p, look);
	while (i < p->n_active) {
		struct dp_inq *q = p->active[i];
		uint32_t n = dp_forward(&w->forwarder, v, q, now_s, &faults);

		if (n) {
			uint64_t now = __rdtsc();

			count_burst(&w->stats, n);
			dp_count(&q->stats->busy_cycles, now - since);
			since = now;
			q->quiet = 0;
			got += n;
			i++;
		} else if (++q->quiet < DP_POLL_QUIET || !dp_poll_demote(p, i)) {
			i++;
		}
	}
	if (unlikely(faults))
		fd_event_signal(w->shared->fault_fd);
	return got;
}

/* Asks a guest for kicks. One that was asked before, and has sent nothing since, still gives them.
 * *timeout_ms: how long a sleep may be. */
static void queue_arm(struct dp_inq *q, int *timeout_ms)
{
	struct ring *r = &q->ring;

	if (r->kick_fd < 0)
		*timeout_ms = SLEEP_NO_KICK_MS;
	if (!r->armed)
		ring_arm(r);
}

/* The same for a port that has no rings. False: it has frames. A device's interrupts make waking
 * quicker, but time does it too: not every driver's can be relied upon (e1000's come now and then
 * only). */
static bool edge_arm(struct dp_inq *q, int *timeout_ms)
{
	if (q->ring.kick_fd < 0 || q->edge->arm)
		*timeout_ms = SLEEP_NO_KICK_MS;
	return !q->edge->arm || q->edge->arm(q);
}

static bool queue_failed(const struct dp_inq *q)
{
	return __atomic_load_n(&q->port->fault, __ATOMIC_RELAXED);
}

/* Asks all guests of ours for kicks. False if one has sent something meanwhile. */
static bool worker_arm(struct dp_poll *p, int *timeout_ms)
{
	uint32_t n_active = p->n_active;
	bool quiet = true;

	*timeout_ms = -1;
	for (uint32_t i = 0; i < p->n_idle; i++)
		if (!queue_failed(p->idle[i]))
			queue_arm(p->idle[i], timeout_ms);
	for (uint32_t i = 0; i < n_active; i++) {
		if (queue_failed(p->active[i]))
			continue;
		if (p->active[i]->edge) {
			quiet &= edge_arm(p->active[i], timeout_ms);
			continue;
		}
		queue_arm(p->active[i], timeout_ms);
		if (ring_has_avail(&p->active[i]->ring))
			quiet = false;
	}
	/* Those that are armed since earlier were looked at since; now all are looked at again. */
	dp_poll_look(p, p->n_idle);
	return quiet && p->n_active == n_active;
}

static void worker_sleep(struct dp_worker *w)
{
	struct epoll_event ev[DP_WOKEN_MAX];
	int timeout_ms, n;

	/* A move is a matter of microseconds, and its other side waits for us. */
	if (w->poll.n_coming || w->poll.n_leaving || !worker_arm(&w->poll, &timeout_ms))
		return;
	dp_count(&w->stats.sleeps, 1);
	rte_rcu_qsbr_thread_offline(w->shared->qsbr, w->index);
	/* From here on the view and its queues may be freed. */
	if (__atomic_load_n(&w->shared->stop, __ATOMIC_ACQUIRE))
		timeout_ms = 0;
	n = epoll_wait(w->epoll_fd, ev, DP_WOKEN_MAX, timeout_ms);
	rte_rcu_qsbr_thread_online(w->shared->qsbr, w->index);
	if (n > 0)
		dp_count(&w->stats.wakeups, 1);
	for (int i = 0; i < n; i++)
		if (ev[i].data.ptr)
			w->woken[w->n_woken++] = ev[i].data.ptr;
}

/* After an empty round: time for idle queues, else a pause. */
static void worker_pause(struct dp_worker *w, uint32_t pauses)
{
	uint32_t looks = LOOKS_A_PAUSE * (1 + pauses);

	if (looks > w->poll.n_idle)
		looks = w->poll.n_idle;
	dp_poll_look(&w->poll, looks);
	for (uint32_t i = looks / LOOKS_A_PAUSE; i < pauses; i++)
		_mm_pause();
}

static void worker_loop(struct dp_worker *w)
{
	struct dp_shared *s = w->shared;
	uint32_t pauses = 0, look = UINT32_MAX;
	uint64_t idle_since;

	w->last = idle_since = __rdtsc();
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		const struct dp_view *v = __atomic_load_n(&s->view, __ATOMIC_ACQUIRE);
		uint32_t got = worker_round(w, v, look);
		uint64_t now = __rdtsc(), took = now - w->last;

		dp_count(&w->stats.polls, 1);
		look = 0;
		w->last = now;
		if (likely(got)) {
			dp_count(&w->stats.busy_cycles, took);
			dp_poll_look(&w->poll, dp_poll_quota(&w->poll, took));
			idle_since = now;
			pauses = 0;
		} else {
			/* The other side of a move may be on this CPU: then it waits for us, and a
			 * sender's frames for it. */
			if (unlikely(w->poll.n_coming || w->poll.n_leaving))
				sched_yield();
			worker_pause(w, pauses);
			w->last = __rdtsc();
			dp_count(&w->stats.empty_polls, 1);
			dp_count(&w->stats.idle_cycles, took + w->last - now);
			if (pauses < BACKOFF_PAUSES_MAX)
				pauses++;
			if (!s->busy && now - idle_since > s->spin_cycles) {
				worker_sleep(w);
				idle_since = w->last = __rdtsc();
				pauses = 0;
				/* Those that woke us come first, then all. */
				look = w->n_woken ? 0 : UINT32_MAX;
			}
		}
		rte_rcu_qsbr_quiescent(s->qsbr, w->index);
	}
}

static void *worker_main(void *arg)
{
	struct dp_worker *w = arg;
	struct rte_rcu_qsbr *qsbr = w->shared->qsbr;

	rte_rcu_qsbr_thread_online(qsbr, w->index);
	worker_loop(w);
	rte_rcu_qsbr_thread_offline(qsbr, w->index);
	return NULL;
}

static int worker_spawn(struct dp_worker *w, struct err *e)
{
	pthread_attr_t attr;
	cpu_set_t set;
	char name[16];
	int ret;

	pthread_attr_init(&attr);
	if (w->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(w->cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	ret = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	if (ret && w->cpu >= 0)
		return err_host(e, -ret,
			"a worker can't run on CPU %d: %s. Is it online and allowed to us "
			"(taskset -p $$)?",
			w->cpu, err_str(ret));
	if (ret)
		return err_set(e, -ret, "no thread for a worker: %s", err_str(ret));
	snprintf(name, sizeof(name), "worker-%u", w->index);
	pthread_setname_np(w->thread, name);
	w->running = true;
	return 0;
}

int dp_worker_start(struct dp_worker *w, struct dp_shared *s, uint32_t index, uint32_t n_workers,
	int cpu, uint32_t n_slots, struct err *e)
{
	int ret;

	memset(w, 0, sizeof(*w));
	w->shared = s;
	w->index = index;
	w->cpu = cpu;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->wake_fd < 0 || w->epoll_fd < 0)
		return err_set(e, -errno, "no eventfd or epoll for a worker: %s", err_str(errno));
	ret = dp_worker_watch(w, w->wake_fd, NULL);
	if (ret)
		return err_set(e, ret, "no epoll for a worker: %s", err_str(ret));
	ret = dp_forwarder_init(&w->forwarder, n_slots, n_workers > 1);
	if (ret == 0)
		ret = dp_poll_init(&w->poll, (uint16_t)index, n_slots);
	if (ret)
		return err_set(e, ret, "no memory for a worker");
	w->forwarder.worker = index;
	rte_rcu_qsbr_thread_register(s->qsbr, index);
	return worker_spawn(w, e);
}

void dp_worker_join(struct dp_worker *w)
{
	if (w->running) {
		dp_worker_wake(w);
		pthread_join(w->thread, NULL);
		w->running = false;
	}
	dp_forwarder_fini(&w->forwarder);
	dp_poll_fini(&w->poll);
	fd_close(&w->wake_fd);
	fd_close(&w->epoll_fd);
}

int dp_worker_watch(struct dp_worker *w, int kick_fd, const struct dp_inq *q)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = (void *)(uintptr_t)q };

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, kick_fd, &ev) ? -errno : 0;
}

void dp_worker_unwatch(struct dp_worker *w, int kick_fd)
{
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, kick_fd, NULL);
}

void dp_worker_wake(struct dp_worker *w)
{
	fd_event_signal(w->wake_fd);
}

void dp_grace_period(struct dp_shared *s)
{
	uint64_t token = rte_rcu_qsbr_start(s->qsbr);

	/* A worker's round is microseconds; but it may share its CPU with us, so don't spin. */
	while (rte_rcu_qsbr_check(s->qsbr, token, false) == 0)
		clock_sleep_ns(20 * NS_PER_US);
}
