/* SPDX-License-Identifier: Apache-2.0 */
/* How the figures of a comparison's document read, in the table and on the page alike. Pure. */
#ifndef LANYARD_LAB_COMPARE_TEXT_H
#define LANYARD_LAB_COMPARE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#define COMPARE_CELL 96

double compare_number(const json_t *o, const char *key);      /* NaN: null, or not there */
const char *compare_string(const json_t *o, const char *key); /* "": not there */
const json_t *compare_named(const json_t *list, const char *name);

/* Calls fn with each name of a comparison's rates or loads (key: "rates", "loads"), once, in the
 * order of the first path that has it. */
void compare_each_name(const json_t *comparison, const char *key,
	void (*fn)(void *ctx, const char *name), void *ctx);

/* All to out[COMPARE_CELL], returned; "-": not known. */
char *compare_si(double v, char *out);        /* "2.10 M" */
char *compare_us(double us, char *out);       /* "8.1", "147" */
char *compare_plain(double v, char *out);     /* "1437" */
char *compare_share(double ratio, char *out); /* "0", "<0.001%", "14.2%" */
/* A figure's interval, "2.01 M to 2.15 M"; "" if there is one value only. */
char *compare_interval(const json_t *figure, char *(*format)(double, char *), char *out);

/* Whether TCP was measured, and not frames. */
bool compare_is_tcp(const json_t *comparison);

/* "64 B", "imix", "TCP". */
char *compare_frame(const json_t *comparison, char *out);

/* "binary search with loss verification (ETSI GS NFV-TST 009), to 2%", "as fast as it goes", ... */
void compare_manner(const json_t *comparison, char *out, size_t size);

/* "12% more frames/s (8% to 15%)" of one element of "ratios"; with what it means for whoever
 * chooses: 1 better, -1 worse, 0 no difference shown, or too few rounds to tell (*unsure). */
int compare_verdict(const json_t *ratio, bool *unsure, char *out, size_t size);
/* What the figure is called: "frames/s", "p50 latency". */
const char *compare_figure_name(const char *key);

/* "1234 of 5678 frames lost: 1200 switch: tx_ring_full, 34 UNEXPLAINED", or "none of 5678 frames
 * lost". */
void compare_lost(const json_t *lost, char *out, size_t size);

/* The first of a list of warnings, and that there are others; false: there is none. Rounds say the
 * same with other figures. */
bool compare_warning(const json_t *warnings, char *out, size_t size);

/* "12 tx_ring_full, 3 rx_vlan" of an object of counts; false: there are none. */
bool compare_drops(const json_t *drops, char *out, size_t size);

#endif
