/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where frames were lost outside the switch. Along a frame's way there are those who count:
 *
 *	engine > own NIC >     VF's or tap's way     > own NIC > socket > engine
 *	       > port of the switch ... another port >
 *
 * What one gave and the next never got was lost between them: in a ring, or, from one VF or tap to
 * another, on the wire, in the NIC's switch or in the bridge. NICs, taps and sockets count what
 * they drop themselves, and that is taken off first.
 *
 * Own NICs are counted by guests whose engine has a kernel beneath (Linux); a VF is also counted by
 * the host's PF, if its driver does. Frames of others on the same NIC, such as the guest's kernel
 * sends, are left out: a NIC gave no more than its engine did, and what came but was of no flow
 * (rx_other) is known. Pure.
 */
#include <string.h>

#include "lab/bench_parts.h"

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static const json_t *find_port(const json_t *stats, const char *name)
{
	const json_t *port;
	size_t i;

	json_array_foreach (json_object_get(stats, "ports"), i, port) {
		const char *s = json_string_value(json_object_get(port, "name"));

		if (s && strcmp(s, name) == 0)
			return port;
	}
	return NULL;
}

/* What the port counted over the trial; way: "rx" or "tx". */
static uint64_t port_frames(const struct bench_raw *raw, const char *name, const char *way)
{
	const json_t *before = find_port(raw->stats_before, name);
	const json_t *after = find_port(raw->stats_after, name);

	return number(json_object_get(after, way), "frames") -
		number(json_object_get(before, way), "frames");
}

static uint64_t more(uint64_t given, uint64_t taken)
{
	return given > taken ? given - taken : 0;
}

/* Counters of the devices behind host ports, over the trial. */
static uint64_t nic_lost(const struct bench_raw *raw)
{
	static const char *const keys[] = { "rx_missed", "rx_errors", "rx_no_memory", "tx_errors" };
	const json_t *port;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach (json_object_get(raw->stats_after, "ports"), i, port) {
		const char *name = json_string_value(json_object_get(port, "name"));
		const json_t *before = name ? find_port(raw->stats_before, name) : NULL;

		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			sum += more(number(json_object_get(port, "device"), keys[k]),
				number(json_object_get(before, "device"), keys[k]));
	}
	return sum;
}

/* What a tap counted over the trial. */
static uint64_t tap_count(const struct bench_raw *raw, const char *name, const char *key)
{
	const json_t *before = json_object_get(json_object_get(raw->stats_before, "taps"), name);
	const json_t *after = json_object_get(json_object_get(raw->stats_after, "taps"), name);

	return more(number(after, key), number(before, key));
}

/* What the host's PF counted of a NIC's VF; 0 if it counts none. */
static uint64_t vf_count(const struct bench_raw *raw, const char *name, const char *key)
{
	const json_t *before = json_object_get(json_object_get(raw->stats_before, "vfs"), name);
	const json_t *after = json_object_get(json_object_get(raw->stats_after, "vfs"), name);

	return before ? more(number(after, key), number(before, key)) : 0;
}

/* A NIC of the trial: what its engine moved, what it lost itself, and what passed it. */
struct nic {
	const char *name; /* of its port */
	const json_t *before, *after;
	bool counted;                 /* by its guest's kernel; the numbers below are 0 if not */
	uint64_t given, taken, other; /* by the engine: sent; received, and of that of no flow */
	uint64_t tx_dropped, rx_missed, socket;
};

static uint64_t nic_count(const struct nic *n, const char *key)
{
	return more(number(json_object_get(n->after, "counters"), key),
		number(json_object_get(n->before, "counters"), key));
}

static struct nic nic_read(const struct bench_raw *raw, size_t node, size_t i, const char *name)
{
	const json_t *before = raw->counted_before ? raw->counted_before[node] : NULL;
	struct nic n = { .name = name };

	n.after = json_array_get(json_object_get(raw->status[node], "nics"), i);
	n.before = json_array_get(json_object_get(before, "nics"), i);
	n.counted = json_object_get(n.before, "counters") && json_object_get(n.after, "counters");
	n.given = number(n.after, "tx_frames");
	n.taken = number(n.after, "rx_frames");
	n.other = number(n.after, "rx_other");
	if (!n.counted)
		return n;
	n.tx_dropped = nic_count(&n, "tx_dropped") + nic_count(&n, "tx_errors");
	n.rx_missed = nic_count(&n, "rx_missed_errors") + nic_count(&n, "rx_errors") +
		nic_count(&n, "rx_dropped");
	n.socket = nic_count(&n, "socket_dropped");
	return n;
}

/* What went out of VFs and taps towards one another, and what came. */
struct way {
	bool unknown, vfs;
	uint64_t in, out;
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* n: a NIC next to which `got` frames were counted from it, and `put` to it. */
static void ring_places(const struct nic *n, uint64_t got, uint64_t put, struct bench_places *out)
{
	out->sender_ring += more(n->given, got + n->tx_dropped);
	out->receiver_ring += more(put, n->taken + n->rx_missed + n->socket);
}

/* The kernel counts what passes a tap, and what it had no room for. */
static void tap_places(
	const struct bench_raw *raw, const struct nic *n, struct way *way, struct bench_places *out)
{
	uint64_t from = tap_count(raw, n->name, "rx_packets");
	uint64_t to = tap_count(raw, n->name, "tx_packets");
	uint64_t dropped = tap_count(raw, n->name, "tx_dropped");

	ring_places(n, from, to, out);
	out->nic += dropped + tap_count(raw, n->name, "rx_dropped");
	way->in += least(from, n->given);
	way->out += more(to + dropped, n->other);
}

/* Nobody but the guest counts what passes a VF; what it lost, the PF may. */
static void vf_places(
	const struct bench_raw *raw, struct nic *n, struct way *way, struct bench_places *out)
{
	uint64_t from = nic_count(n, "tx_packets"), to = nic_count(n, "rx_packets");
	uint64_t tx_dropped = vf_count(raw, n->name, "tx_dropped");
	uint64_t rx_dropped = vf_count(raw, n->name, "rx_dropped");

	/* Both look at the same frames: whoever saw more. */
	if (tx_dropped > n->tx_dropped)
		n->tx_dropped = tx_dropped;
	if (rx_dropped > n->rx_missed)
		n->rx_missed = rx_dropped;
	way->vfs = true;
	if (!n->counted) {
		way->unknown = true;
		return;
	}
	/* What it missed it did not count as received. */
	out->sender_ring += more(n->given, from + n->tx_dropped);
	out->receiver_ring += more(to, n->taken + n->socket);
	way->in += least(from, n->given);
	way->out += more(to + n->rx_missed, n->other);
}

/* What the switch gave to the NICs of its host ports, and what came of them. */
static void wire_ends(const struct bench_raw *raw, struct way *way)
{
	const json_t *port;
	size_t i;

	json_array_foreach (json_object_get(raw->stats_after, "ports"), i, port) {
		const char *name = json_string_value(json_object_get(port, "name"));

		if (!name || !json_is_object(json_object_get(port, "device")))
			continue;
		way->in += port_frames(raw, name, "tx");
		way->out += port_frames(raw, name, "rx");
	}
	way->out += nic_lost(raw);
}

void bench_places_find(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_places *out)
{
	struct way way = { 0 };
	char name[TOPO_NAME_MAX + 12];

	*out = (struct bench_places){ 0 };
	for (size_t i = 0; i < t->n_nodes; i++) {
		for (size_t k = 0; k < t->nodes[i].n_nics; k++) {
			const struct topo_nic *is = &t->nodes[i].nics[k];
			struct nic n;

			if (!bench_nic_takes_part(x, i, k))
				continue;
			n = nic_read(raw, i, k, topology_port_name(t, i, k, name));
			if (!n.after)
				continue;
			if (topology_nic_is_tap(t, is))
				tap_places(raw, &n, &way, out);
			else if (is->vf.want)
				vf_places(raw, &n, &way, out);
			else
				ring_places(&n, port_frames(raw, name, "rx"),
					port_frames(raw, name, "tx"), out);
			out->of_no_flow += n.other;
			out->nic_tx_dropped += n.tx_dropped;
			out->nic_rx_missed += n.rx_missed;
			out->socket += n.socket;
		}
	}
	out->nic += nic_lost(raw);
	if (way.vfs) /* ... and the switch may be at the other end of their wire */
		wire_ends(raw, &way);
	out->between = way.unknown ? 0 : more(way.in, way.out);
}
