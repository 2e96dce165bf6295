/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control side's model of the switch: networks, ports, the devices that front ends make of
 * them, and the workers.
 *
 * Threads: the control thread runs the event loop and the JSON-RPC methods; librte_vhost's own
 * threads bring connections and messages of front ends. Both change the model under sw->lock, then
 * publish a new view and wait for a grace period before what was taken out of it is freed or
 * handed back. Workers never take the lock. While it is held, no function of librte_vhost that
 * takes its socket list's lock is called (rte_vhost_driver_*): it calls us back holding that.
 */
#ifndef LANYARD_VSWITCH_SWITCH_H
#define LANYARD_VSWITCH_SWITCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fd.h"
#include "vswitch/balance.h"
#include "vswitch/bell.h"
#include "vswitch/capture.h"
#include "vswitch/dp/view.h"
#include "vswitch/dp/worker.h"
#include "vswitch/nic.h"
#include "vswitch/pcidev.h"
#include "vswitch/policy.h"

struct json_t;

#define SW_DEVICE_MAX       255 /* of an interface's name, PCI address, devargs, as asked for */
#define SW_MTU_MIN          68
#define SW_MTU_MAX          9216
#define SW_MTU_DEFAULT      1500
#define SW_AGEING_MAX_S     1000000
#define SW_AGEING_DEFAULT_S 300
#define SW_RINGS_MAX        (2 * DP_PAIRS_MAX)
/* Of four addresses: 64 MiB, of which the kernel gives what is used. */
#define SW_FDB_BUCKETS (1u << 20)

struct sw_net {
	char name[SW_NAME_MAX + 1]; /* "": an empty slot */
	uint32_t mtu, ageing_s;
	uint32_t n_ports;
	struct dp_net_stats *stats;
};

/* What is known of a port's queue from the guest, whether it is served or not. */
struct sw_queue_load {
	struct balance_meter meter;
	uint32_t moved_s; /* when it last changed its worker; 0: never */
	uint16_t pinned;  /* a worker's number + 1: it stays there; 0: the switch chooses */
};

/* What is at the other end of a port. */
enum sw_port_kind {
	SW_PORT_VHOST, /* a front end's device */
	SW_PORT_TAP,   /* this host's kernel */
	SW_PORT_PCI,   /* the wire */
	SW_PORT_VDEV,  /* whatever a virtual device of DPDK's leads to */
};

struct sw_edge;

struct sw_port {
	/* Constant. */
	char name[SW_NAME_MAX + 1];
	enum sw_port_kind kind;
	char device[SW_DEVICE_MAX + 1]; /* as asked for; vhost: "" */
	char socket[FD_UNIX_PATH_MAX + 1];
	bool client, mergeable;
	uint16_t queues; /* pairs, at most */
	uint16_t net;    /* index in nets */
	struct dp_port *dp;

	struct sw_policy policy; /* control thread: w, under the lock */

	/* The front end, if there is one. */
	int vid;         /* librte_vhost's number of the connection; -1: none */
	int conn_fd;     /* its socket, librte_vhost's: only to be looked at; -1: unknown */
	pid_t pid;       /* of the peer; 0: unknown */
	bool running;    /* librte_vhost says that the device is started */
	bool mem_ok;     /* the memory table is whole */
	bool fault_told; /* that a ring was broken has been logged */
	bool enabled[SW_RINGS_MAX]; /* by SET_VRING_ENABLE */
	bool served[SW_RINGS_MAX];  /* by us, in some connection: its indexes tell the truth */
	uint64_t features;
	uint64_t connects, kicks;

	/* trouble.c */
	const char *trouble; /* what is wrong with the front end's memory, for `stats`; or NULL */
	uint8_t mem_asked;   /* SET_MEM_TABLE is under way, or failed: seconds since */

	struct sw_queue_load load[DP_PAIRS_MAX];

	/* What workers see. */
	struct dp_mem *mem; /* while any ring is in the view */
	struct dp_inq *in[DP_PAIRS_MAX];
	struct dp_outq *out[DP_PAIRS_MAX];
	struct sw_edge *edge; /* of all kinds but vhost: control thread's */
};

struct sw {
	pthread_mutex_t lock;
	struct sw_net nets[DP_NETS_MAX];
	uint32_t n_nets; /* slots in use reach up to here */
	struct sw_port *ports[DP_PORTS_MAX];
	uint32_t n_ports;    /* likewise */
	uint64_t generation; /* of the last view */
	struct fdb fdb;
	struct dp_shared shared;
	struct dp_worker *workers;
	uint32_t n_workers;
	struct balance_meter load[DP_WORKERS_MAX]; /* of the workers */
	uint64_t measured_tsc;                     /* when; 0: never */
	uint64_t started_ns;
	bool huge;
	struct sw_bell bell;                          /* control thread */
	struct sw_capture *captures[SW_CAPTURES_MAX]; /* control thread: w, under the lock */
	uint32_t last_capture;                        /* its id */
	int capture_fd; /* eventfd; their threads: w when one has something for us */
	struct nic_left nics_left;
};

struct sw_options {
	const char *control;
	int cpus[DP_WORKERS_MAX];
	uint32_t n_cpus; /* 0: one worker, not pinned */
	bool busy, no_huge;
	uint32_t memory_mb; /* of DPDK's heap; 0: the default */
};

/* model.c: makes and ends the switch, with its workers. EAL must run. */
int sw_init(struct sw *sw, const struct sw_options *o, uint64_t tsc_hz, struct err *e);
void sw_fini(struct sw *sw);

/* Control thread, without the lock. Errors are of the request, with its field. */
int sw_net_add(struct sw *sw, const char *name, uint32_t mtu, uint32_t ageing_s, struct err *e);
int sw_net_del(struct sw *sw, const char *name, struct err *e);

struct sw_port_config {
	const char *name, *network;
	enum sw_port_kind kind;
	const char *socket;        /* of vhost; else NULL */
	const char *device;        /* of the others: interface, PCI address, devargs; else NULL */
	char pci[PCIDEV_ADDR_LEN]; /* the latter as the kernel writes it */
	bool client, mergeable;
	uint16_t queues;
	const struct json_t
		*policy; /* an object with policy keys (policy.h) among others; or NULL */
};

int sw_port_add(struct sw *sw, const struct sw_port_config *c, struct err *e);
int sw_port_del(struct sw *sw, const char *name, struct err *e);

/* Which addresses: of a network (by index), port (by id), VLAN; -1: of any. */
struct sw_fdb_filter {
	int net, port, vid;
};

/* Forgets learnt addresses. Returns how many. */
uint32_t sw_fdb_flush(struct sw *sw, struct sw_fdb_filter f);

/* Once a second: the clock of ages, and expiry. */
void sw_tick(struct sw *sw);
/* Looks for ports whose rings a worker found broken: says so and takes them out. */
void sw_faults(struct sw *sw);

/* Under the lock: after a change of networks' ageing. */
void sw_ages_changed(struct sw *sw);

/* Under the lock. NULL or -1: none of that name. */
struct sw_port *sw_port_find(struct sw *sw, const char *name);
int sw_net_find(const struct sw *sw, const char *name);

/* publish.c, under the lock: brings what workers see of a port in line with its device: rings that
 * should be in the view are put in, others are taken out and their indexes given back to
 * librte_vhost. hold: all are taken out. Returns when no worker uses what was taken out. */
void sw_port_sync(struct sw *sw, struct sw_port *p, bool hold);
/* Publishes the model as a new view and frees the old one after a grace period. */
void sw_publish(struct sw *sw);
/* Under the lock: logs why the port is disabled, if it is, once for each fault. */
void sw_port_fault_tell(struct sw_port *p);
/* Reads how often the guest kicked (eventfd writes) into p->kicks. */
void sw_port_kicks(struct sw *sw, struct sw_port *p);
/* A new call fd for a running ring (SET_VRING_CALL), without taking it out. */
void sw_ring_recall(struct sw *sw, struct sw_port *p, uint32_t ring);

/* rebalance.c, under the lock: measures what queues and workers had to do since the last time. */
void sw_load_measure(struct sw *sw);
/* The worker that a queue from the guest, about to be served, should have. */
uint16_t sw_worker_pick(const struct sw *sw, const struct sw_port *p, uint32_t pair);
/* Moves queues if that is worth it. */
void sw_rebalance(struct sw *sw);
/* On request, without the lock: moves them if it brings anything at all. {"moves": [...]} */
struct json_t *sw_rebalance_now(struct sw *sw);
/* Without the lock: keeps a queue at a worker, or (-1) leaves the choice to the switch again. */
int sw_queue_assign(struct sw *sw, const char *port, uint32_t pair, int worker, struct err *e);

/* trouble.c, under the lock. SET_MEM_TABLE has come, was carried out, or failed. */
void sw_trouble_mem_asked(struct sw_port *p);
void sw_trouble_mem_done(struct sw_port *p);
void sw_trouble_mem_refused(struct sw_port *p);
/* Once a second: memory that is not what it seems. */
void sw_trouble_tick(struct sw *sw);
/* NET_SET_MTU: true if it can't be. */
bool sw_trouble_mtu(const struct sw *sw, const struct sw_port *p, uint64_t mtu);

/* vhost.c: librte_vhost's side of a port. Without the lock. */
int sw_vhost_start(struct sw *sw, const struct sw_port *p, struct err *e);
void sw_vhost_stop(const struct sw_port *p);
/* The port's policy may say anew what the front end is offered: at its next connection. */
void sw_vhost_offer(const struct sw_port *p);
/* The switch that callbacks, which carry no argument, belong to. Set once, before any port. */
void sw_vhost_attach(struct sw *sw);

/* stats.c, control thread: takes the lock. port NULL: all. NULL with *e. */
struct json_t *sw_stats(struct sw *sw, const char *port, struct err *e);
struct json_t *sw_fdb_list(struct sw *sw, struct sw_fdb_filter f, uint32_t limit);

/* A reply has 8 MiB at most, and making one keeps the control thread. */
#define SW_FDB_LIST_DEFAULT 10000
#define SW_FDB_LIST_MAX     50000

#endif
