/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures: copies of a port's frames, as a pcapng stream, to a UNIX socket that somebody listens
 * on (`lanyard capture`).
 *
 *	workers --tap_keep--> a ring for each --> the capture's thread --pcapng--> socket --> reader
 *
 * A capture has a thread, which is not pinned and gives way to others: it takes the rings'
 * records in the order of time, writes them, and never makes a worker wait: while its reader is
 * slow its rings are full, and frames count as not kept. DPDK's rte_pcapng is of no use for that:
 * it takes mbufs of ethdevs, and writes to files from the thread that forwards.
 *
 *	running --(its taps leave the view)--> finishing --(all is written, or no use)--> done
 *
 * It is over when capture_stop, port_del or the switch's end say so, when the reader shuts down its
 * sending side (then all that was kept is still written, with a last statistics block), or when the
 * reader goes away. In the last two cases the thread asks the control thread, which alone changes
 * the model.
 */
#ifndef LANYARD_VSWITCH_CAPTURE_H
#define LANYARD_VSWITCH_CAPTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rpc.h"
#include "vswitch/dp/tap.h"

#define SW_CAPTURES_MAX       32 /* at a time */
#define SW_CAPTURE_BUFFER     (16u << 20)
#define SW_CAPTURE_BUFFER_MAX (128u << 20) /* touched by the control thread: some 50 ms */
#define SW_CAPTURE_STOP_MS    50 /* capture_stop: what the reader has not taken by then is lost */

struct sw;

enum sw_capture_order {
	SW_CAPTURE_RUN,
	SW_CAPTURE_FINISH, /* no worker writes any more: write what is kept, then end */
	SW_CAPTURE_ABORT,  /* end at once */
};

struct sw_capture {
	/* Constant. */
	uint32_t id;
	uint16_t port;
	char port_name[64];
	bool dir[TAP_DIRS];
	uint32_t n_rings;
	struct tap_ring *rings; /* by worker */
	void *memory;           /* the rings' */
	uint64_t start_ns;      /* CLOCK_MONOTONIC */
	int sock;
	int order_fd; /* eventfd: order has changed. control: w, writer: r */
	int event_fd; /* sw->capture_fd; writer: w when asks or done is set */
	pthread_t thread;

	/* Control: w, under sw->lock. */
	bool tapped;        /* in the view */
	const char *reason; /* why it ended */

	enum sw_capture_order order; /* control: w, writer: r */

	/* Writer: w, control: r. */
	const char *asks; /* it should end, since...; NULL: it should not */
	bool done;
	uint64_t frames, bytes; /* written; at the end, those that the reader can have whole */
};

struct sw_capture_config {
	const char *port, *socket;
	bool dir[TAP_DIRS];
	uint32_t snaplen;      /* 0: no limit */
	uint64_t buffer_bytes; /* of all rings together; 0: SW_CAPTURE_BUFFER */
};

struct sw_capture_counts {
	uint64_t frames, bytes, not_kept;
};

/* Control thread, without the lock. Errors are of the request, with its field. */
int sw_capture_start(struct sw *sw, const struct sw_capture_config *c, uint32_t *id, struct err *e);
int sw_capture_stop(struct sw *sw, uint32_t id, struct sw_capture_counts *counts, struct err *e);
/* When sw->capture_fd shows: ends captures that should, and frees those that have ended. */
void sw_captures_reap(struct sw *sw);
/* The switch ends. */
void sw_captures_end(struct sw *sw);

/* Under the lock. How many taps all captures have; those of one direction of a port, to out[],
 * returning how many. */
uint32_t sw_captures_taps_max(const struct sw *sw);
uint32_t sw_captures_taps(const struct sw *sw, uint16_t port, enum tap_dir dir, struct dp_tap *out);
/* Takes all captures of a port out of the views to come: publish, then sw_captures_reap. */
void sw_captures_detach(struct sw *sw, uint16_t port);

/* capture_writer.c: the thread's function; arg: struct sw_capture. */
void *sw_capture_write(void *arg);

/* capture_methods.c: see docs/control.md. */
int sw_m_capture_start(void *ctx, const json_t *params, json_t **result, struct err *e);
int sw_m_capture_stop(void *ctx, const json_t *params, json_t **result, struct err *e);
int sw_m_captures(void *ctx, const json_t *params, json_t **result, struct err *e);
extern const struct rpc_param sw_capture_start_params[], sw_capture_stop_params[];

#endif
