/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host lacks for labs, or is poorer without: one row a thing. Pure: struct host and struct
 * vitals say what there is. `lanyard doctor` adds what has to be tried (cmd_doctor.c); a bench
 * prints beside its figures what bears on them.
 */
#ifndef LANYARD_LAB_DOCTOR_H
#define LANYARD_LAB_DOCTOR_H

#include <jansson.h>

#include "lab/host.h"
#include "lab/lab.h"
#include "lab/vitals.h"

enum doctor_verdict { DOCTOR_GOOD, DOCTOR_POORER, DOCTOR_LACKING };

/* What it matters for. */
enum doctor_field {
	DOCTOR_LABS,    /* without it there is no lab at all */
	DOCTOR_FIGURES, /* measurements */
	DOCTOR_VFS,     /* SR-IOV, and NICs given to guests */
	DOCTOR_LINUX,   /* Linux guests */
};

struct doctor_finding {
	const char *name, *why; /* the row's: the thing, and what it is good for */
	enum doctor_field field;
	enum doctor_verdict verdict;
	char found[256], mend[384]; /* mend: the command; "" if nothing is to be done */
};

void doctor_say(struct doctor_finding *f, enum doctor_verdict v, const char *mend, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));

/* Bears on figures of networks that are bridges, and no others. */
#define DOCTOR_BRIDGE_FILTER "bridge firewall"

#define DOCTOR_MAX 24 /* findings of doctor_examine */
/* Returns how many findings there are, good ones too. */
size_t doctor_examine(const struct host *h, const struct vitals *v, struct doctor_finding *out);

/* What else is held against figures of a lab: its threads' CPUs. To *f; false: nothing. */
bool doctor_siblings(
	const struct host *h, const struct lab_cpu *cpus, size_t n, struct doctor_finding *f);

/* {name, field, verdict, found, why, mend} */
json_t *doctor_json(const struct doctor_finding *f);

/* "good", "poorer", "lacking". */
const char *doctor_word(enum doctor_verdict v);

#endif
