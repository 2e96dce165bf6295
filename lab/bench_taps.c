/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counts of the taps in a lab, beside what the switch counts of its ports. */
#include <inttypes.h>
#include <stdio.h>

#include "lab/bench_taps.h"
#include "lab/host.h"
#include "lab/netdev.h"

static const char *const keys[] = { "rx_packets", "tx_packets", "rx_dropped", "tx_dropped" };

static json_t *counters(const char *sys, const char *interface)
{
	json_t *j = json_object();
	char path[640];
	uint64_t v;

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		snprintf(path, sizeof path, "%.256s/class/net/%s/statistics/%s", sys, interface,
			keys[i]);
		if (host_read_u64(path, &v) == 0)
			json_object_set_new(j, keys[i], json_integer((json_int_t)v));
	}
	return j;
}

void bench_taps_add(const char *sys, const struct topology *t, json_t *stats)
{
	json_t *taps = json_object();
	char name[TOPO_NAME_MAX + 12], interface[NETDEV_NAME];

	for (size_t n = 0; n < t->n_nodes; n++)
		for (size_t i = 0; i < t->nodes[n].n_nics; i++)
			if (topology_nic_is_tap(t, &t->nodes[n].nics[i]))
				json_object_set_new(taps, topology_port_name(t, n, i, name),
					counters(sys, netdev_name(t->lab, name, interface)));
	json_object_set_new(stats, "taps", taps);
}
