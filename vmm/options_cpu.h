/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's words about CPUs: --vcpus, --cpus, --cpu-without. Pure. ERR_REQUEST names the
 * option. */
#ifndef LANYARD_VMM_OPTIONS_CPU_H
#define LANYARD_VMM_OPTIONS_CPU_H

#include "base/err.h"
#include "vmm/options.h"

/* "4" or "4,sockets=2,cores=2,threads=1". */
int options_parse_vcpus(struct vmm_options *o, const char *s, struct err *e);
/* "0,2-3" */
int options_parse_cpus(struct vmm_options *o, const char *s, struct err *e);
/* "cx16,avx512f" */
int options_parse_cpu_without(struct vmm_options *o, const char *s, struct err *e);

#endif
