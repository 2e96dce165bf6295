/* SPDX-License-Identifier: Apache-2.0 */
/* A topology as DOT text, for graphviz: networks are boxes, nodes ellipses, links edges with the
 * NIC's number. */
#ifndef LANYARD_LAB_GRAPH_H
#define LANYARD_LAB_GRAPH_H

#include <stdio.h>

#include "config/topology.h"

void graph_print(const struct topology *t, FILE *out);

#endif
