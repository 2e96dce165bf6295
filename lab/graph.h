/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A topology as DOT text, for graphviz: networks are ellipses, nodes boxes with a line for each
 * NIC, host ports houses, links edges. With what a lab that is up says of itself, links have their
 * state's colour and NICs their counters. Pure.
 */
#ifndef LANYARD_LAB_GRAPH_H
#define LANYARD_LAB_GRAPH_H

#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "config/topology.h"

/* live: status_lab's document, or NULL. */
void graph_print(const struct topology *t, const json_t *live, FILE *out);

/* Runs graphviz's dot on DOT text; its SVG goes to stdout. ERR_HOST: there is no dot. */
int graph_svg(const char *dot, size_t len, struct err *e);

#endif
