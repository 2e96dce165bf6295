/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/traffic.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "guest/linux/nics.h"
#include "traffic/agent.h"
#include "traffic/packet/port.h"

#define SPIN_US    200 /* nothing came and nothing is due for so long: sleep */
#define SLEEP_MS   100 /* at most: a reply's counters are never older */
#define RING_US    500 /* between looks at a device's queue that was full */
#define FDS        (TRAFFIC_PORTS_MAX + 1)
#define MEASURE_NS (100 * NS_PER_MS)

struct traffic {
	struct packet_port port[TRAFFIC_PORTS_MAX]; /* poller, once it runs */
	uint32_t mtu[TRAFFIC_PORTS_MAX];
	char name[TRAFFIC_PORTS_MAX][IF_NAMESIZE];
	uint32_t n_ports;
	struct traffic_engine engine; /* poller */
	struct agent agent;           /* poller */
	pthread_t poller;
	bool running;
	atomic_bool quit; /* agent: w */

	/* A line for the agent. While `asked`, all of it is the poller's. */
	atomic_bool asked; /* agent: w true, poller: w false */
	int ask_fd;        /* eventfd: wakes the poller */
	sem_t answered;
	const char *line;
	size_t line_len, reply_len;
	char reply[AGENT_REPLY_MAX];
};

static const char *const methods[] = { "traffic_start", "traffic_status", "traffic_stop" };

bool traffic_is_request(const char *method)
{
	for (size_t i = 0; method && i < sizeof(methods) / sizeof(methods[0]); i++)
		if (!strcmp(method, methods[i]))
			return true;
	return false;
}

/* ---- what the engine's agent asks ---- */

static uint32_t n_nics(void *ctx)
{
	return ((struct traffic *)ctx)->n_ports;
}

static void nic(void *ctx, uint32_t i, struct agent_nic *out)
{
	const struct traffic *t = ctx;

	/* Whether there is a link `hello` tells. */
	*out = (struct agent_nic){
		.mac = t->port[i].port.mac, .mtu = t->mtu[i], .queues = 1, .link = true
	};
}

static uint64_t halts(void *ctx)
{
	return 0;
}

static void counters(void *ctx, uint32_t i, struct nic_counters *out)
{
	struct traffic *t = ctx;

	nics_count(t->name[i], out);
	out->socket_dropped = packet_port_dropped(&t->port[i]);
}

static const struct agent_ops agent_ops = { n_nics, nic, halts, counters };

/* ---- the poller ---- */

static void answer(struct traffic *t)
{
	if (!atomic_load_explicit(&t->asked, memory_order_acquire))
		return;
	t->reply_len = agent_handle(&t->agent, t->line, t->line_len, t->reply, sizeof(t->reply));
	atomic_store_explicit(&t->asked, false, memory_order_release);
	sem_post(&t->answered);
}

/* Microseconds until the next frame is due, at most a sleep's. */
static uint64_t due_us(const struct traffic *t)
{
	uint64_t next = traffic_engine_next(&t->engine), now = traffic_tsc(), us;

	if (next <= now)
		return 0;
	if (next == UINT64_MAX)
		return SLEEP_MS * 1000;
	us = (uint64_t)((double)(next - now) * 1e6 / (double)t->engine.tsc_hz);
	return us < SLEEP_MS * 1000 ? us : SLEEP_MS * 1000;
}

/* Until a frame comes, one is due or somebody asks. */
static void sleep_for(struct traffic *t, uint64_t us)
{
	struct timespec ts = { .tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000 };
	struct pollfd p[FDS];

	for (uint32_t i = 0; i < t->n_ports; i++)
		p[i] = (struct pollfd){ .fd = t->port[i].fd, .events = POLLIN };
	p[t->n_ports] = (struct pollfd){ .fd = t->ask_fd, .events = POLLIN };
	ppoll(p, t->n_ports + 1, &ts, NULL);
	if (p[t->n_ports].revents)
		fd_event_take(t->ask_fd);
}

static void *poll_for_ever(void *arg)
{
	struct traffic *t = arg;
	uint64_t spin = t->engine.tsc_hz / 1000000 * SPIN_US, since = traffic_tsc();

	while (!atomic_load_explicit(&t->quit, memory_order_relaxed)) {
		uint32_t moved = traffic_engine_poll(&t->engine), full = 0;
		uint64_t us;

		for (uint32_t i = 0; i < t->n_ports; i++)
			full += packet_port_flush(&t->port[i]);
		answer(t);
		if (moved) {
			since = traffic_tsc();
			continue;
		}
		us = due_us(t);
		if (full && us < RING_US)
			us = RING_US;
		/* Who shares the CPU, the agent first of all, has it meanwhile. */
		if (us > SPIN_US && traffic_tsc() - since > spin)
			sleep_for(t, us - SPIN_US / 2);
		else
			sched_yield();
	}
	return NULL;
}

/* ---- making ---- */

/* What the lab says, so that all of its guests take their clock for the same; else our own look. */
static uint64_t tsc_hz_of(const json_t *config)
{
	json_int_t told = json_integer_value(json_object_get(config, "tsc_hz"));
	uint64_t from, to, began, ended;

	if (told > 0)
		return (uint64_t)told;
	began = clock_now_ns();
	from = traffic_tsc();
	clock_sleep_ns(MEASURE_NS);
	ended = clock_now_ns();
	to = traffic_tsc();
	return (uint64_t)((double)(to - from) * 1e9 / (double)(ended - began));
}

static int ports_open(struct traffic *t, const json_t *config, struct err *e)
{
	json_t *list = nics_describe(config);
	size_t wanted = json_array_size(json_object_get(config, "nics")), i;
	const json_t *n;
	int rc = 0;

	if (!json_array_size(list) || json_array_size(list) < wanted)
		rc = err_set(e, -ENODEV,
			"traffic needs all of the guest's NICs: %zu of %zu are there",
			json_array_size(list), wanted ? wanted : 1);
	json_array_foreach (list, i, n) {
		if (rc || i == TRAFFIC_PORTS_MAX)
			break;
		t->n_ports++;
		t->mtu[i] = (uint32_t)json_integer_value(json_object_get(n, "mtu"));
		snprintf(t->name[i], sizeof(t->name[i]), "%s",
			json_string_value(json_object_get(n, "name")));
		rc = packet_port_open(&t->port[i], t->name[i], e);
		if (!rc)
			traffic_engine_add_port(&t->engine, &t->port[i].port);
	}
	json_decref(list);
	return rc;
}

static struct traffic *traffic_new(const json_t *config, struct err *e)
{
	struct traffic *t = aligned_alloc(64, (sizeof(*t) + 63) & ~(size_t)63);
	int rc;

	if (!t) {
		err_set(e, -ENOMEM, "no memory for the traffic engine");
		return NULL;
	}
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < TRAFFIC_PORTS_MAX; i++)
		t->port[i].fd = -1;
	sem_init(&t->answered, 0, 0);
	t->ask_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	traffic_engine_init(&t->engine, tsc_hz_of(config));
	t->agent = (struct agent){
		.ops = &agent_ops, .ctx = t, .engine = &t->engine, .guest = "linux"
	};
	rc = t->ask_fd < 0 ? err_set(e, -errno, "eventfd: %s", err_str(errno))
			   : ports_open(t, config, e);
	if (!rc) {
		traffic_engine_seed(&t->engine, ether_mac_u64(t->port[0].port.mac));
		rc = -pthread_create(&t->poller, NULL, poll_for_ever, t);
		if (rc)
			err_set(e, rc, "a thread for traffic: %s", err_str(rc));
		t->running = !rc;
	}
	if (!rc)
		return t;
	traffic_free(t);
	return NULL;
}

void traffic_free(struct traffic *t)
{
	if (!t)
		return;
	if (t->running) {
		atomic_store(&t->quit, true);
		fd_event_signal(t->ask_fd);
		pthread_join(t->poller, NULL);
	}
	for (uint32_t i = 0; i < TRAFFIC_PORTS_MAX; i++)
		packet_port_close(&t->port[i]);
	sem_destroy(&t->answered);
	fd_close(&t->ask_fd);
	free(t);
}

char *traffic_serve(
	struct traffic **t, const json_t *config, const char *line, size_t len, struct err *e)
{
	if (!*t)
		*t = traffic_new(config, e);
	if (!*t)
		return NULL;
	struct traffic *now = *t;

	if (len > AGENT_LINE_MAX) {
		now->reply_len = agent_line_too_long(now->reply, sizeof(now->reply));
	} else {
		now->line = line;
		now->line_len = len;
		atomic_store_explicit(&now->asked, true, memory_order_release);
		fd_event_signal(now->ask_fd);
		while (sem_wait(&now->answered) < 0 && errno == EINTR)
			;
	}
	char *text = strndup(now->reply, now->reply_len ? now->reply_len - 1 : 0);

	if (!text)
		err_set(e, -ENOMEM, "out of memory");
	return text;
}
