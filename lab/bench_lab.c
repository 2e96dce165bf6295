/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every command that measures a lab does: it opens the lab (bringing it up unless it is), and
 * its outputs before anything is measured, tells of lab and host what the figures depend on, and
 * ends in good order on a signal.
 *
 * SIGINT, SIGTERM and SIGHUP set a flag that ends the trial at work.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/bench_cmd.h"
#include "lab/plan.h"

#define WIDTH_DEFAULT 100
#define WIDTH_MIN     60

static volatile sig_atomic_t stop; /* handler: w, all: r */

static void on_signal(int signo)
{
	stop = 1;
}

void bench_catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
	/* A reader that left (| head) must not keep us from taking the lab down. */
	signal(SIGPIPE, SIG_IGN);
}

/* ---- telling ---- */

void bench_clear_progress(const struct bench_cmd *b)
{
	if (b->env.progress)
		fputs("\r\033[K", stderr);
}

static void show_progress(void *ctx, const char *text)
{
	fprintf(stderr, "\r\033[K%s", text);
	fflush(stderr);
}

unsigned bench_width(FILE *out)
{
	struct winsize ws;

	if (ioctl(fileno(out), TIOCGWINSZ, &ws) || ws.ws_col == 0)
		return WIDTH_DEFAULT;
	return ws.ws_col < WIDTH_MIN ? WIDTH_MIN : ws.ws_col;
}

/* Who runs where, a CPU at a time: "CPU 1: a/vcpu0, b/vcpu0 (shared)". */
static void print_placement(const struct bench_cmd *b)
{
	const struct lab *l = b->lab;

	for (size_t i = 0; i < l->n_cpus; i++) {
		char text[512];
		size_t len = 0, sharers = 0;
		bool told = false;

		for (size_t k = 0; k < i; k++)
			told |= l->cpus[k].cpu == l->cpus[i].cpu;
		for (size_t k = i; k < l->n_cpus && !told && len < sizeof(text) - LAB_WHO_MAX;
			k++) {
			if (l->cpus[k].cpu != l->cpus[i].cpu)
				continue;
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
				sharers++ ? ", " : "", l->cpus[k].who);
		}
		if (!told)
			fprintf(b->out, "  CPU %d: %s%s\n", l->cpus[i].cpu, text,
				sharers > 1 ? " (shared)" : "");
	}
}

/* What is held against the host beside its figures, and what mends it: a line each. */
static void print_doctor(const struct bench_cmd *b)
{
	const json_t *f;
	size_t i;

	json_array_foreach (b->doctor, i, f) {
		char text[768];

		snprintf(text, sizeof(text), "%s: %s: %s", bench_text(f, "name"),
			bench_text(f, "found"), bench_text(f, "why"));
		report_wrap(b->out, b->table.width, 8, "  ! ", text);
	}
	if (i)
		fputs("  (lanyard doctor says what mends it)\n", b->out);
}

void bench_print_head(const struct bench_cmd *b)
{
	json_t *m = report_machine("");
	json_int_t n_cpus = json_integer_value(json_object_get(m, "cpus"));

	fprintf(b->out, "lab %s: %s, %lld CPUs, Linux %s\n", b->t->lab, bench_text(m, "cpu_model"),
		(long long)n_cpus, bench_text(m, "kernel"));
	if (b->env.info)
		fprintf(b->out, "  switch %s, %s, %s\n", bench_text(b->env.info, "version"),
			bench_text(b->env.info, "dpdk"),
			json_is_true(json_object_get(b->env.info, "huge")) ? "huge pages"
									   : "no huge pages");
	print_placement(b);
	print_doctor(b);
	for (size_t i = 0; b->existed && i < b->lab->n_warnings; i++)
		report_wrap(b->out, b->table.width, 8, "  ! ", b->lab->warnings[i]);
	fflush(b->out);
	json_decref(m);
}

/* ---- outputs ---- */

int bench_open_out(const char *path, int *fd, struct err *e)
{
	if (!path)
		return 0;
	*fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
				     : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (*fd < 0)
		return err_request(e, -errno, "cannot write %s: %s", path, err_str(errno));
	return 0;
}

int bench_write_out(const char *path, int fd, const char *text, size_t len, struct err *e)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && strcmp(path, "-") != 0 &&
		ftruncate(fd, 0))
		rc = -errno;
	else
		rc = fd_write_full(fd, text, len);
	return rc ? err_set(e, rc, "cannot write %s: %s", path, err_str(rc)) : 0;
}

int bench_write_json(const char *path, int fd, const json_t *doc, struct err *e)
{
	char *text = json_dumps(doc, JSON_INDENT(1) | JSON_REAL_PRECISION(9)), *line;
	int rc;

	if (!text)
		return err_set(e, -ENOMEM, "the results cannot be written as JSON");
	line = lab_asprintf("%s\n", text);
	rc = bench_write_out(path, fd, line, strlen(line), e);
	free(text);
	free(line);
	return rc;
}

/* ---- the lab ---- */

static char *agent_path(void *ctx, size_t node, char *out)
{
	const struct bench_cmd *b = ctx;

	return lab_file(b->lab, out, "%s.agent", b->t->nodes[node].name);
}

/* Whose CPU time and exits are counted. A VMM that does not answer has no exits to tell. */
static int open_processes(struct bench_cmd *b, struct err *e)
{
	size_t n = b->t->n_nodes;
	char path[LAB_PATH_MAX];

	b->env.pid = calloc(n, sizeof(*b->env.pid));
	b->env.vmm = calloc(n, sizeof(*b->env.vmm));
	if (!b->env.pid || !b->env.vmm)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct step *s = plan_node(b->lab->plan, b->t->nodes[i].name);

		b->env.pid[i] = s ? s->proc.pid : 0;
		if (b->t->nodes[i].kind == TOPO_VM)
			b->env.vmm[i] =
				rpc_connect(lab_file(b->lab, path, "%s.sock", b->t->nodes[i].name),
					BENCH_CALL_TIMEOUT_MS, NULL);
	}
	return 0;
}

int bench_open_env(struct bench_cmd *b, struct err *e)
{
	char path[LAB_PATH_MAX];

	b->env.t = b->t;
	b->env.stop = &stop;
	b->env.histogram = b->histogram;
	if (!b->quiet && isatty(STDERR_FILENO))
		b->env.progress = show_progress;
	int rc = bench_env_open(&b->env, lab_file(b->lab, path, "switch.sock"), agent_path, b, e);

	return rc ? rc : open_processes(b, e);
}

/* A file: the lab of its name is brought up unless it is, and its traffic is the file's. */
int bench_open_file(struct bench_cmd *b, struct err *e)
{
	struct lab_opts o = { .quiet = b->quiet };
	struct lab *before = NULL;
	int rc = b->own_topology ? 0 : topology_load(b->arg, &b->own_topology, e);

	if (rc)
		return rc;
	b->t = b->own_topology;
	if (!b->plan.n_trials)
		rc = bench_plan_make(b->t, &b->opts, &b->plan, e);
	if (rc)
		return rc;
	b->existed = lab_open(b->t->lab, &before, NULL) == 0;
	lab_free(before);
	rc = lab_up(b->t, &o, NULL, e);
	if (rc)
		return rc;
	rc = lab_open(b->t->lab, &b->lab, e);
	if (rc && !b->existed)
		lab_down(b->t->lab, &o, NULL, NULL);
	return rc;
}
