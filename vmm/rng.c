/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng: see rng.h. Section numbers are those of virtio 1.2. */
#include "vmm/rng.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define PARTS_MAX 64
#define END_MS    5000

static uint64_t rng_features(void *arg)
{
	return VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) |
		VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
}

static void rng_started(void *arg)
{
	struct rng *r = arg;

	vserve_started(&r->serve);
}

static bool rng_device_reset(void *arg)
{
	struct rng *r = arg;

	return vserve_device_reset(&r->serve);
}

static const struct vdev_ops rng_vdev_ops = {
	.features = rng_features,
	.started = rng_started,
	.reset = rng_device_reset,
};

uint32_t rng_allow(struct rng *r, uint32_t len, uint64_t now_ns, uint64_t *wait_ns)
{
	uint64_t got, cost;

	if (now_ns - r->filled_ns > NS_PER_S)
		r->filled_ns = now_ns - NS_PER_S;
	got = (now_ns - r->filled_ns) * RNG_BYTES_PER_S / NS_PER_S;
	/* Parts of a byte count later. */
	r->filled_ns += (got * NS_PER_S + RNG_BYTES_PER_S - 1) / RNG_BYTES_PER_S;
	r->tokens += got;
	if (r->tokens > RNG_BURST)
		r->tokens = RNG_BURST;
	if (len > RNG_CHAIN_MAX)
		len = RNG_CHAIN_MAX;
	cost = len > RNG_CHAIN_MIN ? len : RNG_CHAIN_MIN;
	if (r->tokens < cost) {
		*wait_ns = (cost - r->tokens) * NS_PER_S / RNG_BYTES_PER_S + 1;
		return 0;
	}
	r->tokens -= cost;
	return len;
}

/* getrandom may give fewer than asked for; once the host's pool is seeded it does not fail. */
static uint32_t fill(const struct vring_chain *c, const struct iovec *iov, uint32_t len)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < c->n_write; i++) {
		size_t here = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		for (size_t at = 0; at < here;) {
			ssize_t n = getrandom((uint8_t *)iov[i].iov_base + at, here - at, 0);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return done;
			at += (size_t)n;
			done += (uint32_t)n;
		}
	}
	return done;
}

/* A buffer that waits for its bytes. */
struct pending {
	struct vring_chain c;
	struct iovec iov[PARTS_MAX];
	bool is;
};

/* Buffers out of the ring until there is none, or the guest has had its share: then how long to
 * wait, in ns. */
static uint64_t serve(struct rng *r, struct vserve_queue *q, struct pending *p)
{
	uint64_t wait_ns = 0;
	struct err e;

	vring_disarm(&q->ring);
	for (;;) {
		int got = p->is ? 1 : vring_pop(&q->ring, &p->c, p->iov, PARTS_MAX, &e);
		uint32_t len;

		if (!got && vring_arm(&q->ring))
			continue;
		if (got > 0 && (p->c.n_read || !p->c.n_write)) {
			q->ring.broken = true;
			got = err_set(&e, -EBADMSG,
				"a buffer with %u readable and %u writable bytes: expected some "
				"to write to and none to read",
				p->c.read_len, p->c.write_len);
		}
		if (got < 0)
			vserve_broken(q, &e);
		if (got <= 0)
			break;
		p->is = true;
		len = rng_allow(r, p->c.write_len, clock_now_ns(), &wait_ns);
		if (!len)
			break;
		len = fill(&p->c, p->iov, len);
		vring_push(&q->ring, &p->c, len);
		p->is = false;
		atomic_fetch_add_explicit(&r->bytes, len, memory_order_relaxed);
	}
	if (vring_wants_interrupt(&q->ring))
		vdev_interrupt(&r->d, q->index);
	return wait_ns;
}

/* The thread. It calls ppoll, read and write (eventfds, log), getrandom, futex, clock_gettime. */
static void *rng_run(void *arg)
{
	struct vserve_queue *q = arg;
	struct rng *r = q->own;
	struct pending p = { .is = false };
	uint64_t wait_ns;

	for (;;) {
		enum vserve_turn turn = vserve_look(q, false);
		bool serves = turn == VSERVE_START || turn == VSERVE_RUN;

		if (turn == VSERVE_QUIT)
			return NULL;
		if (turn == VSERVE_START)
			p.is = false;
		wait_ns = serves && !q->ring.broken ? serve(r, q, &p) : 0;

		struct timespec ts = { .tv_sec = (time_t)(wait_ns / NS_PER_S),
			.tv_nsec = (long)(wait_ns % NS_PER_S) };
		/* Who waits for its share has more to do without being told. */
		struct pollfd fds[2] = { { .fd = q->wake_fd, .events = POLLIN },
			{ .fd = serves && !wait_ns ? r->d.kick_fd[0] : -1, .events = POLLIN } };

		if (ppoll(fds, 2, wait_ns ? &ts : NULL, NULL) > 0 && fds[1].revents)
			fd_event_take(r->d.kick_fd[0]);
	}
}

static int rng_start(struct device *dev, struct err *e)
{
	return vserve_start(&device_of(dev, struct rng)->serve, "rng", rng_run, e);
}

static void rng_reset(struct device *dev, int timeout_ms)
{
	vserve_machine_reset(&device_of(dev, struct rng)->serve, timeout_ms);
}

static void rng_free(struct device *dev)
{
	struct rng *r = device_of(dev, struct rng);

	if (!vserve_stop(&r->serve, END_MS)) {
		log_error("%s: its thread does not end", r->d.name);
		return;
	}
	vserve_fini(&r->serve);
	vdev_fini(&r->d);
	free(r);
}

static json_t *rng_info(struct device *dev)
{
	struct rng *r = device_of(dev, struct rng);
	json_t *o = json_object();

	pthread_mutex_lock(r->d.lock);
	json_object_set_new(o, "running", json_boolean(r->serve.n_active));
	json_object_set_new(o, "needs_reset", json_boolean(r->d.v.status & VIRTIO_S_NEEDS_RESET));
	if (r->d.v.reason[0])
		json_object_set_new(o, "reason", json_string(r->d.v.reason));
	pthread_mutex_unlock(r->d.lock);
	json_object_set_new(o, "bytes",
		json_integer((json_int_t)atomic_load_explicit(&r->bytes, memory_order_relaxed)));
	return o;
}

static const struct device_ops rng_device_ops = {
	.list = "rngs",
	.start = rng_start,
	.reset = rng_reset,
	.info = rng_info,
	.free = rng_free,
};

int rng_new(uint64_t bar, const struct vdev_host *host, struct rng **out, struct err *e)
{
	static const uint8_t no_config[4];
	struct rng *r = calloc(1, sizeof(*r));
	struct virtio_pci_setup vs = { .device_type = 4,
		.class_code = 0x00ff00,
		.n_queues = 1,
		.bar_addr = bar,
		.config = no_config,
		.config_len = sizeof(no_config) };
	int err;

	*out = r;
	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->dev = (struct device){ .ops = &rng_device_ops, .fn = &r->d.v.fn };
	r->tokens = RNG_BURST;
	r->filled_ns = clock_now_ns();
	r->serve.d = &r->d;
	err = vdev_init(&r->d, "rng", 0, &vs, host, &rng_vdev_ops, r, e);
	if (err)
		return err;
	err = vserve_init(&r->serve, &r->d, 1, e);
	r->serve.q[0].own = r;
	return err;
}
