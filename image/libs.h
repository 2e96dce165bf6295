/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the dynamic loader would find a library: what ld.so(8) says, without running it: DT_RPATH
 * (where there is no DT_RUNPATH), DT_RUNPATH, the loader's own folders, /etc/ld.so.cache. $ORIGIN
 * is known; $LIB and $PLATFORM are not, and lead nowhere.
 */
#ifndef LANYARD_IMAGE_LIBS_H
#define LANYARD_IMAGE_LIBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "image/elfneeds.h"
#include "image/image.h"

#define LIBS_CACHE "/etc/ld.so.cache"

struct libs {
	char *cache; /* the file's bytes, or NULL */
	size_t len;
};

/* path: LIBS_CACHE but in tests. A host without it is fine. */
void libs_open(struct libs *l, const char *path);
void libs_close(struct libs *l);

/* The path that the cache (glibc's format 1.1) has for a 64-bit x86 library, or NULL. Pure. */
const char *libs_cached(const char *cache, size_t len, const char *name);

/*
 * The library that `user` (a file that reads as n) loads by this name, to out. program_rpath:
 * DT_RPATH of the program that is run, or NULL. 0; 1: found only by the cache; -ENOENT.
 */
int libs_find(const struct libs *l, const char *name, const char *user, const struct elf_needs *n,
	const char *program_rpath, char out[IMAGE_PATH_MAX]);

#endif
