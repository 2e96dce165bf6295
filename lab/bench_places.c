/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where frames were lost outside the switch: on either side of each NIC's rings somebody counts,
 * the guest and the switch's port, or the kernel's tap; what one gave and the other never got was
 * lost in the ring. NICs of host ports, and taps, count what they lose themselves. Pure.
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

/* A tap counts as a port does, and what it had no room for besides. */
static void tap_places(
	const struct bench_raw *raw, const json_t *nic, const char *name, struct bench_places *out)
{
	out->sender_ring += more(number(nic, "tx_frames"), tap_count(raw, name, "rx_packets"));
	out->receiver_ring += more(tap_count(raw, name, "tx_packets"), number(nic, "rx_frames"));
	out->nic += tap_count(raw, name, "tx_dropped") + tap_count(raw, name, "rx_dropped");
}

void bench_places_find(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_places *out)
{
	char name[TOPO_NAME_MAX + 12];

	*out = (struct bench_places){ 0 };
	for (size_t n = 0; n < t->n_nodes; n++) {
		const json_t *nics = json_object_get(raw->status[n], "nics");

		for (size_t i = 0; i < t->nodes[n].n_nics; i++) {
			const json_t *nic = json_array_get(nics, i);

			if (!nic || !bench_nic_takes_part(x, n, i))
				continue;
			topology_port_name(t, n, i, name);
			out->of_no_flow += number(nic, "rx_other");
			if (topology_nic_is_tap(t, &t->nodes[n].nics[i]))
				tap_places(raw, nic, name, out);
			if (topology_nic_is_tap(t, &t->nodes[n].nics[i]) ||
				t->nodes[n].nics[i].vf.want) /* nobody on the host counts a VF's */
				continue;
			out->sender_ring +=
				more(number(nic, "tx_frames"), port_frames(raw, name, "rx"));
			out->receiver_ring +=
				more(port_frames(raw, name, "tx"), number(nic, "rx_frames"));
		}
	}
	out->nic += nic_lost(raw);
}
