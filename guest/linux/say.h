/* SPDX-License-Identifier: Apache-2.0 */
/* What init has to say: to the console, and what went wrong to those who ask the agent. */
#ifndef LANYARD_GUEST_LINUX_SAY_H
#define LANYARD_GUEST_LINUX_SAY_H

#include <jansson.h>

/* A line on the console. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and the sentence is added to problems (an array; NULL: not). */
void say_problem(json_t *problems, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
