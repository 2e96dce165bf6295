/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine sends through and receives from: a virtio-net queue pair in the probe, a queue
 * of an Ethernet device on a host. An operation handles a burst, so that nothing indirect is paid
 * per frame. Freestanding.
 *
 * A slot is a buffer to send from. It keeps its contents and its mark from one use to the next,
 * so that the engine fills it once and afterwards only stamps it: `owner` says for whom it was
 * filled (0: nobody), `seed` with what; the engine writes both, the port keeps them. A port whose
 * buffers come and go (a mempool) stores the mark with the buffer, or answers 0.
 */
#ifndef LANYARD_TRAFFIC_PORT_H
#define LANYARD_TRAFFIC_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ether.h"

struct traffic_port;

struct traffic_slot {
	uint8_t *frame; /* port: w; best if it begins a cache line */
	uint64_t owner; /* engine: w */
	uint32_t seed;  /* engine: w */
	uint32_t len;   /* bytes to send, without FCS; engine: w, by set_len only */
};

struct traffic_frame {
	const uint8_t *data;
	uint32_t len; /* without FCS */
};

struct traffic_port_ops {
	/* Up to n free slots in a row, in *slots; fewer, or 0, if the port has no more. Answering
	 * fewer is no error: the engine asks again. Slots not committed are not sent. */
	uint32_t (*tx_get)(struct traffic_port *p, uint32_t n, struct traffic_slot **slots);
	/* The frame in this slot (got, not yet committed) is len bytes long from now on. */
	void (*tx_set_len)(struct traffic_port *p, struct traffic_slot *slot, uint32_t len);
	/* Sends the first n of the slots got last. */
	void (*tx_commit)(struct traffic_port *p, uint32_t n);
	/* Up to n received frames; they stay valid until rx_release, which gives all back. */
	uint32_t (*rx_burst)(struct traffic_port *p, struct traffic_frame *frames, uint32_t n);
	void (*rx_release)(struct traffic_port *p);
};

struct traffic_port {
	const struct traffic_port_ops *ops;
	struct ether_mac mac;
	uint32_t max_len;                        /* longest frame without FCS that a slot takes */
	uint64_t rx_frames, tx_frames, rx_other; /* engine: w */
};

#endif
