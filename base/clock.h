/* SPDX-License-Identifier: Apache-2.0 */
/* Time. clock_now_ns is CLOCK_MONOTONIC; functions that need time take `now_ns` where they can. */
#ifndef LANYARD_BASE_CLOCK_H
#define LANYARD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Sleeps at least ns, through signals. */
static inline void clock_sleep_ns(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == 4 /* EINTR */)
		;
}

#endif
