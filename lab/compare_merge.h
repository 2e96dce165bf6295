/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Earlier results, read and put together for `lanyard report`. Of several, each path appears once
 * for each result, as "PATH (LABEL)", in the comparisons that they share; what is compared is each
 * result after the first against the same path of the first. Pure, but for the reading.
 */
#ifndef LANYARD_LAB_COMPARE_MERGE_H
#define LANYARD_LAB_COMPARE_MERGE_H

#include <jansson.h>

#include "base/err.h"
#include "lab/strs.h"

/* A result of `lanyard compare`; NULL with *e (ERR_REQUEST): not that, or of another version. */
json_t *compare_read(const char *file, struct err *e);

/* All n as one document, a new reference. */
json_t *compare_merge(json_t *const *docs, const char *const *files, size_t n, struct err *e);

/* A sentence for each field of the environment in which a result differs from the first. */
void compare_environments(
	json_t *const *docs, const char *const *files, size_t n, struct strs *remarks);

#endif
