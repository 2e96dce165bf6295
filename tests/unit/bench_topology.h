/* SPDX-License-Identifier: Apache-2.0 */
/* A topology and its traffic, plans of one round, and JSON: what test_bench*.c share. cmocka.h
 * comes before this. */
#ifndef LANYARD_TESTS_BENCH_TOPOLOGY_H
#define LANYARD_TESTS_BENCH_TOPOLOGY_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "lab/bench_plan.h"

#define HEAD \
	"{ \"version\": 1, \"lab\": \"t\", \"networks\": { \"lan\": {}, \"quiet\": {} }, \"nodes\": {" \
	"\"a\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"mac\": "                     \
	"\"02:00:00:00:00:0a\" }, { \"network\": \"quiet\" } ] },"                                     \
	"\"b\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"mac\": "                     \
	"\"02:00:00:00:00:0b\" } ] },"                                                                 \
	"\"c\": { \"kind\": \"vm\", \"nics\": [ { \"network\": \"lan\", \"mac\": "                     \
	"\"02:00:00:00:00:0c\" } ] } }, \"traffic\": ["
#define TAIL "] }"
#define PAIR \
	"{ \"name\": \"paced\", \"from\": \"a.0\", \"to\": \"b.0\", \"both_ways\": true, \"frame\": [64, " \
	"1518], \"rate\": \"10kpps\", \"seconds\": 2, \"max_loss\": 0 }"
#define FLAT \
	"{ \"name\": \"flat out\", \"from\": \"a.0\", \"to\": \"b.0\", \"frame\": 64, \"seconds\": 2 }"
#define STAR \
	"{ \"name\": \"star\", \"all_pairs\": [ \"a.0\", \"b.0\", \"c.0\" ], \"rate\": \"1kpps\", " \
	"\"max_loss\": 0.001 }"
#define MIX \
	"{ \"name\": \"big\", \"group\": \"mix\", \"from\": \"a.0\", \"to\": \"b.0\", \"frame\": 1518, "  \
	"\"rate\": \"1Gbps\" },"                                                                          \
	"{ \"name\": \"small\", \"group\": \"mix\", \"from\": \"b.0\", \"to\": \"a.0\", \"frame\": [64, " \
	"128] }"

static inline struct topology *make(const char *text)
{
	struct topology *t;
	struct err e = { 0 };

	if (topology_parse("t.json", text, strlen(text), &t, &e))
		fail_msg("%s", e.text);
	return t;
}

static const struct bench_opts one_round = { .rounds = 1 };

static inline void assert_json(json_t *got, const char *expected)
{
	char *text = json_dumps(got, JSON_COMPACT);

	assert_string_equal(text, expected);
	free(text);
	json_decref(got);
}

static inline json_t *js(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline json_t *js(const char *fmt, ...)
{
	char text[8192];
	json_error_t je;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	json_t *j = json_loads(text, 0, &je);
	if (!j)
		fail_msg("%s: %s", text, je.text);
	return j;
}

#endif
