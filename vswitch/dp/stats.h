/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of the data path. Each has one writer at a time (its worker, or whoever holds the
 * output lock) and any reader; plain adds by relaxed stores, once a burst. They belong to the port
 * and outlive its connections; they are never reset. The few with several writers say so.
 */
#ifndef LANYARD_VSWITCH_DP_STATS_H
#define LANYARD_VSWITCH_DP_STATS_H

#include <stdint.h>

/*
 * Why a frame was dropped: one list makes the enum, the names and the counters. Each dropped frame
 * (of a flood: each copy) adds one to exactly one of them. rx_*: at the port that it came in by.
 * tx_*: at the port that it should have left by.
 */
#define DP_DROPS(X)                                                                           \
	X(rx_runt, "shorter than an Ethernet header")                                         \
	X(rx_oversize, "longer than the network's MTU allows")                                \
	X(rx_bad_source, "its source address is a multicast address or zero")                 \
	X(rx_segments, "in more pieces than we follow")                                       \
	X(rx_uncertain, "may have been delivered already, by a switch that died")             \
	X(rx_bad_offload, "its virtio-net header asks for what can't be, or was not offered") \
	X(rx_admin_down, "its port is administratively down")                                 \
	X(rx_mirror, "its port is a mirror's target, which is there to listen only")          \
	X(rx_vlan, "its port is no member of its VLAN")                                       \
	X(rx_spoofed, "its MAC, ARP or ND source is not its port's")                          \
	X(rx_policed, "above the rate that its port may send")                                \
	X(rx_storm, "above the rate of flooded frames that its port may send")                \
	X(rx_isolated, "from an isolated port to an isolated port")                           \
	X(rx_same_port, "its destination lives behind the port that it came from")            \
	X(rx_reflected, "a port of ours sent it: the NIC's own switch gave it back")          \
	X(rx_no_receiver, "to be flooded, but no other port of the network is up")            \
	X(tx_port_down, "the output port is waiting or disabled")                             \
	X(tx_ring_full, "the receiver has no free buffers")                                   \
	X(tx_buffer_small, "the receiver's buffer is too small, and buffers can't be merged") \
	X(tx_bad_ring, "the receiver's ring turned out malformed while it was being filled")

enum dp_drop {
#define X(name, text) DP_DROP_##name,
	DP_DROPS(X)
#undef X
		DP_DROP_MAX
};

/* The name of a reason, as in `stats`; the sentence that explains it. */
const char *dp_drop_name(enum dp_drop d);
const char *dp_drop_text(enum dp_drop d);

struct dp_traffic {
	uint64_t frames, bytes;
};

/* One direction of one queue pair of a port. */
struct dp_queue_stats {
	struct dp_traffic traffic;
	uint64_t drops[DP_DROP_MAX];
	uint64_t flooded;       /* in: frames sent to all other ports */
	uint64_t notifications; /* eventfd writes to the guest */
	uint64_t busy_cycles;   /* in: TSC, of looks that found frames and what followed */
	/* out: completed in software, since the receiver didn't negotiate it */
	uint64_t soft_checksums; /* frames, those that were segmented not counted */
	uint64_t soft_segmented; /* big frames that were cut up */
} __attribute__((aligned(64)));

#define DP_BURST         64
#define DP_BURST_BUCKETS 7 /* bursts of 1, 2-3, 4-7, ... 32-63, 64 frames */

struct dp_worker_stats {
	uint64_t frames;          /* taken from guests, each once */
	uint64_t bursts;          /* looks at a ring that found frames */
	uint64_t polls;           /* rounds over all rings */
	uint64_t empty_polls;     /* rounds that found nothing */
	uint64_t busy_cycles;     /* TSC, of rounds that had frames */
	uint64_t idle_cycles;     /* TSC, of the others, sleep not counted */
	uint64_t sleeps, wakeups; /* wakeups: those by a kick or the control side, not by time */
	uint64_t burst_histogram[DP_BURST_BUCKETS];
} __attribute__((aligned(64)));

static inline void dp_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

/* For counters with several writers. */
static inline void dp_count_shared(uint64_t *c, uint64_t n)
{
	__atomic_fetch_add(c, n, __ATOMIC_RELAXED);
}

static inline uint64_t dp_counter_read(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

#endif
