/* SPDX-License-Identifier: Apache-2.0 */
/* A program of the host's that is given a text and answers with one: gnuplot, dot. */
#ifndef LANYARD_LAB_TOOL_H
#define LANYARD_LAB_TOOL_H

#include <stdbool.h>

#include "base/err.h"

bool tool_exists(const char *program); /* on the PATH */

/* Runs argv (argv[0] looked up on the PATH) with input on its standard input; what it wrote goes to
 * *out, to be freed. What it says of errors is ours to say, in *e. */
int tool_run(char *const argv[], const char *input, char **out, struct err *e);

#endif
