/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ELF program or library needs to run: its interpreter and its libraries' names. Reads
 * bytes that nobody vouches for; pure.
 */
#ifndef LANYARD_IMAGE_ELFNEEDS_H
#define LANYARD_IMAGE_ELFNEEDS_H

#include <stddef.h>
#include <stdint.h>

#define ELF_NEEDED_MAX 256

/* Strings point into the bytes that were read. */
struct elf_needs {
	const char *interpreter; /* NULL: none */
	const char *runpath;     /* DT_RUNPATH, or NULL */
	const char *rpath;       /* DT_RPATH, or NULL */
	const char *needed[ELF_NEEDED_MAX];
	size_t n_needed;
};

/* 1: *out is filled. 0: no 64-bit x86 ELF that is linked dynamically: nothing is needed. -EBADMSG:
 * an ELF whose headers lead outside of it; -E2BIG: it needs more than ELF_NEEDED_MAX libraries. */
int elf_read(const uint8_t *bytes, size_t len, struct elf_needs *out);

#endif
