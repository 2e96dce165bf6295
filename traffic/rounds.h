/* SPDX-License-Identifier: Apache-2.0 */
/* Inside traffic/: the two halves of a round of the engine. Return frames moved. */
#ifndef LANYARD_TRAFFIC_ROUNDS_H
#define LANYARD_TRAFFIC_ROUNDS_H

#include "traffic/engine.h"

uint32_t traffic_receive_round(struct traffic_engine *e, uint32_t port);
uint32_t traffic_send_round(struct traffic_engine *e, struct traffic_flow *f);

#endif
