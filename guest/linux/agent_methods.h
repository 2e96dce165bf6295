/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent answers: a row a method. Context: struct agent. */
#ifndef LANYARD_GUEST_LINUX_AGENT_METHODS_H
#define LANYARD_GUEST_LINUX_AGENT_METHODS_H

#include "base/rpc.h"

extern const struct rpc_method agent_methods[];

#endif
