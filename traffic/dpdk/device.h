/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's environment, and the virtio-user devices that connect to vhost-user sockets. */
#ifndef LANYARD_TRAFFIC_DPDK_DEVICE_H
#define LANYARD_TRAFFIC_DPDK_DEVICE_H

#include <stdint.h>

#include "base/err.h"
#include "traffic/dpdk/options.h"

/* Once, by the main thread, which is pinned to o->cpu and is the one to poll. */
int tg_eal_start(const struct tg_options *o, struct err *e);
void tg_eal_stop(void);

/* Without DPDK: pins the calling thread to o->cpu, if there is one; the TSC's rate, measured. */
int tg_pin(const struct tg_options *o, struct err *e);
uint64_t tg_tsc_measure(void);

/* Makes the device of port i; *ethdev is its id. With o->server it waits for a switch. */
int tg_device_make(const struct tg_options *o, uint32_t i, uint16_t *ethdev, struct err *e);

uint64_t tg_tsc_hz(void);
const char *tg_dpdk_version(void);

#endif
