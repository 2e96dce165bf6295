/* SPDX-License-Identifier: Apache-2.0 */
/* A text table: columns as wide as their widest cell, two spaces apart; on a terminal a line is
 * cut at its edge. Cells may be UTF-8 of single width. */
#ifndef LANYARD_LAB_TABLE_H
#define LANYARD_LAB_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "lab/strs.h"

struct table {
	const char *head;  /* "NODE|STATE|>MEMORY": '>' aligns the column to the right */
	struct strs cells; /* row after row */
};

void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints it, if it has rows, and empties it. width: 0 for no limit. */
void table_print(struct table *t, FILE *out, int width);

/* The width of the terminal that out is, or 0. */
int table_width(FILE *out);

#endif
