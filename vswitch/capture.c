/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread's side of captures: see capture.h. */
#include "vswitch/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vswitch/switch.h"

/* The listener is there and waits: only a full backlog makes connecting slow. */
#define CONNECT_MS 50

static void capture_free(struct sw_capture *c)
{
	if (!c)
		return;
	fd_close(&c->sock);
	fd_close(&c->order_fd);
	free(c->rings);
	free(c->memory);
	free(c);
}

/* The rings, with their memory touched here so that workers meet no page fault. */
static int rings_make(struct sw_capture *c, uint32_t n, uint64_t total, uint32_t snaplen)
{
	uint64_t each = TAP_RING_MIN;

	while (each * 2 * n <= total)
		each *= 2;
	c->rings = aligned_alloc(64, n * sizeof(*c->rings));
	c->memory = aligned_alloc(4096, n * each);
	if (!c->rings || !c->memory)
		return -ENOMEM;
	memset(c->memory, 0, n * each);
	for (uint32_t i = 0; i < n; i++)
		tap_ring_init(&c->rings[i], (uint8_t *)c->memory + i * each, each, snaplen);
	c->n_rings = n;
	return 0;
}

static struct sw_capture *capture_new(
	struct sw *sw, const struct sw_capture_config *cfg, struct err *e)
{
	struct sw_capture *c = calloc(1, sizeof(*c));

	if (!c) {
		err_set(e, -ENOMEM, "no memory for a capture");
		return NULL;
	}
	memcpy(c->dir, cfg->dir, sizeof(c->dir));
	c->start_ns = clock_now_ns();
	c->event_fd = sw->capture_fd;
	c->order_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->sock = fd_unix_connect(cfg->socket, CONNECT_MS, e);
	if (c->sock < 0) {
		if (e)
			e->class = ERR_REQUEST;
		err_prefix(e, "a capture goes to a socket that somebody listens on");
		err_field(e, "socket");
	} else if (c->order_fd < 0 ||
		rings_make(c, sw->n_workers,
			cfg->buffer_bytes ? cfg->buffer_bytes : SW_CAPTURE_BUFFER, cfg->snaplen)) {
		err_set(e, -ENOMEM, "no memory for a capture's rings");
	} else {
		return c;
	}
	capture_free(c);
	return NULL;
}

static int slot_find(const struct sw *sw)
{
	for (int i = 0; i < SW_CAPTURES_MAX; i++)
		if (!sw->captures[i])
			return i;
	return -1;
}

static int thread_start(struct sw_capture *c, struct err *e)
{
	char name[16];
	int ret = pthread_create(&c->thread, NULL, sw_capture_write, c);

	if (ret)
		return err_set(e, -ret, "no thread for a capture: %s", err_str(ret));
	snprintf(name, sizeof(name), "capture-%u", c->id);
	pthread_setname_np(c->thread, name);
	return 0;
}

int sw_capture_start(
	struct sw *sw, const struct sw_capture_config *cfg, uint32_t *id, struct err *e)
{
	const struct sw_port *p = sw_port_find(sw, cfg->port); /* only this thread adds ports */
	int slot = slot_find(sw), ret;
	struct sw_capture *c;
	struct err mine = { 0 };

	e = e ? e : &mine;
	if (!p) {
		err_request(e, -ENOENT, "there is no port \"%s\"", cfg->port);
		return err_field(e, "port");
	}
	if (slot < 0)
		return err_request(e, -EBUSY, "there are %d captures already, and no more can be",
			SW_CAPTURES_MAX);
	c = capture_new(sw, cfg, e);
	if (!c)
		return e->code;
	c->id = ++sw->last_capture;
	c->port = p->dp->id;
	memcpy(c->port_name, p->name, sizeof(p->name));
	ret = thread_start(c, e);
	if (ret) {
		capture_free(c);
		return ret;
	}
	log_info("capture %u of port %s: started", c->id, c->port_name);
	pthread_mutex_lock(&sw->lock);
	sw->captures[slot] = c;
	c->tapped = true;
	sw_publish(sw);
	pthread_mutex_unlock(&sw->lock);
	*id = c->id;
	return 0;
}

static void order(struct sw_capture *c, enum sw_capture_order o)
{
	__atomic_store_n(&c->order, o, __ATOMIC_RELEASE);
	fd_event_signal(c->order_fd);
}

static struct sw_capture_counts counts_of(const struct sw_capture *c)
{
	struct sw_capture_counts k = { .frames = c->frames, .bytes = c->bytes };

	for (uint32_t i = 0; i < c->n_rings; i++)
		k.not_kept += c->rings[i].kept + c->rings[i].lost;
	k.not_kept -= k.frames;
	return k;
}

/* Its thread has ended. */
static struct sw_capture_counts capture_bury(struct sw *sw, int slot)
{
	struct sw_capture *c = sw->captures[slot];
	struct sw_capture_counts k = counts_of(c);

	pthread_mutex_lock(&sw->lock);
	sw->captures[slot] = NULL;
	pthread_mutex_unlock(&sw->lock);
	log_info("capture %u of port %s: ended: %s; %llu frames, %llu not kept", c->id,
		c->port_name, c->reason, (unsigned long long)k.frames,
		(unsigned long long)k.not_kept);
	capture_free(c);
	return k;
}

/* Takes a capture out of the view, and has its thread end within ms. */
static struct sw_capture_counts capture_end(
	struct sw *sw, int slot, const char *reason, unsigned ms)
{
	struct sw_capture *c = sw->captures[slot];
	struct timespec until;

	pthread_mutex_lock(&sw->lock);
	if (c->tapped) {
		c->tapped = false;
		c->reason = reason;
		sw_publish(sw);
	}
	pthread_mutex_unlock(&sw->lock);
	order(c, SW_CAPTURE_FINISH);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)(ms * NS_PER_MS);
	until.tv_sec += until.tv_nsec / (long)NS_PER_S;
	until.tv_nsec %= (long)NS_PER_S;
	if (pthread_timedjoin_np(c->thread, NULL, &until)) {
		order(c, SW_CAPTURE_ABORT);
		pthread_join(c->thread, NULL);
	}
	return capture_bury(sw, slot);
}

int sw_capture_stop(struct sw *sw, uint32_t id, struct sw_capture_counts *counts, struct err *e)
{
	for (int i = 0; i < SW_CAPTURES_MAX; i++) {
		if (!sw->captures[i] || sw->captures[i]->id != id)
			continue;
		*counts = capture_end(sw, i, "asked by capture_stop", SW_CAPTURE_STOP_MS);
		return 0;
	}
	err_request(e, -ENOENT, "there is no capture %u; it may have ended by itself", id);
	return err_field(e, "id");
}

void sw_captures_reap(struct sw *sw)
{
	bool changed = false;

	fd_event_take(sw->capture_fd);
	pthread_mutex_lock(&sw->lock);
	for (int i = 0; i < SW_CAPTURES_MAX; i++) {
		struct sw_capture *c = sw->captures[i];
		const char *asks = c ? __atomic_load_n(&c->asks, __ATOMIC_ACQUIRE) : NULL;

		if (!asks || !c->tapped)
			continue;
		c->tapped = false;
		c->reason = asks;
		changed = true;
	}
	if (changed)
		sw_publish(sw);
	pthread_mutex_unlock(&sw->lock);
	for (int i = 0; i < SW_CAPTURES_MAX; i++) {
		struct sw_capture *c = sw->captures[i];

		if (!c || c->tapped)
			continue;
		if (c->order == SW_CAPTURE_RUN)
			order(c, SW_CAPTURE_FINISH);
		if (__atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) {
			pthread_join(c->thread, NULL);
			capture_bury(sw, i);
		}
	}
}

void sw_captures_end(struct sw *sw)
{
	for (int i = 0; i < SW_CAPTURES_MAX; i++)
		if (sw->captures[i])
			capture_end(sw, i, "the switch ends", SW_CAPTURE_STOP_MS);
}

uint32_t sw_captures_taps_max(const struct sw *sw)
{
	uint32_t n = 0;

	for (int i = 0; i < SW_CAPTURES_MAX; i++)
		n += sw->captures[i] ? TAP_DIRS : 0;
	return n;
}

uint32_t sw_captures_taps(const struct sw *sw, uint16_t port, enum tap_dir dir, struct dp_tap *out)
{
	uint32_t n = 0;

	for (int i = 0; i < SW_CAPTURES_MAX; i++) {
		const struct sw_capture *c = sw->captures[i];

		if (c && c->tapped && c->port == port && c->dir[dir])
			out[n++] = (struct dp_tap){ .rings = c->rings };
	}
	return n;
}

void sw_captures_detach(struct sw *sw, uint16_t port)
{
	for (int i = 0; i < SW_CAPTURES_MAX; i++) {
		struct sw_capture *c = sw->captures[i];

		if (c && c->tapped && c->port == port) {
			c->tapped = false;
			c->reason = "the port was deleted";
		}
	}
}
