/* SPDX-License-Identifier: Apache-2.0 */
/* A trial's result as JSON: docs/traffic.md has the fields. */
#ifndef LANYARD_TRAFFIC_DPDK_REPORT_H
#define LANYARD_TRAFFIC_DPDK_REPORT_H

#include <stdio.h>

#include "traffic/dpdk/run.h"

/* 0, or -ENOMEM or -EIO. */
int tg_report_print(struct tg_trial *t, FILE *out);

#endif
