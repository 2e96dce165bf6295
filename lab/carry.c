/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/carry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab/daemon.h"
#include "lab/record.h"

#define QUOTED_LINES 4   /* of the log of a daemon that died */
#define DYING_MS     500 /* from its sockets' end to its own */

int carry_save(struct carry *c, struct err *e)
{
	return c->folder && c->folder->fd >= 0 ? record_write(c->folder->fd, c->plan, e) : 0;
}

static int interrupted(struct carry *c, struct err *e)
{
	struct signalfd_siginfo si = { 0 };

	if (read(c->signal_fd, &si, sizeof si) != sizeof si)
		return 0;
	return err_set(e, -EINTR, "interrupted by SIG%s", sigabbrev_np((int)si.ssi_signo));
}

/* Says how, and shows the end of its log; its exit status, if it tells whose fault it was, is
 * ours as well. */
static int died(struct carry *c, const struct step *s, struct err *e)
{
	struct strs tail = { 0 };
	const char *last, *word;
	char fate[64], who[TOPO_NAME_MAX + 16], text[128];
	int status = daemon_fate(s->pidfd, fate, sizeof fate);

	daemon_log_tail(s->log, QUOTED_LINES, &tail);
	last = tail.n ? tail.v[tail.n - 1] : "";
	word = daemon_last_word(last);
	snprintf(text, sizeof text, "%s %s", step_describe_short(s, who, sizeof who), fate);
	if (word)
		err_set(e, -ECHILD, "%s: %s", text, word);
	else if (tail.n > 1 && step_is_server(s)) /* "Failed to get lock", "Is another ... ?" */
		err_set(e, -ECHILD, "%s; its log ends with: %s / %s", text, tail.v[tail.n - 2],
			last);
	else if (tail.n)
		err_set(e, -ECHILD, "%s; its log ends with: %s", text, daemon_log_text(last));
	else
		err_set(e, -ECHILD, "%s; its log is empty", text);
	/* Another project's program means something else by its status. */
	if (e && !step_is_server(s) && (status == ERR_REQUEST || status == ERR_HOST))
		e->class = (enum err_class)status;
	progress_end(c->progress, PROGRESS_FAILED, text);
	for (size_t i = 0; i < tail.n; i++)
		progress_quote(c->progress, tail.v[i]);
	strs_free(&tail);
	return -ECHILD;
}

int carry_pause(struct carry *c, int ms, struct err *e)
{
	size_t n_max = c->plan->n_steps + 1, n = 0;
	struct pollfd *fds = lab_calloc(n_max, sizeof *fds);
	struct step **of = lab_calloc(n_max, sizeof *of);
	int r = 0;

	if (c->signal_fd >= 0)
		fds[n++] = (struct pollfd){ .fd = c->signal_fd, .events = POLLIN };
	for (size_t i = 0; i < c->plan->n_steps; i++) {
		struct step *s = &c->plan->steps[i];

		if (s->pidfd < 0)
			continue;
		of[n] = s;
		fds[n++] = (struct pollfd){ .fd = s->pidfd, .events = POLLIN };
	}
	progress_tick(c->progress);
	if (poll(fds, n, ms) > 0) {
		for (size_t i = 0; i < n && !r; i++) {
			if (fds[i].revents)
				r = of[i] ? died(c, of[i], e) : interrupted(c, e);
		}
	}
	free(fds);
	free(of);
	return r;
}

static void quote_tail(struct carry *c, const char *log)
{
	struct strs tail = { 0 };

	daemon_log_tail(log, QUOTED_LINES, &tail);
	for (size_t i = 0; i < tail.n; i++)
		progress_quote(c->progress, tail.v[i]);
	strs_free(&tail);
}

/* What the daemon that the step waited for wrote last: the log goes away with the run folder. Of a
 * guest that boots, what it printed too. */
static void quote_log(struct carry *c, const struct step *s)
{
	const struct step *vm = s->kind == STEP_GUEST ? plan_node(c->plan, s->name) : s;
	const struct step *of = vm && vm->log ? vm : plan_find(c->plan, STEP_SWITCH, NULL);
	char *console;

	if (of && of->log)
		quote_tail(c, of->log);
	if (s->kind != STEP_GUEST || !s->slow)
		return;
	console = lab_asprintf("%s/%s.console.log", c->plan->dir, s->name);
	quote_tail(c, console);
	free(console);
}

int carry_run(struct carry *c, struct step *s, const char *text, struct err *e)
{
	char own[LAB_PATH_MAX + 128];
	struct err why = { 0 };
	int r;

	if (!text)
		text = step_describe(s, own, sizeof own);
	progress_begin(c->progress, text);
	s->state = STEP_BEGUN;
	s->fresh = true;
	r = carry_save(c, e);
	if (!r)
		r = c->ops[s->kind].run(c, s, e);
	/* A connection that broke is often a daemon on its way out: say that instead. */
	if (r != -ECHILD &&
		carry_pause(c, r == -EPIPE || r == -ECONNREFUSED ? DYING_MS : 0, &why)) {
		r = why.code;
		if (e)
			*e = why;
	}
	if (r) {
		if (r != -ECHILD)
			progress_end(c->progress, PROGRESS_FAILED, text);
		if (r == -ETIMEDOUT || s->kind == STEP_GUEST)
			quote_log(c, s);
		return r;
	}
	s->state = STEP_DONE;
	progress_end(c->progress, PROGRESS_DONE, text);
	return carry_save(c, e);
}

int carry_out(struct carry *c, struct err *e)
{
	c->progress->n = c->progress->total = 0;
	for (size_t i = 0; i < c->plan->n_steps; i++)
		c->progress->total += c->plan->steps[i].state != STEP_DONE;
	for (size_t i = 0; i < c->plan->n_steps; i++) {
		struct step *s = &c->plan->steps[i];
		struct err undo_err = { 0 };
		int r;

		s->fresh = false;
		if (s->state == STEP_DONE)
			continue;
		c->progress->n++;
		r = carry_run(c, s, NULL, e);
		if (!r)
			continue;
		c->progress->total = 0;
		for (size_t j = i + 1; j < c->plan->n_steps; j++)
			c->plan->steps[j].fresh = false;
		if (carry_undo(c, true, &undo_err))
			progress_warn(c->progress, "not all was undone: %s", undo_err.text);
		return r;
	}
	c->progress->total = 0;
	return 0;
}

int carry_undo_one(struct carry *c, struct step *s, const char *text, struct err *e)
{
	char own[LAB_PATH_MAX + 128];
	int r;

	if (!text)
		text = step_describe_undo(s, own, sizeof own);
	progress_begin(c->progress, text);
	r = c->ops[s->kind].undo(c, s, e);
	if (r) {
		progress_end(c->progress, PROGRESS_FAILED, text);
		return r;
	}
	s->state = STEP_PLANNED;
	s->proc = (struct proc_id){ 0 };
	s->pages_raised = 0;
	if (text[0])
		progress_end(c->progress, PROGRESS_UNDONE, text);
	return carry_save(c, e);
}

int carry_undo(struct carry *c, bool fresh_only, struct err *e)
{
	int first = 0;

	for (size_t i = c->plan->n_steps; i-- > 0;) {
		struct step *s = &c->plan->steps[i];
		struct err why = { 0 };
		int r;

		if (s->state == STEP_PLANNED || (fresh_only && !s->fresh))
			continue;
		if (s->kind == STEP_FOLDER && first)
			continue; /* the record of what is left to undo stays */
		r = carry_undo_one(c, s, NULL, &why);
		if (r && !first) {
			first = r;
			if (e)
				*e = why;
		}
	}
	return first;
}
