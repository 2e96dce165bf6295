/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define SENTENCE_MAX 1024

static void line(const char *text)
{
	char buf[SENTENCE_MAX + 32];
	int n = snprintf(buf, sizeof(buf), "lanyard-init: %s\r\n", text);

	if (write(STDERR_FILENO, buf, (size_t)n) < 0) {
		/* No console. */
	}
}

void say(const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line(text);
}

void say_problem(json_t *problems, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line(text);
	if (problems)
		json_array_append_new(problems, json_string(text));
}
