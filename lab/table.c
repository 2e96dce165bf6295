/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 16

/* Characters, not bytes: UTF-8's continuation bytes don't count. */
static int text_width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

void table_add(struct table *t, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		abort();
	va_end(ap);
	strs_add(&t->cells, "%s", s);
	free(s);
}

/* One line, cut at limit characters (0: no limit), without blanks at its end. */
static void print_line(
	char *const *cell, const int *width, const bool *right, size_t n_cols, FILE *out, int limit)
{
	char line[4096];
	size_t at = 0;
	int shown = 0;

	for (size_t c = 0; c < n_cols; c++) {
		int pad = width[c] - text_width(cell[c]);

		at += (size_t)snprintf(line + at, sizeof line - at, "%s%*s%s%*s", c ? "  " : "",
			right[c] ? pad : 0, "", cell[c], right[c] ? 0 : pad, "");
		if (at >= sizeof line)
			at = sizeof line - 1;
	}
	for (size_t i = 0; i < at; i++) {
		shown += (line[i] & 0xc0) != 0x80;
		if (limit && shown > limit)
			line[at = i] = '\0';
	}
	while (at && line[at - 1] == ' ')
		line[--at] = '\0';
	fprintf(out, "%s\n", line);
}

void table_print(struct table *t, FILE *out, int limit)
{
	char *head = lab_strdup(t->head), *rest = head, *names[COLUMNS_MAX], *h;
	bool right[COLUMNS_MAX] = { 0 };
	int width[COLUMNS_MAX] = { 0 };
	size_t n = 0;

	while (n < COLUMNS_MAX && (h = strsep(&rest, "|"))) {
		right[n] = *h == '>';
		names[n] = h + right[n];
		width[n] = text_width(names[n]);
		n++;
	}
	for (size_t i = 0; i < t->cells.n; i++) {
		int w = text_width(t->cells.v[i]);

		if (w > width[i % n])
			width[i % n] = w;
	}
	if (t->cells.n)
		print_line(names, width, right, n, out, limit);
	for (size_t i = 0; i + n <= t->cells.n; i += n)
		print_line(t->cells.v + i, width, right, n, out, limit);
	strs_free(&t->cells);
	free(head);
}

int table_width(FILE *out)
{
	struct winsize ws;
	int fd = fileno(out);

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &ws) == 0 ? ws.ws_col : 0;
}
