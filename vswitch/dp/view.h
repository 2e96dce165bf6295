/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers see of the world: the view. The control side builds it, publishes it with one
 * store and never changes it; the old one is freed after every worker has passed a quiescent
 * state. A view points to longer-lived things (ports with their counters, queues with their ring
 * state, the FDB), which are freed by the same rule when no view names them any more.
 *
 * "In" is from a guest into the switch (the guest's transmit ring), "out" is to the guest.
 */
#ifndef LANYARD_VSWITCH_DP_VIEW_H
#define LANYARD_VSWITCH_DP_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "vswitch/dp/fdb.h"
#include "vswitch/dp/frame.h"
#include "vswitch/dp/policy.h"
#include "vswitch/dp/ring.h"
#include "vswitch/dp/stats.h"
#include "vswitch/dp/tap.h"

#define DP_PORTS_MAX   1024 /* librte_vhost's limit on devices and sockets */
#define DP_PAIRS_MAX   16   /* queue pairs of a port */
#define DP_NETS_MAX    4096
#define DP_WORKERS_MAX 64

struct dp_net_stats {
	/* all: several writers */
	uint64_t flooded, learned, moved;
} __attribute__((aligned(64)));

/* A port's lasting part. */
struct dp_port {
	uint16_t id;           /* its slot in views; in FDB entries */
	enum ring_fault fault; /* worker: w (first fault of any of its rings), control: r, resets */
	uint64_t drops_down;   /* tx_port_down: several writers */
	uint64_t unlearned;    /* sources not learnt, since the port may have no more: likewise */
	/* Workers, under the lock, which is taken only for ports that have rates. */
	uint32_t meter_lock;
	struct dp_bucket storm[DP_STORM_MAX], police;
	struct dp_queue_stats in[DP_PAIRS_MAX], out[DP_PAIRS_MAX];
};

struct dp_inq;
struct dp_outq;

/*
 * What a port that has no rings does instead: the kernel's tap (tun.h), an Ethernet device of
 * DPDK's. Of its ring only kick_fd is used: what becomes readable when a frame comes. As dp_peek,
 * dp_release and dp_deliver, which they stand for. deliver may take mbufs over: it sets
 * frame[].mbuf to NULL for those that release must not free. The frames' bytes stay readable until
 * release whatever deliver took: other ports and taps copy from them.
 */
struct dp_edge_ops {
	uint32_t (*peek)(struct dp_inq *q, struct dp_burst *b);
	void (*release)(struct dp_inq *q, struct dp_burst *b);
	uint32_t (*deliver)(struct dp_outq *o, const struct dp_egress *eg, struct dp_frame *frame,
		uint8_t *idx, uint32_t n, uint64_t *bytes, struct dp_queue_stats *st);
	/* Before a sleep: kick_fd is to show frames from now on. False: there are some. May be
	 * NULL: it always does. */
	bool (*arm)(struct dp_inq *q);
};

/* dp_inq.last_tag of a queue that knows nothing of its next frame: no tag looks so. */
#define DP_TAG_UNKNOWN UINT32_MAX

/* The ring that a worker receives from. One worker at a time: poll.h says how it changes. */
struct dp_inq {
	struct ring ring;
	const struct dp_edge_ops *edge; /* NULL: the ring */
	void *edge_queue;
	struct dp_port *port;
	struct dp_queue_stats *stats;
	uint16_t net;   /* index in views */
	uint16_t owner; /* who serves it; owner: w (release), control and workers: r (acquire) */
	uint16_t to;    /* who is to serve it; control: w before a view says so, owner: r */
	uint16_t claim; /* who is ready to take it over; a new worker: w, owner: r */
	uint32_t quiet; /* rounds without frames, up to DP_POLL_QUIET; owner's */

	/* What its last frame taught: holds for one second and as long as the FDB's epoch does. */
	uint64_t last_src, last_dst; /* addresses as loaded */
	uint32_t last_tag;  /* as decide.c's frame_tag has it; DP_TAG_UNKNOWN: nothing is known */
	uint32_t last_meta; /* of such frames */
	uint32_t last_s, last_epoch;
	uint64_t last_generation; /* of the view */
	uint16_t last_slot;       /* where such frames go */
} __attribute__((aligned(64)));

/* The ring that is sent to. Shared by workers: the lock is taken once a burst, and only if there
 * is more than one worker. */
struct dp_outq {
	struct ring ring;
	const struct dp_edge_ops *edge; /* NULL: the ring */
	void *edge_queue;
	struct dp_port *port;
	struct dp_queue_stats *stats;
	uint32_t lock; /* a spinlock: 0 free, 1 taken */
} __attribute__((aligned(64)));

/* Where copies of one direction of a port's frames go. */
struct dp_view_taps {
	const struct dp_tap *tap;
	uint32_t n;
};

struct dp_view_port {
	struct dp_port *port;           /* NULL: an empty slot */
	const struct dp_policy *policy; /* NULL: nothing is demanded */
	bool isolated;                  /* as the policy says */
	bool reflects;                  /* what it sends may come in by it again (decide.c) */
	uint16_t net;
	uint16_t n_outs;   /* 0: not up */
	uint16_t out_slot; /* of its first output queue, in view->outs */
	struct dp_egress egress;
	bool mirror_target; /* gets what mirrors send, nothing else; what it sends is dropped */
	struct dp_view_taps taps[TAP_DIRS];
};

struct dp_view_net {
	uint16_t id;        /* in FDB keys, from 1; 0: an empty slot */
	uint32_t max_len;   /* bytes of an untagged frame: MTU + 14 */
	uint32_t n_members; /* ports that are up */
	uint16_t *members;  /* their ids */
	struct dp_net_stats *stats;
};

struct dp_view_worker {
	uint32_t n_inqs;
	struct dp_inq **inqs;
};

struct dp_view {
	uint64_t generation; /* no two views have the same; from 1 */
	uint32_t n_ports, n_nets, n_outs, n_workers;
	struct dp_view_port *ports; /* by id */
	struct dp_view_net *nets;   /* by index */
	struct dp_outq **outs;      /* by slot; a port's are neighbours */
	struct dp_view_worker *workers;
	struct fdb *fdb;
};

#endif
