/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-net driver: modern PCI, split rings, one queue pair, polled. A NIC is a port of the
 * traffic engine.
 *
 * Buffers are laid out once and stay: descriptor i is slot i, header and frame in one piece, the
 * 12 bytes of virtio-net header at the end of one cache line and the frame from the next on. The
 * available rings are written once, too (entry i is descriptor i), and only again if a device
 * returns buffers out of order. So in steady state a burst writes the frames' changed lines and
 * one index, and a received 64-byte frame is one line read: its header is looked at only if the
 * buffer is full, as it could continue in another one then (a device that takes several buffers
 * for a frame must fill each but the last).
 *
 * The device is kicked only if it asked (EVENT_IDX, or the flags). It is asked for interrupts only
 * while the probe sleeps (vnet_arm). All runs in the main loop; interrupts only count themselves.
 *
 * States: a device that says NEEDS_RESET, or whose rings make no sense, is reset and started
 * again (vnet_events); frames in flight are lost.
 */
#ifndef LANYARD_PROBE_VNET_H
#define LANYARD_PROBE_VNET_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/probe/pci.h"
#include "guest/probe/virtio.h"
#include "traffic/port.h"

/* Descriptors used at most, whatever the device offers. Fewer to transmit than to receive: what is
 * in one probe's transmit ring fits into another's, or its own other NIC's, receive ring. */
#define VNET_RX_MAX     1024
#define VNET_TX_MAX     512
#define VNET_QUEUE_MIN  16
#define VNET_RX_TAKE    256 /* receive buffers held at most between two releases */
#define VNET_RX_FLUSH   32  /* given back so many at a time, or when nothing comes in */
#define VNET_JOINED_MAX 65536
#define VNET_HDR_LEN    12 /* struct virtio_net_hdr */
#define VNET_LINE       64

/* One virtqueue. All fields: main loop. Our indices run freely, modulo 2^16. */
struct vnet_queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	volatile uint16_t *notify;
	uint16_t index; /* of the queue in the device */
	uint16_t size, mask;
	uint16_t avail_idx; /* next to publish */
	uint16_t used_idx;  /* next to take from the used ring */
	uint16_t told_idx;  /* avail_idx when need of a kick was looked at last */
	uint16_t event;     /* used_event, as written */
	uint64_t kicks;
};

struct vnet {
	struct traffic_port port; /* first: ops get a pointer to it */
	struct pci_dev pci;
	volatile struct virtio_common *common;
	volatile struct virtio_net_config *config;
	volatile uint8_t *notify_base;
	uint32_t notify_multiplier;
	uint32_t n; /* which NIC, from 0 */
	uint64_t features;
	uint32_t mtu;
	bool event_idx, link, broken;
	uint64_t resets;

	struct vnet_queue rx, tx;
	uint32_t stride;               /* bytes from a slot's frame to the next slot's */
	uint32_t rx_room;              /* bytes of frame that a receive buffer takes */
	uint8_t *rx_mem;               /* first receive slot's frame */
	uint16_t rx_taken;             /* frames of the burst not yet released */
	uint16_t rx_ids[VNET_RX_TAKE]; /* their descriptors, in order */
	uint8_t *rx_joined;            /* a frame put together from several buffers */
	struct traffic_slot *slots;    /* of the transmit ring; slot i is descriptor i */
	uint16_t tx_tail;              /* oldest slot that is not free */
	bool tx_unordered;             /* the device returns buffers out of order: tx_done counts */
	uint8_t *tx_done;              /* by descriptor: returned, but not yet free */
	uint32_t irq_seen;             /* config interrupts handled */
};

/* Opens the device in this PCI slot as NIC n and starts it; `budget` bytes of memory may be used.
 * False, with *why, if it is no modern virtio-net device or doesn't work. */
bool vnet_open(struct vnet *v, uint32_t slot, uint32_t n, size_t budget, const char **why);

/* After a config interrupt, or with `broken` set: link, NEEDS_RESET. Exits to the VMM. */
void vnet_events(struct vnet *v);

/* True if a config interrupt came that vnet_events has not seen. */
bool vnet_has_event(const struct vnet *v);

/*
 * Asks for an interrupt at the next received frame and, if tx, when half of what is in the
 * transmit ring has gone. False if something is there already: don't sleep. vnet_disarm afterwards.
 */
bool vnet_arm(struct vnet *v, bool tx);
void vnet_disarm(struct vnet *v);

uint64_t vnet_interrupts(const struct vnet *v);

#endif
