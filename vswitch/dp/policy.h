/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is demanded of a port's frames: the VLANs that it is in, whom its guest may say it is, how
 * much it may send. Made by the control side, part of a view and as immutable; a port of which
 * nothing is demanded has none, and costs nothing. What changes with each frame (the meters'
 * buckets) lives in the port.
 *
 * A frame from a guest passes, in this order: admin state, anti-spoofing, policing
 * (dp_policy_burst, for ports that want each frame looked at); then in decide.c: VLAN, learning
 * with its limit, look-up, storm control, isolation.
 */
#ifndef LANYARD_VSWITCH_DP_POLICY_H
#define LANYARD_VSWITCH_DP_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define DP_VLANS     4096
#define DP_VLAN_LAST 4094
#define DP_NO_VLAN   UINT16_MAX
#define DP_SPOOF_MAX 64 /* addresses of a kind */

/* A token bucket's rate and its state; zeroed, it is full. */
struct dp_rate {
	uint64_t burst;              /* tokens that the bucket holds; 0: no such rate */
	uint64_t period, per_period; /* cycles; tokens that each brings */
};

struct dp_bucket {
	uint64_t time, tokens;
};

/* Takes n tokens at cycle `now`. False: there aren't as many. One thread at a time. */
bool dp_meter_take(struct dp_bucket *b, const struct dp_rate *r, uint64_t now, uint32_t n);

/* What is flooded, and why. */
enum dp_storm { DP_STORM_BROADCAST, DP_STORM_MULTICAST, DP_STORM_UNKNOWN, DP_STORM_MAX };

/* Who a port's guest may say it is. Addresses as they stand in frames. */
struct dp_spoof {
	uint16_t n_macs, n_ip4, n_ip6; /* n_macs 0: nothing is checked. IP: 0: any */
	bool router;                   /* may advertise itself and redirect (IPv6) */
	uint64_t macs[DP_SPOOF_MAX];   /* as an 8-byte load gives them, masked */
	uint32_t ip4[DP_SPOOF_MAX];
	uint8_t ip6[DP_SPOOF_MAX][16];
};

struct dp_policy {
	bool each; /* dp_policy_burst is to see its frames */
	bool admin_down;
	bool isolated;
	bool tagged;        /* frames with a tag are taken, if of a VLAN in `vlans` */
	uint16_t untagged;  /* the VLAN of frames without, or of priority; DP_NO_VLAN: refused */
	uint32_t mac_limit; /* learnt addresses, or FDB_NO_LIMIT */
	uint64_t vlans[DP_VLANS / 64]; /* those that it is a member of; bit 0: of frames of none */
	struct dp_rate storm[DP_STORM_MAX], police;
	struct dp_spoof spoof;
};

/* Is a port of this policy (NULL: none) a member of a VLAN? */
static inline bool dp_policy_member(const struct dp_policy *p, uint32_t vid)
{
	return !p || p->vlans[vid / 64] >> vid % 64 & 1;
}

struct dp_forwarder;
struct dp_inq;

/* Looks at each frame of f->burst, which came in by q, as p demands. Those that may not pass are
 * counted and get length 0, as peek's. Returns their bytes. */
uint64_t dp_policy_burst(struct dp_forwarder *f, struct dp_inq *q, const struct dp_policy *p);

struct dp_burst;
struct dp_frame;

/* Is the frame (at least an Ethernet header of it) what s allows? May deepen our copy of it, so
 * that what was looked at is what is delivered. */
bool dp_spoof_passes(const struct dp_spoof *s, struct dp_burst *b, struct dp_frame *fr);

#endif
