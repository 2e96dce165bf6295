/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a virtqueue that a thread of ours serves: split (virtio 1.2, 2.7) or packed
 * (2.8). Pure: it works on guest memory only. One thread at a time uses a ring; nothing is locked.
 *
 *	vring_dev_init -> vring_pop, vring_push, vring_wants_interrupt -> vring_arm, sleep -> ...
 *	vring_pop fails: the driver broke the ring. virtio_pci_needs_reset; the ring is used no more
 *
 * Chains may be pushed in any order. The driver may write anything to its memory at any time: each
 * value of it is read once, every loop is bounded by the ring's size, and at most as many chains
 * are out as the ring has descriptors.
 */
#ifndef LANYARD_VMM_VRING_H
#define LANYARD_VMM_VRING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "vmm/gmem.h"
#include "vmm/virtio_pci.h"

#define VRING_CHAIN_MAX 1024 /* descriptors of a chain, those of an indirect table included */

struct vring_dev {
	const struct gmem *mem;
	uint8_t *desc, *driver, *device; /* host addresses of the ring's parts */
	uint16_t size;
	bool packed, event_idx, indirect; /* as agreed on */
	bool broken;                      /* vring_pop failed */

	/* Split: free-running indices. Packed: positions, each with its wrap counter. */
	uint16_t next, used;
	bool next_wrap, used_wrap;
	uint16_t n_out; /* descriptors popped and not pushed (split: chains) */

	uint16_t told;  /* split: used index at the last look for interrupts */
	uint32_t since; /* packed: descriptors used since then */
};

/* A chain of descriptors on its way through the device. */
struct vring_chain {
	uint16_t id;              /* what the driver knows it by */
	uint16_t n_desc;          /* descriptors of the ring that it takes */
	unsigned n_read, n_write; /* iov[0 .. n_read - 1] is for reading, the rest for writing */
	uint32_t read_len, write_len; /* bytes, each at most VRING_BYTES_MAX */
};

#define VRING_BYTES_MAX 0x7fffffffu /* of the readable or of the writable part of a chain */

/* A ring that nobody has used since the device's reset. -EFAULT if a part is not in memory (which
 * was checked when the queue was enabled). */
int vring_dev_init(struct vring_dev *r, const struct gmem *mem, const struct virtio_queue *q,
	uint64_t acked, struct err *e);

/*
 * The next chain that the driver made available. 1: it is in *c, its parts (none is empty) in iov,
 * at most max. 0: there is none. -EBADMSG: what is there makes no sense, and *e says why.
 */
int vring_pop(
	struct vring_dev *r, struct vring_chain *c, struct iovec *iov, unsigned max, struct err *e);

/* Gives a chain back; the device wrote `written` bytes to it. The driver can see it at once. */
void vring_push(struct vring_dev *r, const struct vring_chain *c, uint32_t written);

/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool vring_wants_interrupt(struct vring_dev *r);

/* Kicks are not needed: the ring is looked at anyway. */
void vring_disarm(struct vring_dev *r);
/* Asks for a kick at the next chain. True: there is one already, look again before sleeping. */
bool vring_arm(struct vring_dev *r);

#endif
