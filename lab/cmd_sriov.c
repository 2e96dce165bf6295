/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sriov: PFs and VFs of this host, seen and changed. What a file says is applied for an owner,
 * "sriov" unless another is named; labs own their PFs under their own names.
 *
 * For tests, from the environment: LANYARD_SRIOV_ROOT, a folder with sys/ and proc/ in this host's
 * stead; LANYARD_SRIOV_RUN, where journals are; LANYARD_SRIOV_KILL=N, which has `apply` kill itself
 * like a crash at its Nth point, two a step: before it and after it.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "config/suggest.h"
#include "lab/cmd.h"
#include "lab/lab.h"
#include "lab/progress.h"
#include "lab/sriov_text.h"
#include "lab/strs.h"
#include "lab/table.h"
#include "sriov/sriov.h"

#define OWNER "sriov"

enum { OPT_FORCE = 256, OPT_OWNER };

struct run {
	const struct sub *sub;
	bool json, quiet;
	const char *arg;
	struct sriov_options o;
	struct sriov_world w;
	struct progress progress;
	char step[256]; /* at work */
	long kill_at;   /* -1: not */
};

static volatile sig_atomic_t stop;

/* ---- what is seen ---- */

static int sub_list(struct run *r, struct err *e)
{
	struct sriov_state s;

	if (sriov_observe(&r->w, &s, e))
		return e->class;
	if (r->json)
		cmd_print_json(sriov_state_json(&s));
	else
		sriov_print_list(&s, stdout, table_width(stdout));
	sriov_state_free(&s);
	return 0;
}

static int sub_show(struct run *r, struct err *e)
{
	char addr[1][PFS_ADDR_LEN];
	struct sriov_state s;

	if (sriov_find(&r->w, r->arg, addr[0], e) ||
		sriov_observe_some(&r->w, 1, (const char(*)[PFS_ADDR_LEN])addr, &s, e))
		return e->class;
	if (!s.pfs[0].total_vfs) {
		err_request(e, -EOPNOTSUPP,
			"%s is not SR-IOV capable, or that is off in its firmware; lanyard sriov "
			"list shows what is",
			addr[0]);
	} else {
		sriov_probe(&r->w, &s.pfs[0], ~0u);
		if (r->json)
			cmd_print_json(sriov_pf_json(&s, &s.pfs[0]));
		else
			sriov_print_pf(&s, &s.pfs[0], stdout, table_width(stdout));
	}
	sriov_state_free(&s);
	return e->class;
}

static int print_event(void *arg, const char *text, json_t *j)
{
	struct run *r = arg;
	char *line = r->json ? json_dumps(j, JSON_COMPACT) : NULL;

	puts(line ? line : text);
	free(line);
	return fflush(stdout) == EOF ? -EPIPE : 0; /* nobody listens any more */
}

static int sub_monitor(struct run *r, struct err *e)
{
	sigset_t set;
	int fd, rc;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	rc = sriov_monitor(&r->w, fd, print_event, r, e);
	fd_close(&fd);
	return rc && rc != -EPIPE ? (int)e->class : 0;
}

/* ---- what is changed ---- */

static void say(void *arg, enum sriov_word word, const char *text)
{
	struct run *r = arg;

	switch (word) {
	case SRIOV_SAY_BEGIN:
		snprintf(r->step, sizeof r->step, "%s", text);
		progress_begin(&r->progress, text);
		break;
	case SRIOV_SAY_DONE:
		progress_end(&r->progress, PROGRESS_DONE, text);
		break;
	case SRIOV_SAY_UNDONE:
		progress_end(&r->progress, PROGRESS_UNDONE, text);
		break;
	case SRIOV_SAY_FAILED:
		progress_end(&r->progress, PROGRESS_FAILED, r->step[0] ? r->step : text);
		break;
	case SRIOV_SAY_NOTE:
		progress_warn(&r->progress, "%s", text);
	}
}

static int kill_here(void *arg, size_t step, enum sriov_point point)
{
	struct run *r = arg;

	if ((long)(2 * step) + (point == SRIOV_AFTER) == r->kill_at)
		kill(getpid(), SIGKILL);
	return 0;
}

static int load(struct run *r, struct pfs *p, struct sriov_state *want, struct err *e)
{
	int rc = pfs_load(r->arg, p, e);

	if (rc)
		return rc;
	rc = sriov_want(&r->w, p, want, e);
	if (rc)
		pfs_free(p);
	return rc;
}

/* All problems but the one that the command ends with. */
static void print_problems(const struct run *r, const struct sriov_plan *p, const struct err *e)
{
	for (size_t i = 0; i < p->n_problems; i++)
		if (!(p->problems[i].forcible && r->o.force) &&
			strcmp(p->problems[i].err.text, e->text))
			fprintf(stderr, "lanyard: %s\n", p->problems[i].err.text);
}

static int sub_plan(struct run *r, struct err *e)
{
	struct pfs p;
	struct sriov_state want;
	struct sriov_plan plan;

	if (load(r, &p, &want, e))
		return e->class;
	if (!sriov_plan(&r->w, &r->o, &want, NULL, &plan, e)) {
		if (r->json)
			cmd_print_json(sriov_plan_json(&plan));
		else
			sriov_print_plan(&plan, stdout, table_width(stdout));
		if (sriov_refusal(&plan, &r->o, e))
			print_problems(r, &plan, e);
		sriov_plan_free(&plan);
	}
	sriov_state_free(&want);
	pfs_free(&p);
	return e->class;
}

static void on_signal(int signo)
{
	stop = 1;
}

static int sub_apply(struct run *r, struct err *e)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct pfs p;
	struct sriov_state want;
	struct sriov_plan plan;

	if (load(r, &p, &want, e))
		return e->class;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sriov_apply(&r->w, &r->o, &want, &plan, e);
	if (r->json)
		cmd_print_json(sriov_plan_json(&plan));
	if (e->class)
		print_problems(r, &plan, e);
	else if (!plan.n_steps && !r->quiet)
		fputs("Nothing to do: all is as the file says.\n", stderr);
	sriov_plan_free(&plan);
	sriov_state_free(&want);
	pfs_free(&p);
	return e->class;
}

static int sub_release(struct run *r, struct err *e)
{
	char addr[PFS_ADDR_LEN];
	size_t n = 0;

	/* An interface may be gone; an address needs no device. */
	if (r->arg && pfs_addr(r->arg, addr) && sriov_find(&r->w, r->arg, addr, e))
		return e->class;
	sriov_release(&r->w, &r->o, r->arg ? addr : NULL, &n, e);
	if (r->json)
		cmd_print_json(json_pack("{s:i}", "undone", (int)n));
	else if (!e->class && !n && !r->quiet)
		fputs("Nothing to undo.\n", stderr);
	return e->class;
}

/* ---- the command ---- */

static const struct sub {
	const char *name, *args_doc, *doc;
	int min, max;
	int (*fn)(struct run *r, struct err *e); /* the exit status */
} subs[] = {
	{ "list", "", "Show the PFs of this host.", 0, 0, sub_list },
	{ "show", "PF", "Show a PF and its VFs, and which attributes its driver takes.", 1, 1,
		sub_show },
	{ "plan", "FILE",
		"Show what `apply` would do, and what each step would be undone to; no change.", 1,
		1, sub_plan },
	{ "apply", "FILE",
		"Make PFs and VFs what a file says. A step that fails is undone with all before it.",
		1, 1, sub_apply },
	{ "release", "[PF]",
		"Put back what `apply` did, or what a crash left of one: of PF, or all.", 0, 1,
		sub_release },
	{ "monitor", "", "Print what happens to PFs and VFs; Ctrl-C ends.", 0, 0, sub_monitor },
};

#define N_SUBS (sizeof subs / sizeof subs[0])

static const struct argp_option option_rows[] = {
	{ "json", 'j', NULL, 0, "Print JSON, for programs", 0 },
	{ "quiet", 'q', NULL, 0, "No progress lines; warnings and errors only", 0 },
	{ "force", OPT_FORCE, NULL, 0,
		"Go past what may be gone past: PFs in use, VFs that others made, and of release "
		"the PFs of other owners",
		0 },
	{ "owner", OPT_OWNER, "NAME", 0,
		"Whose PFs these are: nobody else changes or releases them (default: " OWNER ")",
		0 },
	{ 0 },
};

static void check_owner(struct argp_state *state, const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > TOPO_NAME_MAX || name[0] == '-' || name[0] == '_' ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != len)
		argp_error(state, "--owner takes 1 to %d of a-z, 0-9, _ and -, not \"%s\"",
			TOPO_NAME_MAX, name);
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct run *r = state->input;

	switch (key) {
	case 'j':
		r->json = true;
		return 0;
	case 'q':
		r->quiet = true;
		return 0;
	case OPT_FORCE:
		r->o.force = true;
		return 0;
	case OPT_OWNER:
		check_owner(state, arg);
		r->o.owner = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (r->sub->max == 0 || r->arg)
			argp_error(state, "\"%s\" is one argument too many", arg);
		r->arg = arg;
		return 0;
	case ARGP_KEY_END:
		if (r->sub->min && !r->arg)
			argp_error(state, "%s is missing", r->sub->args_doc);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *sub_name(const void *ctx, size_t i)
{
	return subs[i].name;
}

static int usage(FILE *to)
{
	fputs("Usage: lanyard sriov COMMAND ...\n"
	      "Virtual functions of SR-IOV NICs: made, configured, bound, and put back.\n\n",
		to);
	for (size_t i = 0; i < N_SUBS; i++)
		fprintf(to, "  %-8s %-6s %s\n", subs[i].name, subs[i].args_doc, subs[i].doc);
	fputs("\nPF is a PCI address or an interface. lanyard sriov COMMAND --help says more of "
	      "one.\n\nExample: sudo lanyard sriov plan vfs.json\n",
		to);
	return to == stdout ? 0 : 2;
}

static int run_sub(const struct sub *sub, int argc, char **argv)
{
	const struct argp argp = { .options = option_rows,
		.parser = parse_one,
		.args_doc = sub->args_doc,
		.doc = sub->doc };
	const char *kill_at = getenv("LANYARD_SRIOV_KILL"), *root = getenv("LANYARD_SRIOV_ROOT");
	struct run r = { .sub = sub, .kill_at = kill_at ? atol(kill_at) : -1 };
	struct err e = { 0 };
	int status;

	r.o = (struct sriov_options){
		.owner = OWNER, .stop = &stop, .say = say, .hook = kill_here, .arg = &r
	};
	argv[0] = lab_asprintf("lanyard sriov %s", sub->name); /* for usage lines */
	argp_parse(&argp, argc, argv, 0, NULL, &r);
	progress_init(&r.progress, r.quiet || r.json);
	if (sriov_world_open(&r.w, root, getenv("LANYARD_SRIOV_RUN"), &e))
		return lab_fail(&e);
	status = sub->fn(&r, &e);
	sriov_world_close(&r.w);
	return e.class ? lab_fail(&e) : status;
}

int cmd_sriov(int argc, char **argv)
{
	const char *want = argc > 1 ? argv[1] : NULL, *near;

	if (!want)
		return usage(stderr);
	if (!strcmp(want, "--help") || !strcmp(want, "-h") || !strcmp(want, "-?"))
		return usage(stdout);
	for (size_t i = 0; i < N_SUBS; i++)
		if (strcmp(subs[i].name, want) == 0)
			return run_sub(&subs[i], argc - 1, argv + 1);
	near = suggest_nearest(want, N_SUBS, sub_name, NULL);
	fprintf(stderr,
		"lanyard sriov: there is no command \"%s\"%s%s%s; lanyard sriov --help lists all\n",
		want, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return 2;
}
