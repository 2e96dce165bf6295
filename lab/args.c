/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/args.h"

#include <stdlib.h>

double args_number(
	struct argp_state *state, const char *name, const char *text, double min, double max)
{
	char *end;
	double v = strtod(text, &end);

	if (*end || end == text || !(v >= min && v <= max))
		argp_error(state, "--%s takes a number from %.12g to %.12g, not \"%s\"", name, min,
			max, text);
	return v;
}

error_t args_one(int key, char *arg, struct argp_state *state, const char **to, const char *what)
{
	switch (key) {
	case ARGP_KEY_ARG:
		if (*to)
			argp_error(state, "\"%s\" is one argument too many", arg);
		*to = arg;
		return 0;
	case ARGP_KEY_END:
		if (!*to)
			argp_error(state, "%s is missing", what);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}
