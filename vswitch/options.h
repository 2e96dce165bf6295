/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-switch's command line. Pure. */
#ifndef LANYARD_VSWITCH_OPTIONS_H
#define LANYARD_VSWITCH_OPTIONS_H

#include "base/log.h"
#include "vswitch/switch.h"

/* -EINVAL with a sentence. *level is changed only if --log-level is there. *help: -h was given. */
int sw_options_parse(int argc, char **argv, struct sw_options *o, enum log_level *level, bool *help,
	struct err *e);

extern const char sw_usage[];

#endif
