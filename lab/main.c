/* SPDX-License-Identifier: Apache-2.0 */
/* The `lanyard` command: finds the row of the command that was asked for and calls its function. */
#include <argp.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"
#include "lab/bench.h"
#include "lab/cmd.h"
#include "lab/strs.h"

static const struct cmd cmds[] = {
	{ "validate", "TOPOLOGY", "Check a topology file; no root, no change.", CMD_JSON, 1, 1,
		.fn = cmd_validate, .example = "lanyard validate topologies/pair.json" },
	{ "plan", "TOPOLOGY",
		"Show what `up` would do; also what `down` would undo, and who would run on "
		"which CPU; no root, no change.",
		CMD_JSON, 1, 1, .fn = cmd_plan, .example = "lanyard plan topologies/pair.json" },
	{ "graph", "TOPOLOGY|LAB",
		"Draw a topology, as DOT text for graphviz or as SVG; with states and counters if its "
		"lab is up.",
		CMD_SVG, 1, 1, .fn = cmd_graph,
		.example = "lanyard graph --svg topologies/star.json > star.svg" },
	{ "schema", "", "Print the JSON Schema of topology files, for editors and other programs.",
		0, 0, 0, .fn = cmd_schema, .example = "lanyard schema > topology.schema.json" },
	{ "up", "TOPOLOGY",
		"Bring a lab up. A lab that is up is left alone; what has died in it is started "
		"again.",
		CMD_JSON | CMD_QUIET, 1, 1, .fn = cmd_up,
		.example = "sudo lanyard up topologies/pair.json" },
	{ "down", "LAB|--all", "Take a lab down and leave the host as it was.",
		CMD_JSON | CMD_QUIET | CMD_ALL, 0, 1, .fn = cmd_down,
		.example = "sudo lanyard down pair" },
	{ "status", "[LAB]", "Show all labs, or one in detail.", CMD_JSON, 0, 1, .fn = cmd_status,
		.example = "sudo lanyard status pair" },
	{ "bench", "TOPOLOGY|LAB", "Run a topology's traffic and measure it.",
		.raw = lab_cmd_bench },
	{ "compare", "TOPOLOGY",
		"Run the same traffic over each of a topology's paths, and compare them.",
		.raw = lab_cmd_compare },
	{ "report", "RESULT.json [RESULT.json ...]",
		"Show results of compare again, and what differs between them.",
		.raw = lab_cmd_report },
	{ "capture", "LAB/PORT", "Show a port's frames as they pass, or write them as pcapng.",
		.raw = cmd_capture },
	{ "exec", "LAB/NODE [--] COMMAND", "Run a command in a Linux guest.", .raw = cmd_exec },
	{ "console", "LAB/NODE", "Talk to a guest's console; Ctrl-] ends.", 0, 1, 1,
		.fn = cmd_console, .example = "sudo lanyard console linux-pair/a" },
	{ "logs", "LAB[/PART]",
		"Print logs: all, or those of PART: switch, NODE, NODE.console, NODE.disks, NODE.fs0.",
		CMD_FOLLOW, 1, 1, .fn = cmd_logs, .example = "sudo lanyard logs -f pair/switch" },
	{ "sriov", "COMMAND",
		"See and change virtual functions of SR-IOV NICs: list, show, plan, apply, "
		"release, monitor.",
		.raw = cmd_sriov },
	{ "top", "LAB", "Show a lab's ports, rates, drops and workers, anew each second.",
		.raw = cmd_top },
	{ "doctor", "", "Say what this host lacks, and what mends it.", CMD_JSON, 0, 0,
		.fn = cmd_doctor, .example = "lanyard doctor" },
	/* No words on it: not for people. */
	{ "show-folder", NULL, NULL, .raw = cmd_show_folder },
	{ "words", NULL, NULL, 0, 1, 1, .fn = cmd_words },
	{ "version", "", "Print the version.", CMD_JSON, 0, 0, .fn = cmd_version,
		.example = "lanyard version -j" },
};

#define N_CMDS (sizeof cmds / sizeof cmds[0])

static const struct argp_option option_rows[] = {
	{ "json", 'j', NULL, 0, "Print JSON, for programs", 0 },
	{ "quiet", 'q', NULL, 0, "No progress lines; warnings and errors only", 0 },
	{ "follow", 'f', NULL, 0, "Go on printing as the logs grow; Ctrl-C ends", 0 },
	{ "all", 'a', NULL, 0, "All labs", 0 },
	{ "svg", 's', NULL, 0, "SVG instead of DOT text (package graphviz)", 0 },
};

struct parse {
	const struct cmd *cmd;
	struct cmd_args out;
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;

	for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
		if (key == option_rows[i].key) {
			p->out.given |= 1u << i; /* rows are in the order of enum cmd_option */
			return 0;
		}
	}
	if (key == ARGP_KEY_ARG) {
		if (p->out.n >= p->cmd->max)
			argp_error(state, "\"%s\" is one argument too many", arg);
		p->out.arg[p->out.n++] = arg;
		return 0;
	}
	if (key == ARGP_KEY_END && p->out.n < p->cmd->min)
		argp_error(state, "%s is missing", p->cmd->args_doc);
	return key == ARGP_KEY_END || key == ARGP_KEY_INIT || key == ARGP_KEY_SUCCESS
		? 0
		: ARGP_ERR_UNKNOWN;
}

static int run_cmd(const struct cmd *cmd, int argc, char **argv)
{
	struct argp_option options[sizeof option_rows / sizeof option_rows[0] + 1] = { 0 };
	struct argp argp = {
		.options = options, .parser = parse_one, .args_doc = cmd->args_doc, .doc = cmd->doc
	};
	struct parse p = { .cmd = cmd };
	size_t n = 0;

	argv[0] = lab_asprintf("lanyard %s", cmd->name); /* for usage lines; lives as long as we */
	if (cmd->raw)
		return cmd->raw(argc, argv);
	for (size_t i = 0; i < sizeof option_rows / sizeof option_rows[0]; i++) {
		if (cmd->options & 1u << i)
			options[n++] = option_rows[i];
	}
	if (cmd->example)
		argp.doc = lab_asprintf("%s\vExample: %s", cmd->doc, cmd->example);
	argp_parse(&argp, argc, argv, 0, NULL, &p);
	return cmd->fn(&p.out);
}

static void usage(FILE *to)
{
	fputs("Usage: lanyard COMMAND ...\n"
	      "A network test bed of virtual machines on one host.\n\n",
		to);
	for (size_t i = 0; i < N_CMDS; i++) {
		char left[48];

		if (!cmds[i].doc)
			continue;
		snprintf(left, sizeof left, "%s %s", cmds[i].name, cmds[i].args_doc);
		fprintf(to, "  %-27s %.*s\n", left, (int)strcspn(cmds[i].doc, ".:;"), cmds[i].doc);
	}
	fputs("\nlanyard COMMAND --help says more of one.\n"
	      "Exit status: 0 done; 1 it failed; 2 the request is wrong; 3 this host can't;\n"
	      "4 a measurement missed what the topology demands.\n",
		to);
}

static const char *cmd_name(const void *ctx, size_t i)
{
	return cmds[i].name;
}

int main(int argc, char **argv)
{
	const char *want = argc > 1 ? argv[1] : NULL, *near;

	setlocale(LC_CTYPE, "");
	argp_err_exit_status = 2;
	if (!want) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(want, "--help") || !strcmp(want, "-h") || !strcmp(want, "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(want, "--version") || !strcmp(want, "-V"))
		want = "version";
	for (size_t i = 0; i < N_CMDS; i++) {
		if (strcmp(cmds[i].name, want) == 0)
			return run_cmd(&cmds[i], argc - 1, argv + 1);
	}
	near = suggest_nearest(want, N_CMDS, cmd_name, NULL);
	fprintf(stderr, "lanyard: there is no command \"%s\"%s%s%s; lanyard --help lists all\n",
		want, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return 2;
}
