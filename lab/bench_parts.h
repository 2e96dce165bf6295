/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that make a struct bench_round: private to lab/bench_*.c. */
#ifndef LANYARD_LAB_BENCH_PARTS_H
#define LANYARD_LAB_BENCH_PARTS_H

#include "lab/bench_result.h"

/* A number of a reply, and the field that it goes to; a table ends with a zero key. */
struct num {
	const char *key;
	size_t offset; /* of a uint64_t */
};
#define NUM(type, field)                             \
	{                                            \
#field, offsetof(struct type, field) \
	}

/* Adds each number of the table to its field of *out. -EPROTO, naming `what` lacks it. */
int bench_add_numbers(
	const json_t *o, const struct num *table, void *out, const char *what, struct err *e);

/* bench_switch.c: what the switch counted over a trial: all together, and by network. */
int bench_switch_diff(
	const json_t *before, const json_t *after, struct bench_switch_result *out, struct err *e);
int bench_nets_diff(const struct topology *t, const json_t *before, const json_t *after,
	struct bench_net *net, struct err *e);

/* bench_places.c: what guests and switch counted at either end of each ring. */
void bench_places_find(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_places *out);

/* bench_warn.c: adds the warnings that the round's figures call for. */
void bench_round_judge(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_round *r);

/* Who had no CPU when it wanted one: to r->cpu, and what is to be said of it. */
void bench_cpus_diff(const struct bench_raw *raw, struct bench_round *r);
void bench_cpus_judge(const struct topology *t, struct bench_round *r);

#endif
