/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LANYARD_LAB_BENCH_TAPS_H
#define LANYARD_LAB_BENCH_TAPS_H

#include <jansson.h>

#include "config/topology.h"

/* "taps" into the switch's stats: by NIC ("a.0") rx_packets (from the guest), tx_packets,
 * rx_dropped, tx_dropped (the guest had no room). sys: "/sys", or a test's folder. */
void bench_taps_add(const char *sys, const struct topology *t, json_t *stats);

#endif
