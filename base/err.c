/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_vset(struct err *e, enum err_class class, int code, const char *fmt, va_list ap)
{
	if (e) {
		/* The arguments may point into e->text (wrapping an error): format aside first. */
		char text[sizeof(e->text)];

		vsnprintf(text, sizeof(text), fmt, ap);
		e->class = class;
		e->code = code;
		e->field[0] = '\0';
		memcpy(e->text, text, sizeof(text));
	}
	return code;
}

#define ERR_FORWARD(e, class, code, fmt)           \
	do {                                       \
		va_list ap;                        \
		va_start(ap, fmt);                 \
		err_vset(e, class, code, fmt, ap); \
		va_end(ap);                        \
	} while (0)

int err_set(struct err *e, int code, const char *fmt, ...)
{
	ERR_FORWARD(e, ERR_FAILED, code, fmt);
	return code;
}

int err_request(struct err *e, int code, const char *fmt, ...)
{
	ERR_FORWARD(e, ERR_REQUEST, code, fmt);
	return code;
}

int err_request_at(struct err *e, int code, const char *field, const char *fmt, ...)
{
	ERR_FORWARD(e, ERR_REQUEST, code, fmt);
	err_field(e, field);
	return code;
}

int err_host(struct err *e, int code, const char *fmt, ...)
{
	ERR_FORWARD(e, ERR_HOST, code, fmt);
	return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char text[sizeof(e->text)], head[256];
	va_list ap;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(text, e->text, sizeof(text));
	/* A sentence too long for its buffer is cut at the end, where it matters least. */
	size_t n = strlen(head);
	memcpy(e->text, head, n);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", text);
	return e->code;
}

int err_field(struct err *e, const char *field)
{
	if (!e)
		return -EINVAL;
	snprintf(e->field, sizeof(e->field), "%s", field);
	return e->code;
}

const char *err_str(int code)
{
	const char *s = strerrordesc_np(code < 0 ? -code : code);

	return s ? s : "unknown error";
}
