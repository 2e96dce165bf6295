/* SPDX-License-Identifier: Apache-2.0 */
/* A growing list of strings: command lines, warnings. Zeroed memory is an empty list. Running out
 * of memory ends the command: there is nothing else that it could do then. */
#ifndef LANYARD_LAB_STRS_H
#define LANYARD_LAB_STRS_H

#include <stdbool.h>
#include <stddef.h>

struct strs {
	size_t n;
	char **v; /* n strings, then a NULL once anything was added: fit for exec */
};

void strs_add(struct strs *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strs_free(struct strs *l);

/* "a", "a and b", "a, b and c" to out (cut short with "..." if it doesn't fit); returns out. */
char *strs_join(const struct strs *l, char *out, size_t size);

/* Memory or the end: malloc'd copies, zeroed arrays, printf to a malloc'd string. */
char *lab_strdup(const char *s);
void *lab_calloc(size_t n, size_t size);
void *lab_realloc(void *p, size_t n, size_t size);
char *lab_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
