/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `lanyard top` shows: rates of a lab's ports and workers, out of two of the switch's `stats`.
 * The document is pure; so is its text. The screen (top_screen.c) draws the same document.
 */
#ifndef LANYARD_LAB_TOP_H
#define LANYARD_LAB_TOP_H

#include <jansson.h>
#include <stdio.h>

#define TOP_VERSION 1

/*
 * {"version", "lab", "seconds" between the two, "rx_fps", "tx_fps", "dropped_fps",
 *  "ports": [{"name", "network", "kind", "state", "reason", "rx_fps", "rx_bps", "tx_fps",
 *             "tx_bps", "dropped_fps", "dropped" since the port was made,
 *             "drops": [{"reason", "text", "fps", "total"}] those that are not 0}],
 *  "workers": [{"cpu", "load", "fps", "cycles_per_frame", "sleeps_ps"}]}
 * bps: layer 2, without FCS. A port or worker that only `after` has gets null rates. A new
 * reference.
 */
json_t *top_document(const char *lab, const json_t *before, const json_t *after);

/* As tables; width: 0 for no limit. */
void top_print(const json_t *doc, FILE *out, int width);

/* "1.23 M" of a number, "-" of null; to out[16]; returns out. */
const char *top_count(const json_t *j, const char *key, char *out);

/* ---- the screen ---- */

enum top_sort { TOP_BY_NAME, TOP_BY_RATE, TOP_BY_DROPS, TOP_SORTS };

struct top_view {
	const json_t *doc;         /* or NULL: nothing was measured yet */
	const char *lab, *trouble; /* trouble: why the figures are old, or NULL */
	double interval_s;
	enum top_sort sort;
	size_t first; /* port that is drawn on top, of the sorted ones */
	int paused, help;
};

/* The keys' effects, pure: false if the key says to end. */
int top_key(struct top_view *v, int key);

/* Takes the terminal; 0, or -errno. top_screen_end gives it back. */
struct err;
int top_screen_begin(struct err *e);
void top_screen_draw(struct top_view *v);
/* Waits for a key at most so long; its code, or -1 if none came. A resize counts as a key. */
int top_screen_key(int timeout_ms);
void top_screen_end(void);

#endif
