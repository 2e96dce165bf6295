/* SPDX-License-Identifier: Apache-2.0 */
/* iperf3's command lines, and what it says at its end (-J). Pure. */
#ifndef LANYARD_LAB_BENCH_IPERF_H
#define LANYARD_LAB_BENCH_IPERF_H

#include <jansson.h>

#include "base/err.h"
#include "lab/bench_plan.h"

/* What a server says on its standard output once it can be connected to. */
#define IPERF_LISTENS "Server listening"

/* Lists of strings, new references. The server takes one client, and ends by itself if none comes
 * for idle_s. */
json_t *iperf_server_argv(const struct topology *t, const struct bench_trial *x, int idle_s);
json_t *iperf_client_argv(const struct topology *t, const struct bench_trial *x);

struct iperf_result {
	char version[32];                             /* "iperf 3.12" */
	char congestion[24];                          /* the sender's: "cubic"; "": not told */
	double seconds;                               /* in which the receiver received */
	double received_bytes, goodput_bps, sent_bps; /* payload */
	double retransmits;                           /* segments; NaN: not told */
	double rtt_us; /* smoothed, by the sender's kernel: mean of samples and streams; NaN */
	double mss;    /* bytes; NaN */
};

/* -EIO: iperf3 says that it failed; -EPROTO: it said nothing that can be read. */
int iperf_read(const char *text, struct iperf_result *r, struct err *e);

#endif
