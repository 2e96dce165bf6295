/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that parse their own options (argp) have in common. Each ends the program with a
 * sentence and status 2 where the user is wrong, as argp_error does. */
#ifndef LANYARD_LAB_ARGS_H
#define LANYARD_LAB_ARGS_H

#include <argp.h>

/* The number that option --NAME was given. */
double args_number(
	struct argp_state *state, const char *name, const char *text, double min, double max);

/* For keys that are no option's, of a command that takes one argument, no more and no less: keeps
 * it in *to. what: it in the usage's words. */
error_t args_one(int key, char *arg, struct argp_state *state, const char **to, const char *what);

#endif
