/* SPDX-License-Identifier: Apache-2.0 */
/* What the methods work on, and the methods. */
#ifndef LANYARD_VSWITCH_METHODS_H
#define LANYARD_VSWITCH_METHODS_H

#include "base/loop.h"
#include "base/rpc.h"
#include "vswitch/switch.h"

struct sw_service {
	struct sw *sw;
	struct loop_handler *stop_timer; /* stops the loop when it fires */
	bool stopping;
};

extern const struct rpc_method sw_methods[]; /* ctx: struct sw_service */

#endif
