/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the host into a tree: links are followed to what they mean, folders taken whole (links
 * inside stay links), programs bring their libraries and the loader, scripts their interpreter.
 */
#ifndef LANYARD_IMAGE_FILES_H
#define LANYARD_IMAGE_FILES_H

#include <stdbool.h>

#include "base/err.h"
#include "image/libs.h"
#include "image/tree.h"

struct files_pending;

struct files {
	struct tree *tree;
	struct libs libs;
	const char *below; /* put before each path in the archive: "" or "/files" */
	bool alone;        /* without libraries and interpreters */
	bool want_cache;   /* a library is where only the loader's cache leads */
	struct files_pending *pending;
};

/* libs_cache: LIBS_CACHE but in tests. */
void files_init(
	struct files *f, struct tree *t, const char *below, bool alone, const char *libs_cache);

/* from: absolute; to: absolute, or NULL. What the files need is added by files_finish. */
int files_add(struct files *f, const char *from, const char *to, struct err *e);

/* Adds what the files need, and what that needs. Library paths are the host's. */
int files_finish(struct files *f, struct err *e);
void files_free(struct files *f);

#endif
