/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lab, seen from the commands: bring it up, take it down, open one that is up.
 *
 *	topology -> plan (steps; pure) -> steps carried out, each written to the record before and
 *	after -> RUN/LAB/record.json -> lab_open, which every later command starts from.
 *
 * A lab is found by its name, never by the file that made it. All calls are for one thread (the
 * command's), and block. Nothing here prints but the progress of lab_up and lab_down, on stderr;
 * errors come back in *e, with the class that is the command's exit status.
 */
#ifndef LANYARD_LAB_LAB_H
#define LANYARD_LAB_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/topology.h"
#include "lab/strs.h"

#define LAB_PATH_MAX 512
#define LAB_WHO_MAX  (TOPO_NAME_MAX + 20)

/* Who runs on which CPU: "worker0", "a/vcpu0". */
struct lab_cpu {
	char who[LAB_WHO_MAX];
	int node;  /* index in the topology's nodes; -1: a worker of the switch */
	int index; /* worker or vCPU number */
	int cpu;   /* of the host */
};

/* A lab as its record tells. Whether its processes still run is another question: `status`. */
struct lab {
	char name[TOPO_NAME_MAX + 1];
	char dir[LAB_PATH_MAX]; /* RUN/LAB */
	struct topology
		*topology; /* of the copy in the run folder; `file` is the original's path */
	struct plan *plan; /* lab/plan.h: the steps carried out */
	size_t n_cpus;     /* workers first, then vCPUs in the topology's order */
	const struct lab_cpu *cpus;
	size_t n_warnings; /* of `up`: shared CPUs, no hugepages... */
	char *const *warnings;
};

struct lab_opts {
	bool quiet;  /* no progress lines; warnings are still told */
	bool change; /* a lab that is up from the same file, which has changed, is changed */
	struct strs *changes; /* lab_up adds what it changed, a line each; NULL: not wanted */
	/* Called as each step ends: how ("done", "undone", "failed"), what, how long. Or NULL. */
	void (*step)(void *arg, const char *how, const char *text, double took_s);
	void *step_arg;
};

/* How lab_up found the lab. Who brings one up for a while takes down only what was down. */
enum lab_was {
	LAB_WAS_DOWN,
	LAB_WAS_BROKEN, /* something in it had died and was started again */
	LAB_WAS_UP,     /* nothing had to be done */
	LAB_WAS_OTHER,  /* the file had changed: so is the lab */
};

/*
 * Brings the topology's lab up. A lab that is up from the same topology (its traffic may differ)
 * is left alone, dead processes of it are started again. If the file has changed since, the
 * difference alone is applied (o->change), or that is refused. A step that fails, and SIGINT,
 * SIGTERM or SIGHUP meanwhile (-EINTR), undo everything that this call did. was may be NULL.
 */
int lab_up(const struct topology *t, const struct lab_opts *o, enum lab_was *was, struct err *e);

/* What lab_up would change in the lab that is up of that name, a line each. *up: there is one, and
 * it is up from this very file; else nothing is added. */
int lab_compare(const struct topology *t, bool *up, struct strs *changes, struct err *e);

/* Undoes what the record says, not to be interrupted. A lab that is not up is no error: *was_down
 * (may be NULL) says so. */
int lab_down(const char *name, const struct lab_opts *o, bool *was_down, struct err *e);

/* The lab of that name, to be freed with lab_free. -ENOENT (ERR_REQUEST): it is not up. */
int lab_open(const char *name, struct lab **out, struct err *e);
void lab_free(struct lab *l);

/* The names of all labs that have a run folder, sorted. */
void lab_list(struct strs *names);

/* RUN/LAB/fmt... to out[LAB_PATH_MAX]; returns out. Names: "switch.sock", "NODE.sock",
 * "NODE.agent", "NODE.console", "NODE.I.vhost" (docs/control.md). */
char *lab_file(const struct lab *l, char *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whether a command's TOPOLOGY|LAB argument means a file: it has a '/', ends in ".json", or is
 * a file. */
bool lab_arg_is_file(const char *arg);

/* Prints "lanyard: SENTENCE" on stderr; returns the exit status that e's class is. */
int lab_fail(const struct err *e);

#endif
