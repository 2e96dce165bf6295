/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line a step, with its time, on stderr while `up` and `down` work. On a terminal the line
 * of the step at work is there before its time is; elsewhere lines are only ever added, in plain
 * ASCII.
 *
 *	✓  0.31 s  switch, worker on CPU 0
 *	…  2.1  s  a answers (9 of 11)
 */
#ifndef LANYARD_LAB_PROGRESS_H
#define LANYARD_LAB_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	bool quiet; /* only warnings and failures */
	bool tty, utf8, colour;
	bool open; /* a line of a step at work stands on the terminal */
	uint64_t step_began_ns, began_ns, drawn_ns;
	char text[256];  /* of the line that is open */
	size_t n, total; /* steps begun, and that there are (carry_out's); total 0: not known */
	/* struct lab_opts' */
	void (*step)(void *arg, const char *how, const char *text, double took_s);
	void *step_arg;
};

enum progress_mark { PROGRESS_DONE, PROGRESS_UNDONE, PROGRESS_FAILED };

void progress_init(struct progress *p, bool quiet);
void progress_begin(struct progress *p, const char *text); /* starts the step's clock */
/* While a step waits: shows how long it has been at it, a few times a second. */
void progress_tick(struct progress *p);
void progress_end(struct progress *p, enum progress_mark mark, const char *text);
void progress_warn(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void progress_quote(struct progress *p, const char *line); /* of a log, below a failure */
double progress_total_s(const struct progress *p);         /* since progress_init */

#endif
