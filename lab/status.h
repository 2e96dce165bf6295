/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lab is doing now: asked of the record and of its daemons, made into one JSON document
 * (docs/status.md); the text for people is a rendering of that document, so both say the same.
 */
#ifndef LANYARD_LAB_STATUS_H
#define LANYARD_LAB_STATUS_H

#include <jansson.h>
#include <stdio.h>

#include "base/err.h"

#define STATUS_VERSION 1

/* The document of one lab (a new reference), or NULL with *e (-ENOENT: not up). A daemon that
 * does not answer within a second is reported as silent. */
json_t *status_lab(const char *name, struct err *e);

/* One object a lab: {"lab", "state", "why", "up_since_s", "file", "dir", "nodes"}. */
json_t *status_all(void);

void status_print(const json_t *doc, FILE *out, int width);
void status_print_all(const json_t *doc, FILE *out, int width);

#endif
