/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands are data: lab/main.c has one row for each, in the order of --help. The row says which
 * options and how many arguments the command takes, which are checked before its function runs.
 */
#ifndef LANYARD_LAB_CMD_H
#define LANYARD_LAB_CMD_H

#include <stdbool.h>
#include <jansson.h>

enum cmd_option {
	CMD_JSON = 1 << 0,   /* -j, --json */
	CMD_QUIET = 1 << 1,  /* -q, --quiet */
	CMD_FOLLOW = 1 << 2, /* -f, --follow */
	CMD_ALL = 1 << 3,    /* -a, --all */
	CMD_SVG = 1 << 4,    /* -s, --svg */
};

struct cmd_args {
	unsigned given;     /* of enum cmd_option */
	int n;              /* arguments */
	const char *arg[2]; /* NULL where none was given */
};

struct cmd {
	const char *name, *args_doc, *doc;
	unsigned options;                    /* of enum cmd_option */
	int min, max;                        /* number of arguments */
	int (*fn)(const struct cmd_args *a); /* returns the exit status */
	int (*raw)(int argc, char **argv);   /* instead of fn: parses its own options */
	const char *example; /* of fn's: a command line; raw's own help has one */
};

int cmd_validate(const struct cmd_args *a);
int cmd_plan(const struct cmd_args *a);
int cmd_graph(const struct cmd_args *a);
int cmd_schema(const struct cmd_args *a);
int cmd_up(const struct cmd_args *a);
int cmd_down(const struct cmd_args *a);
int cmd_status(const struct cmd_args *a);
int cmd_capture(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_sriov(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_show_folder(int argc, char **argv);
int cmd_console(const struct cmd_args *a);
int cmd_logs(const struct cmd_args *a);
int cmd_doctor(const struct cmd_args *a);
int cmd_words(const struct cmd_args *a);
int cmd_version(const struct cmd_args *a);

/* A list of strings as JSON; a new reference. */
struct strs;
json_t *cmd_strs_json(const struct strs *l);

/* Prints the document on stdout (stolen), a line's end after it. Returns the exit status. */
int cmd_print_json(json_t *j);

#endif
