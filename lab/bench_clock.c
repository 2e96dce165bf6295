/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_clock.h"

#include <errno.h>
#include <math.h>
#include <time.h>

#include "base/clock.h"
#include "traffic/engine.h"

#define RATE_TOLERANCE 0.01 /* what it is taken for may be rounded to 10 MHz (DPDK does) */
#define SPAN_LEAST_NS  100000000ull
#define MEASURE_NS     (200 * NS_PER_MS)
#define SHARED_S       0.001 /* TSCs of two CPUs may differ by a little */

struct bench_clock bench_clock_now(void)
{
	struct timespec ts;
	struct bench_clock c;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	c.tsc = traffic_tsc();
	c.ns = (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
	return c;
}

double bench_clock_measure(void)
{
	struct bench_clock from = bench_clock_now(), to;

	clock_sleep_ns(MEASURE_NS);
	to = bench_clock_now();
	return (double)(to.tsc - from.tsc) * 1e9 / (double)(to.ns - from.ns);
}

int bench_clock_rate(
	const struct bench_clock *from, const struct bench_clock *to, double tsc_hz, struct err *e)
{
	double hz;

	if (to->ns - from->ns < SPAN_LEAST_NS)
		return 0;
	hz = (double)(int64_t)(to->tsc - from->tsc) * 1e9 / (double)(to->ns - from->ns);
	if (fabs(hz / tsc_hz - 1) <= RATE_TOLERANCE)
		return 0;
	return err_host(e, -ENOTSUP,
		"the clock is not constant: the TSC is taken for one of %.0f Hz, but while this was "
		"measured it ran at %.0f Hz: the latencies are wrong",
		tsc_hz, hz);
}

int bench_clock_shared(const char *guest, uint64_t before, uint64_t reading, uint64_t after,
	double tsc_hz, struct err *e)
{
	double us = 1e6 / tsc_hz;
	uint64_t slack = (uint64_t)(tsc_hz * SHARED_S);

	if (reading + slack >= before && reading <= after + slack)
		return 0;
	return err_host(e, -ENOTSUP,
		"guest %s has another TSC than the host: it read %.0f us %s, so latencies can't be "
		"measured between them",
		guest,
		reading < before ? (double)(before - reading) * us : (double)(reading - after) * us,
		reading < before ? "before it was asked" : "after it had answered");
}
