/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See decide.h. A frame like the one before goes the same way at once: that is the fast path. For
 * the others, the FDB's cache lines are asked for before they are needed, so that a million
 * addresses cost little more than ten.
 */
#include "vswitch/dp/decide.h"

#include <string.h>

#include "base/ether.h"

#define VLAN_TAG_LEN 4
#define LOOK_AHEAD   16 /* frames: for one that differs from the one before */

static inline uint64_t load_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* A frame's ethertype at 12, as it lies in memory. */
static inline uint16_t frame_type(const struct dp_frame *fr)
{
	uint16_t t;

	memcpy(&t, fr->hdr + 12, 2);
	return t;
}

/* The tag of a frame as it lies in memory, its type included; 0: none. */
static inline uint32_t frame_tag(const struct dp_frame *fr)
{
	uint32_t t;

	memcpy(&t, fr->hdr + 12, 4);
	return (uint16_t)t == __builtin_bswap16(0x8100) ? t : 0;
}

/* Which of a port's output queues a flow uses: the same one for all its frames. The addresses and,
 * for IP, what follows are mixed; exactness of protocol does not matter, sameness does. */
static uint32_t flow_hash(const struct dp_frame *fr)
{
	uint64_t h = load_u64(fr->hdr) ^ load_u64(fr->hdr + 6) * 0x9e3779b97f4a7c15ull;
	const uint8_t *l3 = fr->hdr + ETHER_HDR_LEN;
	uint32_t ip4[2], ports;

	if (frame_type(fr) == __builtin_bswap16(0x0800) && fr->hdr_len >= ETHER_HDR_LEN + 24 &&
		(l3[0] & 0xf0) == 0x40) {
		memcpy(ip4, l3 + 12, 8);
		h ^= ((uint64_t)ip4[0] << 32 | ip4[1]) * 0xd6e8feb86659fd93ull;
		/* Ports, for TCP and UDP without options and fragments: they would split a flow. */
		if (l3[0] == 0x45 && (l3[9] == 6 || l3[9] == 17) && !((l3[6] & 0x3f) | l3[7])) {
			memcpy(&ports, l3 + 20, 4);
			h ^= ports * 0x9e3779b97f4a7c15ull;
		}
	} else if (frame_type(fr) == __builtin_bswap16(0x86dd) &&
		fr->hdr_len >= ETHER_HDR_LEN + 44) {
		h ^= load_u64(l3 + 8) ^ load_u64(l3 + 16) * 3 ^ load_u64(l3 + 24) * 5 ^
			load_u64(l3 + 32) * 7;
		if (l3[6] == 6 || l3[6] == 17) {
			memcpy(&ports, l3 + 40, 4);
			h ^= ports * 0x9e3779b97f4a7c15ull;
		}
	}
	h *= 0xd6e8feb86659fd93ull;
	return (uint32_t)(h >> 32);
}

static inline void stage_add(struct dp_forwarder *f, uint32_t slot, uint32_t i)
{
	struct dp_stage *s = &f->stage[slot];

	if (s->n == 0)
		f->touched[f->n_touched++] = (uint16_t)slot;
	s->idx[s->n++] = (uint8_t)i;
}

static inline void stage_to_port(
	struct dp_forwarder *f, const struct dp_view *v, uint16_t port, uint32_t i)
{
	const struct dp_view_port *p = &v->ports[port];
	uint32_t slot = p->out_slot;

	if (unlikely(p->n_outs > 1))
		slot += flow_hash(&f->burst.frame[i]) % p->n_outs;
	stage_add(f, slot, i);
}

static bool port_is_up(const struct dp_view_port *p)
{
	return p->n_outs && __atomic_load_n(&p->port->fault, __ATOMIC_RELAXED) == RING_OK;
}

/* The VLAN that a frame is in, by its tag (as frame_tag) and its port's policy; DP_NO_VLAN: the
 * port is in no such VLAN. */
static inline uint16_t vlan_of(const struct dp_policy *pol, uint32_t tag)
{
	uint16_t vid = __builtin_bswap16((uint16_t)(tag >> 16)) & DP_META_VID;

	if (!vid) /* no tag, or one that has but a priority */
		return pol ? pol->untagged : 0;
	if (vid > DP_VLAN_LAST || (pol && (!pol->tagged || !dp_policy_member(pol, vid))))
		return DP_NO_VLAN;
	return vid;
}

/* What of a flood a port may send. */
static bool storm_passes(const struct dp_forwarder *f, const struct dp_policy *pol,
	struct dp_port *port, const struct dp_frame *fr)
{
	enum dp_storm kind = DP_STORM_UNKNOWN;
	bool passes;

	if (fr->hdr[0] & 1)
		kind = (load_u64(fr->hdr) & FDB_MAC_MASK) == FDB_MAC_MASK ? DP_STORM_BROADCAST
									  : DP_STORM_MULTICAST;
	if (!pol->storm[kind].burst)
		return true;
	dp_meter_lock(port);
	passes = dp_meter_take(&port->storm[kind], &pol->storm[kind], dp_cycles(f), 1);
	dp_meter_unlock(port);
	return passes;
}

static void flood(struct dp_forwarder *f, const struct dp_view *v, const struct dp_inq *q,
	const struct dp_view_net *net, uint32_t i)
{
	const struct dp_view_port *from = &v->ports[q->port->id];
	const struct dp_frame *fr = &f->burst.frame[i];
	uint32_t copies = 0, isolated = 0;

	if (unlikely(from->policy) && !storm_passes(f, from->policy, q->port, fr)) {
		f->burst.drops[DP_DROP_rx_storm]++;
		return;
	}
	for (uint32_t m = 0; m < net->n_members; m++) {
		uint16_t id = net->members[m];
		const struct dp_view_port *p = &v->ports[id];

		if (id == q->port->id || !port_is_up(p) ||
			!dp_policy_member(p->policy, fr->meta & DP_META_VID))
			continue;
		if (unlikely(from->isolated && p->isolated)) {
			isolated++;
			continue;
		}
		stage_to_port(f, v, id, i);
		copies++;
	}
	if (copies)
		f->flooded++;
	else
		f->burst.drops[isolated ? DP_DROP_rx_isolated : DP_DROP_rx_no_receiver]++;
}

/* The frame is longer than the network allows. A VLAN tag's four bytes are free. */
static inline bool is_oversize(const struct dp_frame *fr, const struct dp_view_net *net)
{
	uint32_t len;

	if (likely(fr->len <= net->max_len))
		return false;
	len = dp_frame_wire_len(fr);
	return len > net->max_len &&
		!(len <= net->max_len + VLAN_TAG_LEN &&
			frame_type(fr) == __builtin_bswap16(0x8100));
}

/* Forgets what the queue's last frame taught, if that may have changed. Once a burst. */
static inline void memory_check(const struct dp_view *v, struct dp_inq *q, uint32_t now_s)
{
	uint32_t epoch = fdb_epoch(v->fdb);

	if (unlikely(epoch != q->last_epoch || now_s != q->last_s ||
		    v->generation != q->last_generation)) {
		q->last_epoch = epoch;
		q->last_s = now_s;
		q->last_generation = v->generation;
		q->last_tag = DP_TAG_UNKNOWN;
	}
}

/*
 * Has the FDB's lines for frame i and those behind it fetched, unless they are on their way. One
 * that differs may be alone: a few are asked for. Where the next one differs as well, all of the
 * burst's are, as memory answers many at once in little more time than one. What is no frame is
 * looked up all the same: nobody asks for the result.
 */
static inline void look_ahead(struct dp_forwarder *f, const struct dp_view *v,
	const struct dp_policy *pol, const struct dp_view_net *net, uint32_t i)
{
	uint32_t to = i + (f->ahead > i ? DP_BURST : LOOK_AHEAD);

	if (to > f->burst.n)
		to = f->burst.n;
	if (f->ahead < i)
		f->ahead = i;
	for (; f->ahead < to; f->ahead++) {
		const struct dp_frame *fr = &f->burst.frame[f->ahead];
		struct fdb_addr *src = &f->src[f->ahead], *dst = &f->dst[f->ahead];
		uint16_t vid = vlan_of(pol, frame_tag(fr));

		*src = fdb_addr(v->fdb, fdb_key(net->id, load_u64(fr->hdr + 6)), vid);
		*dst = fdb_addr(v->fdb, fdb_key(net->id, load_u64(fr->hdr)), vid);
		fdb_prefetch(v->fdb, src);
		fdb_prefetch(v->fdb, dst);
	}
}

static enum fdb_result learn(struct dp_forwarder *f, const struct dp_view *v,
	const struct dp_policy *pol, const struct dp_inq *q, uint32_t i, uint32_t now_s)
{
	enum fdb_result res = fdb_learn(
		v->fdb, &f->src[i], q->port->id, now_s, pol ? pol->mac_limit : FDB_NO_LIMIT);

	f->learned += res == FDB_LEARNED;
	f->moved += res == FDB_MOVED;
	f->unlearned += res == FDB_LIMITED;
	return res;
}

/*
 * A VF's NIC is a switch of its own, and some give a VF its own broadcasts back (QEMU's igb; others
 * as a VEPA). Taken for new, such a frame would say that its sender lives behind the VF: answers
 * to him would go nowhere. So: whose address was heard lately at a port that is up and is no VF,
 * does not send from behind one. Who really moved there has to wait that long.
 */
static bool is_reflected(const struct dp_forwarder *f, const struct dp_view *v,
	const struct dp_inq *q, uint32_t i, uint32_t now_s)
{
	uint16_t port = fdb_lookup_fresh(v->fdb, &f->src[i], now_s);
	const struct dp_view_port *p = port < v->n_ports ? &v->ports[port] : NULL;

	return p && p->port && port != q->port->id && p->net == q->net && !p->reflects &&
		port_is_up(p);
}

/* Where does frame i go? Stages it, or counts why not. The whole decision: for frames that are not
 * like the one before. */
static void decide(struct dp_forwarder *f, const struct dp_view *v, struct dp_inq *q,
	const struct dp_view_net *net, uint32_t i, uint32_t now_s)
{
	const struct dp_view_port *p, *from = &v->ports[q->port->id];
	struct dp_frame *fr = &f->burst.frame[i];
	uint32_t *drops = f->burst.drops, tag = frame_tag(fr);
	uint16_t vid = vlan_of(from->policy, tag), port;
	enum fdb_result res;

	q->last_tag = DP_TAG_UNKNOWN;
	if (tag && fr->len < ETHER_HDR_LEN + VLAN_TAG_LEN) {
		drops[DP_DROP_rx_runt]++;
		return;
	}
	if (fr->hdr[6] & 1 || !(load_u64(fr->hdr + 6) & FDB_MAC_MASK)) {
		drops[DP_DROP_rx_bad_source]++;
		return;
	}
	if (vid == DP_NO_VLAN) {
		drops[DP_DROP_rx_vlan]++;
		return;
	}
	fr->meta |= vid | (tag ? DP_META_TAGGED : 0);
	look_ahead(f, v, from->policy, net, i);
	if (unlikely(from->reflects && is_reflected(f, v, q, i, now_s))) {
		drops[DP_DROP_rx_reflected]++;
		return;
	}
	res = learn(f, v, from->policy, q, i, now_s);
	port = fr->hdr[0] & 1 ? FDB_NO_PORT : fdb_lookup(v->fdb, &f->dst[i]);
	p = port < v->n_ports ? &v->ports[port] : NULL;
	/* An entry may be older than the view; never let a frame out of its network or VLAN. */
	if (!p || !p->port || p->net != q->net || p->mirror_target ||
		!dp_policy_member(p->policy, vid)) {
		flood(f, v, q, net, i);
		return;
	}
	if (port == q->port->id) {
		drops[DP_DROP_rx_same_port]++;
	} else if (unlikely(from->isolated && p->isolated)) {
		drops[DP_DROP_rx_isolated]++;
	} else if (!port_is_up(p)) {
		dp_count_shared(&p->port->drops_down, 1);
	} else {
		stage_to_port(f, v, port, i);
		if (p->n_outs == 1 && res != FDB_FULL && res != FDB_LIMITED) {
			q->last_src = load_u64(fr->hdr + 6);
			q->last_dst = load_u64(fr->hdr);
			q->last_tag = tag;
			q->last_meta = vid | (tag ? DP_META_TAGGED : 0);
			q->last_slot = p->out_slot;
		}
	}
}

/* The frame is like the one before. */
static inline bool is_like_last(const struct dp_frame *fr, const struct dp_inq *q)
{
	uint64_t differs =
		((load_u64(fr->hdr) ^ q->last_dst) | (load_u64(fr->hdr + 6) ^ q->last_src)) &
		FDB_MAC_MASK;

	return (differs | (frame_tag(fr) ^ q->last_tag)) == 0;
}

void dp_decide(struct dp_forwarder *f, const struct dp_view *v, struct dp_inq *q,
	const struct dp_view_net *net, uint32_t now_s)
{
	const struct dp_policy *pol = v->ports[q->port->id].policy;
	struct dp_burst *b = &f->burst;
	uint64_t bytes = 0;

	memory_check(v, q, now_s);
	f->ahead = 0;
	if (unlikely(pol && pol->each))
		bytes = dp_policy_burst(f, q, pol);
	for (uint32_t i = 0; i < b->n; i++) {
		struct dp_frame *fr = &b->frame[i];

		bytes += fr->len;
		if (unlikely(fr->len < ETHER_HDR_LEN)) {
			/* 0: dropped and counted already */
			b->drops[DP_DROP_rx_runt] += fr->len != 0;
		} else if (is_oversize(fr, net)) {
			b->drops[DP_DROP_rx_oversize]++;
		} else if (likely(is_like_last(fr, q) && fr->len >= ETHER_HDR_LEN + VLAN_TAG_LEN)) {
			fr->meta |= q->last_meta;
			stage_add(f, q->last_slot, i);
		} else {
			decide(f, v, q, net, i, now_s);
		}
	}
	b->bytes = bytes;
}
