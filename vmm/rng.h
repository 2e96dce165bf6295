/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-rng device (virtio 1.2, 5.4): random bytes of the host's (getrandom) in the buffers that
 * the guest puts into its one queue, by a thread of its own. A guest gets RNG_BYTES_PER_S, and a
 * burst; each buffer counts as RNG_CHAIN_MIN bytes at least, so that it can't have a CPU of the
 * host's for the asking. Who asks for more waits.
 */
#ifndef LANYARD_VMM_RNG_H
#define LANYARD_VMM_RNG_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/device.h"
#include "vmm/vdev.h"
#include "vmm/vserve.h"

#define RNG_BYTES_PER_S (1u << 20)
#define RNG_BURST       (64u << 10)
#define RNG_CHAIN_MIN   64u
#define RNG_CHAIN_MAX   (16u << 10) /* a longer buffer is not filled to its end (5.4.6) */

struct rng {
	struct device dev;
	struct vdev d;
	struct vserve serve;
	atomic_ulong bytes; /* its thread: w */

	/* Its thread's. */
	uint64_t tokens;    /* bytes that it may hand out now, at most RNG_BURST */
	uint64_t filled_ns; /* when they were counted last */
};

/* *out is there after a failure, too: to be freed. */
int rng_new(uint64_t bar, const struct vdev_host *host, struct rng **out, struct err *e);

/* What a chain of `len` bytes may have of the tokens at `now_ns`: bytes to write, or 0 and
 * *wait_ns until it may have some. */
uint32_t rng_allow(struct rng *r, uint32_t len, uint64_t now_ns, uint64_t *wait_ns);

#endif
