/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes one plan into another. Pure: the plan of a lab that is up and the one that is wanted
 * in, changes out, in the order in which they are to be made:
 *
 *	memory that is to be added
 *	nodes that start anew with other arguments stop; ports that come back otherwise go
 *	the switch, if it died; networks and ports that are new
 *	one `configure` for all that changes in networks and ports that stay: a transaction
 *	nodes that are new or start anew, their agents, their links
 *	what is no more goes: nodes, ports, networks, memory
 *
 * What stays is not touched. While it is carried out, both plans are one (`merged`), which is also
 * the record: whatever is interrupted, it tells what there is.
 */
#ifndef LANYARD_LAB_DIFF_H
#define LANYARD_LAB_DIFF_H

#include "lab/plan.h"

enum change_what {
	CHANGE_REPAIRED, /* it had died, and is the same again */
	CHANGE_ADDED,
	CHANGE_CHANGED,   /* of what runs */
	CHANGE_RESTARTED, /* a node, alone; or a port that comes back otherwise */
	CHANGE_REMOVED,
	CHANGE_WAITED, /* for agents and links: no change by itself */
};

struct change {
	enum change_what what;
	bool undo;
	size_t step; /* in merged */
};

struct diff {
	struct plan
		merged;  /* the wanted steps, then those that go, and CONFIGURE if there is one */
	size_t n_wanted; /* of merged's steps */
	size_t *have;    /* of each of merged's: its step in the old plan, or SIZE_MAX */
	size_t n;
	struct change *changes;
	size_t n_shaping;    /* changes but REPAIRED and WAITED */
	uint64_t pages_held; /* hugepages that the lab has now */
};

/*
 * have: the record; steps whose process died, and what lived in it, are PLANNED. want: emptied, its
 * steps are now merged's. -EBUSY (ERR_REQUEST): what can't be done while the lab runs. To be
 * cleared with diff_clear, on failure too.
 */
int diff_plans(const struct plan *have, struct plan *want, struct diff *d, struct err *e);
void diff_clear(struct diff *d);

/* "added", "changed", ...; what a line of `up` begins with. */
const char *change_word(enum change_what what);

/* "port c.0 on lan", to out; returns out. One line a change, but see diff_configured. */
char *change_describe(const struct diff *d, const struct change *c, char *out, size_t size);

/* All that shapes the lab, a line each: "added port c.0 on lan". */
void diff_list(const struct diff *d, struct strs *out);

/* The lines of a CONFIGURE step: "port a.0: VLAN 20 (was: VLAN 10)". */
void diff_configured(const struct diff *d, const struct step *configure, struct strs *out);

#endif
