/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's environment, as much of it as librte_vhost needs: a heap. No device, no telemetry, no
 * file outside; its threads run nothing of ours. */
#ifndef LANYARD_VSWITCH_EAL_H
#define LANYARD_VSWITCH_EAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Once, by the main thread. memory_mb: of the heap, 0 for the default. *huge: on entry whether
 * hugepages may be used, then whether they are. */
int eal_start(uint32_t memory_mb, bool *huge, struct err *e);
void eal_stop(void);

uint64_t eal_tsc_hz(void);
const char *eal_version(void); /* "DPDK 22.11.11" */

#endif
