/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where frames go: the stage between peek and deliver. On our copies of the headers only; it
 * writes nothing of a guest's. By the worker that has the burst.
 */
#ifndef LANYARD_VSWITCH_DP_DECIDE_H
#define LANYARD_VSWITCH_DP_DECIDE_H

#include "vswitch/dp/forward.h"

/* Every frame of f->burst, which came in by q, of network net: learns its source, stages it by
 * output queue or counts in burst.drops why not. now_s: the second of ages. Fills burst.bytes. */
void dp_decide(struct dp_forwarder *f, const struct dp_view *v, struct dp_inq *q,
	const struct dp_view_net *net, uint32_t now_s);

#endif
