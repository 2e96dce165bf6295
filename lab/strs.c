/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/strs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *p)
{
	if (!p) {
		fputs("lanyard: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

char *lab_strdup(const char *s)
{
	return or_die(strdup(s));
}

void *lab_calloc(size_t n, size_t size)
{
	return or_die(calloc(n ? n : 1, size));
}

void *lab_realloc(void *p, size_t n, size_t size)
{
	return or_die(reallocarray(p, n ? n : 1, size));
}

static char *vprint(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	return or_die(s);
}

char *lab_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = vprint(fmt, ap);
	va_end(ap);
	return s;
}

void strs_add(struct strs *l, const char *fmt, ...)
{
	va_list ap;

	l->v = lab_realloc(l->v, l->n + 2, sizeof *l->v);
	va_start(ap, fmt);
	l->v[l->n++] = vprint(fmt, ap);
	va_end(ap);
	l->v[l->n] = NULL;
}

void strs_free(struct strs *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct strs){ 0 };
}

char *strs_join(const struct strs *l, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < l->n; i++) {
		const char *sep = i == 0 ? "" : i + 1 == l->n ? " and " : ", ";
		int w = snprintf(out + at, size - at, "%s%s", sep, l->v[i]);

		if ((size_t)w >= size - at) {
			if (size > 4)
				memcpy(out + size - 4, "...", 4);
			break;
		}
		at += (size_t)w;
	}
	return out;
}
