/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what guests and switch reported to what a trial showed. Pure: JSON replies in, numbers out.
 *
 *	agents' traffic_status, switch's stats before and after -> struct bench_round (one run of a
 *	trial) -> over the rounds: medians and the best -> lab/report_*.c print them
 *
 * A number that was not measured is NaN (report: "-", JSON: null), never a guess.
 */
#ifndef LANYARD_LAB_BENCH_RESULT_H
#define LANYARD_LAB_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/err.h"
#include "lab/bench_cost.h"
#include "lab/bench_cpu.h"
#include "lab/bench_plan.h"

#define BENCH_L1_OVERHEAD 20 /* bytes a frame takes on a wire beyond itself: preamble 8, gap 12 */
#define BENCH_DROPS_MAX   48

/* Microseconds from the sender's time stamp to the receiver's; all NaN if none was measured. */
struct bench_latency {
	double min_us, p50_us, p90_us, p99_us, p999_us, max_us, mean_us;
};

struct bench_flow_result {
	uint64_t sent, received; /* received: each frame once, duplicates left out */
	int64_t lost;            /* sent - received */
	uint64_t duplicated, reordered, stale;
	uint64_t corrupt;              /* arrived, but harmed: lost all the same */
	uint64_t ring_full;            /* times that the sender found its ring full */
	double send_s, receive_s;      /* from the first frame to the last */
	double sent_fps, received_fps; /* frames/s in those times */
	double late_max_us;            /* the latest that a paced frame was sent after its time */
	double last_gap_s; /* from the first frame sent until a gap was last seen; 0: none was */
	struct bench_latency latency;
	bool missed;     /* more lost than the topology allows */
	json_t *buckets; /* latency histogram as the guest gave it, or NULL */
	char *hdr;       /* the same, encoded as HdrHistogram has it, in ns; or NULL */
};

struct bench_drop {
	char reason[48];
	uint64_t n;
};

/* A network's ports, summed. */
struct bench_net {
	uint64_t rx_frames, tx_frames, flooded, dropped;
};

/* Differences over the trial, of all the lab's ports and workers. */
struct bench_switch_result {
	uint64_t rx_frames, tx_frames, flooded; /* ports: from guests, to guests */
	uint64_t frames, bursts, polls, empty_polls, busy_cycles, idle_cycles, sleeps, wakeups;
	uint64_t notifications_sent, kicks_received;
	double cycles_per_frame, frames_per_burst, busy_ratio; /* of the workers */
	uint64_t dropped;
	size_t n_drops;
	struct bench_drop drop[BENCH_DROPS_MAX]; /* those that grew */
};

/* Of the switch, or of a node's VMM; NaN where not known. waited_s: wanted a CPU, and had none. */
struct bench_cpu {
	double run_s, waited_s;
};

/* What a node's generator did, and what it can do: NaN if no round of it was full. */
struct bench_load {
	uint64_t frames; /* in full rounds */
	double fps;      /* frames sent and received a second, had all its rounds been full */
};

/*
 * Places outside the switch where frames are lost: key in JSON, after "N" in a table, as a name.
 * First those that somebody counts as lost, then those between two who count what passes.
 *
 * nic_tx_dropped, nic_rx_missed: by the node's own NIC, as its guest's kernel counts, or by its VF,
 * as the host's PF does. nic: by a host port's NIC, or a tap that had no room. socket: by the
 * kernel of a guest whose engine took frames too slowly. sender_ring: the engine gave them to its
 * NIC, which counts none sent, or the switch none received; receiver_ring: the other way round.
 * between: VFs and taps counted them as sent, and none as received or missed: on a wire, in a NIC's
 * switch, in the kernel's bridge. of_no_flow: came, but nobody can say whose they are.
 */
#define BENCH_PLACES(X)                                                             \
	X(nic_tx_dropped, "dropped by the sender's NIC", "sender's NIC")            \
	X(nic, "by a NIC", "NIC")                                                   \
	X(nic_rx_missed, "missed by the receiver's NIC", "receiver's NIC")          \
	X(socket, "by the receiver's kernel, its socket full", "receiver's socket") \
	X(sender_ring, "in the sender's ring", "sender's ring")                     \
	X(receiver_ring, "in the receiver's ring", "receiver's ring")               \
	X(between, "between the NICs", "between the NICs")                          \
	X(of_no_flow, "of no flow", "of no flow")

struct bench_places {
#define X(key, in_table, name) uint64_t key;
	BENCH_PLACES(X)
#undef X
};

/* What can be wrong with a round. The first ones are of flows. */
enum bench_fault {
	BENCH_SENT_NOTHING,
	BENCH_SLOW,
	BENCH_LATE,
	BENCH_CORRUPT,
	BENCH_TWICE,
	BENCH_STALE,
	BENCH_TOO_MANY,
	BENCH_CLOCK,
	BENCH_FLOW_FAULTS,
	BENCH_UNEXPLAINED = BENCH_FLOW_FAULTS,
	BENCH_MISCOUNT,
	BENCH_FLOODED,
	BENCH_LEAK,
	BENCH_PORT_DISABLED,
	BENCH_OVERTIME,
	BENCH_SWITCH_WAITED,
	BENCH_GUEST_WAITED,
	BENCH_FAULTS
};

struct bench_warning {
	enum bench_fault fault;
	double badness; /* of two of one fault the greater is the worse */
	char *text;
};

struct bench_round {
	struct bench_flow_result *flow; /* as in the trial */
	size_t n_flows;
	struct bench_switch_result sw;
	struct bench_net *net; /* as the topology's networks; differences over the trial */
	size_t n_nets;
	struct bench_cpu *cpu; /* of the switch, then of the nodes */
	size_t n_cpus;
	struct bench_load *load; /* by node */
	struct bench_cost cost;  /* while it was sent; all NaN: not known */
	struct bench_places places;
	uint64_t sent, received;
	int64_t lost, unexplained;     /* unexplained: lost, but none of these: dropped, corrupt, */
	int64_t apart;                 /* sent to where the ports' policies let nothing through, */
				       /* or at one of the places */
	double sent_fps, received_fps; /* sums over the flows */
	bool missed;
	size_t n_warnings;
	struct bench_warning *warnings;
};

/* What one run of a trial left behind. status: by node, NULL for those that take no part; so is
 * counted_before, what their NICs had counted until then, or NULL: not known of any. */
struct bench_raw {
	json_t **status, **counted_before;
	json_t *stats_before, *stats_after;
	const struct bench_cpu_sample *cpu_before, *cpu_after; /* n_nodes + 1; NULL: not known */
	const struct bench_cost_sample *cost;                  /* before and after, or NULL */
	double tsc_hz;
};

/* Fills *r, to be freed. -EPROTO: a reply lacks what the contract promises (it is named). */
int bench_round_make(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_round *r, struct err *e);
void bench_round_free(struct bench_round *r);
int bench_round_warn(struct bench_round *r, enum bench_fault fault, double badness, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));

/* Adds up each network's ports of the switch's stats to net[n_networks]. */
int bench_nets_sum(
	const struct topology *t, const json_t *stats, struct bench_net *net, struct err *e);
/* Whether an end of the trial is on the network. */
bool bench_net_takes_part(const struct topology *t, const struct bench_trial *x, size_t network);

/* The figures of which a trial of several rounds gives medians. */
struct bench_figures {
	double sent_fps, received_fps, cycles_per_frame;
	struct bench_latency latency;
};

struct bench_summary {
	/* Lower medians over the rounds, figure by figure: each was measured in some round. Of the
	 * whole trial at [0] (latency: the worst flow's), of flow i at [i + 1]. */
	struct bench_figures *median;
	size_t best;             /* index of the round that received most frames/s */
	double best_cycles;      /* fewest busy cycles per frame of any round */
	double min_fps, max_fps; /* received, of all rounds */
	uint64_t sent, received;
	int64_t lost, lost_max; /* all rounds; the worst */
	size_t n_missed;
};

int bench_summary_make(const struct bench_round *r, size_t n, struct bench_summary *s);
void bench_summary_free(struct bench_summary *s);

/* The lower median of n numbers, NaN ones left out; NaN if there are none. Sorts v. */
double bench_median(double *v, size_t n);

/* The worst of the flows' latencies, figure by figure (min: the least). */
struct bench_latency bench_latency_worst(const struct bench_round *r);

/* Bits/s at layer 2 (with FCS) and layer 1, summed over the flows; received. */
double bench_round_bps(const struct bench_trial *x, const struct bench_round *r, unsigned overhead);

#endif
