/* SPDX-License-Identifier: Apache-2.0 */
/* A run of `lanyard bench`: between bench_cmd.c, which does it, and bench_doc.c, which writes it
 * down. */
#ifndef LANYARD_LAB_BENCH_CMD_H
#define LANYARD_LAB_BENCH_CMD_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <jansson.h>

#include "lab/bench_run.h"
#include "lab/lab.h"
#include "lab/report.h"

struct bench_cmd {
	/* as asked */
	struct bench_opts opts;
	const char *arg, *json;
	bool quiet, all_flows, histogram;
	/* at work */
	FILE *out; /* of the table */
	int json_fd;
	bool existed; /* the lab was there before us: it stays */
	struct topology *own_topology;
	const struct topology *t;
	struct lab *lab;
	struct bench_plan plan;
	struct bench_env env;
	struct report_table table;
	uint64_t began_ns;
	time_t began;
	/* found */
	json_t *trials, *searches, *tcp, *networks;
	json_t *doctor; /* what is held against the host: bench_doctor's */
	size_t n_missed;
};

/* ---- bench_lab.c: what compare does too ---- */

void bench_catch_signals(void);

/* A file (b->arg): its lab is brought up unless it is, and the traffic is the file's. */
int bench_open_file(struct bench_cmd *b, struct err *e);
/* Connects to the lab, which is open. */
int bench_open_env(struct bench_cmd *b, struct err *e);

/* Opened before anything is measured: a path that can't be written is found out then. "-": stdout.
 * path NULL: nothing is done. */
int bench_open_out(const char *path, int *fd, struct err *e);
/* All of the file: what was in it is gone. */
int bench_write_out(const char *path, int fd, const char *text, size_t len, struct err *e);
int bench_write_json(const char *path, int fd, const json_t *doc, struct err *e);

/* Lab, machine, who runs where, what is held against the host. */
void bench_print_head(const struct bench_cmd *b);
void bench_clear_progress(const struct bench_cmd *b);
unsigned bench_width(FILE *out); /* of the terminal that it is */

/* ---- bench_doc.c ---- */

/* What the documents of all commands that measure have in common; kind: "bench". */
json_t *bench_document_head(const struct bench_cmd *b, const char *kind, const struct err *failed);

/* The JSON document (docs/results.md); failed: why it is not complete, or NULL. */
json_t *bench_document(const struct bench_cmd *b, const struct err *failed);

/* What doctor holds against figures of a lab with these threads on this host, a list; a new
 * reference. */
json_t *bench_doctor(const struct topology *t, const struct lab_cpu *cpus, size_t n);

/* A string of a reply, or "unknown". */
const char *bench_text(const json_t *j, const char *key);

#endif
