/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a comparison as one HTML page that needs nothing else: no script, no file beside
 * it, no network. Made of the document alone (docs/results.md), with gnuplot and graphviz.
 */
#ifndef LANYARD_LAB_PAGE_H
#define LANYARD_LAB_PAGE_H

#include <jansson.h>

#include "base/err.h"
#include "lab/strs.h"

/* *html is to be freed. remarks: sentences that stand at the top, such as what differs between the
 * environments of merged results; may be NULL. ERR_HOST: there is no gnuplot. */
int page_make(const json_t *doc, const struct strs *remarks, char **html, struct err *e);

#endif
