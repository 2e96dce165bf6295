/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors are for people and for code: a function returns -errno and fills a struct err, given
 * last. Only mains and lab/ print them. A struct err is a value: no allocation, no free.
 *
 * The sentence says what was expected, what was found, where, and what to do.
 */
#ifndef LANYARD_BASE_ERR_H
#define LANYARD_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

/* Whose fault it is; also the exit status of the commands. */
enum err_class {
	ERR_NONE = 0,
	ERR_FAILED = 1,  /* it was tried and failed */
	ERR_REQUEST = 2, /* the request is wrong: usage, topology, parameters */
	ERR_HOST = 3,    /* the host can't: no KVM, no hugepages, no permission */
	ERR_MISSED = 4,  /* a measurement ran and missed what was demanded */
};

struct err {
	enum err_class class;
	int code;        /* -errno, negative */
	char field[64];  /* the offending field of a request or topology, or "" */
	char text[1024]; /* the sentence, without a newline */
};

/* Each sets *e (which may be NULL) and returns code, so that callers write
 * `return err_set(e, -EINVAL, "...")`. code must be negative. err_set makes ERR_FAILED. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_request(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int err_host(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A wrong request, with the field of it that is wrong. */
int err_request_at(struct err *e, int code, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int err_vset(struct err *e, enum err_class class, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

/* Puts "fmt: " before what *e says, keeping class, code and field. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Names the field of the request that was wrong; returns e->code (or -EINVAL if e is NULL). */
int err_field(struct err *e, const char *field);

/* strerror() of code (negative or positive) as a constant string: safe in threads. */
const char *err_str(int code);

#endif
