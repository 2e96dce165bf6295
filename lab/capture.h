/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lanyard capture`, inside.
 *
 *	switch --pcapng--> socket --> [whole blocks] --> a file, a pipe, or lines of text
 *
 * The switch never waits for us: while our output is slow, or stopped, frames count as not kept
 * there. It ends by a signal, a count, a time, or the switch: then we shut down our sending side,
 * which asks the switch for what it still has and for its last statistics, and read on until the
 * end. What comes then and our output won't take is counted as not kept, too.
 */
#ifndef LANYARD_LAB_CAPTURE_H
#define LANYARD_LAB_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pcapng.h"

struct capture {
	/* What was asked for. */
	const char *what;      /* LAB/PORT */
	const char *file;      /* -w; NULL: lines of text */
	const char *direction; /* NULL: both */
	unsigned snaplen;      /* 0: no limit */
	uint64_t count;        /* 0: no limit */
	double seconds;        /* 0: no limit */

	int sock, signal_fd, out;
	uint64_t until_ns; /* CLOCK_MONOTONIC; 0: none */
	bool ending;       /* the switch was asked for the rest */
	bool give_up;      /* it was wanted twice: now */
	bool out_gone;     /* the output takes no more */

	/* What came. */
	uint8_t *in; /* not handled yet */
	size_t n, room;
	uint64_t frames, spilled; /* put out; could not be put out */
	uint64_t dropped;         /* not kept by the switch, as it said last */
	bool whole;               /* the last statistics have come */
};

/* Asks the switch for the rest. */
void capture_finish(struct capture *c);
/* A signal came: ends; a second one: at once. */
void capture_signalled(struct capture *c);

/* From the socket to the output until the end. 0 or -errno with *e. */
int capture_run(struct capture *c, struct err *e);

/* capture_out.c: all of buf, if the output takes it (while ending: within a second). Returns how
 * many bytes it took; fewer than len: c->out_gone is set; -errno: it failed. Signals are looked at
 * while it waits. */
long capture_write(struct capture *c, const void *buf, size_t len, struct err *e);

#endif
